// How many VMs a group shall have: its rules, its pace and its bounds, from the readings of its metrics. The same function runs live, in
// observation, in replay and in backtests. Not here: measuring (readings), who the VMs are and where they go (reconcile).

import { Course } from './course.ts';
import type { AppliedLimit, RuleVerdict, SizeStep } from './decision.ts';
import type { DurableMemory, TransientMemory } from './memory.ts';
import type { MetricReading } from './metric.ts';
import type { GroupView } from './model.ts';
import { allowedNow, noted, stabilise } from './pace.ts';
import type { Policy } from './policy.ts';
import { consultRules } from './rules.ts';
import { type Bounds, boundsNow } from './schedules.ts';
import type { Situation } from './strategies/strategy.ts';
import { layWindows } from './windows.ts';
import { durationText, vmsText } from './wording.ts';

export interface SizeInput {
  readonly policy: Pick<Policy, 'min' | 'max' | 'rules' | 'pace'>;
  /** By `metricKey`, as measured now; windows are laid over them here. */
  readonly readings: ReadonlyMap<string, MetricReading>;
  readonly inService: number;
  /** On their way to service. */
  readonly launching: number;
  /** Hosts with VMs of the group that do not answer now. */
  readonly silentHosts: readonly string[];
  readonly group: GroupView;
  readonly durable: DurableMemory;
  readonly transient: Pick<TransientMemory, 'recommended' | 'rules' | 'windows'>;
  readonly nowMs: number;
  /** Absent: texts are written. False leaves them empty: a backtest evaluates a million times, and nobody reads it. */
  readonly wording?: false;
}

export interface Sized {
  readonly desiredBefore: number;
  readonly desired: number;
  /** `desiredBefore` within the bounds that hold now: whatever it has become beyond that, a rule has made of it. */
  readonly bounded: number;
  /** The bounds that hold now, schedules included. */
  readonly min: number;
  readonly max: number;
  /** From `desiredBefore` to `desired`, without a gap. */
  readonly steps: readonly SizeStep[];
  readonly verdicts: readonly RuleVerdict[];
  /** The verdict that is followed, before limits: of a rule, else of a schedule or forecast; absent when none moves the size. */
  readonly followed?: RuleVerdict;
  /** Why rules that fire are not followed, in words for people. */
  readonly heldBack?: string;
  readonly limits: readonly AppliedLimit[];
  /** The group's durable memory with what sizing changes in it. */
  readonly durable: DurableMemory;
  readonly transient: Pick<TransientMemory, 'recommended' | 'rules' | 'windows'>;
}

/**
 * In this order: bounds (with the schedules that hold now), a size that a schedule sets, the rules, stabilisation, rate limits, the floor
 * of forecasts, the last VM, and the bounds again. The last step of a paused group goes back to where the rules began.
 */
export function decideSize(input: SizeInput): Sized {
  const { policy, durable, transient, group, nowMs } = input;
  const { pace, rules } = policy;
  const bounds = boundsNow(policy, group, durable);
  const desiredBefore = durable.desired ?? input.inService + input.launching;
  const course = new Course(desiredBefore, input.wording !== false);
  course.within(bounds, 'bounds');
  const bounded = course.size;
  if (bounds.set !== undefined && !durable.paused) setBySchedule(course, bounds);
  const start = course.size;
  const around = { inService: input.inService, lastInAtMs: durable.lastInAtMs, nowMs };
  const laid = layWindows(rules, input.readings, transient.windows, around);
  const isStabilised = pace.out.stabiliseMs > 0 || pace.in.stabiliseMs > 0;
  const situation = situationOf(input, laid.readings, start, bounds.min);
  const advice = consultRules(rules, situation, transient.rules, isStabilised);
  const { followed } = advice;
  if (followed !== undefined) {
    course.move('rules', start + followed.recommends, () => `Rule ${followed.rule}: ${followed.text}`);
  }
  const recommended = holdStable(course, start, advice.wish, input, bounds);
  limitRate(course, start, input);
  const byRules = course.size;
  const raisedBy = raiseFloor(course, start, advice.verdicts);
  keepLastVm(course, start, bounds.min, advice.mayEmpty);
  course.within(bounds, 'limits');
  const leader = raisedBy ?? followed ?? advice.verdicts.find(({ rule }) => rule === bounds.set?.rule);
  if (durable.paused && course.size !== bounded) {
    const text = () =>
      `${leader === undefined ? 'Nothing is' : `Rule ${leader.rule} is not`} followed: the group is paused.`;
    course.move('paused', bounded, text, 'paused');
  }
  const { size: desired, steps, limits } = course;
  const remembered: Writable<Sized['transient']> = { rules: advice.memory };
  if (laid.windows !== undefined) remembered.windows = laid.windows;
  if (recommended !== undefined) remembered.recommended = recommended;
  const sized: Writable<Sized> = {
    desiredBefore,
    desired,
    bounded,
    min: bounds.min,
    max: bounds.max,
    steps,
    verdicts: advice.verdicts,
    limits,
    durable: remember(input, bounds, { start, byRules, desired }),
    transient: remembered,
  };
  if (leader !== undefined) sized.followed = leader;
  if (advice.heldBack !== undefined) sized.heldBack = advice.heldBack;
  return sized;
}

/** Filled in bit by bit: spreading costs a backtest half its time. */
type Writable<T> = { -readonly [K in keyof T]: T[K] };

function situationOf(input: SizeInput, readings: Situation['readings'], desired: number, min: number): Situation {
  const { nowMs, inService, launching, silentHosts, policy, group, durable } = input;
  const { lastOutAtMs, lastInAtMs, suspended } = durable;
  const situation: Writable<Situation> = {
    nowMs,
    readings,
    inService,
    launching,
    desired,
    min,
    silentHosts,
    rules: policy.rules,
    group,
    schedulesSuspended: suspended?.includes('schedule') ?? false,
    wording: input.wording !== false,
  };
  if (lastOutAtMs !== undefined) situation.lastOutAtMs = lastOutAtMs;
  if (lastInAtMs !== undefined) situation.lastInAtMs = lastInAtMs;
  return situation;
}

function setBySchedule(course: Course, { set, min, max }: Bounds): void {
  if (set === undefined) return;
  const to = Math.min(Math.max(set.desired, min), max);
  course.move('schedule', to, () => `Schedule ${set.rule} sets ${vmsText(set.desired)}.`);
}

/** Follows the rules no faster than the windows of stabilisation allow, and never the other way than they go. */
function holdStable(
  course: Course,
  start: number,
  wish: number,
  { policy: { pace }, transient, nowMs }: SizeInput,
  { min, max }: Bounds,
): Sized['transient']['recommended'] {
  const recommendation = Math.min(Math.max(start + wish, min), max);
  const { size, recommended } = stabilise(pace, start, recommendation, transient.recommended, nowMs);
  if (recommended === undefined) return undefined;
  if (course.size > start && size < course.size && pace.out.stabiliseMs > 0) {
    const text = () =>
      `Within ${durationText(pace.out.stabiliseMs)} no more than ${vmsText(size)} were recommended all the time.`;
    course.move('stabilised', size, text, 'stabilised');
  } else if (course.size < start && size > course.size && pace.in.stabiliseMs > 0) {
    const text = () => `Within the last ${durationText(pace.in.stabiliseMs)} ${vmsText(size)} were recommended.`;
    course.move('stabilised', size, text, 'stabilised');
  }
  return recommended;
}

function limitRate(course: Course, start: number, { policy: { pace }, durable, nowMs }: SizeInput): void {
  const by = course.size - start;
  if (by === 0) return;
  const [sign, limit] = by > 0 ? ([1, pace.out] as const) : ([-1, pace.in] as const);
  const allowed = allowedNow(limit, sign, start, durable.changes, nowMs);
  if (Math.abs(by) <= allowed) return;
  const text = () =>
    `${by > 0 ? 'Scaling out' : 'Scaling in'} is limited: ${allowed === 0 ? 'no more VMs' : `${vmsText(allowed)} more`} within ${durationText(limit.rate?.windowMs ?? 0)}.`;
  course.move('rate', start + sign * allowed, text, 'rate');
}

/** Forecasts hold the size up. Gives the verdict that raised it beyond what rules made of it. */
function raiseFloor(course: Course, start: number, verdicts: readonly RuleVerdict[]): RuleVerdict | undefined {
  let highest: RuleVerdict | undefined;
  for (const verdict of verdicts) {
    if (verdict.type !== 'forecast' || verdict.floor === undefined) continue;
    if (verdict.floor > (highest?.floor ?? course.size)) highest = verdict;
  }
  if (highest?.floor === undefined) return undefined;
  const { rule, text, floor } = highest;
  course.move('floor', floor, () => `Forecast ${rule}: ${text}`, 'floor');
  return floor > start ? highest : undefined;
}

/** Without a VM there is nothing of theirs to measure, and no way back: only a number of the whole group can tell then. */
function keepLastVm(course: Course, start: number, min: number, mayEmpty: boolean): void {
  if (course.size >= 1 || start < 1 || min >= 1 || mayEmpty) return;
  course.move('last-vm', 1, () => 'Rules leave the last VM alone: without it there is nothing to measure.', 'min');
}

function remember(
  { policy, durable, nowMs }: SizeInput,
  { set, scheduled }: Bounds,
  { start, byRules, desired }: { readonly start: number; readonly byRules: number; readonly desired: number },
): DurableMemory {
  const isPaused = durable.paused;
  const moved = isPaused ? 0 : desired - start;
  // A floor raises besides what the rules do: neither their cooldown nor their rate begins with it.
  const byThem = moved > 0 ? Math.min(moved, Math.max(0, byRules - start)) : moved;
  const changes = noted(policy.pace, durable.changes, byThem, nowMs);
  const windows = isPaused && set !== undefined ? durable.scheduled : scheduled;
  const isSame = desired === durable.desired && changes === durable.changes && windows === durable.scheduled;
  if (isSame && byThem === 0 && durable.desiredBy === undefined) return durable;
  const { changes: _changes, scheduled: _scheduled, desiredBy: _consumed, ...kept } = durable;
  return {
    ...kept,
    desired,
    ...(windows !== undefined && { scheduled: windows }),
    ...(changes !== undefined && { changes }),
    ...(byThem > 0 && { lastOutAtMs: nowMs }),
    ...(byThem < 0 && { lastInAtMs: nowMs }),
  };
}
