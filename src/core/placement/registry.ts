// Every placement algorithm by the name that policies give it.

import type { PlacementName } from '../policy.ts';
import { leastLoaded } from './least-loaded.ts';
import type { Placement } from './placement.ts';

const PLACEMENTS: { readonly [N in PlacementName]: Placement } = { 'least-loaded': leastLoaded };

export const PLACEMENT_NAMES = Object.keys(PLACEMENTS) as readonly PlacementName[];
export const DEFAULT_PLACEMENT: PlacementName = 'least-loaded';

export function placementOf(name: PlacementName = DEFAULT_PLACEMENT): Placement {
  return PLACEMENTS[name];
}
