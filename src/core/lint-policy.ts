// What is wrong with a policy that is well formed: limits that contradict each other, thresholds that must flap.
// Not here: reading YAML (config), or the same check at run time (strategies/threshold).

import type { Policy, ThresholdRule } from './policy.ts';
import { durationText, percentText, vmsText } from './wording.ts';

/** The part of a policy that can be judged. */
export type LintedPolicy = Pick<Policy, 'min' | 'max' | 'rules'>;

/** What is around a policy. */
export interface LintContext {
  readonly pollMs: number;
  /** How long a VM takes from its launch to its first answer. */
  readonly bootMs: number;
}

/** The part of the policy a problem is about. */
export type LintPlace =
  | { readonly field: 'min' | 'max' }
  | { readonly rule: number; readonly field: 'name' | 'threshold' | 'for' | 'by' | 'cooldown' };

export interface LintProblem {
  readonly severity: 'error' | 'warning';
  readonly place: LintPlace;
  /** One sentence for people, with the way out. */
  readonly reason: string;
}

export const DEFAULT_LINT_CONTEXT: LintContext = { pollMs: 1000, bootMs: 3000 };

/** All problems; a policy with an error must not be put in force. */
export function lintPolicy(policy: LintedPolicy, context: LintContext = DEFAULT_LINT_CONTEXT): readonly LintProblem[] {
  return [...lintSizes(policy), ...policy.rules.flatMap((rule, index) => lintRule(rule, index, policy, context))];
}

function lintSizes({ min, max, rules }: LintedPolicy): readonly LintProblem[] {
  const problems: LintProblem[] = [];
  const tell = (severity: LintProblem['severity'], field: 'min' | 'max', reason: string) =>
    problems.push({ severity, place: { field }, reason });
  if (max < 1) tell('error', 'max', `max must be at least 1, not ${max}`);
  else if (min > max) tell('error', 'min', `min (${min}) is above max (${max})`);
  if (min === 0 && rules.length > 0) {
    tell(
      'warning',
      'min',
      'with min 0 a group that has been emptied by hand stays empty: without a VM no CPU is measured',
    );
  }
  return problems;
}

function lintRule(
  rule: ThresholdRule,
  index: number,
  policy: LintedPolicy,
  { pollMs, bootMs }: LintContext,
): readonly LintProblem[] {
  const problems: LintProblem[] = [];
  const tell = (
    severity: LintProblem['severity'],
    field: 'name' | 'threshold' | 'for' | 'by' | 'cooldown',
    reason: string,
  ) => problems.push({ severity, place: { rule: index, field }, reason });
  const out = rule.direction === 'out';
  const { thresholdPercent, by } = rule;

  if (policy.rules.findIndex(({ name }) => name === rule.name) < index) {
    tell('error', 'name', `there is another rule named ${rule.name}; name it differently`);
  }
  if (!(thresholdPercent >= 0 && thresholdPercent <= 100)) {
    tell('error', 'threshold', `a threshold is a percentage from 0 to 100, not ${thresholdPercent}`);
  } else if (thresholdPercent === (out ? 100 : 0)) {
    const side = out ? 'above 100' : 'below 0';
    tell('error', 'threshold', `CPU is never ${side} %, so this rule could never fire`);
  } else if (!out) {
    const flapping = flapsWith(rule, policy);
    if (flapping !== undefined) tell('error', 'threshold', flapping);
  }
  if (by > policy.max - policy.min && policy.max >= policy.min) {
    const reason = `${vmsText(by)} at once is more than lie between min (${policy.min}) and max (${policy.max})`;
    tell('warning', 'by', reason);
  }
  if (rule.forMs < pollMs) {
    const reason = `for ${durationText(rule.forMs)} is shorter than the poll interval (${durationText(pollMs)}): a single reading decides`;
    tell('warning', 'for', reason);
  }
  if (rule.cooldownMs < bootMs) {
    const reason = `a cooldown of ${durationText(rule.cooldownMs)} is over before a new VM serves (about ${durationText(bootMs)})`;
    tell('warning', 'cooldown', reason);
  }
  return problems;
}

/**
 * Removing `by` of n VMs raises a mean just below the scale-in threshold to threshold·n/(n−by). Where that reaches a scale-out
 * threshold, a constant load is scaled in and out for ever. It is worst for the smallest group from which `by` can go.
 */
function flapsWith(rule: ThresholdRule, { min, max, rules }: LintedPolicy): string | undefined {
  const out = rules
    .filter((other) => other.direction === 'out')
    .reduce<ThresholdRule | undefined>(
      (lowest, other) => (lowest === undefined || other.thresholdPercent < lowest.thresholdPercent ? other : lowest),
      undefined,
    );
  if (out === undefined) return undefined;
  const { thresholdPercent: below, by } = rule;
  const above = out.thresholdPercent;
  if (below >= above) {
    return `below ${percentText(below)} must be less than the ${percentText(above)} of rule ${out.name}: between them the group would scale both ways`;
  }
  const left = Math.max(min, 1);
  const from = left + by;
  if (from > max || (below * from) / left < above) return undefined;
  const projected = (below * from) / left;
  return (
    `the group must flap: ${vmsText(from)} at ${percentText(below)} are ${percentText(projected)} on the ${vmsText(left)} left when ${by} ${by === 1 ? 'goes' : 'go'}, ` +
    `which sets off rule ${out.name} (above ${percentText(above)}); use a threshold below ${percentText(Math.floor(((above * left) / from) * 10) / 10)}` +
    (by > 1 ? ' or remove fewer at once' : '')
  );
}
