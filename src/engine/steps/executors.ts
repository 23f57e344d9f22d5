// One executor per kind of step: does it once and says what became true. Each may be repeated; the compiler demands one per kind.
// Not here: which step is next (core/steps), when to try again (worker), keeping the outcome (ledger).

import { leaving } from './leaving.ts';
import { making } from './making.ts';
import type { Executors } from './outcome.ts';
import { serving } from './serving.ts';

export const executors: Executors = { ...making, ...serving, ...leaving };
