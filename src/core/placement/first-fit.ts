// Placement `first-fit`: the first host in the order of the configuration. Fills one host before it takes the next.

import { bestOf } from './best-of.ts';
import type { Placement } from './placement.ts';

export const firstFit: Placement = {
  choose: (candidates) => bestOf(candidates, (a, b) => a.index - b.index),
};
