// Errors that ports may throw, typed by what the caller does next. Anything else thrown by an adapter is a bug.

/**
 * - `unreachable`: no connection; whether earlier calls took effect is known only from looking again. Retry later.
 * - `timed-out`: no answer in time; it may still take effect. Look again, then retry.
 * - `busy`: the thing is held by another job. Retry later.
 * - `conflict`: something else of that name or address is there. Retrying the same will not help.
 * - `refused`: the hypervisor understood and said no (bad XML, no space, no right, absent image). Retrying the same will not help.
 * - `gone`: what was asked for is not there (any more).
 * - `aborted`: we cancelled it.
 */
export type FaultKind = 'unreachable' | 'timed-out' | 'busy' | 'conflict' | 'refused' | 'gone' | 'aborted';

export class Fault extends Error {
  readonly kind: FaultKind;
  /** What to do about it, in words for people; absent when `message` says it all. */
  readonly advice: string | undefined;

  constructor(kind: FaultKind, message: string, options: { advice?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.kind = kind;
    this.advice = options.advice;
  }

  /** True when trying the same thing again later can succeed. */
  get retryable(): boolean {
    return this.kind === 'unreachable' || this.kind === 'timed-out' || this.kind === 'busy';
  }
}

export function isFault(error: unknown, ...kinds: readonly FaultKind[]): error is Fault {
  return error instanceof Fault && (kinds.length === 0 || kinds.includes(error.kind));
}
