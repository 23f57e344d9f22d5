// When turns happen: at a steady beat, earlier when a host tells of a change or somebody asks. Not here: what a turn does (turn).

import type { Clock } from '../ports/clock.ts';
import type { HostWatch } from './host-watch.ts';
import type { Log } from './log.ts';
import type { Telemetry } from './view.ts';

/** Changes on a host bring the next turn forward, but turns never follow each other faster than this. */
const TURN_SPACING_MS = 200;
/** A change seldom comes alone; and to look at once would take the host's time from a VM that just wakes. */
const SETTLE_MS = 50;

export interface BeatOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: Telemetry;
  readonly hosts: readonly HostWatch[];
  readonly pollMs: number;
  readonly turn: () => Promise<void>;
}

export class Beat {
  readonly #options: BeatOptions;
  #wake = new AbortController();

  constructor(options: BeatOptions) {
    this.#options = options;
  }

  /** The next turn begins at once (or as soon as turns may follow each other). */
  wake(): void {
    this.#wake.abort();
  }

  /** Ends when `signal` aborts and the turn under way has ended; {@link wake} it then. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#turns(signal), ...this.#options.hosts.map((host) => this.#heed(host, signal))]);
  }

  async #turns(signal: AbortSignal): Promise<void> {
    const { clock, telemetry, log, pollMs, turn } = this.#options;
    while (!signal.aborted) {
      const begunAtMs = clock.nowMs();
      this.#wake = new AbortController();
      try {
        await turn();
      } catch (error) {
        // A refused commit or a bug costs this turn; the daemon lives, and says so.
        log.error({ err: error }, 'a turn was given up; nothing of it happened');
      }
      telemetry.turnEnded((clock.nowMs() - begunAtMs) / 1000);
      await clock.sleep(begunAtMs + TURN_SPACING_MS - clock.nowMs(), signal);
      await clock.sleep(begunAtMs + pollMs - clock.nowMs(), AbortSignal.any([this.#wake.signal, signal]));
    }
  }

  /** Brings turns forward when the host tells of a change. */
  async #heed(host: HostWatch, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      for await (const _change of host.hypervisor.changes(signal)) {
        await clock.sleep(SETTLE_MS, signal);
        host.nudge();
        this.wake();
      }
    } catch (error) {
      this.#options.log.warn({ err: error, host: host.name }, 'no longer told of changes by the host; polling goes on');
    }
  }
}
