// Operations: what somebody asked for through an API, as records that survive the daemon, from the request to its outcome.
// Not here: carrying them out (engine). A policy's own doings are decisions, not operations.

import type { Choice } from './decision.ts';
import type { HardwareChange } from './hardware.ts';
import type { Migration } from './migration.ts';
import type {
  CloudInit,
  ClusterNetwork,
  Flavor,
  HostName,
  Image,
  NodeOf,
  PlacementRules,
  ReadyCheck,
} from './model.ts';
import type { SnapshotWork } from './snapshot.ts';

export type OperationKind =
  | 'vm.create'
  | 'vm.start'
  | 'vm.pause'
  | 'vm.resume'
  | 'vm.shutdown'
  | 'vm.reboot'
  | 'vm.reset'
  | 'vm.stop'
  | 'vm.delete'
  | 'vm.adopt'
  | 'vm.migrate'
  | 'host.drain'
  | 'vm.resize'
  | 'vm.attach-nic'
  | 'vm.detach-nic'
  | 'cluster.create'
  | 'cluster.add'
  | 'cluster.remove'
  | 'cluster.delete'
  | 'snapshot.create'
  | 'snapshot.revert'
  | 'snapshot.delete'
  | 'image.import'
  | 'image.upload';

/** What one may ask of a VM's QEMU. `stop` pulls the plug. */
export type PowerVerb = 'start' | 'pause' | 'resume' | 'shutdown' | 'reboot' | 'reset' | 'stop';

/** What one may do to what a VM is made of. */
export type HardwareVerb = 'resize' | 'attach-nic' | 'detach-nic';

/**
 * Only requests that were verified become operations; what is refused outright never was one.
 *
 *   queued ──its turn, first in first out──▶ placed ──▶ running ──▶ succeeded
 *     │          (vm.create only; the others begin as running)  │ └──▶ failed
 *     └──────────────────────── cancel ─────────────────────────┴────▶ cancelled
 */
export type OperationState = 'queued' | 'placed' | 'running' | 'succeeded' | 'failed' | 'cancelled';

export const ENDED_STATES: ReadonlySet<OperationState> = new Set(['succeeded', 'failed', 'cancelled']);

/** One VM of an operation, and what became of it. */
export interface OperationVm {
  readonly id: number;
  readonly name: string;
  readonly host: string;
  /** Absent while it is under way. */
  readonly outcome?: 'done' | 'failed' | 'cancelled';
  readonly reason?: string;
}

/** How far it has come. `total` absent: not known beforehand. */
export interface Progress {
  readonly done: number;
  readonly total?: number;
  readonly unit: 'bytes' | 'vms';
  readonly text: string;
}

/** What became of an operation that failed. `type` is a problem's name as the HTTP API gives it. */
export interface OperationFailure {
  readonly type: 'no-capacity' | 'failed' | 'timed-out' | 'interrupted';
  readonly detail: string;
  /** No capacity: every host with its reason. */
  readonly hosts?: readonly Choice[];
}

export interface Operation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly state: OperationState;
  /** Who asked: a token's name, `anonymous`, later a user. */
  readonly owner: string;
  /** Wall times, RFC 3339. */
  readonly createdAt: string;
  readonly changedAt: string;
  readonly endedAt?: string;
  /** The Idempotency-Key it came with: a request repeated with it, also after a crash, is answered with this operation. */
  readonly key?: string;
  /** Of the request that came with the key. */
  readonly fingerprint?: string;
  readonly vms: readonly OperationVm[];
  /** Only of image operations. */
  readonly image?: string;
  /** Only of vm.create, cluster.create and cluster.add: what is to be made, until it is placed. */
  readonly create?: CreateVms;
  /** Only of vm.resize, vm.attach-nic and vm.detach-nic. */
  readonly hardware?: HardwareChange;
  /** Only of snapshot operations. */
  readonly snapshot?: SnapshotWork;
  /** Only of vm.migrate. */
  readonly migration?: Migration;
  /** Only of host.drain: the host. Its `vms` are those that have moved, gone, or must stay. */
  readonly drain?: HostName;
  readonly cancelling?: boolean;
  readonly failure?: OperationFailure;
  /** What happened, oldest first: verified, queued, placed (on which hosts), each VM, the end. At most HISTORY_MAX. */
  readonly history: readonly { readonly at: string; readonly text: string }[];
}

export const HISTORY_MAX = 200;

/** A verified request for VMs. */
export interface CreateVms {
  /** One name per VM. */
  readonly names: readonly string[];
  /** They become nodes of this cluster, numbered from `number` on. */
  readonly nodes?: NodeOf;
  /** Of each VM its one card beside the first. */
  readonly networks?: readonly ClusterNetwork[];
  readonly flavor: Flavor;
  /** Absent (and `awaitsImage` too): an empty disk of the flavor's size. */
  readonly image?: Image;
  /** The name of an image that is still being imported: it is placed when that is done. */
  readonly awaitsImage?: string;
  readonly ready?: ReadyCheck;
  readonly cloudInit?: Omit<CloudInit, 'hostname'>;
  readonly placement: PlacementRules;
  /** All VMs or none. */
  readonly allOrNothing: boolean;
  readonly launchDeadlineMs: number;
}

/** A request for VMs as it came, not verified yet. */
export interface CreateRequest {
  /** The VM's name; with a count above 1 `NAME-1`, `NAME-2`, … */
  readonly name: string;
  readonly count?: number;
  /** In place of `name` and `count`: one name per VM. */
  readonly names?: readonly string[];
  /** The name of a flavor, or the amounts themselves. */
  readonly flavor: string | Omit<Flavor, 'name'>;
  /** Absent: an empty disk of the flavor's size. */
  readonly image?: string;
  readonly ready?: ReadyCheck;
  readonly sshKeys?: readonly string[];
  readonly userData?: string;
  readonly placement?: PlacementRules;
  /** All VMs or none; absent: as many as fit. */
  readonly allOrNothing?: boolean;
  /** In place of what the flavor says. */
  readonly maxVcpus?: number;
  readonly maxMemoryMiB?: number;
  readonly spareNics?: number;
}
