// Domain, volume and metadata XML: whatever is put in comes out again, and nothing else becomes an element.
// Not here: what libvirt makes of it (test/real).

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DomainXmlOptions, domainXml, macAddress } from '../../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import {
  METADATA_URI,
  metadataElement,
  metadataXml,
  readMetadata,
} from '../../../src/adapters/hypervisor/libvirt/vm-metadata.ts';
import {
  baseName,
  consoleName,
  holdsNoDisk,
  isBaseOf,
  isConsoleOf,
  markerName,
  readMarker,
  seedName,
  vmNameOf,
  volumeName,
} from '../../../src/adapters/hypervisor/libvirt/volume-names.ts';
import { diskXml, fileXml, readVolume } from '../../../src/adapters/hypervisor/libvirt/volume-xml.ts';
import { element, escapeXml } from '../../../src/adapters/hypervisor/libvirt/xml-text.ts';
import { allBelow, childOf, parseXml } from '../../../src/adapters/hypervisor/libvirt/xml-tree.ts';
import type { Image, VmMetadata } from '../../../src/core/model.ts';
import type { VmSpec } from '../../../src/ports/hypervisor.ts';

/** Any text XML can hold: no control characters but tab and line ends, no lone surrogates. */
const text = fc
  .string({ unit: 'binary' })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is left out
  .map((raw) => raw.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, ''));
const nasty = fc.oneof(text, fc.constantFrom(`]]><a b='"&`, '<!--', '&amp;', "'><domain/>", '\t\n\r'));

const image: Image = {
  name: 'backend',
  path: '/img/root.qcow2',
  format: 'qcow2',
  direct: { kernel: '/img/vmlinuz', initrd: '/img/initrd.img', args: 'console=ttyS0 quiet' },
};
const spec: VmSpec = {
  name: 'web-1',
  uuid: '11111111-2222-4333-8444-555555555555',
  image,
  flavor: { name: 'small', vcpus: 2, memoryMiB: 128 },
  ready: { http: { port: 8000, path: '/' } },
  metadata: { id: 7, group: 'web', owner: 'me', operation: 'd-1', image: 'backend', flavor: 'small' },
};
const forwarded: DomainXmlOptions = {
  accel: 'qemu',
  network: { kind: 'forward', addressPrefix: '127.0.1', port: 8080, kernelArgs: 'ip=fixed' },
  diskPath: '/pool/vs-web-1.qcow2',
  endpoint: { address: '127.0.1.5', port: 8080 },
};

describe('XML text', () => {
  test('what is escaped is read back as it was', () => {
    fc.assert(
      fc.property(nasty, nasty, (attribute, inside) => {
        const read = parseXml(element('a', { b: attribute }, element('c', { d: inside })).xml);
        expect(read.attributes['b']).toBe(attribute);
        expect(childOf(read, 'c')?.attributes['d']).toBe(inside);
        expect(read.children).toHaveLength(1);
      }),
    );
  });

  test.each(['\u0000', 'a\u0008b', '\ud800', '\udc00x', '\uffff'])('%j cannot be written and is refused', (bad) => {
    expect(() => escapeXml(bad)).toThrow(expect.objectContaining({ name: 'Fault', kind: 'refused' }));
  });

  test('reading refuses what is not XML, and what nests without end', () => {
    expect(() => parseXml('<a><b></a>')).toThrow();
    expect(() => parseXml('')).toThrow();
    expect(() => parseXml(`${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`)).toThrow(/deep/);
  });
});

describe('metadata', () => {
  const metadata = fc.record<VmMetadata>(
    {
      id: fc.integer({ min: 1 }),
      group: nasty,
      owner: nasty,
      operation: nasty,
      image: nasty,
      flavor: nasty,
      endpoint: fc.record({ address: fc.ipV4(), port: fc.integer({ min: 1, max: 65_535 }) }),
      adopted: fc.constant(true),
    },
    { requiredKeys: ['id', 'owner', 'operation', 'image', 'flavor'] },
  );

  test('comes back as it was written', () => {
    fc.assert(
      fc.property(metadata, (written) => {
        expect(readMetadata(metadataXml(written).xml)).toEqual(written);
        expect(readMetadata(metadataElement(written).xml)).toEqual(written);
      }),
    );
  });

  test('comes back from a whole domain, where it is in its namespace', () => {
    const domain = parseXml(domainXml(spec, forwarded));
    const vm = childOf(domain, 'metadata', 'vm');
    expect(vm?.uri).toBe(METADATA_URI);
    expect(vm?.attributes['id']).toBe('7');
  });

  test.each([
    '',
    'no xml',
    '<vm/>',
    "<vm id='1' group='g'/>",
    "<vm id='0' group='' owner='' operation='' image='' flavor=''/>",
    "<vm id='1.5' group='' owner='' operation='' image='' flavor=''/>",
    "<other id='1' group='' owner='' operation='' image='' flavor=''/>",
  ])('%j is nobody of ours', (xml) => {
    expect(readMetadata(xml)).toBeUndefined();
  });

  test('an endpoint that makes no sense is left out', () => {
    const attributes = "id='1' group='' owner='' operation='' image='' flavor=''";
    const read = readMetadata(`<vm ${attributes}><endpoint address='127.0.1.1' port='70000'/></vm>`);
    expect(read).toMatchObject({ id: 1 });
    expect(read).not.toHaveProperty('endpoint');
  });
});

describe('a domain', () => {
  test('has its size, its disk, an agent, and its name where the guest looks for it', () => {
    const domain = parseXml(domainXml(spec, forwarded));
    expect(domain.attributes['type']).toBe('qemu');
    expect(childOf(domain, 'name')?.text).toBe('web-1');
    expect(childOf(domain, 'uuid')?.text).toBe(spec.uuid);
    expect(childOf(domain, 'memory')).toMatchObject({ text: '128', attributes: { unit: 'MiB' } });
    expect(childOf(domain, 'vcpu')?.text).toBe('2');
    expect(childOf(domain, 'sysinfo', 'system', 'entry')).toMatchObject({
      text: 'web-1',
      attributes: { name: 'serial' },
    });
    expect(childOf(domain, 'os', 'smbios')?.attributes['mode']).toBe('sysinfo');
    const disks = allBelow(domain, 'disk');
    expect(disks).toHaveLength(1);
    expect(childOf(disks[0], 'source')?.attributes['file']).toBe('/pool/vs-web-1.qcow2');
    expect(childOf(disks[0], 'driver')?.attributes['type']).toBe('qcow2');
    expect(allBelow(domain, 'target').map(({ attributes }) => attributes['name'])).toContain('org.qemu.guest_agent.0');
    expect(childOf(domain, 'cpu')).toBeUndefined();
    expect(childOf(parseXml(domainXml(spec, { ...forwarded, accel: 'kvm' })), 'cpu')).toBeDefined();
  });

  test("boots the image's kernel, or its boot loader", () => {
    const os = childOf(parseXml(domainXml(spec, forwarded)), 'os');
    expect(childOf(os, 'kernel')?.text).toBe('/img/vmlinuz');
    expect(childOf(os, 'initrd')?.text).toBe('/img/initrd.img');
    expect(childOf(os, 'cmdline')?.text).toBe('console=ttyS0 quiet ip=fixed');
    const onBridge = domainXml(spec, { ...forwarded, network: { kind: 'bridge', name: 'br0' } });
    expect(childOf(parseXml(onBridge), 'os', 'cmdline')?.text).toBe('console=ttyS0 quiet');
    const { direct: _, ...plain } = image;
    const loader = childOf(parseXml(domainXml({ ...spec, image: plain }, forwarded)), 'os');
    expect(childOf(loader, 'kernel')).toBeUndefined();
    expect(childOf(loader, 'boot')?.attributes['dev']).toBe('hd');
  });

  test("forwards the guest's port from its own address", () => {
    const args = allBelow(parseXml(domainXml(spec, forwarded)), 'arg').map(({ attributes }) => attributes['value']);
    expect(args[1]).toBe('user,id=fw0,hostfwd=tcp:127.0.1.5:8080-:8000');
    expect(args[3]).toContain(`mac=${macAddress(spec.uuid)}`);
    expect(allBelow(parseXml(domainXml(spec, forwarded)), 'interface')).toEqual([]);
  });

  test.each([
    [{ kind: 'network', name: 'default' } as const, { network: 'default' }],
    [{ kind: 'bridge', name: 'br0' } as const, { bridge: 'br0' }],
  ])('sits on a %o', (network, source) => {
    const domain = parseXml(domainXml(spec, { accel: 'kvm', network, diskPath: '/d' }));
    const [nic] = allBelow(domain, 'interface');
    expect(nic?.attributes['type']).toBe(network.kind);
    expect(childOf(nic, 'source')?.attributes).toEqual(source);
    expect(childOf(nic, 'mac')?.attributes['address']).toBe(macAddress(spec.uuid));
    expect(allBelow(domain, 'arg')).toEqual([]);
  });

  test('an empty disk is tried first, then the network where there is one to boot from', () => {
    const { image: _, ...blank } = spec;
    const bootsFrom = (options: DomainXmlOptions): unknown[] =>
      allBelow(parseXml(domainXml(blank, options)), 'boot').map(({ attributes }) => attributes['dev']);
    expect(bootsFrom(forwarded)).toEqual(['hd']);
    const onBridge = { accel: 'qemu', network: { kind: 'bridge', name: 'br0' }, diskPath: '/d' } as const;
    expect(bootsFrom(onBridge)).toEqual(['hd', 'network']);
    expect(allBelow(parseXml(domainXml(blank, onBridge)), 'rom')).toEqual([]);
    expect(allBelow(parseXml(domainXml(spec, onBridge)), 'rom')[0]?.attributes['enabled']).toBe('no');
  });

  test('without a readiness check port 80 is forwarded', () => {
    const { ready: _, ...unchecked } = spec;
    const args = allBelow(parseXml(domainXml(unchecked, forwarded)), 'arg').map(
      ({ attributes }) => attributes['value'],
    );
    expect(args[1]).toMatch(/-:80$/);
  });

  test('the seed image for cloud-init is a second disk that the guest cannot write to', () => {
    const [disk, seed] = allBelow(parseXml(domainXml(spec, { ...forwarded, seedPath: '/pool/s.iso' })), 'disk');
    expect(childOf(seed, 'source')?.attributes['file']).toBe('/pool/s.iso');
    expect(childOf(seed, 'driver')?.attributes['type']).toBe('raw');
    expect(childOf(seed, 'readonly')).toBeDefined();
    expect(childOf(seed, 'address')?.attributes).not.toEqual(childOf(disk, 'address')?.attributes);
  });

  test('its serial output is also kept in a file when there is a place for it, a new one for each start', () => {
    const [serial] = allBelow(parseXml(domainXml(spec, { ...forwarded, consolePath: '/pool/x.log' })), 'serial');
    expect(serial?.attributes['type']).toBe('pty');
    expect(childOf(serial, 'log')?.attributes).toEqual({ file: '/pool/x.log', append: 'off' });
    expect(allBelow(parseXml(domainXml(spec, forwarded)), 'log')).toEqual([]);
  });

  test('nothing that is written into it becomes an element', () => {
    const shape = (name: string): unknown => {
      const strip = (at: ReturnType<typeof parseXml>): unknown => [at.name, at.children.map(strip)];
      const named = { ...image, direct: { kernel: name, initrd: name, args: name } };
      const paths = { diskPath: name, seedPath: name, consolePath: name };
      return strip(parseXml(domainXml({ ...spec, name, image: named }, { ...forwarded, ...paths })));
    };
    const plain = shape('x');
    fc.assert(
      fc.property(nasty, (name) => {
        expect(shape(name)).toEqual(plain);
      }),
    );
  });

  test('the MAC follows from the uuid, whatever its case', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        expect(macAddress(uuid)).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/);
        expect(macAddress(uuid.toUpperCase())).toBe(macAddress(uuid));
      }),
    );
  });
});

describe('volumes', () => {
  test('only names of the form we give are taken for ours', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (name) => {
        expect(vmNameOf(volumeName(name))).toBe(name);
      }),
    );
    for (const other of ['', 'vs-.qcow2', 'web-1.qcow2', 'vs-web-1.raw', 'vs-', '.qcow2']) {
      expect(vmNameOf(other)).toBeUndefined();
    }
  });

  test('whatever a VM is called, no volume of it is taken for something else', () => {
    const sha256 = 'ab'.repeat(32);
    const marker = markerName({ sha256, fileBytes: 12, allocatedBytes: 0, id: '01234567' });
    fc.assert(
      fc.property(fc.oneof(nasty, fc.constantFrom('image-x', baseName(sha256, '01234567'), marker)), (name) => {
        const volumes = [volumeName(name), seedName(name), consoleName(name), `${consoleName(name)}.0`];
        expect(volumes.map((volume) => vmNameOf(volume))).toEqual([name || undefined, undefined, undefined, undefined]);
        expect(volumes.map((volume) => isConsoleOf(volume, name))).toEqual([false, false, true, true]);
        expect(volumes.map(holdsNoDisk)).toEqual([false, true, true, true]);
        for (const volume of volumes) {
          expect(readMarker(volume)).toBeUndefined();
          expect(isBaseOf(volume, sha256)).toBe(false);
        }
      }),
    );
    expect(vmNameOf(marker) ?? vmNameOf(baseName(sha256, '01234567'))).toBeUndefined();
    expect(isConsoleOf('vs-web-10.console.log', 'web-1')).toBe(false);
    expect(isConsoleOf('vs-web-1.console.log.x', 'web-1')).toBe(false);
  });

  test("an image's marker says which it is, and is read back only whole", () => {
    const made = { sha256: '0f'.repeat(32), fileBytes: 2 ** 45, allocatedBytes: 2 ** 45, id: '89abcdef' };
    expect(readMarker(markerName(made))).toEqual(made);
    expect(isBaseOf(baseName(made.sha256, made.id), made.sha256)).toBe(true);
    expect(isBaseOf(baseName(made.sha256, made.id), 'ee'.repeat(32))).toBe(false);
    for (let length = 0; length < markerName(made).length; length += 1) {
      expect(readMarker(markerName(made).slice(0, length))).toBeUndefined();
    }
  });

  test('an overlay names its image and format, and a size only when there is one; a file takes no space yet', () => {
    const backing = { path: '/img/root.qcow2', format: 'qcow2' } as const;
    const sized = parseXml(diskXml(volumeName('web-1'), backing, 5000));
    expect(childOf(sized, 'capacity')).toMatchObject({ text: '5000', attributes: { unit: 'bytes' } });
    expect(childOf(sized, 'backingStore', 'path')?.text).toBe('/img/root.qcow2');
    expect(childOf(sized, 'backingStore', 'format')?.attributes['type']).toBe('qcow2');
    expect(childOf(parseXml(diskXml(volumeName('web-1'), backing, undefined)), 'capacity')).toBeUndefined();
    expect(childOf(parseXml(diskXml(volumeName('web-1'), undefined, 5000)), 'backingStore')).toBeUndefined();
    expect(childOf(parseXml(fileXml('x', 7)), 'allocation')?.text).toBe('0');
  });

  test('libvirt tells of a volume in this form', () => {
    const xml = `<volume type='file'><name>vs-web-1.qcow2</name><key>/pool/vs-web-1.qcow2</key>
      <capacity unit='bytes'>67108864</capacity><allocation unit='bytes'>200704</allocation><physical unit='bytes'>196768</physical>
      <target><path>/pool/vs-web-1.qcow2</path><format type='qcow2'/></target>
      <backingStore><path>/img/root.qcow2</path><format type='qcow2'/></backingStore></volume>`;
    expect(readVolume(xml)).toEqual({
      path: '/pool/vs-web-1.qcow2',
      format: 'qcow2',
      capacityBytes: 67_108_864,
      physicalBytes: 196_768,
      allocationBytes: 200_704,
      backingPath: '/img/root.qcow2',
      backingFormat: 'qcow2',
    });
  });
});
