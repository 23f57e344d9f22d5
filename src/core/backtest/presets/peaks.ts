// The largest of what was recommended within a window, as HPA and GCE keep it. Bounded by the number of looks in the window.

export class Peaks {
  readonly #windowMs: number;
  readonly #kept: { atMs: number; value: number }[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Adds a value and says the largest of those not older than the window. */
  after(value: number, nowMs: number): number {
    while ((this.#kept.at(-1)?.value ?? Number.POSITIVE_INFINITY) <= value) this.#kept.pop();
    this.#kept.push({ atMs: nowMs, value });
    while ((this.#kept[0]?.atMs ?? nowMs) < nowMs - this.#windowMs) this.#kept.shift();
    return this.#kept[0]?.value ?? value;
  }
}
