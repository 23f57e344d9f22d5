import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BUCKET_MS,
  DAY_BUCKETS,
  HISTORY_DAYS,
  type LoadHistory,
  loadAt,
  loadFromText,
  loadText,
  NO_HISTORY,
  observeLoad,
} from '../../src/core/load-history.ts';

const START_MS = Date.UTC(2026, 2, 1);
const FIRST = START_MS / BUCKET_MS;

function observed(...pairs: readonly (readonly [minute: number, demand: number])[]): LoadHistory {
  return pairs.reduce(
    (history, [minute, demand]) => observeLoad(history, START_MS + minute * 60_000, demand),
    NO_HISTORY,
  );
}

describe('a load history', () => {
  it('keeps the mean of each five minutes, once they are over', () => {
    const history = observed([0, 10], [1, 20], [4.9, 30], [5, 100]);
    expect(loadAt(history, FIRST)).toBe(20);
    expect(loadAt(history, FIRST + 1)).toBeNull();
    expect(history.buckets).toHaveLength(1);
    expect(loadAt(history, FIRST - 1)).toBeNull();
  });

  it('has holes where nothing was observed', () => {
    expect(observed([0, 10], [15, 20], [20, 0]).buckets).toEqual([10, null, null, 20]);
  });

  it('does not take what is no demand, and what is far in the past', () => {
    const history = observed([0, 10], [10, 20]);
    expect(observeLoad(history, START_MS + 10 * 60_000, Number.NaN)).toBe(history);
    expect(observeLoad(history, START_MS + 10 * 60_000, -1)).toBe(history);
    expect(observeLoad(history, START_MS, 5)).toBe(history);
    expect(observeLoad(history, START_MS + 9 * 60_000, 40).open).toMatchObject({ sum: 60, count: 2 });
  });

  it('is bounded, and begins anew after a silence as long as itself', () => {
    const many: (readonly [number, number])[] = Array.from({ length: 20 * DAY_BUCKETS }, (_, index) => [
      index * 5,
      index,
    ]);
    const history = observed(...many);
    expect(history.buckets).toHaveLength(HISTORY_DAYS * DAY_BUCKETS);
    const lastWhole = FIRST + 20 * DAY_BUCKETS - 2;
    expect(loadAt(history, lastWhole)).toBe(20 * DAY_BUCKETS - 2);
    expect(history.firstBucket).toBe(lastWhole + 1 - HISTORY_DAYS * DAY_BUCKETS);
    const later = observeLoad(observeLoad(history, START_MS + 60 * 864e5, 7), START_MS + 61 * 864e5, 8);
    expect(later.buckets).toEqual([7]);
    expect(loadText(history).length).toBeLessThan(30_000);
  });

  it('is as text what it was, to five digits', () => {
    const demand = fc.option(fc.double({ min: 0, max: 1e9, noNaN: true }), { nil: null });
    fc.assert(
      fc.property(fc.nat(), fc.array(demand, { minLength: 1, maxLength: 50 }), (firstBucket, buckets) => {
        const read = loadFromText(loadText({ firstBucket, buckets }));
        expect(read.firstBucket).toBe(firstBucket);
        expect(read.buckets).toEqual(buckets.map((one) => (one === null ? null : Number(one.toPrecision(5)))));
      }),
    );
  });

  it.each(['', '1', '2,5,1', '1,x,3', '1,-1,3', '1,5,x', '1,5,-3', '1,5,Infinity', `1,5,${'1,'.repeat(5000)}`])(
    'is none where the text is not its own: %#',
    (text) => {
      expect(loadFromText(text)).toEqual(NO_HISTORY);
    },
  );
});
