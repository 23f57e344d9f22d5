// Kubernetes' HorizontalPodAutoscaler v2 with its defaults.
// Source: kubernetes.io, "Horizontal Pod Autoscaling"; pkg/controller/podautoscaler/{horizontal,replica_calculator}.go.

import type { Bounds, Controller } from '../controller.ts';
import { Peaks } from './peaks.ts';
import { roundedUp } from './rounding.ts';

const SYNC_MS = 15_000;
const TOLERANCE = 0.1;
const DOWN_WINDOW_MS = 300_000;

/**
 * Every 15 s: ready × usage ÷ target, rounded up; nothing within 10 %. Pods that are not ready count as idle when it grows, and nothing
 * is done when that brings it back below. Up at once, by the larger of 4 and 100 % per 15 s; down to the largest recommendation of 300 s.
 */
export function hpa({ targetPercent }: Bounds): Controller {
  const peaks = new Peaks(DOWN_WINDOW_MS);
  return {
    name: 'hpa',
    everyMs: SYNC_MS,
    desired(sight) {
      const size = sight.serving + sight.launching;
      const cpu = sight.cpuPercent(SYNC_MS);
      if (cpu === undefined) return size;
      const recommended = recommend(sight.serving, sight.launching, cpu / targetPercent);
      const kept = peaks.after(recommended, sight.nowMs);
      if (recommended > size) return Math.min(recommended, Math.max(size + 4, size * 2));
      return Math.min(size, kept);
    },
  };
}

function recommend(ready: number, unready: number, ratio: number): number {
  const size = ready + unready;
  if (Math.abs(ratio - 1) <= TOLERANCE) return size;
  if (ratio < 1 || unready === 0) return roundedUp(ready * ratio);
  const withIdle = (ratio * ready) / size;
  return withIdle <= 1 + TOLERANCE ? size : roundedUp(size * withIdle);
}
