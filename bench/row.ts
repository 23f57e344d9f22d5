// One line of bench.json. Not here: measuring.

import { percentile, rounded } from '../demo/statistics.ts';

export interface Row {
  readonly name: string;
  readonly unit: 'ms' | 'MB';
  /** How many measurements. */
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  /** Median of what it is compared with, in the same unit. */
  readonly baseline: number | null;
  /** p50 / baseline. */
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
  /** `at most`, by `p50` itself or by its ratio to the baseline. */
  readonly goal?: { readonly of: 'p50' | 'ratio'; readonly atMost: number };
  readonly note: string;
}

export function rowOf({ name, unit, values, baseline, goal, note }: Measured): Row {
  const p50 = percentile(values, 50);
  const p99 = percentile(values, 99);
  if (p50 === undefined || p99 === undefined) throw new Error(`${name} was not measured`);
  const ratio = baseline === undefined ? null : p50 / baseline;
  const judged = goal?.of === 'ratio' ? ratio : p50;
  return {
    name,
    unit,
    n: values.length,
    p50: rounded(p50, 3),
    p99: rounded(p99, 3),
    baseline: baseline === undefined ? null : rounded(baseline, 3),
    ratio: ratio === null ? null : rounded(ratio, 3),
    goal: goal === undefined ? null : `${goal.of} <= ${goal.atMost}`,
    met: goal === undefined || judged === null ? null : judged <= goal.atMost,
    note,
  };
}

export function median(values: readonly number[]): number {
  const value = percentile(values, 50);
  if (value === undefined) throw new Error('the median of nothing');
  return value;
}
