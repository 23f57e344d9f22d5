// The recorder in memory, for the simulation and for tests: the last so many evaluations, as they are.
// Not here: files (file-recorder), the compact form (core/recording).

import { decisionOn, type Evaluation } from '../../core/evaluation.ts';
import type { GroupName } from '../../core/model.ts';
import type { Recorder } from '../../ports/recorder.ts';

export interface MemoryRecorder extends Recorder {
  /** Oldest first. */
  readonly evaluations: readonly Evaluation[];
}

/** Keeps references only: evaluations are never changed. */
export function recordInMemory(keep = 10_000): MemoryRecorder {
  const evaluations: Evaluation[] = [];
  return {
    evaluations,
    record(evaluation) {
      evaluations.push(evaluation);
      // A tenth at a time: taking the first of a long list away costs as much as its length.
      if (evaluations.length > keep * 1.1) evaluations.splice(0, evaluations.length - keep);
    },
    async find(group: GroupName, at: string) {
      const atMs = Date.parse(at);
      const found = evaluations.findLast((one) => Date.parse(one.at) <= atMs && decisionOn(group, one) !== undefined);
      return found && decisionOn(group, found);
    },
    async close() {},
  };
}
