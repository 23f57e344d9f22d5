// Waiting, built on nothing but "call me in so many ms": the same rules for the system's clock and for a simulated one.
// Not here: what time it is.

import { Fault } from '../../ports/fault.ts';

/** Calls `fire` once after `ms` unless the returned function is called before. */
export type Schedule = (ms: number, fire: () => void) => () => void;

/** Resolves after `ms`, earlier and without an error when `signal` aborts. Leaves no timer and no listener behind. */
export function sleep(schedule: Schedule, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = schedule(Math.max(0, ms), end);
    signal?.addEventListener('abort', end, { once: true });
  });
}

/**
 * Runs `work` with a signal that aborts after `ms`, or with `signal`. Settles as `work` does, or rejects at that moment with
 * `Fault('timed-out')` or `Fault('aborted')`, also when `work` never settles; what `work` does afterwards is ignored.
 */
export function deadline<T>(
  schedule: Schedule,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  if (signal?.aborted === true) return Promise.reject(aborted());
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const give = (fault: Fault): void => {
      // First our answer, then the abort: whatever `work` throws because of it comes second and is not heard.
      end();
      reject(fault);
      controller.abort(fault);
    };
    const onAbort = (): void => give(aborted());
    const cancel = schedule(Math.max(0, ms), () => give(new Fault('timed-out', `no answer within ${ms} ms`)));
    const end = (): void => {
      cancel();
      signal?.removeEventListener('abort', onAbort);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    // In a then: a `work` that throws instead of rejecting is a rejection too.
    Promise.resolve(controller.signal)
      .then(work)
      .then(
        (value) => {
          end();
          resolve(value);
        },
        (error: unknown) => {
          end();
          reject(error);
        },
      );
  });
}

function aborted(): Fault {
  return new Fault('aborted', 'cancelled');
}
