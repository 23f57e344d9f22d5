// What is wrong with a policy that is well formed: limits that contradict each other, rules that must flap, numbers that allow nothing.
// Not here: reading YAML (config), or the same care at run time (strategies/).

import { lintRule } from './lint/lint-rule.ts';
import { lintWork } from './lint/lint-work.ts';
import type { Policy } from './policy.ts';

/** The part of a policy that can be judged. What is absent is not. */
export type LintedPolicy = Pick<Policy, 'min' | 'max' | 'rules'> &
  Partial<
    Pick<
      Policy,
      'capacity' | 'drainGraceMs' | 'health' | 'hooks' | 'launchDeadlineMs' | 'pace' | 'refresh' | 'warmupMs'
    >
  >;

/** What is around a policy. */
export interface LintContext {
  readonly pollMs: number;
  /** How long a VM takes from its launch to its first answer. */
  readonly bootMs: number;
}

/**
 * The part of the policy a problem is about, by the names of the file; dots lead into blocks, brackets into lists.
 * Of a rule: name, metric, over, aggregate, above, below, for, add, remove, cooldown, cooldown.out, cooldown.in, steps, steps[N],
 * steps[N].above, steps[N].below, steps[N].add, steps[N].remove, target, tolerance, cron, min, max, desired, lead.
 * Of the policy: min, max, warmup, limits.out, limits.in, limits.out.per, limits.in.per, limits.in.stabilise, limits.out.stabilise,
 * capacity, capacity.paused, hooks.launch.deadline, health.timeout, health.budget, health.failures, health.grace, refresh,
 * refresh.checkpoints, launch.deadline.
 */
export type LintPlace =
  | { readonly field: string }
  /** Index in the policy's rules. */
  | { readonly rule: number; readonly field: string };

export interface LintProblem {
  readonly severity: 'error' | 'warning';
  readonly place: LintPlace;
  /** One sentence for people, with the way out. */
  readonly reason: string;
}

/** Notes a problem with a field. */
export type Tell = (severity: LintProblem['severity'], field: string, reason: string) => void;

export const DEFAULT_LINT_CONTEXT: LintContext = { pollMs: 1000, bootMs: 3000 };

/** All problems; a policy with an error must not be put in force. */
export function lintPolicy(policy: LintedPolicy, context: LintContext = DEFAULT_LINT_CONTEXT): readonly LintProblem[] {
  const problems: LintProblem[] = [];
  const tell: Tell = (severity, field, reason) => problems.push({ severity, place: { field }, reason });
  lintSizes(policy, tell);
  policy.rules.forEach((rule, index) => {
    const tellOfRule: Tell = (severity, field, reason) =>
      problems.push({ severity, place: { rule: index, field }, reason });
    lintRule(rule, index, policy, context, tellOfRule);
  });
  lintWork(policy, context, tell);
  return problems;
}

function lintSizes({ min, max, rules }: LintedPolicy, tell: Tell): void {
  if (max < 1) tell('error', 'max', `max must be at least 1, not ${max}`);
  else if (min > max) tell('error', 'min', `min (${min}) is above max (${max})`);
  const wakes = rules.some(
    (rule) =>
      (rule.type === 'target' || (rule.type !== 'schedule' && rule.type !== 'forecast' && rule.direction === 'out')) &&
      rule.metric.source.kind !== 'vm',
  );
  if (min === 0 && rules.length > 0 && !wakes) {
    const reason =
      'with min 0 a group that has been emptied by hand stays empty: without a VM nothing of theirs is measured';
    tell('warning', 'min', `${reason}; a rule on a posted number or a query could bring it back`);
  }
}
