// Placement `fifo`, as the first description of this system has it: go on from the last used machine, least load first. Load is the
// largest promised share; among equals it is the next after the last used one, in the order of the configuration, going round.

import { bestOf } from './best-of.ts';
import { goingRound } from './going-round.ts';
import type { Placement } from './placement.ts';
import { promisedShare } from './promised-share.ts';

export const fifo: Placement = {
  choose(candidates, context) {
    const inTurn = goingRound(context);
    return bestOf(candidates, (a, b) => promisedShare(a) - promisedShare(b) || inTurn(a, b));
  },
};
