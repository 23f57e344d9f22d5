// The way between an adapter and its simulated machine: what a call costs, which get lost, which are never answered.
// Not here: what calls there are (memory-hypervisor), what the machine does (memory-host).

import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type { MemoryHost } from './memory-host.ts';
import type { Ticket } from './memory-queue.ts';
import { type HypervisorCall, untilOf } from './memory-script.ts';

export class MemoryWire {
  /** The daemon died: what it sent is carried out, no answer comes back, nothing more is sent. */
  crashed = false;
  closed = false;
  readonly #host: MemoryHost;
  readonly #clock: Clock;

  constructor(host: MemoryHost, clock: Clock) {
    this.#host = host;
    this.#clock = clock;
  }

  /** Sends a call, waits for the machine to carry it out, and for the answer to come back; each part can fail by itself. */
  async call<T>(
    name: HypervisorCall,
    signal: AbortSignal,
    effect: (atMs: number) => T,
    half?: () => void,
    canFail = true,
  ): Promise<T> {
    if (this.crashed) return this.never();
    if (signal.aborted) throw this.aborted(name);
    if (this.closed) throw new Fault('unreachable', `host ${this.#host.name}: the connection was closed`);
    const sentAtMs = this.#clock.nowMs();
    const halfWayMs = this.#host.latencyMs(name) / 2;
    if (this.#host.script.active('unreachable', sentAtMs) !== undefined) {
      await this.#sleep(halfWayMs, signal);
      if (this.crashed) return this.never();
      throw signal.aborted ? this.aborted(name) : this.#unreachable();
    }
    const failure = canFail ? this.#host.script.takeFailure(name, sentAtMs) : undefined;
    const atMs = sentAtMs + halfWayMs;
    const ticket =
      failure === undefined || failure.effect === 'after'
        ? this.#host.submit<T | undefined>(atMs, effect)
        : this.#host.submit<T | undefined>(atMs, () => {
            if (failure.effect === 'half') half?.();
            return undefined;
          });
    await this.#settled(ticket, halfWayMs, name, signal);
    const outcome = ticket.outcome;
    if (outcome === undefined) throw new Error(`memory host ${this.#host.name}: ${name} neither settled nor failed`);
    if ('error' in outcome) throw outcome.error;
    if (failure !== undefined) throw new Fault(failure.fault, `host ${this.#host.name}: ${name} failed, as scripted`);
    return outcome.value as T;
  }

  async #settled<T>(ticket: Ticket<T>, halfWayMs: number, name: HypervisorCall, signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = this.#clock.nowMs();
      this.#host.advance(nowMs);
      if (this.crashed) return this.never();
      if (signal.aborted) throw this.aborted(name);
      const hang = this.#host.script.active('hang', nowMs);
      if (hang === undefined && this.#host.script.active('unreachable', nowMs) !== undefined) throw this.#unreachable();
      const answerAtMs = ticket.outcome === undefined ? ticket.atMs : ticket.settledAtMs + halfWayMs;
      if (ticket.outcome !== undefined && hang === undefined && nowMs >= answerAtMs) return;
      await this.#sleep(Math.max(answerAtMs, hang === undefined ? 0 : untilOf(hang)) - nowMs, signal);
    }
  }

  silent(nowMs: number): boolean {
    const { script } = this.#host;
    return script.active('hang', nowMs) !== undefined || script.active('unreachable', nowMs) !== undefined;
  }

  /** Until the time is over, the caller gives up, or the host changes (it may have been healed). */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const unwatch = this.#host.watch(() => woken.abort());
    const either = AbortSignal.any([signal, woken.signal]);
    try {
      if (ms !== Number.POSITIVE_INFINITY) await this.#clock.sleep(Math.max(0, ms), either);
      else if (!either.aborted)
        await new Promise((resolve) => either.addEventListener('abort', resolve, { once: true }));
    } finally {
      unwatch();
    }
  }

  never(): Promise<never> {
    return new Promise<never>(() => {});
  }

  aborted(name: HypervisorCall): Fault {
    return new Fault('aborted', `host ${this.#host.name}: ${name} was cancelled`);
  }

  #unreachable(): Fault {
    return new Fault('unreachable', `host ${this.#host.name}: not reachable`, {
      advice: 'Check that the host is up and that libvirtd runs on it.',
    });
  }
}
