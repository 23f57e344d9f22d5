// Strategy `forecast`: raises the floor ahead of a learned pattern; it never scales in. Not here: learning (forecast of core).

import { vmsFor } from '../change.ts';
import type { RuleVerdict } from '../decision.ts';
import { metricText, metricUnit } from '../metric.ts';
import type { ForecastRule } from '../policy.ts';
import { amountText, durationText, vmsText } from '../wording.ts';
import type { Strategy } from './strategy.ts';

export const forecast: Strategy<ForecastRule> = {
  judge(rule, { group, desired, wording }) {
    const view = group.forecasts?.find((known) => known.rule === rule.name);
    const said = {
      rule: rule.name,
      type: 'forecast',
      direction: 'floor',
      metric: metricText(rule.metric),
      unit: metricUnit(rule.metric),
      threshold: rule.target,
    } as const;
    const demand = view?.demand;
    if (demand === undefined || !Number.isFinite(demand)) {
      const text = wording ? (view?.text ?? 'Nothing has been learned yet.') : '';
      return { verdict: { ...said, verdict: 'idle', recommends: 0, text } };
    }
    const floor = floorOf(rule, demand);
    const missing = Math.max(0, floor - desired);
    const verdict: RuleVerdict['verdict'] = missing > 0 ? 'fires' : 'quiet';
    const ahead = wording
      ? `Within ${durationText(rule.leadMs)} up to ${amountText(demand, said.unit)} in all are expected: ${vmsText(floor)} at ${amountText(rule.target, said.unit)}. ${view?.text ?? ''}`.trim()
      : '';
    return { verdict: { ...said, verdict, value: demand, floor, recommends: missing, text: ahead } };
  },
};

/** VMs that a demand takes. */
export function floorOf({ target }: ForecastRule, demand: number): number {
  return Math.max(0, vmsFor(demand, target));
}
