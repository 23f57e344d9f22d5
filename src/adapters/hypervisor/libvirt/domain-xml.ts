// The XML of a domain that virtscale makes: pure text from a spec and what the host offers.
// Not here: choosing addresses (forward-addresses), making the disk (vm-disks).

import { createHash } from 'node:crypto';
import type { Endpoint, Flavor, VmMetadata } from '../../../core/model.ts';
import { portOf } from '../../../core/ready-check.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import {
  type ClusterLink,
  clusterArguments,
  clusterInterfaces,
  clusterKernelArgs,
  clusterLinkOf,
} from './cluster-cards.ts';
import { metadataXml } from './vm-metadata.ts';
import { element, type XmlText } from './xml-text.ts';

/**
 * How the guests reach the network and clients reach them.
 * - `forward`: QEMU's user network, one port of the guest forwarded from 127.0.1.N of the machine that QEMU runs on; needs no right.
 *   `kernelArgs` are added for images that boot a kernel directly (that network's DHCP takes its time).
 * - `network`: a libvirt network by name. `bridge`: a bridge of the host by name. Both: address by DHCP.
 */
export type GuestNetwork =
  | { readonly kind: 'forward'; readonly addressPrefix: string; readonly port: number; readonly kernelArgs?: string }
  | { readonly kind: 'network'; readonly name: string }
  | { readonly kind: 'bridge'; readonly name: string };

/** What a domain is made from. One without metadata is nobody's VM: a template. */
export type DomainSpec = Omit<VmSpec, 'metadata'> & { readonly metadata?: VmMetadata };

export interface DomainXmlOptions {
  readonly accel: 'kvm' | 'qemu';
  readonly network: GuestNetwork;
  /** Where cluster networks are; absent: where `network` is. */
  readonly clusterLink?: ClusterLink;
  /** Path of the overlay, qcow2. */
  readonly diskPath: string;
  /** Where the forwarded port of the guest is bound; only with the network `forward`. */
  readonly endpoint?: Endpoint;
  /** Path of the seed image for cloud-init. */
  readonly seedPath?: string;
  /** Where the guest's serial output is kept on the host; absent: nowhere. `virsh console` shows it in any case. */
  readonly consolePath?: string;
}

const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';
/** A slot of its own, high enough that libvirt, which does not know of the card, gives it to nobody else. */
const FORWARD_NIC_SLOT = '0x10';
/** Boots 0.3 s sooner under emulation than `pc`, whose ACPI interrupt links are slow to set up. */
const MACHINE = 'q35';
/** All on the root bus: libvirt would put each behind a port of its own, and the guest would scan them one by one. */
const SLOTS = { disk: 2, serial: 3, balloon: 4, nic: 5, seed: 6 } as const;
/** The guest's port that is forwarded when nobody says which. */
const FORWARDED_GUEST_PORT = 80;

export function domainXml(spec: DomainSpec, options: DomainXmlOptions): string {
  const { flavor, metadata, name, uuid } = spec;
  const { accel, endpoint, network } = options;
  const link = clusterLinkOf(network, options.clusterLink);
  return element(
    'domain',
    { type: accel, 'xmlns:qemu': QEMU_NAMESPACE },
    element('name', {}, name),
    element('uuid', {}, uuid),
    metadata && element('metadata', {}, metadataXml(writtenMetadata(spec, metadata, endpoint))),
    ...sizesXml(flavor),
    // The guest image reads its name there.
    element('sysinfo', { type: 'smbios' }, element('system', {}, element('entry', { name: 'serial' }, name))),
    osXml(spec, network, link),
    element('features', {}, element('acpi'), element('apic')),
    accel === 'kvm' ? element('cpu', { mode: 'host-model' }) : undefined,
    element('on_poweroff', {}, 'destroy'),
    element('on_reboot', {}, 'restart'),
    element('on_crash', {}, 'destroy'),
    devicesXml(spec, options, link),
    commandLineXml([
      ...(network.kind === 'forward' && endpoint ? forwardArguments(spec, endpoint) : []),
      ...clusterArguments(uuid, spec.networks ?? [], link),
    ]),
    accel === 'qemu' ? FEWER_QUESTIONS : undefined,
  ).xml;
}

/** What the domain says about itself: also what only its host could know. */
export function writtenMetadata(
  { networks }: Pick<DomainSpec, 'networks'>,
  metadata: VmMetadata,
  endpoint: Endpoint | undefined,
): VmMetadata {
  return {
    ...metadata,
    ...(endpoint && { endpoint }),
    ...(networks !== undefined && networks.length > 0 && { networks }),
  };
}

/** A maximum that is no more than what the VM begins with is not written: nothing changes for those that have no room above. */
function sizesXml({ maxMemoryMiB = 0, maxVcpus = 0, memoryMiB, vcpus }: Flavor): readonly XmlText[] {
  const grows = maxMemoryMiB > memoryMiB;
  const plugs = maxVcpus > vcpus;
  return [
    element('memory', { unit: 'MiB' }, grows ? maxMemoryMiB : memoryMiB),
    ...(grows ? [element('currentMemory', { unit: 'MiB' }, memoryMiB)] : []),
    plugs
      ? element('vcpu', { placement: 'static', current: vcpus }, maxVcpus)
      : element('vcpu', { placement: 'static' }, vcpus),
  ];
}

function osXml(spec: DomainSpec, network: GuestNetwork, link: ClusterLink): XmlText {
  const direct = spec.image?.direct;
  const type = element('type', { arch: 'x86_64', machine: MACHINE }, 'hvm');
  const smbios = element('smbios', { mode: 'sysinfo' });
  if (direct === undefined) {
    // There is nothing on an empty disk until something was installed on it, which the network can do.
    const second = isInstalledByNetwork(spec, network) ? element('boot', { dev: 'network' }) : undefined;
    return element('os', {}, type, element('boot', { dev: 'hd' }), second, smbios);
  }
  const forwarded = network.kind === 'forward' ? (network.kernelArgs ?? '') : '';
  const args = [direct.args, forwarded, clusterKernelArgs(spec.uuid, spec.networks ?? [], link)];
  return element(
    'os',
    {},
    type,
    element('kernel', {}, direct.kernel),
    element('initrd', {}, direct.initrd),
    element('cmdline', {}, args.filter((each) => each !== '').join(' ')),
    smbios,
  );
}

/** QEMU's user network has nobody to boot from. */
function isInstalledByNetwork(spec: DomainSpec, network: GuestNetwork): boolean {
  return spec.image === undefined && network.kind !== 'forward';
}

function devicesXml(
  spec: DomainSpec,
  { consolePath, diskPath, network, seedPath }: DomainXmlOptions,
  link: ClusterLink,
): XmlText {
  const queues = queuesOf(spec.flavor);
  return element(
    'devices',
    {},
    element(
      'disk',
      { type: 'file', device: 'disk' },
      element('driver', { name: 'qemu', type: 'qcow2', cache: 'writeback', discard: 'unmap', queues }),
      element('source', { file: diskPath }),
      element('target', { dev: 'vda', bus: 'virtio' }),
      atSlot(SLOTS.disk),
    ),
    seedPath === undefined ? undefined : seedXml(seedPath, queues),
    network.kind === 'forward' ? undefined : interfaceXml(spec, network),
    ...clusterInterfaces(spec.uuid, spec.networks ?? [], link),
    element('controller', { type: 'virtio-serial', index: 0 }, atSlot(SLOTS.serial)),
    element('channel', { type: 'unix' }, element('target', { type: 'virtio', name: 'org.qemu.guest_agent.0' })),
    element(
      'serial',
      { type: 'pty' },
      // Each start begins a new one.
      consolePath === undefined ? undefined : element('log', { file: consolePath, append: 'off' }),
      element('target', { port: 0 }),
    ),
    element('controller', { type: 'usb', model: 'none' }),
    ...portsXml(spec.flavor.spareNics ?? 0),
    element('memballoon', { model: 'virtio' }, element('stats', { period: 5 }), atSlot(SLOTS.balloon)),
  );
}

/**
 * QEMU gives a disk as many queues as there are vCPUs at its start. Memory saved after one was plugged in would not fit the QEMU that is to
 * go on from it, nor a migration its target: so where some may come the number is fixed.
 */
function queuesOf({ maxVcpus = 0, vcpus }: Flavor): number | undefined {
  return maxVcpus > vcpus ? maxVcpus : undefined;
}

/** On the root bus nothing can be added while it runs: each card to come needs a port of its own. */
function portsXml(count: number): readonly XmlText[] {
  if (count === 0) return [];
  const port = (index: number): XmlText => element('controller', { type: 'pci', index, model: 'pcie-root-port' });
  const root = element('controller', { type: 'pci', index: 0, model: 'pcie-root' });
  return [root, ...Array.from({ length: count }, (_, index) => port(index + 1))];
}

/** A second disk, not a CD: every cloud image has its driver from the first moment, and looks for the label wherever it is. */
function seedXml(path: string, queues: number | undefined): XmlText {
  return element(
    'disk',
    { type: 'file', device: 'disk' },
    element('driver', { name: 'qemu', type: 'raw', queues }),
    element('source', { file: path }),
    element('target', { dev: 'vdb', bus: 'virtio' }),
    element('readonly'),
    atSlot(SLOTS.seed),
  );
}

function interfaceXml(spec: DomainSpec, network: Exclude<GuestNetwork, { kind: 'forward' }>): XmlText {
  const source = network.kind === 'network' ? { network: network.name } : { bridge: network.name };
  return element(
    'interface',
    { type: network.kind },
    element('mac', { address: macAddress(spec.uuid) }),
    element('source', source),
    element('model', { type: 'virtio' }),
    // Without a boot ROM the guest boots from its disk, and sooner.
    isInstalledByNetwork(spec, network) ? undefined : element('rom', { enabled: 'no' }),
    atSlot(SLOTS.nic),
  );
}

function atSlot(slot: number): XmlText {
  return element('address', { type: 'pci', domain: 0, bus: 0, slot, function: 0 });
}

/**
 * libvirt 9 asks an emulated QEMU for some 400 CPU properties one by one unless this capability is taken away: starting a domain
 * took 0.45 s of CPU with it and 0.1 s without. Under KVM the answers are needed, and quick.
 */
const FEWER_QUESTIONS = element(
  'qemu:capabilities',
  {},
  element('qemu:del', { capability: 'cpu-unavailable-features' }),
);

/** libvirt's own user network cannot forward ports (before passt), so QEMU is told directly. */
function forwardArguments(spec: DomainSpec, { address, port }: Endpoint): readonly string[] {
  const guestPort = (spec.ready && portOf(spec.ready)) ?? FORWARDED_GUEST_PORT;
  const forward = `hostfwd=tcp:${address}:${port}-:${guestPort}`;
  const nic = `virtio-net-pci,netdev=fw0,mac=${macAddress(spec.uuid)},romfile=,bus=pcie.0,addr=${FORWARD_NIC_SLOT}`;
  return ['-netdev', `user,id=fw0,${forward}`, '-device', nic];
}

function commandLineXml(args: readonly string[]): XmlText | undefined {
  return args.length === 0
    ? undefined
    : element('qemu:commandline', {}, ...args.map((value) => element('qemu:arg', { value })));
}

/** Follows from the uuid, so that defining a VM twice gives it the same card. In QEMU's range 52:54:00. */
export function macAddress(uuid: string): string {
  const digest = createHash('sha256').update(uuid.toLowerCase()).digest('hex');
  return `52:54:00:${digest.slice(0, 2)}:${digest.slice(2, 4)}:${digest.slice(4, 6)}`;
}
