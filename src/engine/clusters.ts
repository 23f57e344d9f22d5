// Virtual clusters: made, enlarged, made smaller, taken away. Nodes are VMs like others; what belongs together is kept here.
// Not here: bringing and removing the VMs (creations, removals), what nodes are told of each other.

import {
  type Cluster,
  clusterNameProblem,
  freePlaces,
  freeSubnet,
  NODES_MAX,
  nodeName,
  nodeNumber,
  nodeVmName,
} from '../core/cluster.ts';
import { keyComment } from '../core/cluster-setup.ts';
import type { VmRecord } from '../core/model.ts';
import type { CreateRequest, Operation } from '../core/operation.ts';
import { type ChosenNodes, ClusterPrograms } from './cluster-programs.ts';
import { ClusterSetup } from './cluster-setup.ts';
import type {
  ClusterCommands,
  ClusterRequest,
  ClusterStatus,
  NodeExit,
  NodeOutput,
  NodeProgram,
} from './cluster-view.ts';
import type { Creations, PlannedCreation } from './creations.ts';
import { type FabricParts, type Refused, refuse } from './fabric-parts.ts';
import type { LedgerState } from './ledger.ts';
import type { Removals } from './removals.ts';
import type { Caller, CommandResult, OperationStatus, VmStatus } from './view.ts';

/** Of one owner. */
const CLUSTERS_MAX = 100;

export interface ClustersParts {
  readonly parts: FabricParts;
  readonly creations: Creations;
  readonly removals: Removals;
  readonly vm: (id: number) => VmStatus | undefined;
  readonly statusOf: (operation: Operation) => OperationStatus;
}

export class Clusters implements ClusterCommands {
  readonly #own: ClustersParts;
  readonly #setup: ClusterSetup;
  readonly #programs: ClusterPrograms;

  constructor(own: ClustersParts) {
    this.#own = own;
    this.#setup = new ClusterSetup(own.parts);
    this.#programs = new ClusterPrograms(own.parts, own.vm);
  }

  all(owner?: string): readonly ClusterStatus[] {
    const { clusters } = this.#own.parts.ledger.state;
    const wanted = [...clusters.values()].filter((cluster) => owner === undefined || cluster.owner === owner);
    return wanted
      .sort((a, b) => compare(a.owner, b.owner) || compare(a.name, b.name))
      .map((cluster) => this.#statusOf(cluster));
  }

  one(name: string, owner: string): ClusterStatus | undefined {
    const cluster = clusterOf(this.#own.parts.ledger.state, name, owner);
    return cluster && this.#statusOf(cluster);
  }

  create({ name, nodes, node }: ClusterRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    const { clock, ids } = this.#own.parts;
    return this.#begun(caller, (state) => {
      const problem = clusterNameProblem(name);
      if (problem !== undefined) return refuse('invalid', `a cluster's name ${problem}`, 'name');
      if (clusterOf(state, name, caller.owner) !== undefined) {
        return refuse(
          'conflict',
          `you have a cluster ${name} already: add nodes to it, or choose another name`,
          'name',
        );
      }
      const own = [...state.clusters.values()].filter(({ owner }) => owner === caller.owner).length;
      if (own >= CLUSTERS_MAX)
        return refuse('conflict', `there are ${own} clusters of yours, and no more are possible`);
      const subnet = freeSubnet(new Set([...state.clusters.values()].map((cluster) => cluster.subnet)));
      if (subnet === undefined) return refuse('conflict', 'there are so many clusters that no network is left');
      const cluster: Cluster = {
        id: ids.uuid(),
        name,
        owner: caller.owner,
        createdAt: clock.wall(),
        node,
        subnet,
        sshKey: ids.sshKey(keyComment(name)),
        nextNode: 1,
      };
      return planned('cluster.create', state, cluster, nodes);
    });
  }

  /** All of them or none. */
  add(name: string, owner: string, nodes: number, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#begun(caller, (state) => {
      const cluster = clusterOf(state, name, owner);
      if (cluster === undefined) return noCluster(name);
      if (isGoing(state, cluster)) return refuse('conflict', `cluster ${name} is being deleted`);
      return planned('cluster.add', state, cluster, nodes);
    });
  }

  /** `nodes` by name. The last ones go with the cluster only. */
  remove(
    name: string,
    owner: string,
    nodes: readonly string[],
    caller: Caller,
    graceMs?: number,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#removed('cluster.remove', caller, graceMs, (state) => {
      const cluster = clusterOf(state, name, owner);
      if (cluster === undefined) return noCluster(name);
      const all = nodesOf(state, cluster);
      const chosen = new Set<VmRecord>();
      for (const [index, called] of nodes.entries()) {
        const found = all.find(({ node }) => node?.number === nodeNumber(called));
        if (found === undefined) return refuse('not-found', `cluster ${name} has no node ${called}`, `nodes.${index}`);
        chosen.add(found);
      }
      if (chosen.size < all.length) return [...chosen];
      return refuse('conflict', `these are all nodes of cluster ${name}: delete the cluster instead`);
    });
  }

  delete(name: string, owner: string, caller: Caller, graceMs?: number): Promise<CommandResult<OperationStatus>> {
    return this.#removed('cluster.delete', caller, graceMs, (state) => {
      const cluster = clusterOf(state, name, owner);
      if (cluster === undefined) return noCluster(name);
      const waiting = openOf(state, cluster).find((operation) => operation.state === 'queued');
      if (waiting === undefined) return nodesOf(state, cluster);
      return refuse('conflict', `nodes of cluster ${name} wait to be placed: cancel operation ${waiting.id} first`);
    });
  }

  async run(
    name: string,
    owner: string,
    program: NodeProgram,
    onOutput: (output: NodeOutput) => void,
    signal: AbortSignal,
  ): Promise<CommandResult<readonly NodeExit[]>> {
    const found = this.#serving(name, owner, program.nodes);
    if ('refused' in found) return found;
    return { ok: true, value: await this.#programs.run(found, program, onOutput, signal) };
  }

  async put(
    name: string,
    owner: string,
    file: Parameters<ClusterCommands['put']>[2],
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<CommandResult<readonly NodeExit[]>> {
    const found = this.#serving(name, owner, file.nodes);
    if ('refused' in found) return found;
    return { ok: true, value: await this.#programs.put(found.chosen, file, bytes, signal) };
  }

  #serving(name: string, owner: string, wanted: readonly string[] | undefined): ChosenNodes | Refused {
    const { state } = this.#own.parts.ledger;
    const cluster = clusterOf(state, name, owner);
    if (cluster === undefined) return noCluster(name);
    const all = nodesOf(state, cluster);
    const chosen: VmRecord[] = wanted === undefined ? [...all] : [];
    for (const [index, called] of (wanted ?? []).entries()) {
      const found = all.find(({ node }) => node?.number === nodeNumber(called));
      if (found === undefined) return refuse('not-found', `cluster ${name} has no node ${called}`, `nodes.${index}`);
      if (!chosen.includes(found)) chosen.push(found);
    }
    const away = chosen.find(({ phase }) => phase !== 'in-service');
    if (chosen.length === 0) return refuse('conflict', `cluster ${name} has no nodes yet`);
    if (away === undefined) return { chosen, all };
    return refuse('conflict', `${away.name} is not in service (${away.phase}): name others, or wait for it`);
  }

  /** Nodes are told of each other where that is due; clusters of which nothing is left are forgotten. */
  async pass(): Promise<void> {
    const { ledger } = this.#own.parts;
    const all = [...ledger.state.clusters.values()];
    this.#setup.pass(all.map((cluster) => ({ cluster, nodes: nodesOf(ledger.state, cluster) })));
    if (goneOf(ledger.state).length === 0) return;
    await ledger.change((state) => ({ deleteClusters: goneOf(state).map(({ id }) => id) }));
  }

  async #begun(
    caller: Caller,
    plan: Parameters<Creations['submitPlanned']>[1],
  ): Promise<CommandResult<OperationStatus>> {
    return this.#told(await this.#own.creations.submitPlanned(caller, plan));
  }

  async #removed(...removal: Parameters<Removals['removeSeveral']>): Promise<CommandResult<OperationStatus>> {
    return this.#told(await this.#own.removals.removeSeveral(...removal));
  }

  #told(result: CommandResult<Operation>): CommandResult<OperationStatus> {
    return result.ok ? { ok: true, value: this.#own.statusOf(result.value) } : result;
  }

  #statusOf(cluster: Cluster): ClusterStatus {
    const { ledger } = this.#own.parts;
    const nodes = nodesOf(ledger.state, cluster).flatMap((record): ClusterStatus['nodes'] => {
      const { id, networks, node } = record;
      const vm = this.#own.vm(id);
      if (vm === undefined || node === undefined) return [];
      const [card] = networks ?? [];
      const missing = this.#setup.missing(record);
      const known = { ...(card && { address: card.address }), ...(missing !== undefined && { missing }) };
      return [{ name: nodeName(node.number), vm, ...known }];
    });
    return { cluster, nodes, operations: openOf(ledger.state, cluster) };
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function noCluster(name: string): Refused {
  return refuse('not-found', `there is no cluster ${name}`);
}

function clusterOf({ clusters }: Pick<LedgerState, 'clusters'>, name: string, owner: string): Cluster | undefined {
  return [...clusters.values()].find((cluster) => cluster.name === name && cluster.owner === owner);
}

/** By number; those on their way out too. */
function nodesOf({ vms }: Pick<LedgerState, 'vms'>, { id }: Pick<Cluster, 'id'>): readonly VmRecord[] {
  const nodes = [...vms.values()].filter(({ node }) => node?.cluster === id);
  return nodes.sort((a, b) => (a.node?.number ?? 0) - (b.node?.number ?? 0));
}

/** Operations under way that make nodes of it, or are about one. */
function openOf(state: Pick<LedgerState, 'operations' | 'vms'>, cluster: Cluster): readonly Operation[] {
  const nodes = new Set(nodesOf(state, cluster).map(({ id }) => id));
  return [...state.operations.values()].filter(
    ({ create, vms }) => create?.nodes?.cluster === cluster.id || vms.some(({ id }) => nodes.has(id)),
  );
}

function isGoing(state: LedgerState, cluster: Cluster): boolean {
  return openOf(state, cluster).some(({ kind }) => kind === 'cluster.delete');
}

function goneOf(state: LedgerState): readonly Cluster[] {
  return [...state.clusters.values()].filter(
    (cluster) => nodesOf(state, cluster).length === 0 && openOf(state, cluster).length === 0,
  );
}

function planned(
  kind: PlannedCreation['kind'],
  state: LedgerState,
  cluster: Cluster,
  count: number,
): PlannedCreation | Refused {
  const nodes = nodesOf(state, cluster);
  const there = nodes.length;
  if (!Number.isInteger(count) || count < 1 || there + count > NODES_MAX) {
    return refuse('invalid', `a cluster has 1 to ${NODES_MAX} nodes; ${cluster.name} has ${there}`, 'nodes');
  }
  const first = cluster.nextNode;
  const names = Array.from({ length: count }, (_, index) => nodeVmName(cluster, first + index));
  const request: CreateRequest = { ...cluster.node, name: cluster.name, names, allOrNothing: true };
  const putClusters = [{ ...cluster, nextNode: first + count }];
  // Also of nodes that are still going: an address must not be two's for a moment.
  const taken = nodes.flatMap(({ networks = [] }) => networks);
  const networks = freePlaces(cluster, count, taken);
  return { kind, request, nodes: { cluster: cluster.id, number: first }, networks, change: { putClusters } };
}
