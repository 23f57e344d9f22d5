// Port: keeps evaluations so that they can be looked up and run again. Losing some is allowed, waiting for it is not.

import type { DatedDecision, Evaluation } from '../core/evaluation.ts';
import type { GroupName } from '../core/model.ts';

export interface Recorder {
  /** Takes it without waiting. When it cannot keep up, evaluations are dropped, and the gap is marked. */
  record(evaluation: Evaluation): void;
  /** What the latest evaluation of this group at or before `at` (RFC 3339) decided, of those that are still kept. */
  find(group: GroupName, at: string): Promise<DatedDecision | undefined>;
  /** What was taken is on disk when it resolves. */
  close(): Promise<void>;
}
