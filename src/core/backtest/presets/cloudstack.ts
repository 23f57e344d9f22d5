// Apache CloudStack VM AutoScaling with its defaults.
// Source: CloudStack documentation, "Configuring AutoScale" (polling interval 30 s, quiet time 300 s).

import type { Bounds, Controller } from '../controller.ts';
import { byOne, usualThresholds } from './by-one.ts';

const POLL_MS = 30_000;
/** "Duration" of a policy: the user's; two polls. */
const DURATION_MS = 60_000;

/** Every 30 s, on the mean over the duration: one more or one less, then 300 s of quiet time. The thresholds are the user's. */
export function cloudstack({ targetPercent }: Bounds): Controller {
  return byOne({
    name: 'cloudstack',
    everyMs: POLL_MS,
    overMs: DURATION_MS,
    cooldownMs: 300_000,
    ...usualThresholds(targetPercent),
  });
}
