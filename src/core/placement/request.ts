// What is asked of placement and what it answers. Not here: placing (place), the words for people (explain).

import type { HostName, PlacementName, PlacementRules } from '../model.ts';
import type { Need, Rooms } from './rooms.ts';

export interface PlaceRequest {
  /** Of each VM. */
  readonly need: Need;
  readonly count: number;
  /** Whose VMs are siblings: the group's name, or the operation's id. */
  readonly set: string;
  readonly rules: PlacementRules;
  readonly allOrNothing: boolean;
}

export interface Placed {
  /** One host per VM; fewer than asked for when no more fit; none when all or nothing was asked for and not all fit. */
  readonly hosts: readonly HostName[];
  /** What is left: `rooms` as they were, less what `hosts` take. */
  readonly rooms: Rooms;
  /** The algorithm that chose. */
  readonly algorithm: PlacementName;
  /** Why it is not the one that was asked for, in words for people. */
  readonly fallback?: string;
  /** Hosts that fit and that the algorithm did not want: why, by name. */
  readonly refused?: ReadonlyMap<HostName, string>;
  /** All or nothing was asked for, and this is all there was room for. */
  readonly tried?: readonly HostName[];
}
