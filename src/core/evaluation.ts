// One evaluation, whole: what `decide` was given and what it answered. Plain data: replay runs it again and compares.
// Not here: keeping it (ports/recorder), its compact form on disk (recording).

import type { Decision } from './decision.ts';
import type { Memory } from './memory.ts';
import type { Snapshot } from './model.ts';
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
