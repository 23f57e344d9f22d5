// The best of some hosts, by an order. Not here: any order.

import type { HostName } from '../model.ts';
import type { Candidate } from './placement.ts';

/** `compare`: negative when `a` is the better host; total, never 0 for two hosts. Throws on an empty list: that is a bug. */
export function bestOf(
  candidates: readonly Candidate[],
  compare: (a: Candidate, b: Candidate) => number,
): { readonly host: HostName } {
  let best: Candidate | undefined;
  for (const candidate of candidates) {
    if (best === undefined || compare(candidate, best) < 0) best = candidate;
  }
  if (best === undefined) throw new Error('no host to choose from');
  return { host: best.host };
}
