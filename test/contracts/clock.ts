// The contract of the Clock port, run against every clock.
// Not here: what only one clock promises (its own test file).

import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/ports/clock.ts';
import { isFault } from '../../src/ports/fault.ts';

export interface ClockUnderTest {
  readonly clock: Clock;
  /** Lets at least `ms` pass; a real clock waits. */
  readonly pass: (ms: number) => Promise<void>;
  /** Timers this clock has not let go of. */
  readonly timers: () => number;
}

const never = (): Promise<never> => new Promise(() => {});

function outcome(promise: Promise<unknown>): { readonly settled: () => string } {
  let settled = 'pending';
  promise.then(
    (value) => {
      settled = `resolved ${String(value)}`;
    },
    (error: unknown) => {
      settled = isFault(error) ? `rejected ${error.kind}` : `rejected ${String(error)}`;
    },
  );
  return { settled: () => settled };
}

export function clockContract(name: string, make: () => ClockUnderTest): void {
  describe(`clock contract: ${name}`, () => {
    test('engine time starts near the wall clock and never goes back', async () => {
      const { clock, pass } = make();
      expect(Math.abs(clock.nowMs() - Date.parse(clock.wall()))).toBeLessThan(50);
      let last = clock.nowMs();
      for (let i = 0; i < 1000; i += 1) {
        const now = clock.nowMs();
        expect(now).toBeGreaterThanOrEqual(last);
        last = now;
      }
      await pass(5);
      expect(clock.nowMs()).toBeGreaterThanOrEqual(last + 5);
    });

    test('wall times are RFC 3339 in UTC with milliseconds, and keep distances', () => {
      const { clock } = make();
      expect(clock.wall()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      const now = clock.nowMs();
      expect(Date.parse(clock.wallOf(now)) - Date.parse(clock.wallOf(now - 90_000))).toBe(90_000);
      expect(Math.abs(Date.parse(clock.wallOf(now)) - Date.parse(clock.wall()))).toBeLessThan(50);
    });

    test('sleep lasts at least as long as it was told', async () => {
      const { clock, pass } = make();
      const begun = clock.nowMs();
      let wokenAfterMs = -1;
      const sleeping = clock.sleep(15).then(() => {
        wokenAfterMs = clock.nowMs() - begun;
      });
      await pass(40);
      await sleeping;
      expect(wokenAfterMs).toBeGreaterThanOrEqual(15);
    });

    test('sleep of nothing or less ends', async () => {
      const { clock, pass } = make();
      const sleeping = Promise.all([clock.sleep(0), clock.sleep(-5)]);
      await pass(5);
      await sleeping;
    });

    test('sleep ends without an error when its signal aborts, at once when it has', async () => {
      const { clock, pass, timers } = make();
      const controller = new AbortController();
      const sleeping = outcome(clock.sleep(3_600_000, controller.signal));
      await pass(1);
      expect(sleeping.settled()).toBe('pending');
      controller.abort();
      await clock.sleep(3_600_000, controller.signal);
      expect(sleeping.settled()).toBe('resolved undefined');
      expect(timers()).toBe(0);
    });

    test('sleep leaves no listener on its signal', async () => {
      const { clock, pass } = make();
      const { signal } = new AbortController();
      const sleeping = Promise.all(Array.from({ length: 20 }, () => clock.sleep(2, signal)));
      await pass(10);
      await sleeping;
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    });

    test('deadline settles as the work does, and leaves nothing behind', async () => {
      const { clock, timers } = make();
      const { signal } = new AbortController();
      await expect(clock.deadline(1000, async () => 7, signal)).resolves.toBe(7);
      await expect(clock.deadline(1000, () => Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
      const throws = (): Promise<never> => {
        throw new Error('at once');
      };
      await expect(clock.deadline(1000, throws, signal)).rejects.toThrow('at once');
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
      expect(timers()).toBe(0);
    });

    test('deadline rejects with timed-out and aborts the work, also when the work never settles', async () => {
      const { clock, pass, timers } = make();
      let seen: AbortSignal | undefined;
      const waiting = outcome(
        clock.deadline(10, (signal) => {
          seen = signal;
          return never();
        }),
      );
      await pass(30);
      expect(waiting.settled()).toBe('rejected timed-out');
      expect(seen?.aborted).toBe(true);
      expect(timers()).toBe(0);
    });

    test('deadline says timed-out, not what the work threw because of it', async () => {
      const { clock, pass } = make();
      const waiting = outcome(
        clock.deadline(
          5,
          (signal) =>
            new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('because of it')))),
        ),
      );
      await pass(20);
      expect(waiting.settled()).toBe('rejected timed-out');
    });

    test('deadline passes an abort on and rejects with aborted, at once when it has happened', async () => {
      const { clock, pass, timers } = make();
      const controller = new AbortController();
      let seen: AbortSignal | undefined;
      const work = (signal: AbortSignal): Promise<never> => {
        seen = signal;
        return never();
      };
      const waiting = outcome(clock.deadline(3_600_000, work, controller.signal));
      await pass(1);
      controller.abort();
      await pass(1);
      expect(waiting.settled()).toBe('rejected aborted');
      expect(seen?.aborted).toBe(true);
      seen = undefined;
      const late = outcome(clock.deadline(3_600_000, work, controller.signal));
      await pass(1);
      expect(late.settled()).toBe('rejected aborted');
      expect(seen).toBeUndefined();
      expect(timers()).toBe(0);
    });
  });
}
