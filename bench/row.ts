// One line of bench.json. Not here: measuring.

import { percentile, rounded } from '../demo/statistics.ts';

export interface Row {
  readonly name: string;
  readonly unit: 'ms' | 'MB' | '/s';
  /** How many measurements. */
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  /** Median of what it is compared with, in the same unit; its p99 where the note says so. */
  readonly baseline: number | null;
  /** p50 / baseline, or p99 / baseline. */
  readonly ratio: number | null;
  /** In words; `null` when there is none. */
  readonly goal: string | null;
  readonly met: boolean | null;
  /** How it was measured, and what the baseline is. */
  readonly note: string;
}

export interface Measured {
  readonly name: string;
  readonly unit: Row['unit'];
  readonly values: readonly number[];
  readonly baseline?: number;
  /** What of the values is compared with the baseline, which is the same of what it is compared with. Default `p50`. */
  readonly ratioOf?: 'p50' | 'p99';
  /** By `p50`, `p95` or `p99` itself or by the ratio to the baseline. `atLeast` is for what should be many. */
  readonly goal?:
    | { readonly of: 'p50' | 'p95' | 'p99' | 'ratio'; readonly atMost: number }
    | { readonly of: 'p50'; readonly atLeast: number };
  readonly note: string;
}

export function rowOf({ name, unit, values, baseline, ratioOf = 'p50', goal, note }: Measured): Row {
  const p50 = percentile(values, 50);
  const p99 = percentile(values, 99);
  if (p50 === undefined || p99 === undefined) throw new Error(`${name} was not measured`);
  const ratio = baseline === undefined ? null : { p50, p99 }[ratioOf] / baseline;
  const p95 = percentile(values, 95) ?? p99;
  const judged = goal === undefined ? null : { p50, p95, p99, ratio }[goal.of];
  return {
    name,
    unit,
    n: values.length,
    p50: rounded(p50, 3),
    p99: rounded(p99, 3),
    baseline: baseline === undefined ? null : rounded(baseline, 3),
    ratio: ratio === null ? null : rounded(ratio, 3),
    goal: goal === undefined ? null : `${goal.of} ${'atMost' in goal ? `<= ${goal.atMost}` : `>= ${goal.atLeast}`}`,
    met:
      goal === undefined || judged === null ? null : 'atMost' in goal ? judged <= goal.atMost : judged >= goal.atLeast,
    note,
  };
}

export function median(values: readonly number[]): number {
  return percentileOf(values, 50);
}

export function p99(values: readonly number[]): number {
  return percentileOf(values, 99);
}

function percentileOf(values: readonly number[], percent: number): number {
  const value = percentile(values, percent);
  if (value === undefined) throw new Error(`p${percent} of nothing`);
  return value;
}
