// What each metric of a group's rules is now, from its VMs and from what others say. VMs that are warming up are not in it, except in a
// total. Not here: means over a time (windows), comparing (strategies/).

import type { Member } from './membership.ts';
import { isPercent, type Metric, type MetricReading, metricKey, type VmMetricName } from './metric.ts';
import type { GroupView, OutsideValue } from './model.ts';
import type { ScaleRule } from './policy.ts';

export interface ReadingsInput {
  readonly members: readonly Member[];
  readonly group: GroupView;
  readonly rules: readonly ScaleRule[];
  readonly warmupMs: number;
  readonly nowMs: number;
  readonly staleAfterMs: number;
}

/** A number from outside is missing data when it is older than this, or than three polls. */
const OUTSIDE_STALE_MS = 60_000;

/** What rules measure on each VM. */
export function wantedStats(rules: readonly ScaleRule[]): ReadonlySet<VmMetricName> {
  const wanted = new Set<VmMetricName>();
  for (const rule of rules) {
    if ('metric' in rule && rule.metric.source.kind === 'vm') wanted.add(rule.metric.source.name);
  }
  return wanted;
}

/** By `metricKey`: one reading of each metric that a rule names. */
export function readMetrics(input: ReadingsInput): ReadonlyMap<string, MetricReading> {
  const readings = new Map<string, MetricReading>();
  for (const rule of input.rules) {
    if (!('metric' in rule)) continue;
    const key = metricKey(rule.metric);
    if (!readings.has(key)) readings.set(key, readMetric(rule.metric, key, input));
  }
  return readings;
}

function readMetric(metric: Metric, key: string, input: ReadingsInput): MetricReading {
  const { group } = input;
  if (metric.source.kind === 'vm') {
    const { name } = metric.source;
    return overVms(metric, input, ({ values }) => values[name]);
  }
  const outside = group.outside !== undefined && Object.hasOwn(group.outside, key) ? group.outside[key] : undefined;
  if (outside !== undefined && 'values' in outside) {
    const { values } = outside;
    return overVms(metric, input, ({ view: { record } }) => {
      const said = Object.hasOwn(values, record.uuid) ? values[record.uuid] : undefined;
      return said?.value !== undefined && outsideProblem(said, input) === undefined
        ? { value: said.value, fromMs: said.atMs }
        : undefined;
    });
  }
  return ofGroup(outside, input);
}

function ofGroup(outside: OutsideValue | undefined, input: ReadingsInput): MetricReading {
  const problem = outsideProblem(outside, input);
  if (outside?.value === undefined || problem !== undefined) {
    return { expected: 1, measured: 0, ofGroup: true, problem: problem ?? 'there is no value' };
  }
  const { value, atMs } = outside;
  return {
    value,
    low: value,
    high: value,
    expected: 1,
    measured: 1,
    ofGroup: true,
    sinceMs: Math.min(atMs, input.nowMs),
  };
}

/** Why a number from outside is missing data; undefined when it is not. One from the future is as wrong as an old one. */
function outsideProblem(said: OutsideValue | undefined, { nowMs, staleAfterMs }: ReadingsInput): string | undefined {
  if (said === undefined) return 'nobody has said it yet';
  if (said.value === undefined) return said.problem ?? 'there is no value';
  if (!Number.isFinite(said.value)) return `it is not a number (${said.value})`;
  const ageMs = nowMs - said.atMs;
  if (Math.abs(ageMs) > Math.max(OUTSIDE_STALE_MS, staleAfterMs)) {
    return ageMs < 0 ? 'it is said to be from the future' : `the last value is ${Math.round(ageMs / 1000)} s old`;
  }
  return undefined;
}

function overVms(
  metric: Metric,
  { members, nowMs, warmupMs }: ReadingsInput,
  measureOf: (member: Member) => { readonly value: number; readonly fromMs: number } | undefined,
): MetricReading {
  const values: number[] = [];
  let [expected, sinceMs] = [0, Number.NEGATIVE_INFINITY];
  for (const member of members) {
    const { record } = member.view;
    if (record.phase !== 'in-service') continue;
    // A total is all there is: what warming VMs carry is a part of it.
    if (metric.scope === 'mean' && nowMs < (record.servedSinceMs ?? record.phaseAtMs) + warmupMs) continue;
    expected += 1;
    const measured = measureOf(member);
    if (measured === undefined || !Number.isFinite(measured.value)) continue;
    values.push(measured.value);
    sinceMs = Math.max(sinceMs, measured.fromMs);
  }
  if (values.length === 0) return { expected, measured: 0 };
  const missing = expected - values.length;
  const high =
    missing === 0
      ? aggregated(metric, values, 0, 0)
      : isPercent(metric)
        ? aggregated(metric, values, missing, 100)
        : undefined;
  return {
    value: aggregated(metric, values, 0, 0),
    low: aggregated(metric, values, missing, 0),
    ...(high !== undefined && { high }),
    expected,
    measured: values.length,
    sinceMs,
  };
}

/** The group's value with `missing` further VMs of value `assumed`. A percentile is that of the nearest rank. */
function aggregated({ aggregate, scope }: Metric, values: readonly number[], missing: number, assumed: number): number {
  const count = values.length + missing;
  if (scope === 'total' || aggregate === 'mean') {
    const sum = values.reduce((total, value) => total + value, missing * assumed);
    return scope === 'total' ? sum : sum / count;
  }
  if (aggregate === 'max') {
    const highest = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
    return missing > 0 ? Math.max(highest, assumed) : highest;
  }
  const sorted = [...values, ...Array.from({ length: missing }, () => assumed)].sort((a, b) => a - b);
  return sorted[Math.min(count, Math.max(1, Math.ceil((aggregate.percentile / 100) * count))) - 1] ?? 0;
}
