// The calendar port on node-cron: it reads the expressions and says which days they mean; when on such a day is found here, because
// what node-cron offers for times other than now is only "does this instant match" (`match`, `parse`; its next run is always from now).
// Not here: what a schedule does (core).

import { createTask, parse, type ScheduledTask, validateDetailed } from 'node-cron';
import type { Calendar } from '../../ports/calendar.ts';
import { LocalTime } from './local-time.ts';

const MINUTE_MS = 60_000;
/** Offsets of time zones change at such instants only, so within one the hour and the day are the same throughout. */
const QUARTER_MS = 15 * MINUTE_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 366 * DAY_MS;
const EXPRESSIONS_MAX = 1000;

interface Expression {
  readonly time: LocalTime;
  /** Matches at any time of the days that are meant. Never started. */
  readonly days: ScheduledTask;
  readonly hours: ReadonlySet<number>;
  readonly minutes: readonly number[];
  readonly seconds: readonly number[];
  /** It names hours: then each of them is meant once, whatever clocks do. */
  readonly namesHours: boolean;
  /** What was found last: from `sinceMs` until `next` nothing matches but `latest`, at the beginning, where there is one. */
  known?: { readonly sinceMs: number; readonly latest: number | undefined; readonly next: number };
}

/**
 * Five fields (six with seconds), names of months and days, `L`, `W`, `#`, `@daily` and the like, as node-cron reads them. Day of month
 * and day of week must both match (node-cron's rule; Vixie cron's is either).
 *
 * When clocks are put forward, a time that is left out is taken at the moment they are; when they are put back, a time that comes twice
 * is taken the first time. An expression for every hour follows real time: nothing in it is left out or taken once only.
 */
export class CronCalendar implements Calendar {
  readonly #expressions = new Map<string, Expression>();

  problem(cron: string, timezone: string): string | undefined {
    const { valid, errors } = validateDetailed(cron);
    if (!valid)
      return errors.map(({ field, message }) => `${field}: ${message}`).join('; ') || 'it is no cron expression';
    if (!LocalTime.isZone(timezone)) return `there is no time zone ${JSON.stringify(timezone)}`;
    const { days } = this.#expression(cron, 'UTC');
    for (let atMs = Date.UTC(2024, 0, 1, 12); atMs < Date.UTC(2032, 0, 1); atMs += DAY_MS) {
      if (days.match(new Date(atMs))) return undefined;
    }
    return 'it matches on no day of the years 2024 to 2031';
  }

  latest(cron: string, timezone: string, wallMs: number, withinMs: number): number | undefined {
    const expression = this.#expression(cron, timezone);
    const fromMs = wallMs - Math.min(withinMs, YEAR_MS);
    const { known } = expression;
    if (known !== undefined && wallMs >= known.sinceMs && wallMs < known.next) {
      if (known.latest !== undefined) return known.latest >= fromMs ? known.latest : undefined;
      if (fromMs >= known.sinceMs) return undefined;
    }
    const latest = last(expression, fromMs, wallMs);
    // Asked again in a second, the answer is known.
    const next = this.next(cron, timezone, wallMs) ?? wallMs + YEAR_MS;
    expression.known = { sinceMs: latest ?? fromMs, latest, next };
    return latest;
  }

  next(cron: string, timezone: string, wallMs: number): number | undefined {
    const expression = this.#expression(cron, timezone);
    const { known } = expression;
    const isKnown = known !== undefined && wallMs >= known.sinceMs && wallMs < known.next;
    if (isKnown && known.next <= wallMs + YEAR_MS) return known.next;
    return first(expression, wallMs, wallMs + YEAR_MS);
  }

  #expression(cron: string, timezone: string): Expression {
    const key = `${timezone} ${cron}`;
    const made = this.#expressions.get(key);
    if (made !== undefined) return made;
    const expression = expressionOf(cron, timezone);
    const [oldest] = this.#expressions.keys();
    if (this.#expressions.size >= EXPRESSIONS_MAX && oldest !== undefined) this.#expressions.delete(oldest);
    this.#expressions.set(key, expression);
    return expression;
  }
}

function expressionOf(cron: string, timezone: string): Expression {
  const { second, minute, hour, dayOfMonth, month, dayOfWeek } = parse(cron);
  const days = createTask(`* * * ${dayOfMonth.join()} ${month.join()} ${dayOfWeek.join()}`, () => undefined, {
    timezone,
  });
  // It is asked, never run: node-cron need not know of it any longer.
  void days.destroy();
  const rising = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  const hours = new Set(hour);
  return {
    time: new LocalTime(timezone),
    days,
    hours,
    minutes: rising(minute),
    seconds: rising(second),
    namesHours: hours.size < 24,
  };
}

/** The first match after `afterMs`, at `untilMs` at the latest. */
function first(expression: Expression, afterMs: number, untilMs: number): number | undefined {
  for (let quarter = quarterOf(afterMs); quarter <= untilMs; ) {
    const found = matches(expression, quarter).find((atMs) => atMs > afterMs);
    if (found !== undefined) return found <= untilMs ? found : undefined;
    quarter += idleMs(expression, quarter, 1);
  }
  return undefined;
}

/** The last match at or before `untilMs`, not before `fromMs`. */
function last(expression: Expression, fromMs: number, untilMs: number): number | undefined {
  for (let quarter = quarterOf(untilMs); quarter > fromMs - QUARTER_MS; ) {
    const found = matches(expression, quarter).findLast((atMs) => atMs <= untilMs);
    if (found !== undefined) return found >= fromMs ? found : undefined;
    quarter -= idleMs(expression, quarter, -1);
  }
  return undefined;
}

/** How far it is from a quarter without a match to the next (the one before) that may have one: over days that are not meant. */
function idleMs(expression: Expression, quarter: number, direction: 1 | -1): number {
  if (isDay(expression, quarter)) return QUARTER_MS;
  const { hour } = expression.time.at(quarter);
  const toMidnight = direction === 1 ? 24 - hour : hour;
  // About noon of the day beside it, however the clocks are changed.
  const toNoonMs = (toMidnight + 12) * HOUR_MS;
  if (!isDay(expression, quarter + direction * toNoonMs)) return toNoonMs;
  return Math.max(QUARTER_MS, (toMidnight - 3) * HOUR_MS);
}

function quarterOf(atMs: number): number {
  return Math.floor(atMs / QUARTER_MS) * QUARTER_MS;
}

function isDay({ days }: Expression, atMs: number): boolean {
  return days.match(new Date(atMs));
}

/** Within the quarter of an hour that begins at `quarter`, rising. */
function matches(expression: Expression, quarter: number): readonly number[] {
  const { time, hours, minutes, seconds, namesHours } = expression;
  const { hour, minute, offsetMs } = time.at(quarter);
  const skippedMs = namesHours ? offsetMs - time.at(quarter - QUARTER_MS).offsetMs : 0;
  const leftOut = skippedMs > 0 && (hours.has(hour) || hours.has(hourBefore(hour, minute, skippedMs)));
  if (!hours.has(hour) && !leftOut) return [];
  if (!isDay(expression, quarter)) return [];
  if (leftOut && someLeftOut(expression, hour * 60 + minute, skippedMs)) {
    return [
      quarter,
      ...(hours.has(hour) ? timesOf(quarter, minute, minutes, seconds) : []).filter((atMs) => atMs > quarter),
    ];
  }
  if (!hours.has(hour) || (namesHours && time.isRepeated(quarter))) return [];
  return timesOf(quarter, minute, minutes, seconds);
}

function hourBefore(hour: number, minute: number, skippedMs: number): number {
  return Math.floor((hour * 60 + minute - skippedMs / MINUTE_MS + 24 * 60) / 60) % 24;
}

/** Whether the clocks were put forward over a time that is meant. */
function someLeftOut({ hours, minutes }: Expression, toMinute: number, skippedMs: number): boolean {
  for (let minute = toMinute - skippedMs / MINUTE_MS; minute < toMinute; minute += 1) {
    const ofDay = (minute + 24 * 60) % (24 * 60);
    if (hours.has(Math.floor(ofDay / 60)) && minutes.includes(ofDay % 60)) return true;
  }
  return false;
}

function timesOf(
  quarter: number,
  from: number,
  minutes: readonly number[],
  seconds: readonly number[],
): readonly number[] {
  return minutes
    .filter((minute) => minute >= from && minute < from + 15)
    .flatMap((minute) => seconds.map((second) => quarter + (minute - from) * MINUTE_MS + second * 1000));
}
