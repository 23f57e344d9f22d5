// Identifiers and chance that repeat from a seed.
// Not here: the system's (src/adapters/ids).

import type { Ids } from '../../src/ports/ids.ts';

/** mulberry32: 32 bits of state, uniform in [0, 1). Good enough to choose faults; no secret ever. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.int(0, items.length - 1)] ?? items[0];
  }

  /** A stream of its own: what one part of a simulation draws does not shift what another part draws. */
  fork(): SeededRandom {
    return new SeededRandom(Math.floor(this.next() * 2 ** 32));
  }
}

export class SeededIds implements Ids {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  uuid(): string {
    const hex = (digits: number): string => {
      let text = '';
      while (text.length < digits) text += Math.floor(this.#random.next() * 16).toString(16);
      return text;
    };
    const variant = '89ab'.charAt(Math.floor(this.#random.next() * 4));
    return `${hex(8)}-${hex(4)}-4${hex(3)}-${variant}${hex(3)}-${hex(12)}`;
  }

  random(): number {
    return this.#random.next();
  }

  /** No key that anybody could use. */
  sshKey(comment: string): ReturnType<Ids['sshKey']> {
    const id = this.uuid();
    return { publicKey: `ssh-ed25519 ${id} ${comment}`, privateKey: `private half of ${id}` };
  }
}
