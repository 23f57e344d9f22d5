// The head of saved memory, byte by byte, and the XML that goes into it. Not here: that QEMU takes it (test/real/fork.test.ts).

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { domainXml, macAddress } from '../../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { forkedXml, interfacesToRaise } from '../../../src/adapters/hypervisor/libvirt/fork-xml.ts';
import { readSavedMemory, savedHeadLength, withXml } from '../../../src/adapters/hypervisor/libvirt/saved-memory.ts';
import { readMetadata } from '../../../src/adapters/hypervisor/libvirt/vm-metadata.ts';
import { templateName, templatePart } from '../../../src/adapters/hypervisor/libvirt/volume-names.ts';
import { allBelow, childOf, parseXml } from '../../../src/adapters/hypervisor/libvirt/xml-tree.ts';

const COOKIE = '<cookie><cpu/></cookie>';

function saved({
  compression = 0,
  cookie = COOKIE,
  dataBytes = 4096,
  version = 2,
  wasRunning = 1,
  xml = '<domain/>',
} = {}): Buffer {
  const bytes = Buffer.alloc(92 + dataBytes + 10, 0);
  bytes.write('LibvirtQemudSave');
  const cookieAt = cookie === '' ? 0 : Buffer.byteLength(xml) + 1;
  for (const [index, word] of [version, dataBytes, wasRunning, compression, cookieAt].entries()) {
    bytes.writeUInt32LE(word, 16 + 4 * index);
  }
  bytes.write(`${xml}\0${cookie}`, 92);
  bytes.write('QEMUstream', 92 + dataBytes);
  return bytes;
}

describe('the head of saved memory', () => {
  test('is read, and written anew with another XML: as long, and all else as it was', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 1500 }), fc.constantFrom('', COOKIE), (text, cookie) => {
        const bytes = saved({ cookie });
        const read = readSavedMemory(bytes);
        if ('problem' in read) throw new Error(read.problem);
        expect(read.xml).toBe('<domain/>');
        expect(read.streamAt).toBe(92 + 4096);
        const xml = `<other>${text.replaceAll('\0', '')}</other>`;
        const head = withXml(read, xml) ?? Buffer.alloc(0);
        expect(head).toHaveLength(read.streamAt);
        const again = readSavedMemory(Buffer.concat([head, bytes.subarray(read.streamAt)]));
        if ('problem' in again) throw new Error(again.problem);
        // A lone surrogate is no text.
        expect(again.xml).toBe(Buffer.from(xml).toString());
        expect(again.cookie.toString()).toBe(cookie === '' ? '' : `${COOKIE}\0`);
        expect(head.subarray(0, 32).equals(bytes.subarray(0, 32))).toBe(true);
      }),
    );
  });

  test('an XML that does not fit is not written', () => {
    const read = readSavedMemory(saved({ dataBytes: 200 }));
    if ('problem' in read) throw new Error(read.problem);
    const room = 200 - COOKIE.length - 2;
    expect(withXml(read, 'x'.repeat(room))).toHaveLength(292);
    expect(withXml(read, 'x'.repeat(room + 1))).toBeUndefined();
  });

  test.each([
    ['an unfinished file', Buffer.from('LibvirtQemudPart'.padEnd(200, '\0'))],
    ['another version', saved({ version: 3 })],
    ['the other byte order', saved({ version: 0x02000000 })],
    ['compressed', saved({ compression: 1 })],
    ['sparse', saved({ compression: 6 })],
    ['of a domain that did not run', saved({ wasRunning: 0 })],
    ['cut off', saved().subarray(0, 500)],
    ['nothing', Buffer.alloc(0)],
    ['an absurd length', saved().fill(0xff, 20, 24)],
    ['an offset beyond its end', saved().fill(0xee, 32, 34)],
    ['no XML', saved({ xml: '', cookie: '' })],
  ])('%s is of no form that we know', (_, bytes) => {
    expect(readSavedMemory(bytes)).toEqual({ problem: expect.any(String) });
  });

  test('its length is told by its first bytes alone', () => {
    expect(savedHeadLength(saved().subarray(0, 92))).toBe(92 + 4096);
  });
});

describe('the XML of a fork', () => {
  const key = '0123456789abcdef';
  const id = '89abcdef';
  const uuid = '11111111-2222-4333-8444-555555555555';
  const forward = { kind: 'forward', addressPrefix: '127.0.1', port: 8080 } as const;
  const bridge = { kind: 'bridge', name: 'br0' } as const;
  const templateXml = (network: typeof forward | typeof bridge, hasSeed = false): string =>
    domainXml(
      { name: templateName(key), uuid, flavor: { name: 's', vcpus: 1, memoryMiB: 128 } },
      {
        accel: 'qemu',
        network,
        diskPath: `/a & b/${templatePart(key, id, 'qcow2')}`,
        consolePath: `/a & b/${templatePart(key, id, 'console.log')}`,
        ...(hasSeed && { seedPath: `/a & b/${templatePart(key, id, 'seed.iso')}` }),
        ...(network.kind === 'forward' && { endpoint: { address: '127.0.1.7', port: 8080 } }),
      },
    );
  const vm = {
    name: `a<b>&'"-1`,
    uuid: '99999999-2222-4333-8444-555555555555',
    metadata: {
      id: 7,
      owner: 'o',
      operation: 'd',
      image: 'i',
      flavor: 's',
      template: 'fedcba9876543210',
      endpoint: { address: '127.0.1.9', port: 8080 },
    },
    hasSeed: false,
    linkDown: false,
  };
  const { endpoint: _, ...elsewhere } = vm.metadata;

  test("has the VM's names in place of the template's, and nothing of the template's is left", () => {
    const xml = forkedXml(templateXml(forward), key, id, vm);
    if (typeof xml === 'object') throw new Error(xml.problem);
    for (const word of [key, id, uuid, macAddress(uuid), '127.0.1.7']) expect(xml).not.toContain(word);
    const top = parseXml(xml);
    expect(childOf(top, 'name')?.text).toBe(vm.name);
    expect(childOf(top, 'sysinfo', 'system', 'entry')?.text).toBe(vm.name);
    expect(childOf(top, 'devices', 'disk', 'source')?.attributes['file']).toBe(`/a & b/vs-${vm.name}.qcow2`);
    expect(childOf(top, 'devices', 'serial', 'log')?.attributes['file']).toBe(`/a & b/vs-${vm.name}.console.log`);
    const args = allBelow(top, 'arg').map(({ attributes }) => attributes['value']);
    expect(args.join(' ')).toContain('hostfwd=tcp:127.0.1.9:8080-:80');
    expect(args.join(' ')).toContain(`mac=${macAddress(vm.uuid)}`);
    expect(readMetadata(/<virtscale:vm .*<\/virtscale:vm>/.exec(xml)?.[0] ?? '')).toEqual(vm.metadata);
  });

  test('where guests share a network its link is down, and is raised once', () => {
    const xml = forkedXml(templateXml(bridge), key, id, { ...vm, metadata: elsewhere, linkDown: true });
    if (typeof xml === 'object') throw new Error(xml.problem);
    const card = childOf(parseXml(xml), 'devices', 'interface');
    expect(childOf(card, 'link')?.attributes['state']).toBe('down');
    expect(childOf(card, 'mac')?.attributes['address']).toBe(macAddress(vm.uuid));
    const [raised, ...more] = interfacesToRaise(xml);
    expect(more).toEqual([]);
    expect(childOf(parseXml(raised ?? ''), 'link')?.attributes['state']).toBe('up');
    expect(interfacesToRaise(raised ?? '')).toEqual([]);
  });

  test.each([
    ['of another template', templateXml(forward).replaceAll(key, 'fedcba9876543210'), vm],
    ['of a VM', templateXml(forward).replace('</uuid>', '</uuid><metadata/>'), vm],
    ['without the seed that the VM has', templateXml(forward), { ...vm, hasSeed: true }],
    ['with a seed that the VM has not', templateXml(forward, true), vm],
    ['on another kind of network', templateXml(bridge), vm],
    ['of another form', templateXml(forward).replace(".qcow2'", ".qcow2.1'"), vm],
  ])('%s it is none', (_, xml, of) => {
    expect(forkedXml(xml, key, id, of)).toEqual({ problem: expect.any(String) });
  });
});
