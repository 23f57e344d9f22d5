// A group and its load in a loop, for tests: VMs boot, share the load, are measured as polls measure them (late, and not at once), and
// decideSize answers. Not here: expectations; the backtest's model, which is another one (src/core/backtest).

import fc from 'fast-check';
import { EMPTY_GROUP_MEMORY } from '../../src/core/memory.ts';
import { isPercent, type Metric, type MetricReading, metricKey } from '../../src/core/metric.ts';
import type { Change, Policy, ScaleRule } from '../../src/core/policy.ts';
import { decideSize, type Sized, type SizeInput } from '../../src/core/size.ts';

export const POLL_MS = 1000;

export type SizedPolicy = Pick<Policy, 'min' | 'max' | 'rules' | 'pace'>;

export interface Loop {
  readonly policy: SizedPolicy;
  readonly bootMs: number;
  readonly turns: number;
  readonly startSize: number;
  /** Of each metric, summed over VMs (a total: what it is), at a turn. */
  readonly loadOf: (metric: Metric, turn: number) => number;
  /** What is done to a turn's input before it is decided upon. */
  readonly tamper?: (input: SizeInput, turn: number) => SizeInput;
}

export interface Turn {
  readonly nowMs: number;
  readonly input: SizeInput;
  readonly sized: Sized;
}

interface Machine {
  readonly readyAtMs: number;
}

/** Every turn. VMs that go are gone at once; new ones serve after `bootMs` and have a value after a whole poll interval in service. */
export function play({ policy, bootMs, turns, startSize, loadOf, tamper }: Loop): readonly Turn[] {
  let machines: readonly Machine[] = Array.from({ length: startSize }, () => ({ readyAtMs: 0 }));
  let servedBefore = startSize;
  let memory = { ...EMPTY_GROUP_MEMORY, durable: { ...EMPTY_GROUP_MEMORY.durable, desired: startSize } };
  const played: Turn[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const nowMs = 1_000_000 + turn * POLL_MS;
    const serving = machines.filter(({ readyAtMs }) => readyAtMs <= nowMs);
    const measured = serving.filter(({ readyAtMs }) => readyAtMs < nowMs - POLL_MS).length;
    const readings = new Map<string, MetricReading>();
    for (const rule of policy.rules) {
      if (!('metric' in rule)) continue;
      const reading = readingOf(rule.metric, loadOf(rule.metric, turn), servedBefore, serving.length, measured, nowMs);
      readings.set(metricKey(rule.metric), reading);
    }
    const plain: SizeInput = {
      policy,
      readings,
      inService: serving.length,
      launching: machines.length - serving.length,
      silentHosts: [],
      group: {},
      ...memory,
      nowMs,
      wording: false,
    };
    const input = tamper?.(plain, turn) ?? plain;
    const sized = decideSize(input);
    played.push({ nowMs, input, sized });
    memory = { durable: { ...sized.durable, desired: sized.desired }, transient: { cpu: {}, ...sized.transient } };
    const boots = Math.max(0, sized.desired - machines.length);
    const born = Array.from({ length: boots }, () => ({ readyAtMs: nowMs + bootMs }));
    machines = [...machines, ...born].slice(0, sized.desired);
    // A decision comes just after a poll: the interval until the next one began with what served before it.
    servedBefore = serving.length;
  }
  return played;
}

function readingOf(
  metric: Metric,
  load: number,
  servedBefore: number,
  serving: number,
  measured: number,
  nowMs: number,
): MetricReading {
  const sinceMs = nowMs - POLL_MS - 20;
  if (metric.source.kind !== 'vm') {
    const value = metric.scope === 'total' ? load : load / Math.max(1, servedBefore);
    return { value, low: value, high: value, expected: 1, measured: 1, ofGroup: true, sinceMs };
  }
  const expected = serving;
  if (measured === 0) return { expected, measured: 0 };
  const share = load / Math.max(1, servedBefore);
  const value = isPercent(metric) ? Math.min(100, share) : share;
  const high = isPercent(metric) ? (value * measured + 100 * (expected - measured)) / expected : undefined;
  return {
    value,
    low: (value * measured) / expected,
    ...(expected === measured ? { high: value } : high !== undefined && { high }),
    expected,
    measured,
    sinceMs,
  };
}

const METRICS: readonly Metric[] = [
  { source: { kind: 'vm', name: 'cpu' }, aggregate: 'mean', overMs: 0, scope: 'mean' },
  { source: { kind: 'vm', name: 'cpu' }, aggregate: 'mean', overMs: 5000, scope: 'mean' },
  { source: { kind: 'vm', name: 'memory' }, aggregate: 'mean', overMs: 0, scope: 'mean' },
  { source: { kind: 'vm', name: 'network' }, aggregate: 'mean', overMs: 0, scope: 'mean' },
  { source: { kind: 'posted', name: 'jobs' }, aggregate: 'mean', overMs: 0, scope: 'total' },
  { source: { kind: 'query', query: 'latency' }, aggregate: 'mean', overMs: 0, scope: 'mean' },
];

const anyMetric = fc.constantFrom(...METRICS);
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ vms: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ percent: fc.constantFrom(10, 25, 50, 100) }),
);
const anyBound = fc.integer({ min: 1, max: 99 });
const anyMs = fc.constantFrom(0, 0, 1000, 2500, 8000);

/** Rules that measure, of every type; names are given by `anyPolicy`. */
export const anyRule: fc.Arbitrary<ScaleRule> = fc.oneof(
  fc.record({
    name: fc.constant(''),
    type: fc.constant('threshold' as const),
    metric: anyMetric,
    direction: fc.constantFrom('out' as const, 'in' as const),
    threshold: anyBound,
    forMs: anyMs,
    by: anyChange,
    cooldownMs: anyMs,
  }),
  fc
    .record({
      metric: anyMetric,
      direction: fc.constantFrom('out' as const, 'in' as const),
      bounds: fc.uniqueArray(anyBound, { minLength: 1, maxLength: 3 }),
      first: fc.integer({ min: 1, max: 2 }),
      forMs: anyMs,
      cooldownMs: anyMs,
    })
    .map(({ bounds, first, ...rest }) => {
      const sorted = bounds.sort((a, b) => (rest.direction === 'out' ? a - b : b - a));
      return {
        name: '',
        type: 'step' as const,
        bands: sorted.map((bound, i) => ({ bound, by: { vms: first + i } })),
        ...rest,
      };
    }),
  fc.record({
    name: fc.constant(''),
    type: fc.constant('target' as const),
    metric: anyMetric,
    target: fc.integer({ min: 5, max: 90 }),
    tolerance: fc.record({ up: fc.constantFrom(0, 0.02, 0.1, 0.3), down: fc.constantFrom(0, 0.1, 0.5) }),
    forMs: anyMs,
    cooldownMs: fc.record({ out: anyMs, in: anyMs }),
  }),
);

const anyLimit = fc
  .record({
    stabiliseMs: fc.constantFrom(0, 0, 0, 3000, 15_000),
    rate: fc.option(
      fc.record({
        windowMs: fc.constantFrom(2000, 10_000),
        vms: fc.integer({ min: 1, max: 3 }),
        percent: fc.constantFrom(10, 100),
      }),
      { nil: undefined },
    ),
  })
  .map(({ stabiliseMs, rate }) => ({ stabiliseMs, ...(rate !== undefined && { rate }) }));

export const anyPolicy: fc.Arbitrary<SizedPolicy> = fc
  .record({
    min: fc.integer({ min: 0, max: 4 }),
    room: fc.integer({ min: 1, max: 16 }),
    rules: fc.array(anyRule, { minLength: 1, maxLength: 4 }),
    pace: fc.record({ out: anyLimit, in: anyLimit }),
  })
  .map(({ min, room, rules, pace }) => ({
    min,
    max: min + room,
    rules: rules.map((rule, index) => ({ ...rule, name: `r${index}` })),
    pace,
  }));
