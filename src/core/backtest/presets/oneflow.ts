// OpenNebula OneFlow: one elasticity policy each way.
// Source: OpenNebula documentation, "OneFlow Services Auto-scaling"; oneflow-server.conf (autoscaler_interval 90, default_cooldown 300).

import type { Bounds, Controller } from '../controller.ts';
import { byOne, usualThresholds } from './by-one.ts';

const LOOP_MS = 90_000;

/** Every 90 s, on the last mean of all VMs: one more or one less, then 300 s of cooldown. The thresholds are the user's. */
export function oneflow({ targetPercent }: Bounds): Controller {
  return byOne({
    name: 'oneflow',
    everyMs: LOOP_MS,
    overMs: LOOP_MS,
    cooldownMs: 300_000,
    ...usualThresholds(targetPercent),
  });
}
