// What deciding remembers from one turn to the next, per group. Plain data, so that it can be stored, replayed and compared.
// Not here: what it means (decide, series, breaker).

import type { GroupName } from './model.ts';

/** Survives a restart of the daemon. Times are engine time, which is anchored to the wall clock for this very reason. */
export interface DurableMemory {
  /** VMs the group shall have. Rules, users and limits move it; lost VMs are replaced because of it. Absent until the first turn. */
  readonly desired?: number;
  /** Set by the command that moved `desired`; the next decision names it as its cause and clears it. */
  readonly desiredBy?: 'user';
  readonly paused: boolean;
  readonly lastOutAtMs?: number;
  readonly lastInAtMs?: number;
  readonly breaker: BreakerMemory;
}

/** Launches that failed in a row; from `openedAtMs` on none is tried until `retryAtMs`, then one at a time. */
export interface BreakerMemory {
  readonly failures: number;
  readonly openedAtMs?: number;
  readonly retryAtMs?: number;
  readonly lastReason?: string;
}

/** The CPU counter of one VM when last read, and the usage computed from the last two readings. */
export interface CpuSample {
  readonly readAtMs: number;
  readonly cpuTimeNs: number;
  /** As of the reading: a usage across a change of this number would mean nothing. */
  readonly vcpus: number;
  /** Percent of the VM's vCPUs, 0–100; absent until two readings belong together. */
  readonly percent?: number;
  /** The interval that `percent` was measured over: from the reading before to this one. */
  readonly percentFromMs?: number;
  readonly percentAtMs?: number;
}

/** May be lost at any time: costs one `for` window. */
export interface TransientMemory {
  /** By VM uuid. */
  readonly cpu: Readonly<Record<string, CpuSample>>;
  /** By rule name: since when the metric has been beyond its threshold. */
  readonly crossedAtMs: Readonly<Record<string, number>>;
}

export interface GroupMemory {
  readonly durable: DurableMemory;
  readonly transient: TransientMemory;
}

export type Memory = Readonly<Record<GroupName, GroupMemory>>;

export const EMPTY_GROUP_MEMORY: GroupMemory = {
  durable: { paused: false, breaker: { failures: 0 } },
  transient: { cpu: {}, crossedAtMs: {} },
};
