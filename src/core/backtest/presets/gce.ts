// Google Compute Engine, autoscaled managed instance group on CPU utilisation.
// Source: Compute Engine documentation, "Autoscaling groups of instances" and "Understanding autoscaler decisions".

import type { Bounds, Controller } from '../controller.ts';
import { Peaks } from './peaks.ts';
import { roundedUp } from './rounding.ts';

/** The documentation gives no beat; CPU utilisation has a value a minute. */
const LOOK_MS = 60_000;
const STABILISATION_MS = 600_000;
const INITIALISATION_MS = 60_000;

/** The size that the largest load of the last ten minutes needs. VMs that initialise (60 s, or as long as they boot) are left out of the load. */
export function gce({ targetPercent, bootMs }: Bounds): Controller {
  const peaks = new Peaks(STABILISATION_MS);
  let initialisedAtMs = 0;
  return {
    name: 'gce',
    everyMs: LOOK_MS,
    desired(sight) {
      const size = sight.serving + sight.launching;
      const cpu = sight.cpuPercent(LOOK_MS);
      if (cpu === undefined) return size;
      const needed = roundedUp((sight.serving * cpu) / targetPercent);
      const kept = Math.max(1, peaks.after(needed, sight.nowMs));
      if (kept > size) {
        if (sight.nowMs < initialisedAtMs && needed <= size) return size;
        initialisedAtMs = sight.nowMs + Math.max(INITIALISATION_MS, bootMs);
      }
      return kept;
    },
  };
}
