// What happened in a run: a bounded trace for people, a fingerprint of all of it, and counts of what really took place.
// Not here: judging it (invariants.ts).

import { createHash } from 'node:crypto';

const LINES_KEPT = 100;
const LINES_SHOWN = 80;

export class Trace {
  readonly #startMs: number;
  readonly #now: () => number;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #lines: string[] = [];
  readonly #hash = createHash('sha256');
  readonly counts = new Map<string, number>();
  readonly violations: string[] = [];
  #untilFirst: readonly string[] | undefined;

  constructor(now: () => number, onLine?: (line: string) => void) {
    this.#now = now;
    this.#onLine = onLine;
    this.#startMs = now();
  }

  line(text: string): void {
    const line = `${((this.#now() - this.#startMs) / 1000).toFixed(3).padStart(9)} ${text}`;
    this.#hash.update(line);
    this.#onLine?.(line);
    this.#lines.push(line);
    if (this.#lines.length > LINES_KEPT) this.#lines.shift();
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  violation(text: string): void {
    this.violations.push(text);
    this.line(`VIOLATION ${text}`);
    this.#untilFirst ??= this.#lines.slice(-LINES_SHOWN);
  }

  /** The lines before the first violation and the violation itself; the last lines when there was none. */
  untilFirstViolation(): readonly string[] {
    return this.#untilFirst ?? this.#lines.slice(-LINES_SHOWN);
  }

  /** Two runs with the same fingerprint told the same story, line by line. */
  fingerprint(): string {
    return this.#hash.copy().digest('hex').slice(0, 16);
  }
}
