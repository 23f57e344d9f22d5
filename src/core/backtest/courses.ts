// Load, demand and supply over time, thinned to as many points as a picture has: the means of equal stretches. Not here: drawing.

import type { Played } from './play.ts';
import type { SampledLoad } from './trace.ts';

export interface Courses {
  /** Seconds from the beginning of the trace, at the beginning of each stretch. */
  readonly t: readonly number[];
  readonly rps: readonly number[];
  readonly demand: readonly number[];
  /** By name; those played with `supply`. */
  readonly supply: ReadonlyMap<string, readonly number[]>;
}

export interface Stretch {
  /** Steps, from and to before. */
  readonly from: number;
  readonly to: number;
}

export function coursesOf(load: SampledLoad, played: readonly Played[], points: number, part?: Stretch): Courses {
  const { from, to } = part ?? { from: 0, to: load.rps.length };
  const width = Math.max(1, Math.ceil((to - from) / points));
  const starts = Array.from({ length: Math.ceil((to - from) / width) }, (_, at) => from + at * width);
  const means = (values: ArrayLike<number>): readonly number[] =>
    starts.map((start) => mean(values, start, Math.min(to, start + width)));
  const kept = played.flatMap(({ name, supply }) => (supply === undefined ? [] : [[name, means(supply)] as const]));
  return {
    t: starts.map((at) => (at * load.stepMs) / 1000),
    rps: means(load.rps),
    demand: means(load.demand),
    supply: new Map(kept),
  };
}

/** So much time around the largest load. */
export function aroundPeak({ rps, stepMs }: SampledLoad, ms: number): Stretch {
  let peak = 0;
  for (let i = 1; i < rps.length; i += 1) if ((rps[i] ?? 0) > (rps[peak] ?? 0)) peak = i;
  const steps = Math.min(rps.length, Math.max(1, Math.round(ms / stepMs)));
  const from = Math.min(Math.max(0, peak - Math.floor(steps / 2)), rps.length - steps);
  return { from, to: from + steps };
}

function mean(values: ArrayLike<number>, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += values[i] ?? 0;
  return sum / Math.max(1, to - from);
}
