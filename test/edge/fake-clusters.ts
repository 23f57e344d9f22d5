// Virtual clusters behind the engine's contract, in memory: what is asked for is there as soon as its operation has ended.
// Not here: numbering, quotas, placement (test/engine).

import { once } from 'node:events';
import type { Cluster } from '../../src/core/cluster.ts';
import type { OperationKind } from '../../src/core/operation.ts';
import type {
  ClusterCommands,
  ClusterRequest,
  ClusterStatus,
  NodeExit,
  NodeOutput,
  NodeProgram,
} from '../../src/engine/cluster-view.ts';
import type { Caller, CommandResult, OperationStatus } from '../../src/engine/view.ts';
import { conflict, notFound } from './fake-catalog.ts';
import type { FakeOperations } from './fake-operations.ts';
import { clock, NOW_MS, uuidOf, vmOf } from './pictures.ts';

type Run = <T>(text: string, work: () => CommandResult<T>) => Promise<CommandResult<T>>;

/** Beyond those of all other VMs of the fakes. */
const FIRST_ID = 7000;

export class FakeClusters implements ClusterCommands {
  readonly #work: FakeOperations;
  readonly #run: Run;
  readonly #all = new Map<string, ClusterStatus>();
  #nextId = FIRST_ID;

  constructor(work: FakeOperations, run: Run) {
    this.#work = work;
    this.#run = run;
  }

  all(owner?: string): readonly ClusterStatus[] {
    return [...this.#all.values()].filter(({ cluster }) => owner === undefined || cluster.owner === owner);
  }

  one(name: string, owner: string): ClusterStatus | undefined {
    return this.#all.get(keyOf(name, owner));
  }

  create({ name, nodes, node }: ClusterRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#run(`create cluster ${name} ${nodes} ${JSON.stringify(node)}`, () => {
      const { owner } = caller;
      if (this.one(name, owner) !== undefined) return conflict(`you have a cluster ${name} already`);
      const createdAt = clock.wallOf(NOW_MS);
      const sshKey = { publicKey: 'ssh-ed25519 AAAA', privateKey: 'secret-of-the-cluster' };
      const cluster: Cluster = { id: `c-${name}`, name, owner, createdAt, node, subnet: 0, sshKey, nextNode: 1 };
      this.#put({ cluster, nodes: [], operations: [] });
      return this.#begin('cluster.create', caller, () => this.#grow(name, owner, nodes));
    });
  }

  add(name: string, owner: string, nodes: number, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#run(`add ${nodes} to cluster ${name} of ${owner}`, () =>
      this.#known(name, owner, () => this.#begin('cluster.add', caller, () => this.#grow(name, owner, nodes))),
    );
  }

  remove(
    name: string,
    owner: string,
    nodes: readonly string[],
    caller: Caller,
    graceMs?: number,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#run(`remove ${nodes} of cluster ${name} of ${owner} ${graceMs}`, () =>
      this.#known(name, owner, (status) => {
        const missing = nodes.find((node) => !status.nodes.some((one) => one.name === node));
        if (missing !== undefined) return notFound(`cluster ${name} has no node ${missing}`);
        if (nodes.length >= status.nodes.length) return conflict('these are all nodes: delete the cluster instead');
        return this.#begin('cluster.remove', caller, () => {
          this.#put({ ...status, nodes: status.nodes.filter((node) => !nodes.includes(node.name)) });
        });
      }),
    );
  }

  delete(name: string, owner: string, caller: Caller, graceMs?: number): Promise<CommandResult<OperationStatus>> {
    return this.#run(`delete cluster ${name} of ${owner} ${graceMs}`, () =>
      this.#known(name, owner, () =>
        this.#begin('cluster.delete', caller, () => void this.#all.delete(keyOf(name, owner))),
      ),
    );
  }

  /** What programs do, by the first word; others are not found. `forever` runs until it is ended. */
  readonly programs = new Map<string, (node: string, program: NodeProgram) => { out?: string; exitCode: number }>();
  /** By node, path and mode. */
  readonly files = new Map<string, Uint8Array>();

  async run(
    name: string,
    owner: string,
    program: NodeProgram,
    onOutput: (output: NodeOutput) => void,
    signal: AbortSignal,
  ): Promise<CommandResult<readonly NodeExit[]>> {
    const status = this.one(name, owner);
    if (status === undefined) return notFound(`there is no cluster ${name}`);
    const nodes = program.nodes ?? status.nodes.map((node) => node.name);
    const missing = nodes.find((node) => !status.nodes.some((one) => one.name === node));
    if (missing !== undefined) return notFound(`cluster ${name} has no node ${missing}`);
    const exits: NodeExit[] = [];
    for (const node of nodes) {
      if (program.argv[0] === 'forever' && !signal.aborted) await once(signal, 'abort');
      const { out = '', exitCode } = this.programs.get(program.argv[0])?.(node, program) ?? { exitCode: 127 };
      if (out !== '') onOutput({ node, stream: 'stdout', bytes: Buffer.from(out) });
      exits.push({ node, exitCode });
    }
    return { ok: true, value: exits };
  }

  async put(
    name: string,
    owner: string,
    { path, mode, nodes }: Parameters<ClusterCommands['put']>[2],
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<CommandResult<readonly NodeExit[]>> {
    const status = this.one(name, owner);
    if (status === undefined) return notFound(`there is no cluster ${name}`);
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(piece);
    const wanted = nodes ?? status.nodes.map((node) => node.name);
    for (const node of wanted) this.files.set(`${node} ${path} ${mode.toString(8)}`, Buffer.concat(pieces));
    return { ok: true, value: wanted.map((node) => ({ node, exitCode: 0 })) };
  }

  #known(
    name: string,
    owner: string,
    work: (status: ClusterStatus) => CommandResult<OperationStatus>,
  ): CommandResult<OperationStatus> {
    const status = this.one(name, owner);
    return status === undefined ? notFound(`there is no cluster ${name}`) : work(status);
  }

  #begin(kind: OperationKind, caller: Caller, work: () => void): CommandResult<OperationStatus> {
    const repeated = this.#work.repeated(caller);
    if (repeated !== undefined) return repeated;
    const step = () => {
      work();
      return { state: 'succeeded' } as const;
    };
    return { ok: true, value: this.#work.begin({ kind, state: 'running' }, caller, [step]) };
  }

  #grow(name: string, owner: string, count: number): void {
    const status = this.one(name, owner);
    if (status === undefined) return;
    const { cluster, nodes } = status;
    const more = Array.from({ length: count }, (_, index) => this.#node(cluster, cluster.nextNode + index));
    const nextNode = cluster.nextNode + count;
    this.#put({ ...status, cluster: { ...cluster, nextNode }, nodes: [...nodes, ...more] });
  }

  #node(cluster: Cluster, number: number): ClusterStatus['nodes'][number] {
    const id = this.#nextId++;
    const record = {
      id,
      name: `${cluster.name}-node${number}`,
      uuid: uuidOf(id),
      host: 'local',
      kind: 'clone',
      owner: cluster.owner,
      operation: 'op',
      node: { cluster: cluster.id, number },
      phase: 'in-service',
      step: 'started',
      phaseAtMs: NOW_MS,
      changedAtMs: NOW_MS,
      tries: 0,
    } as const;
    return { name: `node${number}`, vm: vmOf(record), address: `10.64.0.${number}`, missing: 'it is being told' };
  }

  #put(status: ClusterStatus): void {
    this.#all.set(keyOf(status.cluster.name, status.cluster.owner), status);
  }
}

function keyOf(name: string, owner: string): string {
  return `${owner}/${name}`;
}
