// What clocks show in a time zone. Not here: cron expressions (cron-calendar).

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** No clock is put back by more. */
const BACK_MS = 3 * HOUR_MS;

export interface ClockFace {
  readonly hour: number;
  readonly minute: number;
  /** Local time less UTC. */
  readonly offsetMs: number;
}

export class LocalTime {
  readonly #format: Intl.DateTimeFormat;

  /** Throws `RangeError` when there is no such zone. */
  constructor(timezone: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    });
  }

  static isZone(timezone: string): boolean {
    try {
      new LocalTime(timezone);
      return true;
    } catch {
      return false;
    }
  }

  /** At an instant (Unix ms). */
  at(atMs: number): ClockFace {
    const part: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(atMs)) part[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = part;
    const local = Date.UTC(year, month - 1, day, hour, minute);
    return { hour, minute, offsetMs: local - Math.floor(atMs / MINUTE_MS) * MINUTE_MS };
  }

  /** Whether clocks have shown this time before, because they were put back. */
  isRepeated(atMs: number): boolean {
    const now = this.at(atMs).offsetMs;
    const backMs = this.at(atMs - BACK_MS).offsetMs - now;
    return backMs > 0 && this.at(atMs - backMs).offsetMs === now + backMs;
  }
}
