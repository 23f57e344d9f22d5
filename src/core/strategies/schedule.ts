// Strategy `schedule`: at certain times other limits hold, or another size is set once. It says here what it asks for;
// the limits themselves are laid before any rule is asked. Not here: when it holds (ports/calendar), the limits (schedules).

import type { RuleVerdict } from '../decision.ts';
import type { ScheduleRule } from '../policy.ts';
import { durationText } from '../wording.ts';
import type { Strategy } from './strategy.ts';

export const schedule: Strategy<ScheduleRule> = {
  judge(rule, situation) {
    const { group, schedulesSuspended, nowMs, wording } = situation;
    if (schedulesSuspended) {
      return verdictOf(rule, 'suspended', wording ? 'Schedules are suspended.' : '');
    }
    const window = group.schedules?.find((active) => active.rule === rule.name);
    if (window === undefined)
      return verdictOf(rule, 'idle', wording ? `Not now (${rule.cron}, ${rule.timezone}).` : '');
    if (!wording) return verdictOf(rule, 'quiet', '');
    const text = `${sayText(rule)} for another ${durationText(window.untilMs - nowMs)}.`;
    return verdictOf(rule, 'quiet', text);
  },
};

/** "min 4, max 10" */
export function sayText({ min, max, desired }: ScheduleRule): string {
  const said = Object.entries({ min, max, desired }).flatMap(([what, vms]) =>
    vms === undefined ? [] : [`${what} ${vms}`],
  );
  return said.length === 0 ? 'Nothing' : said.join(', ');
}

function verdictOf({ name }: ScheduleRule, verdict: RuleVerdict['verdict'], text: string) {
  const told: RuleVerdict = {
    rule: name,
    type: 'schedule',
    direction: 'floor',
    verdict,
    metric: '',
    unit: '',
    recommends: 0,
    text,
  };
  return { verdict: told };
}
