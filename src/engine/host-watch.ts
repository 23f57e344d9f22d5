// Watches one host: polls it on demand, at its own pace and with its own deadline, and keeps the last good picture.
// Not here: what the pictures mean. A host that hangs holds up only its own watcher.

import type { HostObservation, HostTraits, HostView } from '../core/model.ts';
import type { Clock } from '../ports/clock.ts';
import type { HostInfo, Hypervisor, ObserveWants } from '../ports/hypervisor.ts';
import type { Ids } from '../ports/ids.ts';
import type { HostCondition, Telemetry } from './view.ts';

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
  /** A poll that takes longer is a slow one. */
  readonly slowMs: number;
  /** What the configuration and people say about the host now. */
  readonly traits: () => HostTraits;
  /** Whose counters matter now. */
  readonly wants: ObserveWants;
}

/** So many slow polls in a row make a slow host: one alone is chance. */
const SLOW_POLLS = 3;

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
  readonly #slowMs: number;
  readonly #traits: () => HostTraits;
  readonly #wants: ObserveWants;
  #lastPollMs: number | undefined;
  #slowPolls = 0;
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
    this.#slowMs = options.slowMs;
    this.#traits = options.traits;
    this.#wants = options.wants;
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

  /** How long the last poll that succeeded took. */
  get lastPollMs(): number | undefined {
    return this.#lastPollMs;
  }

  get condition(): HostCondition {
    if (this.#reason !== undefined) return 'unreachable';
    if (this.#last === undefined) return 'connecting';
    return this.#slowPolls >= SLOW_POLLS || this.#ageMs(this.#last) > this.#staleAfterMs ? 'slow' : 'up';
  }

  get traits(): HostTraits {
    return this.#traits();
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
          return this.hypervisor.observe(inner, this.#wants);
        },
        signal,
      );
      this.#last = observed;
      this.#lastPollMs = this.#clock.nowMs() - startedAtMs;
      this.#slowPolls = this.#lastPollMs > this.#slowMs ? this.#slowPolls + 1 : 0;
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
    const [name, last, traits] = [this.name, this.#last, this.#traits()];
    if (last === undefined) {
      return { name, traits, state: 'down', ...(this.#reason !== undefined && { reason: this.#reason }) };
    }
    const ageMs = this.#ageMs(last);
    if (this.#reason === undefined && ageMs <= this.#staleAfterMs) return { name, traits, state: 'up', last };
    return { name, traits, state: 'stale', last, reason: this.#reason ?? lateText(ageMs) };
  }

  /** Why it is not `up`, in words for people. */
  get trouble(): string | undefined {
    const { condition } = this;
    if (condition === 'unreachable') return this.#reason;
    if (condition !== 'slow' || this.#last === undefined) return undefined;
    const ageMs = this.#ageMs(this.#last);
    return ageMs > this.#staleAfterMs ? lateText(ageMs) : `its polls take ${this.#lastPollMs?.toFixed(0)} ms`;
  }

  #ageMs(last: HostObservation): number {
    return this.#clock.nowMs() - last.startedAtMs;
  }
}

function lateText(ageMs: number): string {
  return `its last answer is ${(ageMs / 1000).toFixed(1)} s old`;
}
