// Port: when a cron expression matches, in a time zone. Pure in itself; a port because the reckoning is a library's.

export interface Calendar {
  /** What is wrong with the expression or the zone, in words for people; undefined when nothing is. */
  problem(cron: string, timezone: string): string | undefined;
  /** The latest match at or before `wallMs` (Unix ms) that is not older than `withinMs`. */
  latest(cron: string, timezone: string, wallMs: number, withinMs: number): number | undefined;
  /** The first match after `wallMs`; undefined when there is none within a year. */
  next(cron: string, timezone: string, wallMs: number): number | undefined;
}
