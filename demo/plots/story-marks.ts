// The moments of the story that a reader of the plots wants to see, and the spans of the load. Pure.

import type { Timeline } from '../timeline.ts';
import type { Mark } from './marks.ts';

/** A time during which the load was of one kind; ms since 1970. */
export interface Span {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Seconds since `zeroMs`. */
export function storyMarks(
  timeline: Timeline,
  zeroMs: number,
  killed?: { readonly vm: string; readonly atMs: number },
): Mark[] {
  const { out, in: back } = timeline;
  const incoming = out?.vm?.name ?? 'VM';
  const outgoing = back?.vm?.name ?? 'VM';
  const moments: readonly (readonly [string | undefined, string])[] = [
    [timeline.firstLaunchedAt, `${timeline.firstVm?.name ?? 'VM'} ready`],
    [out?.crossedAt, 'crossed'],
    [out?.decidedAt, 'decided: +1'],
    [out?.launchingAt, `${incoming} launching`],
    [out?.launchedAt, `${incoming} ready`],
    [back?.decidedAt, 'decided: −1'],
    [back?.drainingAt, `${outgoing} draining`],
    [back?.removedAt, `${outgoing} removed`],
  ];
  const marks = moments.flatMap(([at, label]) =>
    at === undefined ? [] : [{ at: (Date.parse(at) - zeroMs) / 1000, label }],
  );
  if (killed !== undefined) marks.push({ at: (killed.atMs - zeroMs) / 1000, label: `${killed.vm} killed` });
  return marks;
}
