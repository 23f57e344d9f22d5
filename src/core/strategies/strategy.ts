// The contract of a scaling strategy: judges one rule on one group, now. Pure. Not here: combining rules (decide).
// A new strategy is a file beside this one, a rule type in policy.ts and a line in registry.ts.

import type { RuleVerdict } from '../decision.ts';
import type { GroupCpu } from '../group-cpu.ts';
import type { ScaleRule } from '../policy.ts';

/** Everything a strategy may look at. */
export interface Situation {
  readonly nowMs: number;
  readonly cpu: GroupCpu;
  readonly launching: number;
  /** VMs the group shall have, within the policy's limits. */
  readonly desired: number;
  readonly min: number;
  readonly lastOutAtMs?: number;
  readonly lastInAtMs?: number;
  /** Hosts with VMs of the group that do not answer now. */
  readonly silentHosts: readonly string[];
  /** All rules of the group, for a look at what scaling would set off. */
  readonly rules: readonly ScaleRule[];
}

export interface Judgement {
  readonly verdict: RuleVerdict;
  /** To be remembered for the rule's next turn; absent: forget. */
  readonly crossedAtMs?: number;
}

export interface Strategy<R extends ScaleRule> {
  judge(rule: R, situation: Situation, crossedAtMs: number | undefined): Judgement;
}
