// A daemon's life: everything it waits for passes through here, and after its death nothing ever comes back to it.
// That is what SIGKILL looks like from inside: no catch, no finally, no last word. Not here: when it dies (faults.ts).

import type { Clock } from '../../src/ports/clock.ts';

export class Life {
  #dead = false;
  #retired = false;
  readonly #diesAt: (where: string) => boolean;
  readonly #onDeath: (where: string) => void;

  /** `diesAt` is asked at every point at which it may die. */
  constructor(diesAt: (where: string) => boolean, onDeath: (where: string) => void) {
    this.#diesAt = diesAt;
    this.#onDeath = onDeath;
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** It was asked to stop and said that it has: whatever it does from now on is too late. */
  retire(): void {
    this.#retired = true;
  }

  get retired(): boolean {
    return this.#retired && !this.#dead;
  }

  kill(where: string): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#onDeath(where);
  }

  /** The work's outcome, while the daemon lives; after that nothing. */
  async guard<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work;
      return this.#dead ? await never() : value;
    } catch (error) {
      if (this.#dead) return await never();
      throw error;
    }
  }

  /** A point at which the daemon may die. */
  async point(where: string): Promise<void> {
    if (!this.#dead && this.#diesAt(where)) this.kill(where);
    if (this.#dead) await never();
  }
}

/** Engine time of this life: `offsetMs` is how far the wall clock, from which it began, was off the simulated time. */
export class MortalClock implements Clock {
  readonly #clock: Clock;
  readonly #life: Life;
  readonly #offsetMs: number;

  constructor(clock: Clock, life: Life, offsetMs = 0) {
    this.#clock = clock;
    this.#life = life;
    this.#offsetMs = offsetMs;
  }

  nowMs(): number {
    return this.#clock.nowMs() + this.#offsetMs;
  }

  wall(): string {
    return this.#clock.wall();
  }

  wallOf(engineMs: number): string {
    return this.#clock.wallOf(engineMs - this.#offsetMs);
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#life.dead) return never();
    return this.#life.guard(this.#clock.sleep(ms, signal));
  }

  async deadline<T>(ms: number, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#life.dead) return never();
    return this.#life.guard(this.#clock.deadline(ms, work, signal));
  }
}

export function never(): Promise<never> {
  return new Promise(() => {});
}
