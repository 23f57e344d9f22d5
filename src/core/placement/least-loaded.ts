// Placement `least-loaded`: the host with the fewest VMs, of these the one with the most free memory, of these the first.

import { bestOf } from './best-of.ts';
import type { Candidate, Placement } from './placement.ts';

export const leastLoaded: Placement = {
  choose: (candidates) => bestOf(candidates, byLoad),
};

/** Fewer VMs first, then more free memory, then the order of the configuration. */
export function byLoad(a: Candidate, b: Candidate): number {
  return a.vms - b.vms || b.free.memoryMiB - a.free.memoryMiB || a.index - b.index;
}
