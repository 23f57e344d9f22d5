// Decisions that an older version wrote, brought into the form of today: history, so what they never said stays unsaid.
// Not here: reading rows (records.ts).

import type { Decision, LoggedDecision, RuleVerdict, SizeStep } from '../../core/decision.ts';

/** Up to 0.1: percent of the CPU was all that a rule could measure. */
interface OlderVerdict extends Omit<RuleVerdict, 'type' | 'unit' | 'value' | 'threshold'> {
  readonly valuePercent?: number;
  readonly thresholdPercent: number;
}

const STEPS: Partial<Readonly<Record<Decision['cause'], SizeStep['step']>>> = { rule: 'rules', limits: 'bounds' };

/** As it is, when it has the form of today. */
export function ofToday(decision: LoggedDecision): LoggedDecision {
  const { counts, verdicts, steps } = decision as {
    readonly counts?: Decision['counts'] & { readonly standby?: number };
    readonly verdicts?: readonly (RuleVerdict | OlderVerdict)[];
    readonly steps?: readonly SizeStep[];
  };
  const isOld = verdicts?.some((verdict) => 'thresholdPercent' in verdict) ?? false;
  if (!isOld && steps !== undefined && counts?.standby !== undefined) return decision;
  return {
    ...decision,
    ...(counts && { counts: { ...counts, standby: counts.standby ?? 0 } }),
    ...(verdicts && { verdicts: verdicts.map(verdictOfToday) }),
    steps: steps ?? stepsOf(decision),
  };
}

function verdictOfToday(verdict: RuleVerdict | OlderVerdict): RuleVerdict {
  if (!('thresholdPercent' in verdict)) return verdict;
  const { valuePercent, thresholdPercent, ...rest } = verdict;
  return {
    ...rest,
    type: 'threshold',
    unit: '%',
    threshold: thresholdPercent,
    ...(valuePercent !== undefined && { value: valuePercent }),
  };
}

/** Steps lead from the size before to the one after; an older decision only knew both ends. */
function stepsOf({ desiredBefore, desired, cause, text }: Decision): readonly SizeStep[] {
  if (desiredBefore === desired) return [];
  return [{ step: STEPS[cause] ?? 'limits', from: desiredBefore, to: desired, text }];
}
