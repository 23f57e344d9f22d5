// The machine's time: monotonic, anchored to the wall clock once, at construction.
// Not here: simulated time (test/support/virtual-clock.ts).

import { performance } from 'node:perf_hooks';
import type { Clock } from '../../ports/clock.ts';
import { deadline, type Schedule, sleep } from './waits.ts';

/** The longest a Node timer can wait; longer waits are made of several. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** Wall and engine time may drift apart by this before `wallOf` follows the wall: less is the coarseness of the readings. */
const WALL_DRIFT_MS = 20;

/** What is read of the machine; a test may give its own. Both in ms. */
export interface TimeSource {
  /** Wall time since 1970; may jump. */
  wallMs(): number;
  /** Any origin; never goes back. */
  monotonicMs(): number;
}

const SYSTEM: TimeSource = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

export class SystemClock implements Clock {
  readonly #source: TimeSource;
  /** Engine time minus monotonic time: fixed for life. */
  readonly #anchorMs: number;
  /** Wall time minus engine time: 0 until somebody sets the wall clock. */
  #wallOffsetMs = 0;

  constructor(source: TimeSource = SYSTEM) {
    this.#source = source;
    this.#anchorMs = source.wallMs() - source.monotonicMs();
  }

  /** With a fraction: to the µs. */
  nowMs(): number {
    return Math.floor((this.#anchorMs + this.#source.monotonicMs()) * 1000) / 1000;
  }

  wall(): string {
    return rfc3339(this.#source.wallMs());
  }

  /** In terms of today's wall clock: a step of it moves the past too, so that differences between two answers stay true. */
  wallOf(engineMs: number): string {
    const offsetMs = this.#source.wallMs() - this.nowMs();
    if (Math.abs(offsetMs - this.#wallOffsetMs) > WALL_DRIFT_MS) this.#wallOffsetMs = offsetMs;
    return rfc3339(engineMs + this.#wallOffsetMs);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleep(setTimer, ms, signal);
  }

  deadline<T>(ms: number, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return deadline(setTimer, ms, work, signal);
  }
}

/** Node's timers count from the beginning of the loop's iteration and so may fire early: what is left is waited for again. */
const setTimer: Schedule = (ms, fire) => {
  const dueMs = performance.now() + ms;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    // It may have come due since it was looked at: Node warns of what is below 0.
    timer = setTimeout(check, Math.max(0, Math.min(Math.ceil(dueMs - performance.now()), TIMER_MAX_MS)));
  };
  const check = (): void => {
    if (performance.now() < dueMs) arm();
    else fire();
  };
  arm();
  return () => clearTimeout(timer);
};

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
