// The contract of a scaling strategy: judges one rule on one group, now. Pure. Not here: combining rules (rules).
// A new strategy is a file beside this one, a rule type in policy.ts and a line in registry.ts.

import type { RuleVerdict } from '../decision.ts';
import type { RuleMemory } from '../memory.ts';
import type { MetricReading } from '../metric.ts';
import type { GroupView } from '../model.ts';
import type { ScaleRule } from '../policy.ts';

/** Everything a strategy may look at. */
export interface Situation {
  readonly nowMs: number;
  /** By `metricKey`, windows included. */
  readonly readings: ReadonlyMap<string, MetricReading>;
  readonly inService: number;
  readonly launching: number;
  /** VMs the group shall have, within the bounds that hold now. */
  readonly desired: number;
  readonly min: number;
  readonly lastOutAtMs?: number;
  readonly lastInAtMs?: number;
  /** Hosts with VMs of the group that do not answer now. */
  readonly silentHosts: readonly string[];
  /** All rules of the group, for a look at what scaling would set off. */
  readonly rules: readonly ScaleRule[];
  readonly group: GroupView;
  /** Schedules are left out. */
  readonly schedulesSuspended: boolean;
  /** False: texts are left empty, since nobody reads them. */
  readonly wording: boolean;
}

export interface Judgement {
  readonly verdict: RuleVerdict;
  /** To be remembered for the rule's next turn; absent: forget. */
  readonly memory?: RuleMemory;
  /** What it would recommend if nothing but its cooldown, or VMs on their way, held it back. */
  readonly wish?: number;
  /** It wants fewer VMs, and only the last one is left, which it cannot do without: whether that goes is for others to say. */
  readonly abstains?: true;
}

export interface Strategy<R extends ScaleRule> {
  judge(rule: R, situation: Situation, before: RuleMemory | undefined): Judgement;
}
