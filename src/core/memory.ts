// What deciding remembers from one turn to the next, per group. Plain data, so that it can be stored, replayed and compared.
// Not here: what it means (decide, series, breaker).

import type { GroupName, HostName } from './model.ts';
import type { Template } from './policy.ts';

/** Survives a restart of the daemon. Times are engine time, which is anchored to the wall clock for this very reason. */
export interface DurableMemory {
  /** VMs the group shall have. Rules, users and limits move it; lost VMs are replaced because of it. Absent until the first turn. */
  readonly desired?: number;
  /** Set by the command that moved `desired`; the next decision names it as its cause and clears it. */
  readonly desiredBy?: 'user';
  readonly paused: boolean;
  /** What people have suspended; absent: nothing. */
  readonly suspended?: readonly Suspendable[];
  readonly lastOutAtMs?: number;
  readonly lastInAtMs?: number;
  /** Changes of `desired` by rules, for rate limits: oldest first, none older than the longest window, 100 at the most. */
  readonly changes?: readonly { readonly atMs: number; readonly by: number }[];
  /** The beginning of each schedule's latest window whose `desired` was applied, by rule name. */
  readonly scheduled?: Readonly<Record<string, number>>;
  readonly breaker: BreakerMemory;
  readonly refresh?: RefreshMemory;
  /** `desired` is what a policy that only observes would have; one that acts begins from what there is. */
  readonly observing?: true;
}

/** Parts of a group's work that people may stop: launching, removing, replacing the unhealthy, schedules. */
export type Suspendable = 'launch' | 'remove' | 'health' | 'schedule';

/** A rolling refresh, under way or ended badly. Forgotten when it has ended well. */
export interface RefreshMemory {
  /** `templateKey` of what VMs shall be made from. */
  readonly to: string;
  readonly startedAtMs: number;
  /** `paused`: at a checkpoint until `resumeAtMs`, or by people. `rolling-back`: towards `from` again. */
  readonly state: 'running' | 'paused' | 'stopped' | 'rolling-back';
  readonly resumeAtMs?: number;
  /** When that pause began. */
  readonly pausedAtMs?: number;
  readonly failures: number;
  /** Checkpoints passed. */
  readonly passed: number;
  readonly total: number;
  /** The template before, to go back to. */
  readonly from?: Template;
  /** It went back to `from` and has ended (`stopped`): new VMs are made from that until the policy names yet another template. */
  readonly rolledBack?: true;
  readonly reason?: string;
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
  /** The host it was read on: after a migration the counter begins anew, and need not be lower for that. */
  readonly host?: HostName;
  /** The interval that `percent` was measured over: from the reading before to this one. */
  readonly percentFromMs?: number;
  readonly percentAtMs?: number;
}

/** The same for the counters besides the CPU's; rates per second of 10^6 bytes, steal in percent of the vCPUs' time. */
export interface StatsSample {
  readonly readAtMs: number;
  readonly vcpus: number;
  readonly networkBytes?: number;
  readonly diskBytes?: number;
  readonly delayNs?: number;
  readonly network?: number;
  readonly disk?: number;
  readonly steal?: number;
  readonly memory?: number;
  /** The beginning of the interval that the rates were measured over. */
  readonly fromMs?: number;
  readonly host?: HostName;
}

/** What one rule remembers. */
export interface RuleMemory {
  /** Since when the metric has been beyond what the rule allows. */
  readonly crossedAtMs?: number;
  /** To which side, for a rule with two. */
  readonly side?: 'out' | 'in';
  /** The load as last measured, for a rule that looks ahead. */
  readonly load?: LoadPoint;
}

/** The load of a group in the metric's unit, when it was measured, and how fast it had risen (negative: fallen) until then. */
export interface LoadPoint extends Point {
  readonly perSecond: number;
}

/** A value and when it was so; in a window, oldest first. */
export interface Point {
  readonly atMs: number;
  readonly value: number;
  /** In a window: values that it is the mean of; absent: one. */
  readonly count?: number;
}

/** May be lost at any time: costs one `for` window. Everything in it is bounded. */
export interface TransientMemory {
  /** By VM uuid. */
  readonly cpu: Readonly<Record<string, CpuSample>>;
  /** By VM uuid, only while a rule wants them. */
  readonly stats?: Readonly<Record<string, StatsSample>>;
  /** By rule name. */
  readonly rules: Readonly<Record<string, RuleMemory>>;
  /** By `metricKey`: the load within the metric's window (low and high as in MetricReading, times the VMs they speak for). */
  readonly windows?: Readonly<Record<string, { readonly low: readonly Point[]; readonly high: readonly Point[] }>>;
  /** Sizes recommended within the stabilisation windows: only those that can still matter (out: rising, in: falling). */
  readonly recommended?: { readonly out: readonly Point[]; readonly in: readonly Point[] };
}

export interface GroupMemory {
  readonly durable: DurableMemory;
  readonly transient: TransientMemory;
}

export type Memory = Readonly<Record<GroupName, GroupMemory>>;

export const EMPTY_GROUP_MEMORY: GroupMemory = {
  durable: { paused: false, breaker: { failures: 0 } },
  transient: { cpu: {}, rules: {} },
};
