// What a domain's XML says of its hardware, and the XML of a network card to add. Pure text.
// Not here: the XML of whole domains (domain-xml), sizes that only QEMU or the guest knows (domain-hardware).

import { createHash } from 'node:crypto';
import type { Sizes, VmNic } from '../../../core/hardware.ts';
import type { GuestNetwork } from './domain-xml.ts';
import { element } from './xml-text.ts';
import { allBelow, childOf, parseXml, type XmlElement } from './xml-tree.ts';

export interface HardwareText {
  readonly sizes: Sizes;
  /** Its first disk that can be written: what libvirt calls it (`vda`), and its file. */
  readonly disk?: { readonly target: string; readonly path?: string };
  readonly nics: readonly Omit<VmNic, 'now' | 'next'>[];
  /** A vCPU that is plugged in changes nothing else, so that its memory can be saved and it can be migrated afterwards. */
  readonly canPlugVcpus: boolean;
  /** Places where a card can be plugged in while it runs. */
  readonly freeSlots: number;
}

const KIB_PER_MIB = 1024;
/** On a bus of the old kind each place can be used at any time; some are kept back. */
const PCI_SLOTS = 28;
const UNIT_KIB: Readonly<Record<string, number>> = { KiB: 1, MiB: 1024, GiB: 1024 ** 2 };

export function readHardware(xml: string): HardwareText {
  const top = parseXml(xml);
  const devices = childOf(top, 'devices');
  const vcpu = childOf(top, 'vcpu');
  const maxVcpus = Number(vcpu?.text ?? 1);
  const maxMemoryMiB = sizeMiB(childOf(top, 'memory'));
  const disk = diskOf(devices);
  return {
    sizes: {
      vcpus: Number(vcpu?.attributes['current'] ?? maxVcpus),
      maxVcpus,
      memoryMiB: sizeMiB(childOf(top, 'currentMemory') ?? childOf(top, 'memory')),
      maxMemoryMiB,
    },
    ...(disk && { disk }),
    nics: [...commandLineNics(top), ...interfacesOf(devices)],
    canPlugVcpus: devices?.children.every(hasFixedQueues) ?? false,
    freeSlots: devices === undefined ? 0 : freeSlotsOf(devices),
  };
}

/** Whole MiB: a balloon that is some KiB off its target has reached it. */
function sizeMiB(size: XmlElement | undefined): number {
  const kib = Number(size?.text ?? 0) * (UNIT_KIB[size?.attributes['unit'] ?? 'KiB'] ?? 1);
  return Math.round(kib / KIB_PER_MIB);
}

function diskOf(devices: XmlElement | undefined): HardwareText['disk'] {
  for (const disk of devices?.children ?? []) {
    const device = disk.attributes['device'] ?? 'disk';
    const target = childOf(disk, 'target')?.attributes['dev'];
    if (disk.name !== 'disk' || device !== 'disk' || target === undefined) continue;
    if (childOf(disk, 'readonly') !== undefined) continue;
    const source = childOf(disk, 'source')?.attributes;
    const path = source?.['file'] ?? source?.['dev'];
    return { target, ...(path !== undefined && { path }) };
  }
  return undefined;
}

/** QEMU gives virtio disks as many queues as there are vCPUs at its start, unless told how many. */
function hasFixedQueues(device: XmlElement): boolean {
  const { attributes, name } = device;
  const byVcpus =
    (name === 'disk' && childOf(device, 'target')?.attributes['bus'] === 'virtio') ||
    (name === 'controller' && attributes['type'] === 'scsi' && attributes['model']?.startsWith('virtio') === true);
  return !byVcpus || childOf(device, 'driver')?.attributes['queues'] !== undefined;
}

/** Given to QEMU directly, so libvirt's own list does not have it. */
function commandLineNics(top: XmlElement): HardwareText['nics'] {
  const args = allBelow(top, 'arg').map((arg) => arg.attributes['value'] ?? '');
  return args.flatMap((arg) => {
    const [, netdev, mac] = /^virtio-net-pci,netdev=([^,]+),.*\bmac=([0-9a-f:]{17})/i.exec(arg) ?? [];
    if (mac === undefined) return [];
    return [{ mac: mac.toLowerCase(), kind: netdev === 'fw0' ? 'forward' : 'cluster', fixed: true } as const];
  });
}

function interfacesOf(devices: XmlElement | undefined): HardwareText['nics'] {
  const canUnplugOnRoot = devices !== undefined && pciControllers(devices).some(isOldRoot);
  return (devices?.children ?? []).flatMap((nic) => {
    const mac = childOf(nic, 'mac')?.attributes['address'];
    if (nic.name !== 'interface' || mac === undefined) return [];
    const type = nic.attributes['type'] ?? '';
    const kind = type === 'user' || type === 'network' || type === 'bridge' ? type : 'other';
    const attributes = childOf(nic, 'source')?.attributes;
    const source = attributes?.['network'] ?? attributes?.['bridge'];
    const address = childOf(nic, 'address')?.attributes;
    const fixed = address?.['type'] === 'pci' && Number(address['bus'] ?? 0) === 0 && !canUnplugOnRoot;
    return [{ mac: mac.toLowerCase(), kind, ...(source !== undefined && { source }), ...(fixed && { fixed }) }];
  });
}

function freeSlotsOf(devices: XmlElement): number {
  const taken = new Set<number>();
  let onRoot = 0;
  for (const device of devices.children) {
    const address = childOf(device, 'address')?.attributes;
    if (address?.['type'] !== 'pci') continue;
    const bus = Number(address['bus'] ?? 0);
    taken.add(bus);
    if (bus === 0) onRoot += 1;
  }
  const controllers = pciControllers(devices);
  if (controllers.some(isOldRoot)) return Math.max(0, PCI_SLOTS - onRoot);
  const ports = controllers.filter(({ attributes }) => attributes['model'] === 'pcie-root-port');
  return ports.filter(({ attributes }) => !taken.has(Number(attributes['index']))).length;
}

function pciControllers(devices: XmlElement): readonly XmlElement[] {
  return devices.children.filter(({ name, attributes }) => name === 'controller' && attributes['type'] === 'pci');
}

/** Of the machine `pc`: whatever sits on it can come and go. */
function isOldRoot({ attributes }: XmlElement): boolean {
  return attributes['model'] === 'pci-root';
}

/** A further card on the network that the host's VMs have; on QEMU's user network each card has a net of its own. */
export function nicXml(mac: string, network: GuestNetwork): string {
  const source =
    network.kind === 'forward'
      ? element('ip', { family: 'ipv4', address: userNetOf(mac), prefix: 24 })
      : element('source', network.kind === 'network' ? { network: network.name } : { bridge: network.name });
  return element(
    'interface',
    { type: network.kind === 'forward' ? 'user' : network.kind },
    element('mac', { address: mac }),
    source,
    element('model', { type: 'virtio' }),
    element('rom', { enabled: 'no' }),
  ).xml;
}

/** 10.0.16.0 to 10.0.255.0: none of them the net of the first card, 10.0.2.0. */
function userNetOf(mac: string): string {
  const [first = 0] = createHash('sha256').update(mac).digest();
  return `10.0.${16 + (first % 240)}.0`;
}

/** The card as the domain has it now, to be taken away; undefined: it has none of this address. */
export function nicIn(xml: string, mac: string): string | undefined {
  return [...xml.matchAll(/<interface\b.*?<\/interface>/gs)]
    .map(([text]) => text)
    .find((text) => text.toLowerCase().includes(`<mac address='${mac}'`));
}
