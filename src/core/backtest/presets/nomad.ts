// HashiCorp Nomad Autoscaler, strategy target-value with its defaults.
// Source: Nomad documentation, "Autoscaling plugins: target-value" and "Autoscaling policy" (evaluation 10 s, cooldown 5 m).

import type { Bounds, Controller } from '../controller.ts';
import { roundedUp } from './rounding.ts';

const EVALUATION_MS = 10_000;
const COOLDOWN_MS = 300_000;
const THRESHOLD = 0.01;

/** Every 10 s, on the last data point: count × metric ÷ target, rounded up; nothing within 1 %. Not evaluated for 5 min after a change. */
export function nomad({ targetPercent }: Bounds): Controller {
  let restUntilMs = 0;
  return {
    name: 'nomad',
    everyMs: EVALUATION_MS,
    desired(sight) {
      const size = sight.serving + sight.launching;
      const cpu = sight.cpuPercent(EVALUATION_MS);
      if (cpu === undefined || sight.nowMs < restUntilMs) return size;
      const factor = cpu / targetPercent;
      if (Math.abs(factor - 1) <= THRESHOLD) return size;
      const wanted = Math.max(1, roundedUp(size * factor));
      if (wanted !== size) restUntilMs = sight.nowMs + COOLDOWN_MS;
      return wanted;
    },
  };
}
