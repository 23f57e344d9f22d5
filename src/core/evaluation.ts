// One evaluation, whole: what `decide` was given and what it answered. Plain data: replay runs it again and compares.
// Not here: keeping it (ports/recorder), its compact form on disk (recording).

import type { Decision } from './decision.ts';
import type { Memory } from './memory.ts';
import type { GroupName, Snapshot } from './model.ts';
import type { Policy } from './policy.ts';

export interface Evaluation {
  /** Wall time, RFC 3339. */
  readonly at: string;
  readonly nowMs: number;
  readonly snapshot: Snapshot;
  readonly policies: readonly Policy[];
  /** As it was before. */
  readonly memory: Memory;
  readonly decisions: readonly Decision[];
  readonly memoryAfter: Memory;
}

/** What of an evaluation is about one group. */
export interface DatedDecision {
  /** Of the evaluation: wall time, RFC 3339. */
  readonly at: string;
  readonly decision: Decision;
}

/** Undefined: nothing was decided about the group. */
export function decisionOn(
  group: GroupName,
  { at, decisions }: Pick<Evaluation, 'at' | 'decisions'>,
): DatedDecision | undefined {
  const decision = decisions.find((one) => one.group === group);
  return decision && { at, decision };
}
