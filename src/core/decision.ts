// A decision and its trail. The trail is the audit record, the answer to "why" and the dashboard's text: nothing else explains.
// Not here: how a decision is reached (decide).

import type { GroupName, HostName, Leaving, StandbyKind } from './model.ts';
import type { ScaleRule } from './policy.ts';

/** What one rule said and why. */
export interface RuleVerdict {
  readonly rule: string;
  readonly type: ScaleRule['type'];
  /** Where it would move the size; `both`: a target. `floor`: it can only hold it up (schedules, forecasts). */
  readonly direction: 'out' | 'in' | 'both' | 'floor';
  /** `fires`: wants another size now. The others say what holds it back; `idle`: a schedule or forecast that does not hold now. */
  readonly verdict:
    | 'fires'
    | 'quiet'
    | 'counting'
    | 'cooling-down'
    | 'no-data'
    | 'would-flap'
    | 'warming'
    | 'suspended'
    | 'idle';
  /** As `metricText` says it; empty for a schedule. */
  readonly metric: string;
  readonly unit: '%' | 'MB/s' | '';
  /** The value this rule compared (missing VMs counted against it); absent when there was no data. */
  readonly value?: number;
  /** What it compared with: threshold, bound of the band, or target. */
  readonly threshold?: number;
  /** VMs in service with data, of those that should have some. */
  readonly measured?: number;
  readonly expected?: number;
  /** The size that a forecast holds up. */
  readonly floor?: number;
  /** When the value crossed the threshold (engine time); absent when it has not. */
  readonly crossedAtMs?: number;
  /** VMs recommended: positive adds, negative removes, 0 no change. A floor: VMs missing to it. */
  readonly recommends: number;
  /** One sentence for people. */
  readonly text: string;
}

/** A limit that changed what was wanted. `from` and `to` are sizes of the group: what it would have had, and what it can have. */
export interface AppliedLimit {
  readonly limit:
    | 'min'
    | 'max'
    | 'exists'
    | 'breaker'
    | 'paused'
    | 'suspended'
    | 'stabilised'
    | 'rate'
    | 'floor'
    | 'no-host'
    | 'stale'
    | 'no-domain'
    | 'protected'
    | 'budget';
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/**
 * How the size came about, from `desiredBefore` to `desired`: each step begins where the one before ended. `bounds`: correction to min and
 * max; `schedule`: a desired size set by one; `rules`: the rule followed; then what held it back; `floor`: schedules and forecasts.
 */
export interface SizeStep {
  readonly step: 'bounds' | 'schedule' | 'rules' | 'stabilised' | 'rate' | 'floor' | 'last-vm' | 'limits' | 'paused';
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** A host or VM that was looked at and why it was (not) taken. */
export interface Choice {
  readonly name: string;
  readonly chosen: boolean;
  readonly text: string;
}

/** Something to be done. Pure data; the engine turns it into a record (the intent) and carries it out step by step. */
export type Action =
  | {
      readonly kind: 'launch';
      readonly group: GroupName;
      readonly host: HostName;
      /** Absent: cold. */
      readonly way?: 'fork';
      /** It is to wait in standby; absent: to serve. */
      readonly standby?: StandbyKind;
      /** From the template before the refresh that is being rolled back; absent: the policy's. */
      readonly template?: 'previous';
    }
  /** Wake a standby: it serves as soon as it answers. */
  | { readonly kind: 'wake'; readonly group: GroupName; readonly vmId: number; readonly way: StandbyKind }
  /** A draining VM goes back into service. */
  | { readonly kind: 'return'; readonly group: GroupName; readonly vmId: number; readonly reason: string }
  | {
      readonly kind: 'start';
      readonly group: GroupName;
      readonly host: HostName;
      readonly domain: string;
      readonly uuid: string;
      readonly address?: string;
    }
  | {
      readonly kind: 'drain';
      readonly group: GroupName;
      readonly vmId: number;
      readonly reason: string;
      /** Becomes the record's `leaving`. */
      readonly because: Exclude<Leaving, 'asked'>;
      /** It serves nobody (it is unhealthy): without grace. */
      readonly atOnce?: true;
    }
  /** A standby that is not wanted (any more). */
  | { readonly kind: 'discard'; readonly group: GroupName; readonly vmId: number; readonly reason: string };

export interface DecisionCounts {
  readonly desired: number;
  readonly inService: number;
  /** On their way to service. */
  readonly launching: number;
  /** Waiting, or on their way to waiting. */
  readonly standby: number;
  readonly draining: number;
  readonly removing: number;
  /** All of the above, and whatever is failed, stopped or unknown: counted against max. */
  readonly existing: number;
}

/** The outcome of one evaluation of one group. Without actions it is the answer to "why did nothing happen?". */
export interface Decision {
  readonly group: GroupName;
  readonly atMs: number;
  readonly desiredBefore: number;
  readonly desired: number;
  /**
   * Who moved `desired`: a rule, the limits of the policy, a user, or nobody. `replace`: nobody, but VMs are missing (or too
   * many are there) and that is put right. `refresh`: VMs of another template are replaced. `standby`: standbys are filled up or given up.
   */
  readonly cause: 'rule' | 'limits' | 'replace' | 'user' | 'refresh' | 'standby' | 'none';
  readonly rule?: string;
  readonly counts: DecisionCounts;
  /** Mean CPU of the ready VMs with data, percent. */
  readonly cpuPercent?: number;
  /** Percent per VM (by name), wherever there is fresh data: launching and draining VMs are in here, not in the mean. */
  readonly cpuByVm: Readonly<Record<string, number>>;
  readonly verdicts: readonly RuleVerdict[];
  /** From `desiredBefore` to `desired`, without a gap. */
  readonly steps: readonly SizeStep[];
  readonly limits: readonly AppliedLimit[];
  /** Why rules that fire are not followed, in words for people. */
  readonly heldBack?: string;
  /** How far a rolling refresh has come; absent when none is under way. */
  readonly refresh?: { readonly done: number; readonly total: number; readonly text: string };
  /** Hosts looked at for a launch; for a group of listed domains, those domains. */
  readonly hosts: readonly Choice[];
  readonly victims: readonly Choice[];
  readonly actions: readonly Action[];
  /** The policy only observes: what it would have done is in the text, and `actions` is empty. */
  readonly observed?: true;
  /** One sentence for people. */
  readonly text: string;
}

/** What the `decision.made` event carries: enough to draw and to ask further by id. */
export interface DecisionSummary {
  readonly id: string;
  readonly desiredBefore: number;
  readonly desired: number;
  readonly cause: Decision['cause'];
  readonly rule?: string;
  readonly cpuPercent?: number;
  /** When the metric crossed the threshold of the rule that fired, RFC 3339. */
  readonly crossedAt?: string;
  /** Time the decision function took. */
  readonly decideMs: number;
  readonly actions: readonly Action[];
  readonly text: string;
}

/** As the store keeps it. */
export interface LoggedDecision extends Decision {
  readonly id: string;
  readonly at: string;
}
