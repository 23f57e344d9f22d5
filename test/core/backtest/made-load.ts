// Load made by code, for backtests: a row each `stepS` seconds. Not here: expectations.

import type { Trace } from '../../../src/core/backtest/trace.ts';

export function madeLoad(name: string, seconds: number, stepS: number, rpsAt: (t: number) => number): Trace {
  const rows = Math.floor(seconds / stepS);
  const t = Float64Array.from({ length: rows }, (_, row) => row * stepS);
  return { name, t, rps: t.map((at) => Math.max(0, rpsAt(at))) };
}

/** A linear congruential generator (Numerical Recipes): the same load on every machine. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Normally distributed (Box and Muller), mean 0, deviation 1. */
export function gauss(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export function square(periodS: number, low: number, high: number): (t: number) => number {
  return (t) => (t % periodS < periodS / 2 ? low : high);
}
