// The end of a launch that will not succeed. Not here: what makes one fail (the executors, core/steps).

import { recordLaunchFailure } from '../../core/breaker.ts';
import type { VmRecord, VmStep } from '../../core/model.ts';
import { aboutVm, inPhase } from '../records.ts';
import type { Outcome } from './outcome.ts';

/** A launch that will not succeed: said, counted by the breaker, and cleaned up. */
export function failedLaunch(record: VmRecord, reason: string, nowMs: number): Extract<Outcome, { kind: 'moved' }> {
  return {
    kind: 'moved',
    record: inPhase(record, 'removing', nowMs, { ...withoutAsking(record, nowMs), reason }),
    events: [{ type: 'vm.failed', ...aboutVm(record), reason, step: record.step }],
    breaker: (memory) => recordLaunchFailure(memory, nowMs, reason),
  };
}

/** A guest of ours that never served has nothing to finish: its plug is pulled at once, so that it does not count against max for long. */
function withoutAsking(record: VmRecord, nowMs: number): { step: VmStep; deadlineAtMs?: number } {
  return record.kind === 'existing' ? { step: 'intended' } : { step: 'stopping', deadlineAtMs: nowMs };
}
