// The rule that this project began with: CPU above 75 % in three samples in a row, a second apart, adds a VM.

import type { Controller } from '../controller.ts';

const SAMPLE_MS = 1000;
const SAMPLES = 3;
const PERCENT = 75;

/** It had no way back; here one goes when three samples in a row say that those left would stay at 75 % or below. */
export function seed75(): Controller {
  let above = 0;
  let spare = 0;
  return {
    name: 'seed-75',
    everyMs: SAMPLE_MS,
    desired(sight) {
      const size = sight.serving + sight.launching;
      const cpu = sight.cpuPercent(SAMPLE_MS);
      if (cpu === undefined) return size;
      above = cpu > PERCENT ? above + 1 : 0;
      spare = sight.launching === 0 && size > 1 && (cpu * size) / (size - 1) <= PERCENT ? spare + 1 : 0;
      if (above < SAMPLES && spare < SAMPLES) return size;
      const wanted = above >= SAMPLES ? size + 1 : size - 1;
      above = 0;
      spare = 0;
      return wanted;
    },
  };
}
