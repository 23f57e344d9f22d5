// Strategy `target`: as many VMs as keep a metric at a value. The rule of Kubernetes' HPA, with the load compared with what the desired
// VMs carry: those on their way count, so the same load never adds twice. Not here: pace and limits (size).

import { vmsFor } from '../change.ts';
import type { LoadPoint, RuleMemory } from '../memory.ts';
import { isPercent, type MetricReading, metricUnit } from '../metric.ts';
import { FULL_PERCENT, type TargetRule } from '../policy.ts';
import { amountText, durationText, vmsText } from '../wording.ts';
import { flapText, flapVerdict, warmingText } from './bands.ts';
import {
  isSettling,
  knownLoad,
  largestLoad,
  readingOf,
  SETTLING_TEXT,
  safeSize,
  silentText,
  warmingIn,
} from './load.ts';
import type { Judgement, Situation, Strategy } from './strategy.ts';
import { judged, noDataText, valueText } from './verdict.ts';

interface Asked {
  readonly rule: TargetRule;
  readonly reading: MetricReading;
  readonly situation: Situation;
  readonly value: number;
  readonly side: 'out' | 'in';
  /** The size that the load asks for, and that the load measured would. */
  readonly wanted: number;
  readonly needed: number;
  readonly crossedAtMs: number;
}

export const target: Strategy<TargetRule> = {
  judge(rule, situation, before) {
    const { wording, nowMs } = situation;
    const reading = readingOf(rule.metric, situation);
    if (reading.low === undefined && reading.high === undefined) {
      // Scale-out goes on counting through a gap in the data; scale-in starts anew.
      const kept = before?.side === 'out' ? { crossedAtMs: before.crossedAtMs, side: before.side } : {};
      const found = { direction: 'both', threshold: rule.target, ...kept } as const;
      return judged(rule, reading, 'no-data', found, wording ? noDataText(rule.metric, reading) : '');
    }
    // At most one side asks: VMs without data make the load smaller for one and larger for the other.
    const known = knownLoad(rule.metric, reading, situation);
    // A VM that tells again what it carries is no rise of the load.
    const isWhole = rule.leadMs !== undefined && reading.measured === reading.expected;
    const load = isWhole ? coursed(known, reading, before?.load, nowMs) : undefined;
    const judgement = judgeLoad(rule, reading, situation, before, expectedLoad(rule, reading, known, load));
    return load === undefined ? judgement : { ...judgement, memory: { ...judgement.memory, load } };
  },
};

/** `least`: the load to be ready for. */
function judgeLoad(
  rule: TargetRule,
  reading: MetricReading,
  situation: Situation,
  before: RuleMemory | undefined,
  least: number,
): Judgement {
  const { desired, nowMs } = situation;
  const known = largestLoad(rule.metric, reading, situation);
  const most = known === undefined ? undefined : Math.max(known, least);
  const isOut = reading.low !== undefined && least > rule.target * (1 + rule.tolerance.up) * desired;
  const isIn = !isOut && most !== undefined && most < rule.target * (1 - rule.tolerance.down) * desired;
  const wanted = vmsFor(isOut ? least : (most ?? least), rule.target);
  if ((!isOut && !isIn) || (isIn && wanted >= desired)) {
    const quiet = judgeQuiet(rule, reading, situation, isIn);
    return isIn && desired === 1 ? { ...quiet, abstains: true } : quiet;
  }
  const side = isOut ? 'out' : 'in';
  const value = (isOut ? reading.low : reading.high) ?? 0;
  const sinceMs = before?.side === side ? before.crossedAtMs : undefined;
  const crossedAtMs = sinceMs ?? Math.min(reading.sinceMs ?? nowMs, nowMs);
  const needed = situation.wording ? vmsFor(knownLoad(rule.metric, reading, situation), rule.target) : wanted;
  const asked: Asked = { rule, reading, situation, value, side, wanted, needed, crossedAtMs };
  return isOut ? judgeOut(asked) : judgeIn(asked);
}

/** A point longer ago than this says nothing about how the load goes on. */
const COURSE_MS = 30_000;
/** What lies ahead is never taken for more than so many times what is there. */
const AHEAD_MAX = 2;

/** The load with how fast it rises. A measurement that has been seen already goes on as it went then. */
function coursed(value: number, { sinceMs }: MetricReading, before: LoadPoint | undefined, nowMs: number): LoadPoint {
  const atMs = Math.min(sinceMs ?? nowMs, nowMs);
  const passedMs = before === undefined ? Number.POSITIVE_INFINITY : atMs - before.atMs;
  if (before === undefined || passedMs < 0 || passedMs > COURSE_MS) return { atMs, value, perSecond: 0 };
  if (passedMs === 0) return before;
  return { atMs, value, perSecond: ((value - before.value) * 1000) / passedMs };
}

/** The load to be ready for: what there is, what it rises to meanwhile, and what a full group may hide. */
function expectedLoad(rule: TargetRule, reading: MetricReading, known: number, load: LoadPoint | undefined): number {
  const rise = Math.max(0, load?.perSecond ?? 0) * ((rule.leadMs ?? 0) / 1000);
  const ahead = Math.min(known + rise, known * AHEAD_MAX);
  if (rule.boost === undefined || !isPercent(rule.metric) || (reading.low ?? 0) <= FULL_PERCENT) return ahead;
  return Math.max(ahead, rule.boost * rule.target * reading.measured);
}

function judgeQuiet(rule: TargetRule, reading: MetricReading, situation: Situation, isLow: boolean): Judgement {
  const value = reading.value ?? reading.low ?? reading.high;
  const found = { direction: 'both', threshold: rule.target, value } as const;
  if (!situation.wording) return judged(rule, reading, 'quiet', found, '');
  const seen = valueText(rule.metric, reading, value ?? 0, 'out');
  const goal = amountText(rule.target, metricUnit(rule.metric));
  const why = isLow ? 'but fewer VMs would be above it' : 'within the tolerance';
  const held = reading.high === undefined ? `; ${noDataText(rule.metric, reading)}` : '.';
  return judged(
    rule,
    reading,
    'quiet',
    found,
    `${seen}, target ${goal}, ${why} for ${vmsText(situation.desired)}${held}`,
  );
}

function judgeOut(asked: Asked): Judgement {
  const { rule, reading, situation, wanted, crossedAtMs, value } = asked;
  const { nowMs, lastOutAtMs, wording, desired } = situation;
  const by = wanted - desired;
  const found = { direction: 'both', threshold: rule.target, value, side: 'out', crossedAtMs, wish: by } as const;
  if (nowMs - crossedAtMs < rule.forMs) {
    return judged(rule, reading, 'counting', withoutWish(found), wording ? countingText(asked) : '');
  }
  const restMs = lastOutAtMs === undefined ? 0 : lastOutAtMs + rule.cooldownMs.out - nowMs;
  if (restMs > 0) return judged(rule, reading, 'cooling-down', found, wording ? coolingText(asked, restMs) : '');
  const text = wording ? `${seenText(asked)}: add ${vmsText(by)}.` : '';
  return judged(rule, reading, 'fires', { ...found, recommends: by }, text);
}

function judgeIn(asked: Asked): Judgement {
  const { rule, reading, situation, wanted, crossedAtMs, value } = asked;
  const { nowMs, lastOutAtMs = -Infinity, lastInAtMs = -Infinity, wording, desired, silentHosts } = situation;
  if (silentHosts.length > 0) {
    const found = { direction: 'both', threshold: rule.target, value } as const;
    return judged(rule, reading, 'no-data', found, wording ? silentText(silentHosts) : '');
  }
  const safe = safeSize(situation);
  const least = reading.ofGroup ? 0 : 1;
  const to = Math.max(wanted, safe.size, Math.min(least, desired));
  const by = desired - to;
  const wish = by > 0 ? -by : 0;
  const found = { direction: 'both', threshold: rule.target, value, side: 'in', crossedAtMs, wish } as const;
  if (by < 1) {
    const abstains = desired === 1 && safe.size <= 1;
    const text = !wording
      ? ''
      : `${seenText(asked)}; ${safe.size > desired - 1 ? flapText(situation, safe) : 'the last VM stays.'}`;
    const judgement = judged(rule, reading, abstains ? 'quiet' : flapVerdict(safe), withoutWish(found), text);
    return abstains ? { ...judgement, abstains } : judgement;
  }
  if (nowMs - crossedAtMs < rule.forMs) {
    return judged(rule, reading, 'counting', withoutWish(found), wording ? countingText(asked) : '');
  }
  const restMs = Math.max(lastOutAtMs, lastInAtMs) + rule.cooldownMs.in - nowMs;
  if (restMs > 0) return judged(rule, reading, 'cooling-down', found, wording ? coolingText(asked, restMs) : '');
  const warming = warmingIn(rule.metric, reading, situation);
  if (warming > 0) {
    const text = wording ? `${seenText(asked)}; ${warmingText(warming, situation.launching)}.` : '';
    return judged(rule, reading, 'warming', found, text);
  }
  if (isSettling(rule.metric, reading, situation)) {
    const text = wording ? `${seenText(asked)}; ${SETTLING_TEXT}.` : '';
    return judged(rule, reading, 'warming', withoutWish(found), text);
  }
  const less = to > wanted ? ` (${desired - wanted} would be too many)` : '';
  const text = wording ? `${seenText(asked)}: remove ${vmsText(by)}${less}.` : '';
  return judged(rule, reading, 'fires', { ...found, recommends: -by }, text);
}

function withoutWish<T extends { readonly wish?: number }>({ wish: _wish, ...rest }: T): Omit<T, 'wish'> {
  return rest;
}

/** "CPU 90 %, target 60 %: 3 VMs are wanted instead of 2" */
function seenText({ rule, reading, value, side, wanted, needed, situation }: Asked): string {
  const goal = amountText(rule.target, metricUnit(rule.metric));
  const perVm = rule.metric.scope === 'total' ? ' per VM' : '';
  const seen = valueText(rule.metric, reading, value, side);
  const ahead = side === 'in' || wanted <= needed ? '' : value > FULL_PERCENT ? ' and full' : ' and rising';
  return `${seen}${ahead}, target ${goal}${perVm}, needs ${vmsText(wanted)} instead of ${situation.desired}`;
}

function countingText(asked: Asked): string {
  const lasted = durationText(asked.situation.nowMs - asked.crossedAtMs);
  return `${seenText(asked)}, for ${lasted} of the ${durationText(asked.rule.forMs)} it takes.`;
}

function coolingText(asked: Asked, restMs: number): string {
  return `${seenText(asked)}; cooling down for another ${durationText(restMs)}.`;
}
