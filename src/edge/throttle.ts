// How often somebody may try: a bucket of tries for each key that fills again with time, and a bounded number of buckets.
// Pure but for what it remembers. Not here: what is tried (accounts), telling a client (routes).

export interface ThrottleOptions {
  /** Tries in a row. */
  readonly burst: number;
  /** Until one more is allowed. */
  readonly refillMs: number;
  /** Buckets remembered: beyond, the one that was used longest ago is forgotten. */
  readonly keys?: number;
}

interface Bucket {
  /** Tries left at `atMs`. */
  readonly left: number;
  readonly atMs: number;
}

const KEYS_MAX = 10_000;

export class Throttle {
  readonly #options: Required<ThrottleOptions>;
  /** The one used last is the last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: ThrottleOptions) {
    this.#options = { keys: KEYS_MAX, ...options };
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Time until a try is allowed, 0: now. Takes nothing. */
  waitMs(key: string, nowMs: number): number {
    const left = this.#leftOf(key, nowMs);
    return left >= 1 ? 0 : Math.ceil((1 - left) * this.#options.refillMs);
  }

  take(key: string, nowMs: number): void {
    this.#put(key, { left: Math.max(0, this.#leftOf(key, nowMs) - 1), atMs: nowMs });
  }

  /** A try that was right costs nothing. */
  giveBack(key: string, nowMs: number): void {
    const left = Math.min(this.#options.burst, this.#leftOf(key, nowMs) + 1);
    if (left >= this.#options.burst) this.#buckets.delete(key);
    else this.#put(key, { left, atMs: nowMs });
  }

  #leftOf(key: string, nowMs: number): number {
    const bucket = this.#buckets.get(key);
    const { burst, refillMs } = this.#options;
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.left + (nowMs - bucket.atMs) / refillMs);
  }

  #put(key: string, bucket: Bucket): void {
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size <= this.#options.keys) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
