// Percentiles of measured times. Not here: which times belong together (summary).

/**
 * The nearest-rank percentile: a value that was really measured, never an average of two. `undefined` for no values.
 * `percent` in (0, 100].
 */
export function percentile(values: readonly number[], percent: number): number | undefined {
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`percent is ${percent}, wanted 0 < percent <= 100`);
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1];
}

/** Rounded to `digits` decimals, for people and JSON. */
export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
