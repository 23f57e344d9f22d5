// What the edges may ask of and tell the engine: read-only pictures and a few commands. The engine implements it (engine.ts).
// Not here: HTTP. Commands return `refused` values instead of throwing: bad input is no exception.

import type { CatalogImage, ImageSource, Token } from '../core/catalog.ts';
import type { Choice, Decision } from '../core/decision.ts';
import type { LoggedEvent } from '../core/events.ts';
import type { DurableMemory, Suspendable } from '../core/memory.ts';
import type { Flavor, GroupName, HostCapacity, HostName, HostTraits, VmRecord } from '../core/model.ts';
import type {
  CreateRequest,
  Operation,
  OperationKind,
  OperationState,
  PowerVerb,
  Progress,
} from '../core/operation.ts';
import type { Policy } from '../core/policy.ts';
import type { Snapshot, SnapshotRequest } from '../core/snapshot.ts';
import type { GuestAddress, HostInfo } from '../ports/hypervisor.ts';
import type { EventPage, EventQuery, Store } from '../ports/store.ts';
import type { ClusterCommands } from './cluster-view.ts';
import type { HardwareCommands } from './hardware-view.ts';
import type { MigrationCommands } from './migration-view.ts';
import type { AuditLog, Users } from './user-view.ts';

/** A policy in force and the file it came from. */
export interface LoadedPolicy {
  readonly policy: Policy;
  readonly file: string;
}

/**
 * - `connecting`: has neither answered nor failed yet. `up`: answers in time. `slow`: answers, but late, or an answer is overdue.
 * - `unreachable`: does not answer; shown as last seen. Whether it is cordoned is said beside it: `traits.cordoned`.
 */
export type HostCondition = 'connecting' | 'up' | 'slow' | 'unreachable';

export interface HostStatus {
  readonly name: HostName;
  /** For clients that call it by number; stays with the address. */
  readonly id: number;
  readonly uri: string;
  readonly condition: HostCondition;
  readonly reason?: string;
  /** Wall time of the last successful poll, RFC 3339. */
  readonly lastSeenAt?: string;
  /** How long the last poll that succeeded took. */
  readonly pollMs?: number;
  readonly info?: HostInfo;
  readonly capacity?: HostCapacity;
  readonly traits: HostTraits;
  /** Domains on it, whoever made them: all, and those that run. */
  readonly domains: number;
  readonly running: number;
  /** vCPUs and memory of those that run. */
  readonly runningVcpus: number;
  readonly runningMemoryMiB: number;
  /** VMs that virtscale is responsible for. */
  readonly vms: number;
}

export interface VmStatus {
  readonly record: VmRecord;
  readonly state: 'running' | 'paused' | 'stopped' | 'unknown' | 'absent';
  /** What it should be: of a VM in a group by its phase, of others by what people last asked. */
  readonly desired: 'running' | 'paused' | 'stopped' | 'absent';
  /** Why `state` is not `desired`, in words for people; absent when it is. */
  readonly difference?: string;
  /** Why its health check counts it as unhealthy; absent when it does not. */
  readonly unhealthy?: string;
  /** Percent of its vCPUs, as last measured. */
  readonly cpuPercent?: number;
  readonly vcpus?: number;
  readonly memoryMiB?: number;
  readonly cpuTimeNs?: number;
  /** Wall times, RFC 3339. */
  readonly phaseAt: string;
}

export interface GroupStatus {
  readonly policy: Policy;
  /** The policy file it came from. */
  readonly file: string;
  readonly memory: DurableMemory;
  /** The latest evaluation: the answer to "why". Absent before the first turn. */
  readonly lastDecision?: Decision;
  readonly lastDecisionAt?: string;
  readonly vms: readonly VmStatus[];
  /** Policies of this group that only observe, by name. */
  readonly candidates: readonly CandidateStatus[];
  /** Hosts where VMs of this group can be forked now, and those where that is not possible, with the reason. */
  readonly templates: readonly TemplateStatus[];
}

/** A policy that decides beside the one in force, and acts not. */
export interface CandidateStatus {
  readonly name: string;
  readonly file: string;
  readonly policy: Policy;
  /** The size the group would have by now if this policy had acted since it was loaded. */
  readonly desired?: number;
  readonly lastDecision?: Decision;
}

export interface TemplateStatus {
  readonly host: HostName;
  readonly state: 'ready' | 'making' | 'impossible' | 'waiting';
  readonly key?: string;
  readonly bytes?: number;
  /** Why it is not ready, in words for people. */
  readonly reason?: string;
}

/** The answer to "why is the group this size?", now or at a past moment. */
export interface WhyRecord {
  readonly at: string;
  readonly decision: Decision;
  /** One readable paragraph. */
  readonly text: string;
}

export interface PostedMetric {
  readonly name: string;
  /** Finite. */
  readonly value: number;
  readonly vmId?: number;
}

export interface VmChange {
  readonly isProtected?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

export type RefreshVerb = 'pause' | 'resume' | 'rollback' | 'cancel';

export type CommandResult<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false;
      /** `invalid`: the request is wrong in itself. `conflict`: not in the present state. `no-capacity`: no host could ever hold it. */
      readonly refused:
        | 'not-found'
        | 'invalid'
        | 'conflict'
        | 'no-capacity'
        | 'too-many'
        | 'unreachable'
        | 'key-reused';
      readonly reason: string;
      /** Which member of the request, such as `names.0` or `flavor`. */
      readonly where?: string;
      /** No capacity: every host with its reason. */
      readonly hosts?: readonly Choice[];
    };

/** Who asks, for the record and the audit. */
export interface Caller {
  /** A user's name, a token's name, or `anonymous`. */
  readonly owner: string;
  /** The Idempotency-Key and the request's fingerprint. */
  readonly key?: string;
  readonly fingerprint?: string;
}

export type { CreateRequest };

export interface VmQuery {
  /** Only ids above this one. */
  readonly after?: number;
  readonly limit: number;
  /** `null`: those without a group. */
  readonly group?: GroupName | null;
  readonly host?: HostName;
  readonly phase?: VmRecord['phase'];
  readonly state?: VmStatus['state'];
  readonly name?: string;
  readonly owner?: string;
  /** Where clients reach it. */
  readonly address?: string;
}

/** An operation, and how far it has come where that is known. */
export interface OperationStatus {
  readonly operation: Operation;
  readonly progress?: Progress;
}

export interface ImageStatus extends CatalogImage {
  readonly id: number;
  /** Hosts it lies on now, as last seen. */
  readonly hosts: readonly HostName[];
  /** VMs made from it that exist. */
  readonly vms: number;
}

export interface FlavorStatus extends Flavor {
  readonly id: number;
}

export interface DomainStatus {
  readonly host: HostName;
  readonly name: string;
  readonly uuid: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly cpuTimeNs?: number;
  readonly running: boolean;
}

/**
 * Snapshots of VMs. Each command is one operation for all the VMs it names. `conflict`: a VM with another operation under way, or not in
 * service; to revert, one of a group, whose policy decides. `unreachable`: a host cannot be asked what there is.
 */
export interface SnapshotCommands {
  /** As its host says now, whoever made them, parents before their children. */
  list(id: number, signal: AbortSignal): Promise<CommandResult<readonly Snapshot[]>>;
  /** All of them at one moment, or none. */
  take(ids: readonly number[], request: SnapshotRequest, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** `power`: what they shall be where the snapshot has no memory; absent: as they were asked to be. */
  revert(
    ids: readonly number[],
    name: string,
    options: { readonly power?: 'running' | 'stopped' },
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>>;
  remove(ids: readonly number[], name: string, caller: Caller): Promise<CommandResult<OperationStatus>>;
}

export interface EngineView extends Fabric {
  groups(): readonly GroupStatus[];
  group(name: GroupName): GroupStatus | undefined;
  /** Every domain of the last polls, others' too, for `libvirt_*` metrics. */
  domains(): readonly DomainStatus[];
  /** Ready once the store is open and at least one host has answered; else why not. */
  readiness(): { readonly ready: boolean; readonly reason?: string };

  /** `desired` within the policy's min and max, else `invalid`. Takes effect in the next turn, which begins at once. */
  setDesired(group: GroupName, desired: number): Promise<CommandResult<GroupStatus>>;
  /** A paused group launches and removes nothing; what is under way is finished. */
  pause(group: GroupName): Promise<CommandResult<GroupStatus>>;
  resume(group: GroupName): Promise<CommandResult<GroupStatus>>;
  /** From now on exactly these parts are suspended; none: everything goes on. */
  suspend(group: GroupName, processes: readonly Suspendable[]): Promise<CommandResult<GroupStatus>>;
  /** Steers a rolling refresh. `conflict` when none is under way, or it is not in a state for it. */
  refresh(group: GroupName, verb: RefreshVerb): Promise<CommandResult<GroupStatus>>;
  /** `at` (RFC 3339) absent: the latest. `not-found`: no such group, or nothing is kept from then. */
  why(group: GroupName, at?: string): Promise<CommandResult<WhyRecord>>;
  /** A number for the metric `posted NAME` of a group's policy; `vmId`: of one of its VMs. Takes effect with the next turn. */
  postMetric(group: GroupName, metric: PostedMetric): Promise<CommandResult<undefined>>;
  /** What people say about a VM. Labels are replaced as a whole. */
  setVm(id: number, change: VmChange, caller: Caller): Promise<CommandResult<VmStatus>>;

  readonly history: Pick<Store, 'decision' | 'decisions' | 'answer' | 'keepAnswer'>;
  readonly log: EventLog;
  readonly users: Users;
  readonly audit: AuditLog;
}

/**
 * Hosts, VMs, images and operations: what the REST APIs are made of. Reads are synchronous and never wait for a host; commands
 * write the intent, answer, and carry it out afterwards.
 */
export interface Fabric {
  hosts(): readonly HostStatus[];
  host(name: HostName): HostStatus | undefined;
  /** By the number that clients of the seeds' API use. */
  hostById(id: number): HostStatus | undefined;
  /** A cordoned host takes no new VMs; those on it stay. */
  cordon(host: HostName, reason: string, caller: Caller): Promise<CommandResult<HostStatus>>;
  uncordon(host: HostName, caller: Caller): Promise<CommandResult<HostStatus>>;

  /** All VMs, by id. For a page of many use {@link vmPage}. */
  vms(): readonly VmStatus[];
  vmPage(query: VmQuery): { readonly vms: readonly VmStatus[]; readonly nextAfter?: number };
  vm(id: number): VmStatus | undefined;
  /** Ids of the VMs on a host that virtscale is responsible for and that exist there (defined or running), ascending. */
  vmIdsOn(host: HostName): readonly number[];

  /**
   * Verifies (name, flavor, image, quota, some host could ever hold it), then queues: first in, first out. The operation goes from
   * `queued` over `placed` and `running` to its end. A repeated key answers the operation it first brought.
   */
  createVms(request: CreateRequest, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** Refused for VMs of groups: those follow their policy. `graceMs` is for shutdown: then the plug is pulled; absent: it is not. */
  power(
    id: number,
    verb: PowerVerb,
    caller: Caller,
    options?: { readonly graceMs?: number },
  ): Promise<CommandResult<OperationStatus>>;
  /**
   * Stops it (politely for `graceMs`, when given), removes domain and disks. A VM of a group is drained first and, if the group
   * still wants as many, replaced. An adopted one is only let go: its domain stays as it is.
   */
  deleteVm(
    id: number,
    caller: Caller,
    options?: { readonly graceMs?: number },
  ): Promise<CommandResult<OperationStatus>>;
  /** Takes a domain that somebody else made under virtscale's care. `domain`: name or uuid. */
  adopt(host: HostName, domain: string, caller: Caller): Promise<CommandResult<OperationStatus>>;
  console(id: number, maxBytes: number, signal: AbortSignal): Promise<CommandResult<Uint8Array>>;
  addresses(id: number, signal: AbortSignal): Promise<CommandResult<readonly GuestAddress[]>>;

  readonly clusters: ClusterCommands;
  readonly migrations: MigrationCommands;
  readonly hardware: HardwareCommands;
  readonly snapshots: SnapshotCommands;

  images(): readonly ImageStatus[];
  image(name: string): ImageStatus | undefined;
  /** Fetches an image; a `host` source is only noted. An image of that name: `conflict`. */
  importImage(
    name: string,
    source: Exclude<ImageSource, { kind: 'upload' | 'built' }>,
    options: { readonly format?: 'qcow2' | 'raw'; readonly sha256?: string },
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>>;
  /** Takes in a stream; resolves when the image is ready or refused. The operation (progress) is listed meanwhile. */
  uploadImage(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly format?: 'qcow2' | 'raw'; readonly sha256?: string; readonly signal: AbortSignal },
    caller: Caller,
  ): Promise<CommandResult<ImageStatus>>;
  /** `conflict` while VMs or policies use it, or when it stands in the configuration. */
  deleteImage(name: string, caller: Caller): Promise<CommandResult<undefined>>;
  flavors(): readonly FlavorStatus[];

  operation(id: string): Promise<OperationStatus | undefined>;
  operations(query: OperationQuery): Promise<readonly OperationStatus[]>;
  /** `conflict` when it has ended or is of a kind that cannot be cancelled. */
  cancel(id: string, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** Resolves when it has ended; earlier, with how it stands, when the time is over or `signal` aborts. Undefined: no such operation. */
  ended(id: string, timeoutMs: number, signal?: AbortSignal): Promise<OperationStatus | undefined>;

  readonly tokens: Tokens;
}

/** Who may come in. Reads are synchronous: every request asks. */
export interface Tokens {
  readonly all: readonly Token[];
  /** `sha256`: of the token's text. Expired ones are not found. */
  find(sha256: string): Token | undefined;
  /** The name is new, else `conflict`. With a `user` it is his, and kept as `USER/NAME`. */
  add(token: Omit<Token, 'createdAt'>): Promise<CommandResult<Token>>;
  remove(name: string): Promise<CommandResult<undefined>>;
}

export interface OperationQuery {
  readonly limit: number;
  /** Only those older than this one (its id). */
  readonly before?: string;
  readonly vmId?: number;
  readonly state?: OperationState;
  readonly kind?: OperationKind;
  readonly owner?: string;
}

/** The ordered log as its readers see it. */
export interface EventLog {
  readonly lastSeq: number;
  page(query: EventQuery): Promise<EventPage>;
  /** Calls back for every event after this moment, in order, synchronously and never twice. A listener must not block; what it throws is logged and dropped. Returns the way to stop. */
  subscribe(listener: (event: LoggedEvent) => void): () => void;
}

/** What the engine measures about itself; the edge makes metrics of it. Calls must not throw. */
export interface Telemetry {
  polled(host: HostName, seconds: number, outcome: 'ok' | 'failed'): void;
  decided(group: GroupName, seconds: number, decision: Decision): void;
  /** What a policy that only observes would have. */
  observed(group: GroupName, candidate: string, decision: Decision): void;
  /** `group`: empty for VMs without one. */
  stepped(group: GroupName, step: string, seconds: number, outcome: 'ok' | 'retry' | 'failed'): void;
  turnEnded(seconds: number): void;
}
