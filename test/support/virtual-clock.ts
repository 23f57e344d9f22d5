// Time that passes only when a test lets it: nothing waits, everything happens in the same order each run.
// Not here: real time (src/adapters/clock).

import { setImmediate } from 'node:timers/promises';
import { deadline, type Schedule, sleep } from '../../src/adapters/clock/waits.ts';
import type { Clock } from '../../src/ports/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

/** Loop iterations in a row without a new timer, a fired one or a cancelled one, after which nothing more is under way. */
const QUIET_ITERATIONS = 2;
/** At one and the same instant; more is code that waits for 0 ms forever. */
const FIRED_AT_ONE_INSTANT_MAX = 10_000;

export class VirtualClock implements Clock {
  #nowMs: number;
  #wallOffsetMs = 0;
  #order = 0;
  #activity = 0;
  #running = false;
  /** A binary heap by time, then by order of arrival. Cancelled timers stay in it until they come to the top. */
  readonly #heap: Timer[] = [];
  readonly #live = new Set<Timer>();

  /** Default: 2026-01-01T00:00:00Z. */
  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wall(): string {
    return this.wallOf(this.#nowMs);
  }

  wallOf(engineMs: number): string {
    return new Date(engineMs + this.#wallOffsetMs).toISOString();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleep(this.#schedule, ms, signal);
  }

  deadline<T>(ms: number, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return deadline(this.#schedule, ms, work, signal);
  }

  /** Wall time minus engine time. */
  get wallOffsetMs(): number {
    return this.#wallOffsetMs;
  }

  /** Somebody sets the wall clock. Engine time does not move. */
  stepWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** Timers that are waiting: 0 when nothing was left behind. */
  get pending(): number {
    return this.#live.size;
  }

  /**
   * Lets time pass up to `untilMs`, included. Everything that can run runs before the next timer fires; timers fire one by one,
   * by time and then by order of arrival.
   */
  async run(untilMs: number): Promise<void> {
    if (this.#running) throw new Error('the clock is running already');
    this.#running = true;
    try {
      await this.settle();
      let atThisInstant = 0;
      for (let timer = this.#next(); timer !== undefined && timer.atMs <= untilMs; timer = this.#next()) {
        atThisInstant = timer.atMs > this.#nowMs ? 0 : atThisInstant + 1;
        if (atThisInstant > FIRED_AT_ONE_INSTANT_MAX) throw new Error(`time stands still at ${this.#nowMs}`);
        this.#nowMs = Math.max(this.#nowMs, timer.atMs);
        this.#pop();
        this.#live.delete(timer);
        this.#activity += 1;
        timer.fire();
        await this.settle();
      }
      this.#nowMs = Math.max(this.#nowMs, untilMs);
    } finally {
      this.#running = false;
    }
  }

  /** Lets everything run that can run now. */
  async settle(): Promise<void> {
    let seen = -1;
    let quiet = 0;
    while (quiet < QUIET_ITERATIONS) {
      await setImmediate();
      quiet = this.#activity === seen ? quiet + 1 : 0;
      seen = this.#activity;
    }
  }

  readonly #schedule: Schedule = (ms, fire) => {
    const timer: Timer = { atMs: this.#nowMs + ms, order: this.#order++, fire };
    this.#activity += 1;
    this.#live.add(timer);
    this.#push(timer);
    return () => {
      if (this.#live.delete(timer)) this.#activity += 1;
    };
  };

  #next(): Timer | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#live.has(top)) return top;
      this.#pop();
    }
    return undefined;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(timer, heap[parent])) break;
      heap[index] = heap[parent] as Timer;
      index = parent;
    }
    heap[index] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (before(heap[child + 1], heap[child])) child += 1;
      if (!before(heap[child], last)) break;
      heap[index] = heap[child] as Timer;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: Timer | undefined, b: Timer | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
