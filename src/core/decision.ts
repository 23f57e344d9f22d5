// A decision and its trail. The trail is the audit record, the answer to "why" and the dashboard's text: nothing else explains.
// Not here: how a decision is reached (decide).

import type { GroupName, HostName } from './model.ts';

/** What one rule said and why. */
export interface RuleVerdict {
  readonly rule: string;
  readonly direction: 'out' | 'in';
  /** `fires`: wants `by` more (fewer) VMs now. The others say what holds it back. */
  readonly verdict: 'fires' | 'quiet' | 'counting' | 'cooling-down' | 'no-data' | 'would-flap' | 'warming';
  readonly metric: 'cpu';
  /** Percent; absent when there was no data. The value this rule compared (missing VMs counted against it). */
  readonly valuePercent?: number;
  readonly thresholdPercent: number;
  /** When the value crossed the threshold (engine time); absent when it has not. */
  readonly crossedAtMs?: number;
  /** VMs recommended: positive adds, negative removes, 0 no change. */
  readonly recommends: number;
  /** One sentence for people. */
  readonly text: string;
}

/** A limit that changed what was wanted. `from` and `to` are sizes of the group: what it would have had, and what it can have. */
export interface AppliedLimit {
  readonly limit: 'min' | 'max' | 'exists' | 'breaker' | 'paused' | 'no-host' | 'stale' | 'no-domain';
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
  | { readonly kind: 'launch'; readonly group: GroupName; readonly host: HostName }
  | {
      readonly kind: 'start';
      readonly group: GroupName;
      readonly host: HostName;
      readonly domain: string;
      readonly uuid: string;
      readonly address?: string;
    }
  | { readonly kind: 'drain'; readonly group: GroupName; readonly vmId: number; readonly reason: string };

export interface DecisionCounts {
  readonly desired: number;
  readonly inService: number;
  readonly launching: number;
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
   * many are there) and that is put right.
   */
  readonly cause: 'rule' | 'limits' | 'replace' | 'user' | 'none';
  readonly rule?: string;
  readonly counts: DecisionCounts;
  /** Mean CPU of the ready VMs with data, percent. */
  readonly cpuPercent?: number;
  /** Percent per VM (by name), wherever there is fresh data: launching and draining VMs are in here, not in the mean. */
  readonly cpuByVm: Readonly<Record<string, number>>;
  readonly verdicts: readonly RuleVerdict[];
  readonly limits: readonly AppliedLimit[];
  /** Hosts looked at for a launch; for a group of listed domains, those domains. */
  readonly hosts: readonly Choice[];
  readonly victims: readonly Choice[];
  readonly actions: readonly Action[];
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
