// Strategy `threshold`: while the group's mean CPU has been beyond N percent for a time, add or remove M VMs.
// Not here: the limits of the group, and what other rules say (decide).

import type { RuleVerdict } from '../decision.ts';
import { cautiousMean } from '../group-cpu.ts';
import type { ThresholdRule } from '../policy.ts';
import { durationText, percentText, vmsText } from '../wording.ts';
import type { Judgement, Situation, Strategy } from './strategy.ts';

/** What keeps a rule that has crossed for long enough from firing, or how many VMs it recommends. */
type Outcome =
  | { readonly verdict: 'cooling-down' | 'warming' | 'would-flap'; readonly text: string }
  | { readonly verdict: 'fires'; readonly recommends: number; readonly text: string };

export const threshold: Strategy<ThresholdRule> = {
  judge(rule, situation, crossedBeforeMs) {
    const { nowMs, cpu, silentHosts } = situation;
    const value = cautiousMean(cpu, rule.direction);
    if (rule.direction === 'in' && silentHosts.length > 0) {
      const who = silentHosts.length === 1 ? `host ${silentHosts[0]} does` : `hosts ${silentHosts.join(', ')} do`;
      return told(rule, value, undefined, 'no-data', `${who} not answer: nothing is removed on a stale picture.`);
    }
    if (value === undefined) {
      const text =
        cpu.inService === 0 ? 'No VM is in service, so there is no CPU to measure.' : 'No VM has fresh CPU data.';
      // Scale-out goes on counting through a gap in the data; scale-in starts anew.
      const kept = rule.direction === 'out' ? crossedBeforeMs : undefined;
      return told(rule, undefined, kept, 'no-data', text);
    }
    const seen = `${valueText(rule, situation)}, ${rule.direction === 'out' ? 'above' : 'below'} ${percentText(rule.thresholdPercent)}`;
    const crossed = rule.direction === 'out' ? value > rule.thresholdPercent : value < rule.thresholdPercent;
    if (!crossed) {
      const side = rule.direction === 'out' ? 'not above' : 'not below';
      const text = `${valueText(rule, situation)}, ${side} ${percentText(rule.thresholdPercent)}.`;
      return told(rule, value, undefined, 'quiet', text);
    }
    // A mean over the last second that is beyond the threshold has been so for that second: three polls make `for: 3s`.
    const crossedAtMs = crossedBeforeMs ?? Math.min(cpu.sinceMs ?? nowMs, nowMs);
    const lasted = nowMs - crossedAtMs;
    if (lasted < rule.forMs) {
      const text = `${seen} for ${durationText(lasted)} of the ${durationText(rule.forMs)} it takes.`;
      return told(rule, value, crossedAtMs, 'counting', text);
    }
    const since = `${seen} for ${durationText(lasted)}`;
    const outcome =
      rule.direction === 'out' ? judgeOut(rule, situation, value, since) : judgeIn(rule, situation, value, since);
    const recommends = outcome.verdict === 'fires' ? outcome.recommends : 0;
    return told(rule, value, crossedAtMs, outcome.verdict, outcome.text, recommends);
  },
};

function judgeOut(rule: ThresholdRule, situation: Situation, value: number, since: string): Outcome {
  const { nowMs, lastOutAtMs, launching, cpu } = situation;
  const restMs = lastOutAtMs === undefined ? 0 : lastOutAtMs + rule.cooldownMs - nowMs;
  if (restMs > 0) {
    return { verdict: 'cooling-down', text: `${since}; cooling down for another ${durationText(restMs)}.` };
  }
  // Those on their way will take their share of the load as soon as they serve.
  const projected = (value * cpu.inService) / (cpu.inService + launching);
  if (launching > 0 && projected <= rule.thresholdPercent) {
    const text = `${since}; with the ${vmsText(launching)} being launched it would be ${percentText(projected)}, so those are awaited.`;
    return { verdict: 'warming', text };
  }
  return { verdict: 'fires', recommends: rule.by, text: `${since}: add ${vmsText(rule.by)}.` };
}

function judgeIn(rule: ThresholdRule, situation: Situation, value: number, since: string): Outcome {
  const { nowMs, lastOutAtMs, lastInAtMs, launching, cpu, desired, min } = situation;
  const lastAtMs = Math.max(lastOutAtMs ?? -Infinity, lastInAtMs ?? -Infinity);
  const restMs = lastAtMs + rule.cooldownMs - nowMs;
  if (restMs > 0) {
    return { verdict: 'cooling-down', text: `${since}; cooling down for another ${durationText(restMs)}.` };
  }
  if (launching > 0) {
    return { verdict: 'warming', text: `${since}; ${vmsText(launching)} are still being launched.` };
  }
  // What would stay in service; a removal that was decided before and is not done yet counts as done.
  const staying = Math.min(cpu.inService, desired);
  const removable = desired - Math.max(min, 1);
  if (removable <= 0 || staying <= 1) {
    // Nothing to project: the limits of the group will say no.
    return { verdict: 'fires', recommends: -rule.by, text: `${since}: remove ${vmsText(rule.by)}.` };
  }
  for (let by = Math.min(rule.by, removable, staying - 1); by >= 1; by -= 1) {
    const projected = (value * cpu.inService) / (staying - by);
    if (trippedBy(projected, situation) === undefined) {
      const less = by < rule.by ? ` (${rule.by} would be too many)` : '';
      return { verdict: 'fires', recommends: -by, text: `${since}: remove ${vmsText(by)}${less}.` };
    }
  }
  const projected = (value * cpu.inService) / (staying - 1);
  const tripped = trippedBy(projected, situation);
  const text = `${since}; with ${vmsText(1)} less it would be ${percentText(projected)}, above the ${percentText(tripped?.thresholdPercent ?? 100)} of rule ${tripped?.name}: the group would flap.`;
  return { verdict: 'would-flap', text };
}

/** The first scale-out rule that a mean of `percent` would set off. */
function trippedBy(percent: number, { rules }: Situation): ThresholdRule | undefined {
  return rules.find((rule) => rule.direction === 'out' && percent > rule.thresholdPercent);
}

function valueText(rule: ThresholdRule, { cpu }: Situation): string {
  const value = cautiousMean(cpu, rule.direction) ?? 0;
  const missing = cpu.inService - cpu.measured;
  if (missing === 0) return `CPU ${percentText(value)}`;
  const taken = rule.direction === 'out' ? 'idle' : 'busy';
  return `CPU ${percentText(value)} (${vmsText(missing)} without data taken for ${taken})`;
}

function told(
  rule: ThresholdRule,
  value: number | undefined,
  crossedAtMs: number | undefined,
  verdict: RuleVerdict['verdict'],
  text: string,
  recommends = 0,
): Judgement {
  const crossing = crossedAtMs === undefined ? {} : { crossedAtMs };
  return {
    verdict: {
      rule: rule.name,
      direction: rule.direction,
      verdict,
      metric: rule.metric,
      thresholdPercent: rule.thresholdPercent,
      recommends,
      text,
      ...(value !== undefined && { valuePercent: value }),
      ...crossing,
    },
    ...crossing,
  };
}
