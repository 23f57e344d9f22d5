// Port: keeps evaluations so that they can be looked up and run again. Losing some is allowed, waiting for it is not.

import type { Evaluation } from '../core/evaluation.ts';
import type { GroupName } from '../core/model.ts';

export interface Recorder {
  /** Takes it without waiting. When it cannot keep up, evaluations are dropped, and the gap is marked. */
  record(evaluation: Evaluation): void;
  /** The latest evaluation of this group at or before `at` (RFC 3339) that is still kept. */
  find(group: GroupName, at: string): Promise<Evaluation | undefined>;
  /** What was taken is on disk when it resolves. */
  close(): Promise<void>;
}
