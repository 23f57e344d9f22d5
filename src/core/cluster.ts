// Virtual clusters: VMs of one owner that belong together, made alike and numbered. Pure data, and the names that follow from it.
// Not here: making and removing nodes (engine/clusters), a set of VMs that follows a policy (group).

import type { ClusterNetwork } from './model.ts';
import type { CreateRequest } from './operation.ts';

/** A cluster as it is kept. Its nodes are the VMs whose records name it; one without nodes and without work under way is gone. */
export interface Cluster {
  readonly id: string;
  /** One of its owner's only; the cluster's nodes are `NAME-node1`, `NAME-node2`, … */
  readonly name: string;
  readonly owner: string;
  /** Wall time, RFC 3339. */
  readonly createdAt: string;
  /** What its nodes are made from, those that are added later too. */
  readonly node: NodeTemplate;
  /** Which of the subnets is its network's, from 0; no two clusters have the same. */
  readonly subnet: number;
  /** With which its nodes let each other in: the public half as in authorized_keys, the private one as OpenSSH keeps it. */
  readonly sshKey: { readonly publicKey: string; readonly privateKey: string };
  /** Number of the next node. Numbers only grow: whoever knows a node by its name never meets another one. */
  readonly nextNode: number;
}

export type NodeTemplate = Omit<
  CreateRequest,
  'name' | 'names' | 'count' | 'allOrNothing' | 'maxVcpus' | 'maxMemoryMiB' | 'spareNics'
>;

export const NODES_MAX = 256;
/** Its nodes' names are host names, which have 63 characters at the most. */
const NAME = /^[a-z](?:[a-z0-9-]{0,48}[a-z0-9])?$/;
const NODE = /^node([1-9]\d{0,8})$/;

/** Why nothing can be called so, in words for people; undefined when a cluster can. */
export function clusterNameProblem(name: string): string | undefined {
  if (NAME.test(name)) return undefined;
  return 'has 1 to 50 letters a–z, digits and hyphens, begins with a letter and does not end with a hyphen';
}

/** What a node is called within its cluster. */
export function nodeName(number: number): string {
  return `node${number}`;
}

/** The number of a node that is called so; undefined: no node is. */
export function nodeNumber(name: string): number | undefined {
  const match = NODE.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** Cluster networks are cut out of 10.64.0.0/10, each with room for 1022 nodes: they may share one link, and then must not overlap. */
const SUBNET_BITS = 22;
const SUBNETS = 4096;
const HOSTS = 2 ** (32 - SUBNET_BITS) - 2;

/** The first that no cluster has; undefined: all are taken. */
export function freeSubnet(taken: ReadonlySet<number>): number | undefined {
  for (let subnet = 0; subnet < SUBNETS; subnet += 1) if (!taken.has(subnet)) return subnet;
  return undefined;
}

/** Places on the cluster's network for so many more nodes, beside those that are taken. */
export function freePlaces(
  { id, subnet }: Pick<Cluster, 'id' | 'subnet'>,
  count: number,
  taken: readonly ClusterNetwork[],
): readonly ClusterNetwork[] {
  const used = new Set(taken.map(({ address }) => address));
  const places: ClusterNetwork[] = [];
  for (let host = 1; host <= HOSTS && places.length < count; host += 1) {
    const address = `10.${64 + (subnet >> 6)}.${((subnet & 63) << 2) + (host >> 8)}.${host & 255}`;
    if (!used.has(address)) places.push({ id, address, prefixBits: SUBNET_BITS });
  }
  return places;
}

/** What the VM of a node is called. */
export function nodeVmName(cluster: Pick<Cluster, 'name'>, number: number): string {
  return `${cluster.name}-${nodeName(number)}`;
}
