// What schedules that hold now make of a group's bounds and size. Not here: when they hold (ports/calendar), how they are told
// (strategies/schedule).

import type { DurableMemory } from './memory.ts';
import type { GroupView } from './model.ts';
import type { Policy, ScheduleRule } from './policy.ts';

export interface Bounds {
  readonly min: number;
  readonly max: number;
  /** The schedule whose min (max) that is; absent: the policy's own. */
  readonly minBy?: string;
  readonly maxBy?: string;
  /** A size that a schedule sets now: once, as soon as its window is seen. */
  readonly set?: { readonly rule: string; readonly desired: number };
  /** What is to be remembered of windows; absent: nothing. */
  readonly scheduled?: NonNullable<DurableMemory['scheduled']>;
}

/** Beginnings of a window that differ by less are the same one: they are computed anew each time. */
const SAME_WINDOW_MS = 1000;

/** Where several hold, the largest min, the smallest max and the latest desired. The max is never below the min: it wins. */
export function boundsNow(
  { min, max, rules }: Pick<Policy, 'min' | 'max' | 'rules'>,
  { schedules = [] }: GroupView,
  { suspended, scheduled }: Pick<DurableMemory, 'suspended' | 'scheduled'>,
): Bounds {
  const before = scheduled === undefined ? {} : { scheduled };
  if (schedules.length === 0 || suspended?.includes('schedule')) return { min, max, ...before };
  const holding = schedules.flatMap((window) => {
    const rule = rules.find((known): known is ScheduleRule => known.type === 'schedule' && known.name === window.rule);
    return rule === undefined ? [] : [{ rule, window }];
  });
  let [bottom, top]: (ScheduleRule | undefined)[] = [];
  for (const { rule } of holding) {
    if (rule.min !== undefined && rule.min > (bottom?.min ?? -1)) bottom = rule;
    if (rule.max !== undefined && rule.max < (top?.max ?? Number.POSITIVE_INFINITY)) top = rule;
  }
  const fresh = holding
    .filter(({ rule, window }) => rule.desired !== undefined && isNew(scheduled, window))
    .sort((a, b) => b.window.beganAtWallMs - a.window.beganAtWallMs);
  const highest = top?.max ?? max;
  const bounds = {
    min: Math.min(bottom?.min ?? min, highest),
    max: highest,
    ...(bottom !== undefined && { minBy: bottom.name }),
    ...(top !== undefined && { maxBy: top.name }),
  };
  const [latest] = fresh;
  if (latest?.rule.desired === undefined) return { ...bounds, ...before };
  return {
    ...bounds,
    set: { rule: latest.rule.name, desired: latest.rule.desired },
    scheduled: remembered(scheduled, rules, fresh),
  };
}

function isNew(
  scheduled: DurableMemory['scheduled'],
  { rule, beganAtWallMs }: { rule: string; beganAtWallMs: number },
): boolean {
  const applied = scheduled !== undefined && Object.hasOwn(scheduled, rule) ? scheduled[rule] : undefined;
  return applied === undefined || Math.abs(beganAtWallMs - applied) > SAME_WINDOW_MS;
}

/** Rules that are no more are forgotten. */
function remembered(
  scheduled: DurableMemory['scheduled'] = {},
  rules: Policy['rules'],
  fresh: readonly { readonly window: { readonly rule: string; readonly beganAtWallMs: number } }[],
): NonNullable<DurableMemory['scheduled']> {
  const kept = Object.entries(scheduled).filter(([name]) => rules.some((rule) => rule.name === name));
  return Object.fromEntries([
    ...kept,
    ...fresh.map(({ window }): [string, number] => [window.rule, window.beganAtWallMs]),
  ]);
}
