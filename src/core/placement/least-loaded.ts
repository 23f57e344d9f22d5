// Placement `least-loaded`: the host with the fewest VMs, of these the one with the most free memory, of these the first by name.

import type { Placement } from './placement.ts';

export const leastLoaded: Placement = {
  compare(a, b) {
    return a.vms - b.vms || b.memoryFreeMiB - a.memoryFreeMiB || (a.host < b.host ? -1 : 1);
  },
};
