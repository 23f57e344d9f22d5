// Watches one host: polls it on demand, at its own pace and with its own deadline, and keeps the last good picture.
// Not here: what the pictures mean. A host that hangs holds up only its own watcher.

import type { HostObservation, HostView } from '../core/model.ts';
import type { Clock } from '../ports/clock.ts';
import type { HostInfo, Hypervisor } from '../ports/hypervisor.ts';
import type { Ids } from '../ports/ids.ts';
import type { Telemetry } from './view.ts';

export interface HostWatchOptions {
  readonly hypervisor: Hypervisor;
  readonly uri: string;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly telemetry: Telemetry;
  /** A poll that takes longer has failed. */
  readonly pollDeadlineMs: number;
  /** A picture older than this is stale even when no poll has failed since. */
  readonly staleAfterMs: number;
}

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 15_000;

export class HostWatch {
  readonly hypervisor: Hypervisor;
  readonly uri: string;
  readonly #clock: Clock;
  readonly #ids: Ids;
  readonly #telemetry: Telemetry;
  readonly #pollDeadlineMs: number;
  readonly #staleAfterMs: number;
  #last: HostObservation | undefined;
  #lastWall: string | undefined;
  #info: HostInfo | undefined;
  #failures = 0;
  #reason: string | undefined;
  #retryAtMs = 0;
  #polling: Promise<void> | undefined;

  constructor(options: HostWatchOptions) {
    this.hypervisor = options.hypervisor;
    this.uri = options.uri;
    this.#clock = options.clock;
    this.#ids = options.ids;
    this.#telemetry = options.telemetry;
    this.#pollDeadlineMs = options.pollDeadlineMs;
    this.#staleAfterMs = options.staleAfterMs;
  }

  get name(): string {
    return this.hypervisor.host;
  }

  get info(): HostInfo | undefined {
    return this.#info;
  }

  get lastSeenAt(): string | undefined {
    return this.#lastWall;
  }

  /** A host is worth waiting for when its last poll succeeded and no poll is overdue: one that hangs costs a single turn's budget. */
  get worthWaitingFor(): boolean {
    return this.#reason === undefined && this.#polling === undefined;
  }

  /** Begins a poll unless one is under way or the host is to be left alone for now. Settles when that poll has, never rejects. */
  poll(signal: AbortSignal): Promise<void> {
    if (this.#polling !== undefined) return this.#polling;
    if (this.#clock.nowMs() < this.#retryAtMs) return Promise.resolve();
    this.#polling = this.#poll(signal).finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const startedAtMs = this.#clock.nowMs();
    const seconds = () => (this.#clock.nowMs() - startedAtMs) / 1000;
    try {
      const observed = await this.#clock.deadline(
        this.#pollDeadlineMs,
        async (inner) => {
          if (this.#info === undefined || this.#failures > 0) this.#info = await this.hypervisor.info(inner);
          return this.hypervisor.observe(inner);
        },
        signal,
      );
      this.#last = observed;
      this.#lastWall = this.#clock.wall();
      this.#failures = 0;
      this.#reason = undefined;
      this.#retryAtMs = 0;
      this.#telemetry.polled(this.name, seconds(), 'ok');
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      this.#reason = error instanceof Error ? error.message : String(error);
      const backoffMs = Math.min(RETRY_MIN_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS);
      this.#retryAtMs = this.#clock.nowMs() + backoffMs * (0.5 + this.#ids.random() / 2);
      this.#telemetry.polled(this.name, seconds(), 'failed');
    }
  }

  /** Something happened on the host (an event, a connection that came back): poll again now, whatever the backoff says. */
  nudge(): void {
    this.#retryAtMs = 0;
  }

  view(): HostView {
    if (this.#last === undefined) {
      return { name: this.name, state: 'down', ...(this.#reason !== undefined && { reason: this.#reason }) };
    }
    const ageMs = this.#clock.nowMs() - this.#last.startedAtMs;
    if (this.#reason === undefined && ageMs <= this.#staleAfterMs) {
      return { name: this.name, state: 'up', last: this.#last };
    }
    const reason = this.#reason ?? `its last answer is ${(ageMs / 1000).toFixed(1)} s old`;
    return { name: this.name, state: 'stale', last: this.#last, reason };
  }
}
