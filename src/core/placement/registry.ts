// Every placement algorithm by the name that the configuration, policies and requests give it.
// Not here: loading a user's own (src/placements.ts).

import type { PlacementName } from '../model.ts';
import { bestFit } from './best-fit.ts';
import { fifo } from './fifo.ts';
import { firstFit } from './first-fit.ts';
import { leastLoaded } from './least-loaded.ts';
import type { Placement } from './placement.ts';
import { roundRobin } from './round-robin.ts';
import { spread } from './spread.ts';
import { threshold } from './threshold.ts';

export type Placements = ReadonlyMap<PlacementName, Placement>;

export const BUILT_IN: Placements = new Map<PlacementName, Placement>([
  ['least-loaded', leastLoaded],
  ['first-fit', firstFit],
  ['round-robin', roundRobin],
  ['fifo', fifo],
  ['threshold', threshold],
  ['best-fit', bestFit],
  ['spread', spread],
]);

export const PLACEMENT_NAMES: readonly PlacementName[] = [...BUILT_IN.keys()];
export const DEFAULT_PLACEMENT: PlacementName = 'least-loaded';
