// The order of hosts for algorithms that go round: those after the last used one first. Not here: any algorithm.

import type { Candidate, PlacementContext } from './placement.ts';

/** Compares two hosts by which comes first when one goes on from the last used one, which itself comes last of all. */
export function goingRound({ lastIndex = -1 }: PlacementContext): (a: Candidate, b: Candidate) => number {
  const behind = ({ index }: Candidate) => (index > lastIndex ? 0 : 1);
  return (a, b) => behind(a) - behind(b) || a.index - b.index;
}
