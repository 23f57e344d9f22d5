// The contract of a placement algorithm: which of the hosts that fit takes the next VM. Pure.
// Not here: which hosts fit at all (place). A new algorithm is a file beside this one and a line in registry.ts; a user's own is a
// module whose export `placement` is one of these.

import type { Amounts, HostName } from '../model.ts';

/** A host that fits, with everything promised already taken off. */
export interface Candidate {
  readonly host: HostName;
  /** Its place in the configuration, from 0. */
  readonly index: number;
  /** VMs virtscale is responsible for on it, those being launched included. */
  readonly vms: number;
  /** Those of them that belong to the same group or request as the VM to be placed. */
  readonly siblings: number;
  /** All that may be promised: capacity less what is reserved, times overcommit. */
  readonly total: Amounts;
  /** What of it is not promised yet. */
  readonly free: Amounts;
  /** Of its CPUs in use, 0–1, as last measured; absent while nobody knows. */
  readonly cpuRatio?: number;
}

export interface PlacementContext {
  /** What the VM needs. */
  readonly need: Amounts;
  /** The host that took a VM last, whoever asked. */
  readonly lastHost?: HostName;
  /** Its place in the configuration, also when it does not fit now; absent when it is configured no more. */
  readonly lastIndex?: number;
}

export type Chosen =
  | { readonly host: HostName }
  /** Hosts that fit, but that this algorithm does not want to use now: why, by name. Those left out: "others come first". */
  | { readonly refused: ReadonlyMap<HostName, string> };

export interface Placement {
  /**
   * `candidates`: at least one, all fit, in the order of the configuration. Must answer the same for the same, name one of the
   * candidates, and not keep or change what it is given.
   */
  choose(candidates: readonly Candidate[], context: PlacementContext): Chosen;
}
