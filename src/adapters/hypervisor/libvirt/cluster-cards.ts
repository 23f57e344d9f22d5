// The cards of a VM on cluster networks: how they are plugged in where its host keeps such networks, and what the guest is told of
// them. Pure text. Not here: the rest of the domain (domain-xml), who gets which address (the engine).

import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { ClusterNetwork } from '../../../core/model.ts';
import { Fault } from '../../../ports/fault.ts';
import type { GuestNetwork } from './domain-xml.ts';
import { element, type XmlText } from './xml-text.ts';

/**
 * Where a host keeps cluster networks.
 * - `multicast`: QEMU itself sends frames to a multicast group, one for each network, by the interface with this address; needs no right.
 *   With 127.0.0.1 they stay on the machine, however many hosts share it. Whoever may open sockets on that interface can read and write there.
 * - `network`, `bridge`: one of libvirt's networks, or a bridge, that reaches the other hosts; all cluster networks share it.
 */
export type ClusterLink =
  | { readonly kind: 'multicast'; readonly localAddress: string }
  | { readonly kind: 'network'; readonly name: string }
  | { readonly kind: 'bridge'; readonly name: string };

/** Slots of their own behind the forwarded card's. */
const FIRST_SLOT = 0x11;
const CLUSTER_CARDS_MAX = 8;
/** Nothing on the way is smaller on the machine itself, and an emulated CPU has fewer frames to look at. */
const LOCAL_MTU = 9000;
/** What an Ethernet frame leaves when a whole frame is sent in a datagram: 1500 less IP, UDP and the inner Ethernet header. */
const CARRIED_MTU = 1458;
/** Administratively scoped (RFC 2365), below the ports that systems give out by themselves. */
const GROUP_BITS = 18;
const PORT_FIRST = 20_480;
const PORT_COUNT = 8192;

/** Unless somebody says otherwise cluster networks are where the guests' first card is. */
export function clusterLinkOf(network: GuestNetwork, chosen?: ClusterLink): ClusterLink {
  if (chosen !== undefined) return chosen;
  return network.kind === 'forward' ? { kind: 'multicast', localAddress: '127.0.0.1' } : network;
}

/** The card's address follows from both ids, so that defining a VM twice gives it the same card. */
export function clusterMac(uuid: string, networkId: string): string {
  const digest = hash(`${uuid.toLowerCase()} ${networkId}`).toString('hex');
  return `52:54:00:${digest.slice(0, 2)}:${digest.slice(2, 4)}:${digest.slice(4, 6)}`;
}

/** The same on every host, without anybody having to give it out: 31 bits, so two networks of a fleet hardly ever meet. */
export function multicastGroup(networkId: string): { readonly address: string; readonly port: number } {
  const digest = hash(networkId);
  const group = digest.readUInt32BE(0) >>> (32 - GROUP_BITS);
  const address = `239.${192 + (group >>> 16)}.${(group >>> 8) & 255}.${group & 255}`;
  return { address, port: PORT_FIRST + (digest.readUInt16BE(4) % PORT_COUNT) };
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Cards that libvirt knows. */
export function clusterInterfaces(
  uuid: string,
  networks: readonly ClusterNetwork[],
  link: ClusterLink,
): readonly XmlText[] {
  if (link.kind === 'multicast') return [];
  const source = link.kind === 'network' ? { network: link.name } : { bridge: link.name };
  return networks.map(({ id }, index) =>
    element(
      'interface',
      { type: link.kind },
      element('mac', { address: clusterMac(uuid, id) }),
      element('source', source),
      element('model', { type: 'virtio' }),
      element('rom', { enabled: 'no' }),
      element('address', { type: 'pci', domain: 0, bus: 0, slot: FIRST_SLOT + index, function: 0 }),
    ),
  );
}

/**
 * Cards that only QEMU knows. libvirt has multicast cards too, but cannot say by which interface: theirs would send every frame, and
 * the machine's membership, to the network of the default route.
 */
export function clusterArguments(
  uuid: string,
  networks: readonly ClusterNetwork[],
  link: ClusterLink,
): readonly string[] {
  if (link.kind !== 'multicast') return [];
  return networks.flatMap(({ id }, index) => {
    const { address, port } = multicastGroup(id);
    const slot = `0x${(FIRST_SLOT + index).toString(16)}`;
    return [
      '-netdev',
      `socket,id=cluster${index},mcast=${address}:${port},localaddr=${link.localAddress}`,
      '-device',
      `virtio-net-pci,netdev=cluster${index},mac=${clusterMac(uuid, id)},romfile=,bus=pcie.0,addr=${slot}`,
    ];
  });
}

function mtuOf(link: ClusterLink): number | undefined {
  if (link.kind !== 'multicast') return undefined;
  return link.localAddress.startsWith('127.') ? LOCAL_MTU : CARRIED_MTU;
}

/** For virtscale's own images, which read them in their init. */
export function clusterKernelArgs(uuid: string, networks: readonly ClusterNetwork[], link: ClusterLink): string {
  const mtu = mtuOf(link);
  return networks
    .map(({ address, id, prefixBits }) => [
      clusterMac(uuid, id),
      address,
      prefixBits,
      ...(mtu === undefined ? [] : [mtu]),
    ])
    .map((words) => `virtscale.net=${words.join('/')}`)
    .join(' ');
}

/** For cloud-init, version 2 of its network configuration: without mentioning it the first card would not be set up any more. */
export function clusterNetworkConfig(
  uuid: string,
  firstMac: string,
  networks: readonly ClusterNetwork[],
  link: ClusterLink,
): Readonly<Record<string, unknown>> {
  const mtu = mtuOf(link);
  const cards = networks.map(({ address, id, prefixBits }, index) => {
    const match = { macaddress: clusterMac(uuid, id) };
    return [`cluster${index}`, { match, addresses: [`${address}/${prefixBits}`], ...(mtu !== undefined && { mtu }) }];
  });
  const first = { match: { macaddress: firstMac }, dhcp4: true };
  return { version: 2, ethernets: { first, ...Object.fromEntries(cards) } };
}

/** The last net before text goes into XML and command lines. @throws Fault `refused` */
export function checkClusterNetworks(networks: readonly ClusterNetwork[]): void {
  const wrong = networks.find(
    ({ address, id, prefixBits }) =>
      !/^[A-Za-z0-9-]{1,64}$/.test(id) ||
      !isIPv4(address) ||
      !(Number.isInteger(prefixBits) && prefixBits >= 8 && prefixBits <= 30),
  );
  if (wrong !== undefined) throw new Fault('refused', `${JSON.stringify(wrong)} is no cluster network`);
  if (networks.length > CLUSTER_CARDS_MAX) {
    throw new Fault(
      'refused',
      `a VM has at most ${CLUSTER_CARDS_MAX} cards on cluster networks, not ${networks.length}`,
    );
  }
  if (new Set(networks.map(({ id }) => id)).size < networks.length) {
    throw new Fault('refused', 'a VM has one card on each cluster network');
  }
}
