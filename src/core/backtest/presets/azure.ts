// Azure Virtual Machine Scale Sets with Azure Monitor autoscale and the rules that its documentation uses throughout.
// Source: Microsoft Learn, "Flapping in Autoscale" and "Best practices for autoscale".

import type { Controller } from '../controller.ts';
import { byOne } from './by-one.ts';

const MINUTE_MS = 60_000;
const ABOVE_PERCENT = 70;
const BELOW_PERCENT = 30;

/**
 * Every minute, on the mean of ten: one more above 70 %, one less below 30 %, five minutes of cooldown after either. Nothing is removed
 * when the mean would be above 70 % with one less.
 */
export function azure(): Controller {
  return byOne({
    name: 'azure',
    everyMs: MINUTE_MS,
    overMs: 10 * MINUTE_MS,
    cooldownMs: 5 * MINUTE_MS,
    abovePercent: ABOVE_PERCENT,
    belowPercent: BELOW_PERCENT,
    mayRemove: (cpu, { serving }) => serving > 1 && (cpu * serving) / (serving - 1) <= ABOVE_PERCENT,
  });
}
