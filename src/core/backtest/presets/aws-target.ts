// AWS EC2 Auto Scaling, target tracking on the group's CPU with one-minute metrics.
// Source: EC2 Auto Scaling User Guide, "Target tracking scaling policies" and "Set the default instance warmup".

import type { Bounds, Controller } from '../controller.ts';
import { roundedUp } from './rounding.ts';

const PERIOD_MS = 60_000;
const OUT_DATAPOINTS = 3;
const IN_DATAPOINTS = 15;
/** Scale-in begins below this share of the target. */
const LOW = 0.9;
/** The default cooldown, which holds as the warm-up where none is set. */
const WARM_UP_MS = 300_000;

/**
 * Out when three minutes in a row were above the target, in when fifteen were below 90 % of it, to size × metric ÷ target rounded up (what is
 * added is rounded up, what is removed down). New instances count as capacity while they warm up; nothing is removed meanwhile.
 */
export function awsTarget({ targetPercent }: Bounds): Controller {
  let above = 0;
  let below = 0;
  let warmUntilMs = 0;
  let warm = 0;
  return {
    name: 'aws-target',
    everyMs: PERIOD_MS,
    desired(sight) {
      const size = sight.serving + sight.launching;
      const cpu = sight.cpuPercent(PERIOD_MS);
      // Insufficient data: the alarms change nothing.
      if (cpu === undefined) return size;
      above = cpu > targetPercent ? above + 1 : 0;
      below = cpu < LOW * targetPercent ? below + 1 : 0;
      const isWarming = sight.nowMs < warmUntilMs;
      const measured = isWarming ? Math.min(warm, sight.serving) : sight.serving;
      const wanted = roundedUp((measured * cpu) / targetPercent);
      if (above >= OUT_DATAPOINTS && wanted > size) {
        warm = isWarming ? warm : sight.serving;
        warmUntilMs = sight.nowMs + WARM_UP_MS;
        return wanted;
      }
      return below >= IN_DATAPOINTS && !isWarming ? Math.min(size, Math.max(wanted, 1)) : size;
    },
  };
}
