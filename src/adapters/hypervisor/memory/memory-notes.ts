// What was seen on a simulated machine that must never happen, or that was asked for and refused.
// Not here: what counts as either (memory-domains, memory-pool).

const MAX_NOTES = 1000;

export class MemoryNotes {
  readonly violations: string[] = [];
  readonly refusals: string[] = [];
  readonly #host: string;

  constructor(host: string) {
    this.#host = host;
  }

  violate(what: string): void {
    const text = `${this.#host}: ${what}`;
    if (this.violations.length < MAX_NOTES && !this.violations.includes(text)) this.violations.push(text);
  }

  refuse(what: string): void {
    if (this.refusals.length < MAX_NOTES) this.refusals.push(`${this.#host}: ${what}`);
  }
}
