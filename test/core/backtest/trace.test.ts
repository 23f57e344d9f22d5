import { describe, expect, test } from 'vitest';
import { usualCapacity } from '../../../src/core/backtest/backtest.ts';
import { demandOf, MAX_STEPS, sampleLoad, secondsOf, type Trace } from '../../../src/core/backtest/trace.ts';

const SIZING = { capacityRps: 10, targetPercent: 60 };

function traceOf(t: readonly number[], rps: readonly number[]): Trace {
  return { name: 'made', t: Float64Array.from(t), rps: Float64Array.from(rps) };
}

describe('sampled load', () => {
  test('in steps each row holds until the next; the last as long as the one before it', () => {
    const load = sampleLoad(traceOf([0, 2, 5], [1, 4, 2]), 'steps', 1000, SIZING);
    expect([...load.rps]).toEqual([1, 1, 4, 4, 4, 2, 2, 2]);
  });

  test('on a line it goes from the middle of a row to the middle of the next', () => {
    const load = sampleLoad(traceOf([0, 4], [0, 8]), 'line', 1000, SIZING);
    expect([...load.rps]).toEqual([0, 0, 1, 3, 5, 7, 8, 8]);
  });

  test('steps longer than rows carry the mean of the rows', () => {
    const load = sampleLoad(traceOf([0, 1, 2, 3], [1, 3, 5, 7]), 'steps', 2000, SIZING);
    expect([...load.rps]).toEqual([2, 6]);
  });

  test.each(['line', 'steps'] as const)(
    '%s: as many requests as were recorded, where the load is the same at both ends',
    (shape) => {
      const rows = [3, 9, 0, 12, 5, 3];
      const load = sampleLoad(
        traceOf(
          rows.map((_, i) => i * 10),
          rows,
        ),
        shape,
        1000,
        SIZING,
      );
      const sum = load.rps.reduce((all, rps) => all + rps, 0);
      expect(sum).toBeCloseTo(320, 6);
    },
  );

  test('times may begin anywhere', () => {
    const load = sampleLoad(traceOf([1_700_000_000, 1_700_000_001], [2, 6]), 'steps', 1000, SIZING);
    expect([...load.rps]).toEqual([2, 6]);
    expect(secondsOf(traceOf([100, 110, 120], [1, 1, 1]))).toBe(30);
  });

  test('demand: the least VMs at the target or below, one at least', () => {
    expect([0, 6, 6.01, 12, 60, 61].map((rps) => demandOf(rps, SIZING))).toEqual([1, 1, 2, 2, 10, 11]);
  });

  test('what would never end is refused', () => {
    expect(() => sampleLoad(traceOf([0, MAX_STEPS], [1, 1]), 'steps', 1000, SIZING)).toThrow(RangeError);
  });
});

describe('the capacity taken when nobody says one', () => {
  test('the peak needs 20 VMs at the target, or as many as are allowed', () => {
    const trace = traceOf([0, 1], [1, 240]);
    expect(usualCapacity(trace, 60, 200)).toBe(20);
    expect(usualCapacity(trace, 60, 4)).toBe(100);
    expect(usualCapacity(traceOf([0, 1], [0, 0]), 60, 4)).toBe(1);
    const odd = traceOf([0, 1], [1, 8.3]);
    expect(demandOf(8.3, { capacityRps: usualCapacity(odd, 60, 200), targetPercent: 60 })).toBe(20);
  });
});
