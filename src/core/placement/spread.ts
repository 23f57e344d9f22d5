// Placement `spread`: the host with the fewest VMs of the same group or request, so that one host lost costs as few of them as can be;
// of these the least loaded. A wish, not a rule: with `apart` it is one.

import { bestOf } from './best-of.ts';
import { byLoad } from './least-loaded.ts';
import type { Placement } from './placement.ts';

export const spread: Placement = {
  choose: (candidates) => bestOf(candidates, (a, b) => a.siblings - b.siblings || byLoad(a, b)),
};
