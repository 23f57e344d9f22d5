// What the configuration says about the fabric. May be replaced while the daemon runs. Not here: reading it (config, main).

import type { Flavor, HostName, HostTraits, PlacementName } from '../core/model.ts';
import type { Placements } from '../core/placement/registry.ts';
import { BUILT_IN } from '../core/placement/registry.ts';
import type { RebalanceSettings } from '../core/rebalance.ts';
import type { Quota } from '../core/user.ts';

/** A flavor and what its number is bound to. */
export interface ListedFlavor {
  readonly flavor: Flavor;
  readonly key: string;
  /** The number its file gives it; absent: the next free one. */
  readonly tid?: number;
}

export interface FabricSettings {
  readonly placement?: PlacementName;
  /** Absent: VMs stay where they are. */
  readonly rebalance?: RebalanceSettings;
  /** All algorithms there are, a user's own among them. */
  readonly placements: Placements;
  /** Of hosts that have any of their own. */
  readonly traits: ReadonlyMap<HostName, Omit<HostTraits, 'cordoned' | 'index'>>;
  readonly flavors: readonly ListedFlavor[];
  /** Of each owner, for VMs without a group. */
  readonly quota: Quota;
  readonly users: UserSettings;
}

export interface UserSettings {
  /** Anybody may become a user by himself. */
  readonly signUp: boolean;
  /** What a new user is given; may be changed for each afterwards. */
  readonly quota: Quota;
}

const CLOSED: UserSettings = { signUp: false, quota: {} };

export const DEFAULT_SETTINGS: FabricSettings = {
  placements: BUILT_IN,
  traits: new Map(),
  flavors: [],
  quota: {},
  users: CLOSED,
};
