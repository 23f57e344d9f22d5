// Which schedules of the policies hold now, by the wall clock. Not here: reckoning with cron expressions (ports/calendar).

import type { ActiveSchedule } from '../core/model.ts';
import type { Policy, ScheduleRule } from '../core/policy.ts';
import type { Calendar } from '../ports/calendar.ts';
import type { Clock } from '../ports/clock.ts';

export class Schedules {
  readonly #calendar: Calendar;
  readonly #clock: Clock;

  constructor(calendar: Calendar, clock: Clock) {
    this.#calendar = calendar;
    this.#clock = clock;
  }

  active({ rules }: Policy): readonly ActiveSchedule[] {
    return rules.flatMap((rule) => (rule.type === 'schedule' ? (this.#activeOf(rule) ?? []) : []));
  }

  /** Also one that began while no daemon ran. */
  #activeOf({ cron, forMs, name, timezone }: ScheduleRule): ActiveSchedule | undefined {
    const wallMs = Date.parse(this.#clock.wall());
    const beganMs = this.#calendar.latest(cron, timezone, wallMs, forMs);
    if (beganMs === undefined || beganMs + forMs <= wallMs) return undefined;
    return { rule: name, beganAtWallMs: beganMs, untilMs: this.#clock.nowMs() + (beganMs + forMs - wallMs) };
  }
}
