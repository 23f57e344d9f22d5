// What the edges may ask of and tell the engine: read-only pictures and a few commands. The engine implements it (engine.ts).
// Not here: HTTP. Commands return `refused` values instead of throwing: bad input is no exception.

import type { Decision } from '../core/decision.ts';
import type { LoggedEvent } from '../core/events.ts';
import type { DurableMemory } from '../core/memory.ts';
import type { GroupName, HostCapacity, HostName, VmRecord } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';
import type { HostInfo } from '../ports/hypervisor.ts';
import type { EventPage, EventQuery, Store } from '../ports/store.ts';

/** A policy in force and the file it came from. */
export interface LoadedPolicy {
  readonly policy: Policy;
  readonly file: string;
}

export interface HostStatus {
  readonly name: HostName;
  readonly uri: string;
  readonly state: 'up' | 'stale' | 'down';
  readonly reason?: string;
  /** Wall time of the last successful poll, RFC 3339. */
  readonly lastSeenAt?: string;
  readonly info?: HostInfo;
  readonly capacity?: HostCapacity;
  /** Domains on it: all, and those that are virtscale's. */
  readonly domains: number;
  readonly vms: number;
}

export interface VmStatus {
  readonly record: VmRecord;
  readonly state: 'running' | 'stopped' | 'unknown' | 'absent';
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
}

export type CommandResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refused: 'not-found' | 'invalid'; readonly reason: string };

export interface DomainStatus {
  readonly host: HostName;
  readonly name: string;
  readonly uuid: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly cpuTimeNs?: number;
  readonly running: boolean;
}

export interface EngineView {
  hosts(): readonly HostStatus[];
  groups(): readonly GroupStatus[];
  group(name: GroupName): GroupStatus | undefined;
  /** VMs of all groups. */
  vms(): readonly VmStatus[];
  /** Every domain of the last polls, others' too, for `libvirt_*` metrics. */
  domains(): readonly DomainStatus[];
  /** Ready once the store is open and at least one host has answered; else why not. */
  readiness(): { readonly ready: boolean; readonly reason?: string };

  /** `desired` within the policy's min and max, else `invalid`. Takes effect in the next turn, which begins at once. */
  setDesired(group: GroupName, desired: number): Promise<CommandResult<GroupStatus>>;
  /** A paused group launches and removes nothing; what is under way is finished. */
  pause(group: GroupName): Promise<CommandResult<GroupStatus>>;
  resume(group: GroupName): Promise<CommandResult<GroupStatus>>;

  readonly history: Pick<Store, 'decision' | 'decisions'>;
  readonly log: EventLog;
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
  stepped(group: GroupName, step: string, seconds: number, outcome: 'ok' | 'retry' | 'failed'): void;
  turnEnded(seconds: number): void;
}
