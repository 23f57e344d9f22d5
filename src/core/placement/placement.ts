// The contract of a placement algorithm: which of two fitting hosts takes the next VM. Pure.
// Not here: which hosts fit at all (place). A new algorithm is a file beside this one and a line in registry.ts.

/** A host as placement sees it, with what has been promised already taken off. */
export interface Room {
  readonly host: string;
  /** VMs of all groups on it, those being launched included. */
  readonly vms: number;
  /** Free memory less what VMs being launched will take. */
  readonly memoryFreeMiB: number;
}

export interface Placement {
  /** Negative when `a` is the better host. Total: never 0 for two hosts, so that the same picture gives the same answer. */
  compare(a: Room, b: Room): number;
}
