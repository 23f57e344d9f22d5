// What the edges may ask of virtual clusters. Not here: carrying it out (clusters, cluster-programs), HTTP.

import type { Cluster, NodeTemplate } from '../core/cluster.ts';
import type { Operation } from '../core/operation.ts';
import type { Caller, CommandResult, OperationStatus, VmStatus } from './view.ts';

/** A cluster as it is asked for, not verified yet. */
export interface ClusterRequest {
  readonly name: string;
  /** How many at first. */
  readonly nodes: number;
  readonly node: NodeTemplate;
}

export interface ClusterStatus {
  readonly cluster: Cluster;
  /** By number. */
  readonly nodes: readonly {
    readonly name: string;
    readonly vm: VmStatus;
    /** On the cluster's network. */
    readonly address?: string;
    /** Why it does not know the others (and their key) yet, in words for people; absent: it does. */
    readonly missing?: string;
  }[];
  /** Under way: those that make nodes of it, or are about one. */
  readonly operations: readonly Operation[];
}

/** A program to be run on nodes of a cluster. */
export interface NodeProgram {
  readonly argv: readonly [string, ...string[]];
  /** By name; absent: all. */
  readonly nodes?: readonly string[];
  /** What it reads from its standard input. */
  readonly input?: Uint8Array;
  readonly timeoutMs: number;
  /** It is ended when a node of the cluster is lost meanwhile, also another one: what runs on several together would wait for it for ever. */
  readonly together?: boolean;
}

export interface NodeOutput {
  readonly node: string;
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

/** How it ended on one node; `problem`: it could not be run there, or nobody knows how it ended. */
export type NodeExit = { readonly node: string } & (
  | { readonly exitCode: number }
  | { readonly signal: number }
  | { readonly problem: string }
);

/** Virtual clusters. Names are one owner's: two owners may have a cluster of the same name. */
export interface ClusterCommands {
  /** By owner and name; of one owner, or everybody's. */
  all(owner?: string): readonly ClusterStatus[];
  one(name: string, owner: string): ClusterStatus | undefined;
  /** All nodes or none. */
  create(request: ClusterRequest, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** More of the same; all of them or none. */
  add(name: string, owner: string, nodes: number, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** `nodes`: by name. `conflict` for all that there are. With `graceMs` guests are asked to shut down first. */
  remove(
    name: string,
    owner: string,
    nodes: readonly string[],
    caller: Caller,
    graceMs?: number,
  ): Promise<CommandResult<OperationStatus>>;
  delete(name: string, owner: string, caller: Caller, graceMs?: number): Promise<CommandResult<OperationStatus>>;
  /**
   * Runs a program on nodes at once, by their agents, as root. Resolves when it has ended everywhere, by node number; `signal` ends it
   * everywhere. Nothing of it is kept. `conflict`: a node is not in service.
   */
  run(
    name: string,
    owner: string,
    program: NodeProgram,
    onOutput: (output: NodeOutput) => void,
    signal: AbortSignal,
  ): Promise<CommandResult<readonly NodeExit[]>>;
  /** Puts a file on nodes (absent: all), whole or not at all on each. `path`: absolute. `mode`: as for chmod. Ends and problems as of `run`. */
  put(
    name: string,
    owner: string,
    file: { readonly path: string; readonly mode: number; readonly nodes?: readonly string[] },
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<CommandResult<readonly NodeExit[]>>;
}
