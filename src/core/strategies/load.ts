// What a reading says about the group's load, and how many VMs would carry it. Not here: what a rule makes of it.

import { vmsFor } from '../change.ts';
import { isPercent, type Metric, type MetricReading, metricKey } from '../metric.ts';
import { FULL_PERCENT, type ScaleRule } from '../policy.ts';
import type { Situation } from './strategy.ts';

const NONE: MetricReading = { expected: 0, measured: 0 };

export function readingOf(metric: Metric, { readings }: Situation): MetricReading {
  return readings.get(metricKey(metric)) ?? NONE;
}

/**
 * The load that is known, in the metric's unit summed over VMs: those without data carry none. A maximum or percentile says so much
 * about VMs that were measured, and nothing about the others.
 */
export function knownLoad({ aggregate, scope }: Metric, reading: MetricReading, { inService }: Situation): number {
  const { low = 0, expected, measured, ofGroup } = reading;
  if (scope === 'total') return low;
  if (ofGroup) return low * Math.max(1, inService);
  return low * (aggregate === 'mean' ? expected : measured);
}

/** The largest that the load may be, VMs without data being busy; undefined when nobody knows. */
export function largestLoad({ scope }: Metric, reading: MetricReading, { inService }: Situation): number | undefined {
  if (reading.high === undefined) return undefined;
  // VMs that are warming up carry their share, too.
  return scope === 'total' ? reading.high : reading.high * Math.max(inService, reading.expected);
}

/** VMs that are there or on their way, whatever they are counted as: what the load will be spread over. */
export function capacityOf({ inService, launching, desired }: Situation): number {
  return Math.max(inService + launching, desired);
}

/** VMs that do not take their share of the load yet, or whose values do not count yet. */
export function warmingIn({ scope }: Metric, { expected, ofGroup }: MetricReading, situation: Situation): number {
  const { inService, launching } = situation;
  return launching + (scope === 'total' || ofGroup ? 0 : Math.max(0, inService - expected));
}

/**
 * True until something has been measured that began after the last removal: what was measured before is a share among more VMs, and
 * taken for one among those that are left the load would be too small.
 */
export function isSettling({ scope }: Metric, { sinceMs }: MetricReading, { lastInAtMs }: Situation): boolean {
  return scope === 'mean' && lastInAtMs !== undefined && sinceMs !== undefined && sinceMs < lastInAtMs;
}

export const SETTLING_TEXT = 'what is left after the last removal has not been measured yet';

/** Why nobody may remove anything now, whatever the load: one sentence. */
export function silentText(silentHosts: readonly string[]): string {
  const who = silentHosts.length === 1 ? `host ${silentHosts[0]} does` : `hosts ${silentHosts.join(', ')} do`;
  return `${who} not answer: nothing is removed on a stale picture.`;
}

/**
 * The smallest size at which no scale-out rule would be set off by the present load, and the rule that forbids a smaller one. Infinite
 * (and without a limit) where nobody knows a rule's load.
 */
export interface SafeSize {
  readonly size: number;
  readonly rule?: ScaleRule;
  readonly metric?: Metric;
  /** A mean above this sets `rule` off. */
  readonly limit?: number;
}

/**
 * Load that stays the same is shared by fewer VMs when some go. Where that would set off a scale-out rule they had to come back.
 * (Azure's flap check; there a smaller step is tried, too.)
 */
export function safeSize(situation: Situation): SafeSize {
  let safe: SafeSize = { size: 0 };
  for (const rule of situation.rules) {
    const limit = outLimit(rule);
    if (limit === undefined || !('metric' in rule)) continue;
    const reading = readingOf(rule.metric, situation);
    const load = largestLoad(rule.metric, reading, situation);
    const isUnknown = load === undefined || isSettling(rule.metric, reading, situation);
    if (isUnknown) return { size: Number.POSITIVE_INFINITY, rule, metric: rule.metric };
    // A total is the same however many VMs share it: only a target, which is per VM, is nearer with fewer of them.
    if (rule.metric.scope === 'total' && rule.type !== 'target') continue;
    const needed = load <= 0 ? 0 : limit <= 0 ? Number.POSITIVE_INFINITY : vmsFor(load, limit);
    // Without any VM there is nothing of theirs to measure: whether the last one goes is for numbers of the whole group to say.
    const size = needed === 1 && !reading.ofGroup ? 0 : needed;
    if (size > safe.size) safe = { size, rule, metric: rule.metric, limit };
  }
  return safe;
}

/** The value per VM above which a rule scales out; undefined for rules that do not. */
export function outLimit(rule: ScaleRule): number | undefined {
  if (rule.type === 'target') {
    const limit = rule.target * (1 + rule.tolerance.up);
    return rule.boost !== undefined && isPercent(rule.metric) ? Math.min(limit, FULL_PERCENT) : limit;
  }
  if (rule.type === 'threshold') return rule.direction === 'out' ? rule.threshold : undefined;
  if (rule.type === 'step') return rule.direction === 'out' ? rule.bands[0]?.bound : undefined;
  return undefined;
}
