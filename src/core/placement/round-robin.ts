// Placement `round-robin`: the next host after the last used one, in the order of the configuration, going round.

import { bestOf } from './best-of.ts';
import { goingRound } from './going-round.ts';
import type { Placement } from './placement.ts';

export const roundRobin: Placement = {
  choose: (candidates, context) => bestOf(candidates, goingRound(context)),
};
