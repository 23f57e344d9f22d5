// Asking outside before a VM goes into service or is removed: one try at a time, until somebody answers or the time is over.
// Not here: the call itself (ports/hook-caller).

import type { VmRecord } from '../../core/model.ts';
import { isFault } from '../../ports/fault.ts';
import { aboutVm } from '../records.ts';
import { failedLaunch } from './failed-launch.ts';
import { type Executor, type Outcome, reached } from './outcome.ts';

const AGAIN_MIN_MS = 500;
const AGAIN_MAX_MS = 10_000;
/** A single try takes no longer. */
const TRY_MS = 10_000;

export const askHook: Executor<'ask-hook'> = async (record, { hook: which }, context) => {
  const { clock, conduct, hooks, signal } = context;
  const hook = conduct.hooks[which];
  if (hook === undefined) return reached('approved');
  const nowMs = clock.nowMs();
  const { sinceMs, tries } = record.hook ?? { sinceMs: nowMs, tries: 0 };
  const endsAtMs = sinceMs + hook.deadlineMs;
  const ended = (outcome: 'agreed' | 'refused' | 'timed-out', asked: number, text: string): Outcome => {
    const event = { type: 'hook.ended', ...aboutVm(record), hook: which, outcome, tries: asked, text } as const;
    const goesOn =
      outcome === 'agreed' || which === 'remove' || (outcome === 'timed-out' && hook.onTimeout === 'continue');
    if (goesOn) return { kind: 'progress', facts: { step: 'approved' }, forgets: ['hook'], events: [event] };
    const failed = failedLaunch(record, text, clock.nowMs());
    return { ...failed, events: [event, ...failed.events] };
  };
  if (nowMs >= endsAtMs) {
    const text = `the ${which} hook did not agree within ${Math.round(hook.deadlineMs / 1000)} s (${tries} tries)`;
    return ended('timed-out', tries, text);
  }
  const request = {
    id: requestId(record, which),
    hook: which,
    ...aboutVm(record),
    group: record.group ?? '',
    ...(record.reason !== undefined && { reason: record.reason }),
    attempt: tries + 1,
    deadlineAt: clock.wallOf(endsAtMs),
  };
  try {
    const answer = await clock.deadline(
      Math.min(TRY_MS, endsAtMs - nowMs),
      (inner) => hooks.call(hook, request, inner),
      signal,
    );
    return ended(answer, tries + 1, answer === 'agreed' ? `the ${which} hook agreed` : `the ${which} hook refused`);
  } catch (error) {
    if (signal.aborted || !isFault(error)) throw error;
    const restMs = Math.max(0, endsAtMs - clock.nowMs());
    const napMs = Math.min(AGAIN_MIN_MS * 2 ** Math.min(tries, 10), AGAIN_MAX_MS, restMs);
    return { kind: 'progress', facts: { hook: { sinceMs, tries: tries + 1 } }, napMs };
  }
};

/**
 * Known before the first try, so that one which a crash cut short is repeated under the same id. A VM goes into service by a hook once;
 * it may drain more than once.
 */
function requestId({ phaseAtMs, uuid }: VmRecord, which: 'launch' | 'remove'): string {
  return which === 'launch' ? `${uuid}-launch` : `${uuid}-remove-${Math.round(phaseAtMs)}`;
}
