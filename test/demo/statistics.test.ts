import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fibonacci } from '../../demo/fibonacci.ts';
import { percentile } from '../../demo/statistics.ts';

describe('percentile', () => {
  it('takes the nearest rank', () => {
    const values = [15, 20, 35, 40, 50];
    expect([5, 30, 40, 50, 100].map((p) => percentile(values, p))).toEqual([15, 20, 20, 35, 50]);
  });

  it('sorts numbers as numbers', () => {
    expect(percentile([100, 9, 20], 50)).toBe(20);
  });

  it('of nothing is nothing', () => {
    expect(percentile([], 50)).toBeUndefined();
  });

  it('leaves at least p percent of the values at or below it, and fewer below', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true }), { minLength: 1 }),
        fc.integer({ min: 1, max: 100 }),
        (values, p) => {
          const value = percentile(values, p);
          if (value === undefined) throw new Error('no value');
          expect(values.filter((v) => v <= value).length).toBeGreaterThanOrEqual((p / 100) * values.length - 1e-9);
          expect(values.filter((v) => v < value).length).toBeLessThan((p / 100) * values.length);
        },
      ),
    );
  });

  it('refuses a percentage that is none', () => {
    expect(() => percentile([1], 0)).toThrow(RangeError);
    expect(() => percentile([1], 101)).toThrow(RangeError);
  });
});

describe('fibonacci', () => {
  it('counts as the guest does: F(0) = 0, F(1) = 1', () => {
    expect([0, 1, 2, 3, 10, 28].map(fibonacci)).toEqual([0, 1, 1, 2, 55, 317811]);
    expect(fibonacci(45)).toBe(1134903170);
  });

  it('refuses what a number cannot hold', () => {
    expect(() => fibonacci(79)).toThrow(RangeError);
    expect(() => fibonacci(-1)).toThrow(RangeError);
  });
});
