// What is read of a domain's hardware, and the XML of cards: on domains as virtscale and as others make them. Not here: real ones (test/real).

import { describe, expect, test } from 'vitest';
import { domainXml, macAddress } from '../../../src/adapters/hypervisor/libvirt/domain-xml.ts';
import { growthOf } from '../../../src/adapters/hypervisor/libvirt/guest-file-system.ts';
import { nicIn, nicXml, readHardware } from '../../../src/adapters/hypervisor/libvirt/hardware-xml.ts';
import { allBelow, childOf, parseXml } from '../../../src/adapters/hypervisor/libvirt/xml-tree.ts';
import type { Flavor } from '../../../src/core/model.ts';
import type { VmSpec } from '../../../src/ports/hypervisor.ts';

const UUID = '11111111-2222-4333-8444-555555555555';
const specOf = (flavor: Partial<Flavor>): VmSpec => ({
  name: 'vm',
  uuid: UUID,
  image: { name: 'a', path: '/a.qcow2', format: 'qcow2' },
  flavor: { name: 'f', vcpus: 2, memoryMiB: 128, ...flavor },
  metadata: { id: 1, owner: 'me', operation: 'op', image: 'a', flavor: 'f' },
});
const xmlOf = (flavor: Partial<Flavor>): string =>
  domainXml(specOf(flavor), {
    accel: 'qemu',
    network: { kind: 'forward', addressPrefix: '127.0.1', port: 8080 },
    diskPath: '/pool/vs-vm.qcow2',
    seedPath: '/pool/vs-vm.seed.iso',
    endpoint: { address: '127.0.1.5', port: 8080 },
  });

describe('a domain of ours', () => {
  test('without room above says nothing of a maximum, as before', () => {
    const xml = xmlOf({});
    expect(xmlOf({ maxVcpus: 2, maxMemoryMiB: 128, spareNics: 0 })).toBe(xml);
    expect(xml).not.toMatch(/currentMemory|current=|pcie-root|queues/);
    expect(readHardware(xml)).toMatchObject({
      sizes: { vcpus: 2, maxVcpus: 2, memoryMiB: 128, maxMemoryMiB: 128 },
      disk: { target: 'vda', path: '/pool/vs-vm.qcow2' },
      nics: [{ mac: macAddress(UUID), kind: 'forward', fixed: true }],
      freeSlots: 0,
    });
  });

  test('with room above says so, and can be saved after a vCPU was plugged in', () => {
    const xml = xmlOf({ maxVcpus: 4, maxMemoryMiB: 512, spareNics: 2 });
    expect(readHardware(xml)).toMatchObject({
      sizes: { vcpus: 2, maxVcpus: 4, memoryMiB: 128, maxMemoryMiB: 512 },
      canPlugVcpus: true,
      freeSlots: 2,
    });
    const queues = allBelow(parseXml(xml), 'driver').map(({ attributes }) => attributes['queues']);
    expect(queues).toEqual(['4', '4']);
    expect(readHardware(xmlOf({}))).toMatchObject({ canPlugVcpus: false });
  });
});

/** As libvirt gives it back, shortened. */
const THEIRS = `
<domain type='kvm'><name>x</name><memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>1048575</currentMemory>
<vcpu placement='static' current='1'>2</vcpu>
<devices>
  <disk type='file' device='cdrom'><source file='/iso'/><target dev='sda' bus='sata'/><readonly/></disk>
  <disk type='block' device='disk'><driver name='qemu' queues='2'/><source dev='/dev/vg/x'/><target dev='vdb' bus='virtio'/></disk>
  <controller type='pci' index='0' model='pcie-root'/>
  <controller type='pci' index='1' model='pcie-root-port'><address type='pci' bus='0x00' slot='0x01'/></controller>
  <controller type='pci' index='2' model='pcie-root-port'><address type='pci' bus='0x00' slot='0x02'/></controller>
  <interface type='bridge'><mac address='52:54:00:AB:00:01'/><source bridge='br0'/><address type='pci' bus='0x01' slot='0x00'/></interface>
  <interface type='direct'><mac address='52:54:00:ab:00:02'/><address type='pci' bus='0x00' slot='0x05'/></interface>
</devices></domain>`;

describe('a domain of others', () => {
  test('its first disk that can be written, its cards, the ports that are free', () => {
    expect(readHardware(THEIRS)).toEqual({
      sizes: { vcpus: 1, maxVcpus: 2, memoryMiB: 1024, maxMemoryMiB: 2048 },
      disk: { target: 'vdb', path: '/dev/vg/x' },
      nics: [
        { mac: '52:54:00:ab:00:01', kind: 'bridge', source: 'br0' },
        { mac: '52:54:00:ab:00:02', kind: 'other', fixed: true },
      ],
      canPlugVcpus: true,
      freeSlots: 1,
    });
  });

  test('on the old machine whatever is there can be unplugged, and there is room', () => {
    const old = readHardware(THEIRS.replace("model='pcie-root'", "model='pci-root'"));
    expect(old.nics.some(({ fixed }) => fixed === true)).toBe(false);
    expect(old.freeSlots).toBeGreaterThan(20);
  });

  test('a card is found by its address, however it is written', () => {
    expect(nicIn(THEIRS, '52:54:00:ab:00:01')).toContain("bridge='br0'");
    expect(nicIn(THEIRS, '52:54:00:ab:00:09')).toBeUndefined();
  });
});

test('a further card is on the network of the host, and on a user network in a net of its own', () => {
  const forward = { kind: 'forward', addressPrefix: '127.0.1', port: 8080 } as const;
  const user = parseXml(nicXml('52:54:00:00:00:09', forward));
  expect(user.attributes['type']).toBe('user');
  expect(childOf(user, 'ip')?.attributes['address']).toMatch(/^10\.0\.(1[6-9]|[2-9]\d|1\d\d|2[0-4]\d|25[0-5])\.0$/);
  const network = parseXml(nicXml('52:54:00:00:00:09', { kind: 'network', name: 'lab' }));
  expect(childOf(network, 'source')?.attributes).toEqual({ network: 'lab' });
  const bridge = parseXml(nicXml('52:54:00:00:00:09', { kind: 'bridge', name: 'br0' }));
  expect(childOf(bridge, 'source')?.attributes).toEqual({ bridge: 'br0' });
});

describe('what a guest answers about its file system', () => {
  test.each([
    ['grown ext4 on /dev/vda, 968217 KiB\n', true, /has grown: ext4 on \/dev\/vda/],
    ['noise\nhand the guest has no growpart: do it', false, /^the guest has no growpart: do it$/],
    ['', false, /by hand/],
    ['grown', false, /by hand/],
  ])('%j', (output, grown, text) => {
    expect(growthOf(output)).toEqual({ grown, text: expect.stringMatching(text) });
  });

  test('is one line of bounded length, whatever it prints', () => {
    const { text } = growthOf(`hand ${'\u001b[31m'.repeat(500)}\u0007`);
    expect(text.length).toBeLessThanOrEqual(300);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    expect(text).not.toMatch(/[\u0000-\u001f]/);
  });
});
