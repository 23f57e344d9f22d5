// What the autoscalers have in common that add and remove one VM by a pair of thresholds: a beat, a window, a cooldown for both directions.

import type { Controller, Sight } from '../controller.ts';

export interface ByOne {
  readonly name: string;
  readonly everyMs: number;
  /** The mean over this long is compared. */
  readonly overMs: number;
  readonly cooldownMs: number;
  readonly abovePercent: number;
  readonly belowPercent: number;
  /** Asked before a VM is removed. Absent: nothing is. */
  readonly mayRemove?: (cpuPercent: number, sight: Sight) => boolean;
}

export function byOne(rule: ByOne): Controller {
  let restUntilMs = 0;
  return {
    name: rule.name,
    everyMs: rule.everyMs,
    desired(sight) {
      const size = sight.serving + sight.launching;
      const cpu = sight.cpuPercent(rule.overMs);
      if (cpu === undefined || sight.nowMs < restUntilMs) return size;
      const by = cpu > rule.abovePercent ? 1 : cpu < rule.belowPercent && mayRemove(rule, cpu, sight) ? -1 : 0;
      // The last VM stays: without it there is nothing to measure.
      if (by === 0 || size + by < 1) return size;
      restUntilMs = sight.nowMs + rule.cooldownMs;
      return size + by;
    },
  };
}

function mayRemove({ mayRemove: ask }: ByOne, cpu: number, sight: Sight): boolean {
  return ask === undefined || ask(cpu, sight);
}

/** Thresholds where the documentation leaves them to the user: a quarter above the target, and half of it. */
export function usualThresholds(targetPercent: number): Pick<ByOne, 'abovePercent' | 'belowPercent'> {
  return { abovePercent: Math.min(95, targetPercent * 1.25), belowPercent: targetPercent / 2 };
}
