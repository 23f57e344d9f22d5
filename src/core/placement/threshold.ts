// Placement `threshold`: hosts above a load take nothing; of the others the least loaded. Load is what the CPUs were measured to do,
// and the largest promised share while there is no measurement.

import { percentText } from '../wording.ts';
import { bestOf } from './best-of.ts';
import { byLoad } from './least-loaded.ts';
import type { Candidate, Placement } from './placement.ts';
import { promisedShare } from './promised-share.ts';

export const DEFAULT_MAX_LOAD = 0.8;

/** `maxLoad`: 0–1; a host at exactly this load still takes VMs. */
export function thresholdAt(maxLoad: number): Placement {
  return {
    choose(candidates) {
      const below = candidates.filter((candidate) => loadOf(candidate) <= maxLoad);
      if (below.length > 0) return bestOf(below, byLoad);
      return { refused: new Map(candidates.map((candidate) => [candidate.host, refusal(candidate, maxLoad)])) };
    },
  };
}

export const threshold: Placement = thresholdAt(DEFAULT_MAX_LOAD);

function loadOf(candidate: Candidate): number {
  return candidate.cpuRatio ?? promisedShare(candidate);
}

function refusal(candidate: Candidate, maxLoad: number): string {
  const what = candidate.cpuRatio === undefined ? 'is promised' : 'of its CPUs is in use';
  return `${percentText(loadOf(candidate) * 100)} ${what}, above the threshold of ${percentText(maxLoad * 100)}`;
}
