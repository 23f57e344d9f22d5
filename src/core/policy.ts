// A group's policy as the core sees it: parsed, checked, all defaults filled in, durations in milliseconds.
// Not here: reading YAML (config) or applying rules (size, strategies/).

import type { GuestSetup } from './guest-setup.ts';
import type { Metric } from './metric.ts';
import type { Flavor, GroupName, Image, PlacementRules, ReadyCheck } from './model.ts';

/** A number of VMs, or a share of the group's size: `percent` of what there is, at least one VM, else rounded towards zero. */
export type Change = { readonly vms: number } | { readonly percent: number };

/** What rules that compare a metric have in common. */
interface MeasuringRule {
  readonly name: string;
  readonly metric: Metric;
}

/**
 * "While the metric has been above (below) N for `forMs`, add (remove) M VMs."
 * An `out` rule waits `cooldownMs` after the last scale-out; an `in` rule after the last scaling in either direction.
 */
export interface ThresholdRule extends MeasuringRule {
  readonly type: 'threshold';
  readonly direction: 'out' | 'in';
  /** In the metric's unit (percent for cpu). Crossed when strictly above (out) or strictly below (in). */
  readonly threshold: number;
  readonly forMs: number;
  /** VMs to add or remove. */
  readonly by: Change;
  readonly cooldownMs: number;
}

/** One band of a step rule: from its bound (beyond which the metric must be) to the next band's. */
export interface Band {
  readonly bound: number;
  readonly by: Change;
}

/**
 * Bands of a metric, each with its own change; the farthest band that the metric is beyond decides. `out`: bounds rise, beyond is
 * above; `in`: bounds fall, beyond is below. While beyond the first band for `forMs`.
 */
export interface StepRule extends MeasuringRule {
  readonly type: 'step';
  readonly direction: 'out' | 'in';
  /** At least one, from the nearest to the farthest. */
  readonly bands: readonly Band[];
  readonly forMs: number;
  readonly cooldownMs: number;
}

/**
 * Keeps a metric at a value: wanted = VMs that measure × value ÷ target, rounded up (a metric with scope `total`: value ÷ target).
 * Nothing is done within the tolerance.
 */
export interface TargetRule extends MeasuringRule {
  readonly type: 'target';
  /** In the metric's unit; positive. */
  readonly target: number;
  /** Shares of the target, 0.1 for 10 %: how far above (below) it the metric may be before VMs are added (removed). */
  readonly tolerance: { readonly up: number; readonly down: number };
  /** The metric must have asked for a change for so long. 0: one evaluation is enough. */
  readonly forMs: number;
  readonly cooldownMs: { readonly out: number; readonly in: number };
  /**
   * While the load rises, as many VMs as it will need this long from now if it goes on rising so (twice as much load at the most): what
   * is decided now serves a poll and a launch later. Absent: for the load that there is.
   */
  readonly leadMs?: number;
  /**
   * A percentage above FULL_PERCENT does not tell how much load there really is: as many times the VMs that measure it, at least.
   * Absent: no more than the percentage says.
   */
  readonly boost?: number;
}

/** Beyond it a percentage is taken for all there is. */
export const FULL_PERCENT = 95;

/** For `forMs` from each time that `cron` matches: other limits, or (once, at its beginning) another desired size. */
export interface ScheduleRule {
  readonly name: string;
  readonly type: 'schedule';
  /** Five fields (six with seconds). */
  readonly cron: string;
  /** IANA name. */
  readonly timezone: string;
  readonly forMs: number;
  /** At least one of the three. Where several schedules overlap, the largest min, the smallest max and the latest desired hold. */
  readonly min?: number;
  readonly max?: number;
  readonly desired?: number;
}

/** Raises the floor ahead of a learned pattern; never scales in. Demand is in VMs at `target`. */
export interface ForecastRule extends MeasuringRule {
  readonly type: 'forecast';
  readonly target: number;
  /** How far ahead it looks: the floor is for the largest demand expected within this time. */
  readonly leadMs: number;
}

export type ScaleRule = ThresholdRule | StepRule | TargetRule | ScheduleRule | ForecastRule;
/** Rules that may scale in: all of them must agree before anything is removed. */
export type MeasuredRule = ThresholdRule | StepRule | TargetRule;

/** How fast the size may change in one direction, whatever rules say. Corrections to [min, max] and people are not held back. */
export interface PaceLimit {
  /**
   * Within any `windowMs` at most so many VMs, or this share of the size at the window's beginning: the larger of the two. Absent: no limit.
   */
  readonly rate?: { readonly windowMs: number; readonly vms?: number; readonly percent?: number };
  /**
   * out: the smallest size recommended within this window is followed; in: the largest (the rule of Kubernetes' HPA). 0: the latest.
   */
  readonly stabiliseMs: number;
}

/** New VMs are made from this. */
export interface Template {
  readonly image: Image;
  readonly flavor: Flavor;
  readonly ready: ReadyCheck;
  /** Told to each guest by cloud-init, with its name. */
  readonly setup?: GuestSetup;
}

/** A domain that exists already and is only started and shut down. */
export interface ListedDomain {
  readonly name: string;
  /** Where it answers; absent: asked from libvirt (DHCP lease or guest agent). */
  readonly address?: string;
}

/** Where a group's VMs come from. Listed domains start in the order of the list: first defined, first started. */
export type Source =
  | { readonly kind: 'template'; readonly template: Template }
  | { readonly kind: 'domains'; readonly domains: readonly ListedDomain[]; readonly ready: ReadyCheck };

/**
 * Ways to a new VM that are quicker than a cold boot. Taken in this order, each falling back to the next when it is not possible:
 * paused, saved, fork, stopped, cold. Standbys are only kept while the group could grow: with them it has `max` VMs at the most.
 */
export interface Capacity {
  /** A template VM per host is booted once and saved; new VMs are restored from that file. */
  readonly fork: boolean;
  /** Standbys kept, of each kind. */
  readonly paused: number;
  readonly saved: number;
  readonly stopped: number;
}

/** Whom to remove first. Those still launching always go first; protected ones never; ties are broken by id, newest first. */
export type RemovalOrder =
  | { readonly kind: 'idlest' | 'oldest' | 'newest' | 'fullest-host' }
  /** By the number in this label of the VM, smallest first; VMs without it last. */
  | { readonly kind: 'label'; readonly label: string };

/** A call to somebody outside before a VM goes into service (`launch`) or is removed (`remove`). */
export interface Hook {
  readonly url: string;
  /** File on the daemon's machine that holds the key the call is signed with. Absent: not signed. */
  readonly secretFile?: string;
  /** From the first try. */
  readonly deadlineMs: number;
  /** What happens when nobody has agreed by the deadline. `abandon`: a launch is removed again; a removal happens in any case. */
  readonly onTimeout: 'continue' | 'abandon';
}

/** Whether a VM in service is still well. `failures` in a row make it unhealthy; it is replaced. */
export interface HealthCheck {
  readonly check: ReadyCheck;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failures: number;
  /** After it came into service nothing counts for so long. */
  readonly graceMs: number;
  /** Unhealthy VMs that are replaced at the same time, at the most. */
  readonly budget: Change;
}

/** What happens to VMs made from another template than the policy's. */
export interface Refresh {
  /** VMs beyond the desired size (and beyond max) while it lasts. */
  readonly surge: number;
  /** VMs fewer than desired in service while it lasts. At least one of the two is positive. */
  readonly unavailable: number;
  /** Shares done (0–1, rising) after which it waits `pauseMs`. */
  readonly checkpoints: readonly number[];
  readonly pauseMs: number;
  /** Launches of the new template that fail, in all, before it stops. */
  readonly failures: number;
  readonly onFailure: 'rollback' | 'stop';
}

export interface Policy {
  readonly group: GroupName;
  /** `observe`: decides and records, and does nothing. Beside a policy that acts it is a candidate: see `candidate`. */
  readonly mode: 'act' | 'observe';
  /** What a policy in `observe` is called beside others of its group. */
  readonly candidate?: string;
  readonly min: number;
  readonly max: number;
  readonly source: Source;
  readonly rules: readonly ScaleRule[];
  readonly pace: { readonly out: PaceLimit; readonly in: PaceLimit };
  /** After a VM came into service its values are not in the metric for so long; it counts as capacity. */
  readonly warmupMs: number;
  /** Which host takes the next VM (core/placement). Absent: as the configuration says. */
  readonly placement?: PlacementRules;
  readonly capacity: Capacity;
  readonly removal: RemovalOrder;
  /** Name of the balancer in the configuration that the group's VMs are put into. */
  readonly balancer?: string;
  readonly hooks: { readonly launch?: Hook; readonly remove?: Hook };
  readonly health?: HealthCheck;
  /** Absent: VMs of another template are left until they go for another reason. */
  readonly refresh?: Refresh;
  /** A VM that is not ready this long after its launch began is removed and counted as a failed launch. */
  readonly launchDeadlineMs: number;
  /** From `vm.draining` to the removal: clients finish what they have under way. With a balancer it ends when no session is left. */
  readonly drainGraceMs: number;
  /** Between the polite shutdown and pulling the plug. */
  readonly shutdownDeadlineMs: number;
}

export const NO_CAPACITY: Capacity = { fork: false, paused: 0, saved: 0, stopped: 0 };

/** What a policy has that says no more than it must. */
export const POLICY_DEFAULTS = {
  mode: 'act',
  pace: { out: { stabiliseMs: 0 }, in: { stabiliseMs: 0 } },
  warmupMs: 0,
  capacity: NO_CAPACITY,
  removal: { kind: 'idlest' },
  hooks: {},
  launchDeadlineMs: 60_000,
  drainGraceMs: 5_000,
  shutdownDeadlineMs: 30_000,
} as const satisfies Partial<Policy>;
