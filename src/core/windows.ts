// Means over a time, laid over the readings of a metric. Not here: measuring (readings), comparing (strategies/).

import type { Point, TransientMemory } from './memory.ts';
import { isPercent, type Metric, type MetricReading, metricKey } from './metric.ts';
import type { ScaleRule } from './policy.ts';

type Windows = NonNullable<TransientMemory['windows']>;

/** Values that come closer together than this part of the window are kept as their mean: what a window remembers is bounded. */
const PARTS = 60;

export interface Windowed {
  readonly readings: ReadonlyMap<string, MetricReading>;
  /** What is to be remembered; absent: no rule wants a window. */
  readonly windows?: Windows;
}

/**
 * The readings with those of windows replaced by their means. What is averaged is the load: each VM's value times VMs, shared then by the
 * VMs of now. (Values from when there were fewer would be too high, and a rule would scale out for the same load again.)
 * A moment without data costs the mean that scale-in is judged by its whole
 * window, and so does one at which VMs could not be busier; what scale-out is judged by goes on with what there is.
 */
export function layWindows(
  rules: readonly ScaleRule[],
  readings: ReadonlyMap<string, MetricReading>,
  before: Windows | undefined,
  { inService, lastInAtMs, nowMs }: Around,
): Windowed {
  let laid: Map<string, MetricReading> | undefined;
  const windows: Record<string, Windows[string]> = {};
  for (const rule of rules) {
    if (!('metric' in rule) || rule.metric.overMs === 0) continue;
    const key = metricKey(rule.metric);
    if (laid?.has(key)) continue;
    laid ??= new Map(readings);
    const remembered = before !== undefined && Object.hasOwn(before, key) ? before[key] : undefined;
    const reading = readings.get(key) ?? NOTHING;
    const sharers = sharersOf(rule.metric, reading, inService);
    const isShared = rule.metric.scope === 'mean';
    const isOld = isShared && lastInAtMs !== undefined && (reading.sinceMs ?? nowMs) < lastInAtMs;
    const window = isOld ? (remembered ?? NO_WINDOW) : nextWindow(rule.metric, reading, sharers, remembered, nowMs);
    windows[key] = window;
    laid.set(key, overWindow(rule.metric, reading, sharers, window, nowMs));
  }
  return laid === undefined ? { readings } : { readings: laid, windows };
}

/** What is around the readings. */
export interface Around {
  readonly inService: number;
  /** What was measured before the last removal was shared by more VMs than there are: it says too little, and is left out. */
  readonly lastInAtMs?: number | undefined;
  readonly nowMs: number;
}

const NO_WINDOW: Windows[string] = { low: [], high: [] };
/** Percent. VMs that are this busy may have more to do than anybody can see. */
const SATURATED = 99;

const NOTHING: MetricReading = { expected: 0, measured: 0 };

/** VMs whose value it is. */
function sharersOf({ scope }: Metric, { expected, ofGroup }: MetricReading, inService: number): number {
  if (scope === 'total') return 1;
  return Math.max(1, ofGroup ? inService : expected);
}

function nextWindow(
  metric: Metric,
  { low: lowNow, high: highNow }: MetricReading,
  sharers: number,
  before: Windows[string] | undefined,
  nowMs: number,
): Windows[string] {
  const { overMs } = metric;
  const low = before?.low ?? [];
  const isSaturated = isPercent(metric) && metric.scope === 'mean' && (highNow ?? 0) >= SATURATED;
  return {
    low: lowNow === undefined ? pruned(low, overMs, nowMs) : appended(low, lowNow * sharers, overMs, nowMs),
    high: highNow === undefined || isSaturated ? [] : appended(before?.high ?? [], highNow * sharers, overMs, nowMs),
  };
}

function overWindow(
  { overMs }: Metric,
  reading: MetricReading,
  sharers: number,
  window: Windows[string],
  nowMs: number,
): MetricReading {
  const { value: _value, low, high, ...rest } = reading;
  const begun = window.high[0]?.atMs;
  const covered = begun !== undefined && begun <= nowMs - overMs;
  const lowMean = low === undefined || window.low.length === 0 ? undefined : meanOf(window.low) / sharers;
  return {
    ...rest,
    ...(lowMean !== undefined && { value: lowMean, low: lowMean }),
    ...(high !== undefined && covered && { high: meanOf(window.high) / sharers }),
    ...(high !== undefined && !covered && { problem: 'its window is not full yet' }),
  };
}

/** One point at or before the window's beginning is kept: it shows that the window is covered. */
function pruned(points: readonly Point[], overMs: number, nowMs: number): readonly Point[] {
  let first = 0;
  for (;;) {
    const [point, next] = [points[first], points[first + 1]];
    if (point === undefined) break;
    const needless = next !== undefined && next.atMs <= nowMs - overMs;
    if (!needless && point.atMs >= nowMs - 2 * overMs) break;
    first += 1;
  }
  return first === 0 ? points : points.slice(first);
}

function appended(points: readonly Point[], value: number, overMs: number, nowMs: number): readonly Point[] {
  const kept = pruned(points, overMs, nowMs).slice();
  const last = kept.at(-1);
  if (last !== undefined && nowMs - last.atMs < overMs / PARTS) {
    const count = (last.count ?? 1) + 1;
    kept[kept.length - 1] = { atMs: last.atMs, value: last.value + (value - last.value) / count, count };
  } else kept.push({ atMs: nowMs, value });
  return kept;
}

function meanOf(points: readonly Point[]): number {
  let [sum, count] = [0, 0];
  for (const point of points) {
    const times = point.count ?? 1;
    sum += point.value * times;
    count += times;
  }
  return sum / Math.max(1, count);
}
