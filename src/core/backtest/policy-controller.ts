// A policy as it is played: the very function that decides live, given readings of the model's VMs, its memory carried on.
// Not here: the model (play). What a trace says nothing of is left out and told: schedules, forecasts, and metrics other than cpu.

import type { DurableMemory } from '../memory.ts';
import { type MetricReading, metricKey } from '../metric.ts';
import type { Policy, ScaleRule } from '../policy.ts';
import { decideSize, type SizeInput } from '../size.ts';
import type { Bounds, Controller } from './controller.ts';

export type PlayablePolicy = Pick<Policy, 'min' | 'max' | 'rules' | 'pace' | 'warmupMs'>;

/** The rules that recorded requests per second can tell something to, and the names of the others. */
export function playable(rules: readonly ScaleRule[]): {
  readonly rules: readonly ScaleRule[];
  readonly left: readonly string[];
} {
  const can = rules.filter(isPlayable);
  return { rules: can, left: rules.filter((rule) => !isPlayable(rule)).map(({ name }) => name) };
}

function isPlayable(rule: ScaleRule): boolean {
  if (rule.type === 'schedule' || rule.type === 'forecast') return false;
  return rule.metric.source.kind === 'vm' && rule.metric.source.name === 'cpu';
}

export function policyController(name: string, policy: PlayablePolicy, pollMs: number, bounds: Bounds): Controller {
  const { rules } = playable(policy.rules);
  const { min, max } = bounds;
  const played = { min, max, rules, pace: policy.pace };
  const keys = new Set(rules.flatMap((rule) => ('metric' in rule ? [metricKey(rule.metric)] : [])));
  const readings = new Map<string, MetricReading>();
  let durable: DurableMemory = { paused: false, breaker: { failures: 0 }, desired: bounds.initial };
  let transient: SizeInput['transient'] = { rules: {} };
  return {
    name,
    everyMs: pollMs,
    desired(sight) {
      const reading = readingOf(sight.cpuPercent(pollMs), sight.measured(policy.warmupMs), sight.nowMs - pollMs);
      for (const key of keys) readings.set(key, reading);
      const sized = decideSize({
        policy: played,
        readings,
        inService: sight.serving,
        launching: sight.launching,
        silentHosts: NOBODY,
        group: NOTHING_MORE,
        durable,
        transient,
        nowMs: sight.nowMs,
        wording: false,
      });
      durable = sized.durable;
      transient = sized.transient;
      return sized.desired;
    },
  };
}

const NOBODY: readonly string[] = [];
const NOTHING_MORE = {};
const NO_VALUE: MetricReading = { expected: 0, measured: 0 };

/** All VMs are equally busy, and all of them tell: nothing is missing. */
function readingOf(percent: number | undefined, measured: number, sinceMs: number): MetricReading {
  if (percent === undefined || measured === 0) return NO_VALUE;
  return { value: percent, low: percent, high: percent, expected: measured, measured, sinceMs };
}
