// The calls and acts that are due on a simulated machine, in order of time.
// A call is carried out when its time comes, whether or not anybody still waits for the answer. Not here: what it does.

import { Fault } from '../../../ports/fault.ts';
import { type TroubleScript, untilOf } from './memory-script.ts';

export interface Ticket<T> {
  atMs: number;
  readonly seq: number;
  /** A call comes over the wire, so a hang or a cut meets it; an act of the machine itself does not. */
  readonly wire: boolean;
  readonly effect: (atMs: number) => T;
  deferred: boolean;
  outcome: { readonly value: T } | { readonly error: unknown } | undefined;
  settledAtMs: number;
}

export class CallQueue {
  readonly #script: TroubleScript;
  readonly #host: string;
  readonly #tickets: Ticket<unknown>[] = [];
  #seq = 0;

  constructor(script: TroubleScript, host: string) {
    this.#script = script;
    this.#host = host;
  }

  submit<T>(atMs: number, wire: boolean, effect: (atMs: number) => T): Ticket<T> {
    this.#seq += 1;
    const ticket: Ticket<T> = {
      atMs,
      seq: this.#seq,
      wire,
      effect,
      deferred: false,
      outcome: undefined,
      settledAtMs: 0,
    };
    this.#tickets.push(ticket as Ticket<unknown>);
    return ticket;
  }

  /** Everything due until `nowMs` happens; `passTime` is told the time before each. */
  advance(nowMs: number, passTime: (atMs: number) => void): void {
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.atMs > nowMs) return;
      if (next.wire && this.#defer(next)) continue;
      this.#tickets.splice(this.#tickets.indexOf(next), 1);
      next.settledAtMs = next.atMs;
      passTime(next.atMs);
      try {
        if (next.wire && this.#lost(next.atMs)) throw new Fault('unreachable', `host ${this.#host}: connection lost`);
        next.outcome = { value: next.effect(next.atMs) };
      } catch (error) {
        if (!next.wire) throw error;
        next.outcome = { error };
      }
    }
  }

  /** The machine wakes: calls that a hang put off are due now. */
  release(nowMs: number): void {
    for (const ticket of this.#tickets) {
      if (ticket.deferred && ticket.atMs > nowMs) ticket.atMs = nowMs;
    }
  }

  #next(): Ticket<unknown> | undefined {
    let next: Ticket<unknown> | undefined;
    for (const ticket of this.#tickets) {
      if (next === undefined || ticket.atMs < next.atMs || (ticket.atMs === next.atMs && ticket.seq < next.seq))
        next = ticket;
    }
    return next;
  }

  #defer(ticket: Ticket<unknown>): boolean {
    const hang = this.#script.active('hang', ticket.atMs);
    if (hang === undefined || hang.effect === 'lost') return false;
    ticket.atMs = untilOf(hang);
    ticket.deferred = true;
    return true;
  }

  #lost(atMs: number): boolean {
    return this.#script.active('hang', atMs) !== undefined || this.#script.active('unreachable', atMs) !== undefined;
  }
}
