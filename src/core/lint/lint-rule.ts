// What is wrong with one rule of a policy. Not here: what only shows between several of them (flap).

import { vmsOf } from '../change.ts';
import type { LintContext, LintedPolicy, Tell } from '../lint-policy.ts';
import { isPercent, type Metric, metricText, metricUnit } from '../metric.ts';
import type { Change, ForecastRule, ScaleRule, ScheduleRule, StepRule, TargetRule, ThresholdRule } from '../policy.ts';
import { amountText, durationText, vmsText } from '../wording.ts';
import { bandFields, lintFlap } from './flap.ts';

export function lintRule(rule: ScaleRule, index: number, policy: LintedPolicy, context: LintContext, tell: Tell): void {
  if (policy.rules.findIndex(({ name }) => name === rule.name) < index) {
    tell('error', 'name', `there is another rule named ${rule.name}; name it differently`);
  }
  if ('metric' in rule) lintMetric(rule.metric, context, tell);
  switch (rule.type) {
    case 'threshold':
    case 'step':
      lintBands(rule, policy, context, tell);
      break;
    case 'target':
      lintTarget(rule, policy, context, tell);
      break;
    case 'schedule':
      lintSchedule(rule, policy, tell);
      break;
    case 'forecast':
      lintForecast(rule, context, tell);
      break;
  }
}

function lintMetric({ overMs, aggregate }: Metric, { pollMs }: LintContext, tell: Tell): void {
  if (!(overMs >= 0)) tell('error', 'over', 'a window cannot be negative');
  else if (overMs > 0 && overMs < pollMs) {
    const reason = `a window of ${durationText(overMs)} is shorter than the poll interval (${durationText(pollMs)}): it holds a single reading`;
    tell('warning', 'over', reason);
  }
  if (typeof aggregate !== 'string' && !(aggregate.percentile > 0 && aggregate.percentile <= 100)) {
    tell('error', 'aggregate', `a percentile is above 0 and at most 100, not ${aggregate.percentile}`);
  }
}

/** The bounds of a rule as fields of the file. */
function lintBands(rule: ThresholdRule | StepRule, policy: LintedPolicy, context: LintContext, tell: Tell): void {
  const { direction, metric } = rule;
  const isOut = direction === 'out';
  const bands = bandFields(rule);
  if (bands.length === 0) {
    tell('error', 'steps', 'a step rule needs at least one step');
    return;
  }
  let isSound = true;
  bands.forEach(({ bound, by, boundField, byField }, place) => {
    const impossible = boundProblem(metric, bound, isOut);
    if (impossible !== undefined) {
      tell('error', boundField, impossible);
      isSound = false;
    }
    const before = bands[place - 1];
    if (before !== undefined && (isOut ? bound <= before.bound : bound >= before.bound)) {
      const order = isOut ? 'rise' : 'fall';
      tell('error', boundField, `steps must ${order}: ${bound} comes after ${before.bound}`);
      isSound = false;
    }
    const weaker = before === undefined ? undefined : sizesOf(policy).find((n) => vmsOf(by, n) < vmsOf(before.by, n));
    if (before !== undefined && weaker !== undefined) {
      const verb = isOut ? 'add' : 'remove';
      const reason = `with ${vmsText(weaker)} this step would ${verb} ${vmsOf(by, weaker)}, fewer than the ${vmsOf(before.by, weaker)} of the step before: the farther, the more`;
      tell('error', byField, reason);
    }
    lintChange(by, byField, policy, tell);
  });
  if (isSound && !isOut) lintFlap(rule, policy, tell);
  lintFor(rule.forMs, context, tell);
  lintCooldown(rule.cooldownMs, 'cooldown', context, tell);
}

function boundProblem(metric: Metric, bound: number, isOut: boolean): string | undefined {
  const isShare = isPercent(metric) && metric.scope === 'mean';
  if (isShare && !(bound >= 0 && bound <= 100)) return `a threshold is a percentage from 0 to 100, not ${bound}`;
  if (!Number.isFinite(bound)) return `a threshold is a number, not ${bound}`;
  if (isShare && bound === (isOut ? 100 : 0)) {
    const what = metricText(metric) === 'cpu' ? 'CPU' : metricText(metric);
    return `${what} is never ${isOut ? 'above 100' : 'below 0'} %, so this rule could never fire`;
  }
  if (metric.source.kind === 'vm' && (isOut ? bound < 0 : bound <= 0)) {
    return `${metricText(metric)} is never below 0, so this rule would ${isOut ? 'always' : 'never'} fire`;
  }
  return undefined;
}

function lintChange(by: Change, field: string, { min, max }: LintedPolicy, tell: Tell): void {
  const size = 'vms' in by ? by.vms : by.percent;
  if (!(size > 0) || ('vms' in by && !Number.isInteger(by.vms))) {
    tell('error', field, `needs a whole number of VMs, at least 1, or a positive percentage, not ${size}`);
    return;
  }
  if ('vms' in by && by.vms > max - min && max >= min) {
    const reason = `${vmsText(by.vms)} at once is more than lie between min (${min}) and max (${max})`;
    tell('warning', field, reason);
  }
}

function lintTarget(rule: TargetRule, policy: LintedPolicy, context: LintContext, tell: Tell): void {
  const { target, metric, tolerance, forMs, cooldownMs } = rule;
  const unit = metricUnit(metric);
  let isSound = true;
  const refuse = (field: string, reason: string) => {
    tell('error', field, reason);
    isSound = false;
  };
  if (!(target > 0) || !Number.isFinite(target)) refuse('target', `a target must be positive, not ${target}`);
  else if (isPercent(metric) && metric.scope === 'mean') {
    const top = target * (1 + tolerance.up);
    if (target >= 100)
      refuse('target', `a target of ${amountText(target, unit)} cannot be exceeded, so nothing would ever be added`);
    else if (top >= 100) {
      refuse(
        'tolerance',
        `with this tolerance VMs are only added above ${amountText(top, unit)}, which never happens; use a lower target or tolerance`,
      );
    } else if (target > 85) {
      tell(
        'warning',
        'target',
        `at ${amountText(target, unit)} there is hardly any room for load that grows while new VMs are on their way`,
      );
    }
  }
  if (!(tolerance.up >= 0 && Number.isFinite(tolerance.up))) refuse('tolerance', 'a tolerance cannot be negative');
  if (!(tolerance.down >= 0)) refuse('tolerance', 'a tolerance cannot be negative');
  else if (tolerance.down >= 1)
    refuse('tolerance', 'a tolerance of 100 % or more downwards would never remove anything');
  if (isSound) lintFlap(rule, policy, tell);
  if (forMs > 0) lintFor(forMs, context, tell);
  if (cooldownMs.out > 0) lintCooldown(cooldownMs.out, 'cooldown.out', context, tell);
}

function lintFor(forMs: number, { pollMs }: LintContext, tell: Tell): void {
  if (forMs >= pollMs) return;
  const reason = `for ${durationText(forMs)} is shorter than the poll interval (${durationText(pollMs)}): a single reading decides`;
  tell('warning', 'for', reason);
}

function lintCooldown(cooldownMs: number, field: string, { bootMs }: LintContext, tell: Tell): void {
  if (cooldownMs >= bootMs) return;
  const reason = `a cooldown of ${durationText(cooldownMs)} is over before a new VM serves (about ${durationText(bootMs)})`;
  tell('warning', field, reason);
}

function lintSchedule({ min, max, desired, forMs }: ScheduleRule, policy: LintedPolicy, tell: Tell): void {
  if (min === undefined && max === undefined && desired === undefined) {
    tell('error', 'cron', 'a schedule needs min, max or desired: this one changes nothing');
  }
  if (!(forMs > 0)) tell('error', 'for', 'a schedule must hold for some time, such as for: 1h');
  const [bottom, top] = [min ?? policy.min, max ?? policy.max];
  if (max !== undefined && max < 1) tell('error', 'max', `max must be at least 1, not ${max}`);
  else if (bottom > top) {
    const [field, whose] =
      min === undefined ? ['max', "the policy's"] : ['min', max === undefined ? "the policy's" : 'its'];
    const reason =
      min === undefined
        ? `max (${top}) is below ${whose} min (${bottom})`
        : `min (${bottom}) is above ${whose} max (${top})`;
    tell('error', field, reason);
  } else if (desired !== undefined && (desired < bottom || desired > top)) {
    tell('error', 'desired', `desired (${desired}) is not between min (${bottom}) and max (${top}) while it holds`);
  }
}

const DAY_MS = 86_400_000;

function lintForecast({ target, metric, leadMs }: ForecastRule, { bootMs, pollMs }: LintContext, tell: Tell): void {
  if (!(target > 0) || !Number.isFinite(target)) tell('error', 'target', `a target must be positive, not ${target}`);
  else if (isPercent(metric) && metric.scope === 'mean' && target > 100) {
    tell('error', 'target', `a target of ${target} % is more than a VM has`);
  }
  if (!(leadMs > 0)) tell('error', 'lead', 'a forecast must look ahead, such as lead: 10m');
  else if (leadMs < bootMs + pollMs) {
    tell(
      'warning',
      'lead',
      `${durationText(leadMs)} ahead is too late: a new VM serves after about ${durationText(bootMs)}`,
    );
  } else if (leadMs > DAY_MS) {
    tell(
      'warning',
      'lead',
      `more than a day ahead the floor is always that of the daily peak: a larger min says so more simply`,
    );
  }
}

/** Sizes from which a rule may act; of a large range, those where rounding matters, and its end. */
function sizesOf({ min, max }: LintedPolicy): readonly number[] {
  const first = Math.max(1, min);
  if (!(max >= first)) return [];
  const count = Math.min(max - first + 1, 200);
  return [...Array.from({ length: count }, (_, i) => first + i), max];
}
