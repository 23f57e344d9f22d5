// The parts that verdicts of measuring rules have in common. Not here: reaching them.

import type { RuleVerdict } from '../decision.ts';
import type { RuleMemory } from '../memory.ts';
import { type Metric, type MetricReading, metricText, metricUnit } from '../metric.ts';
import type { MeasuredRule } from '../policy.ts';
import { amountText, vmsText } from '../wording.ts';
import type { Judgement } from './strategy.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** What a strategy has found out so far. */
export interface Finding {
  readonly direction: RuleVerdict['direction'];
  /** What was compared, and with what. */
  readonly value?: number | undefined;
  readonly threshold: number;
  readonly crossedAtMs?: number | undefined;
  readonly side?: 'out' | 'in';
  readonly recommends?: number;
  readonly wish?: number;
}

export function judged(
  rule: MeasuredRule,
  reading: MetricReading,
  verdict: RuleVerdict['verdict'],
  found: Finding,
  text: string,
): Judgement {
  const told: Writable<RuleVerdict> = {
    rule: rule.name,
    type: rule.type,
    direction: found.direction,
    verdict,
    metric: metricText(rule.metric),
    unit: metricUnit(rule.metric),
    threshold: found.threshold,
    measured: reading.measured,
    expected: reading.expected,
    recommends: found.recommends ?? 0,
    text,
  };
  if (found.value !== undefined) told.value = found.value;
  if (found.crossedAtMs === undefined) return { verdict: told };
  told.crossedAtMs = found.crossedAtMs;
  const memory: Writable<RuleMemory> = { crossedAtMs: found.crossedAtMs };
  if (found.side !== undefined) memory.side = found.side;
  return found.wish === undefined ? { verdict: told, memory } : { verdict: told, memory, wish: found.wish };
}

/** "CPU 80 % (1 VM without data taken for idle)" */
export function valueText(metric: Metric, reading: MetricReading, value: number, direction: 'out' | 'in'): string {
  const said = `${nameText(metric)} ${amountText(value, metricUnit(metric))}`;
  const missing = reading.ofGroup ? 0 : reading.expected - reading.measured;
  if (missing <= 0) return said;
  return `${said} (${vmsText(missing)} without data taken for ${direction === 'out' ? 'idle' : 'busy'})`;
}

/** At the beginning of a sentence. */
export function nameText(metric: Metric): string {
  const { source } = metric;
  if (source.kind !== 'vm') return metricText(metric);
  return source.name === 'cpu' ? 'CPU' : `${source.name.charAt(0).toUpperCase()}${source.name.slice(1)}`;
}

/** Why there is no value: one sentence. */
export function noDataText(metric: Metric, reading: MetricReading): string {
  const what = metric.source.kind === 'vm' && metric.source.name === 'cpu' ? 'CPU' : metricText(metric);
  if (reading.problem !== undefined) return `No data for ${what}: ${reading.problem}.`;
  if (!reading.ofGroup && reading.expected === 0) return `No VM is in service, so there is no ${what} to measure.`;
  const silent = reading.expected - reading.measured;
  if (reading.measured > 0) {
    return `${vmsText(silent)} of ${reading.expected} without data for ${what}, and how busy they are nobody knows.`;
  }
  return `No VM has fresh ${what} data.`;
}
