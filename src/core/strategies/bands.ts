// Judges rules that compare a metric with fixed bounds: one (threshold) or several (step), out or in.
// Not here: the limits of the group, and what other rules say (rules).

import { vmsOf } from '../change.ts';
import type { RuleMemory } from '../memory.ts';
import { type MetricReading, metricUnit } from '../metric.ts';
import type { Band, StepRule, ThresholdRule } from '../policy.ts';
import { amountText, durationText, vmsText } from '../wording.ts';
import {
  capacityOf,
  isSettling,
  knownLoad,
  largestLoad,
  readingOf,
  type SafeSize,
  SETTLING_TEXT,
  safeSize,
  silentText,
  warmingIn,
} from './load.ts';
import type { Judgement, Situation } from './strategy.ts';
import { judged, noDataText, valueText } from './verdict.ts';

/** A rule whose metric has been beyond its first bound for long enough. */
interface Crossed {
  readonly rule: ThresholdRule | StepRule;
  readonly bands: readonly Band[];
  readonly reading: MetricReading;
  readonly value: number;
  readonly crossedAtMs: number;
  readonly situation: Situation;
}

export function judgeBands(
  rule: ThresholdRule | StepRule,
  bands: readonly Band[],
  situation: Situation,
  before: RuleMemory | undefined,
): Judgement {
  const { nowMs, silentHosts, wording } = situation;
  const { direction, metric } = rule;
  const reading = readingOf(metric, situation);
  const value = direction === 'out' ? reading.low : reading.high;
  const bound = bands[0]?.bound ?? 0;
  const found = { direction, value, threshold: bound };
  if (direction === 'in' && silentHosts.length > 0) {
    return judged(rule, reading, 'no-data', found, wording ? silentText(silentHosts) : '');
  }
  if (value === undefined) {
    // Scale-out goes on counting through a gap in the data; scale-in starts anew.
    const kept = direction === 'out' ? before?.crossedAtMs : undefined;
    const text = wording ? noDataText(metric, reading) : '';
    return judged(rule, reading, 'no-data', { ...found, crossedAtMs: kept }, text);
  }
  if (!isBeyond(direction, value, bound)) {
    const text = wording
      ? `${valueText(metric, reading, value, direction)}, not ${sideText(direction)} ${amountText(bound, metricUnit(metric))}.`
      : '';
    return judged(rule, reading, 'quiet', found, text);
  }
  // A mean over the last second that is beyond the threshold has been so for that second: three polls make `for: 3s`.
  const crossedAtMs = before?.crossedAtMs ?? Math.min(reading.sinceMs ?? nowMs, nowMs);
  const crossed: Crossed = { rule, bands, reading, value, crossedAtMs, situation };
  if (nowMs - crossedAtMs < rule.forMs) {
    const text = wording ? `${sinceText(crossed)} of the ${durationText(rule.forMs)} it takes.` : '';
    return judged(rule, reading, 'counting', { ...found, crossedAtMs }, text);
  }
  return direction === 'out' ? judgeOut(crossed) : judgeIn(crossed);
}

function judgeOut(crossed: Crossed): Judgement {
  const { rule, bands, reading, value, crossedAtMs, situation } = crossed;
  const { nowMs, lastOutAtMs, wording, desired } = situation;
  const threshold = bands[0]?.bound ?? 0;
  // Those on their way will take their share of the load as soon as they serve. (A total is the same for them all.)
  const projected =
    rule.metric.scope === 'total'
      ? value
      : Math.min(value, knownLoad(rule.metric, reading, situation) / Math.max(1, capacityOf(situation)));
  const band = farthest(bands, 'out', projected);
  const found = { direction: 'out', value, threshold: band?.bound ?? threshold, crossedAtMs } as const;
  const by = band === undefined ? 0 : vmsOf(band.by, desired);
  const restMs = lastOutAtMs === undefined ? 0 : lastOutAtMs + rule.cooldownMs - nowMs;
  if (restMs > 0) {
    const text = wording ? `${sinceText(crossed)}; cooling down for another ${durationText(restMs)}.` : '';
    return judged(rule, reading, 'cooling-down', { ...found, wish: by }, text);
  }
  if (band === undefined) {
    const coming =
      capacityOf(situation) - (situation.inService - warmingIn(rule.metric, reading, situation) + situation.launching);
    const text = wording
      ? `${sinceText(crossed)}; with the ${vmsText(coming)} being launched it would be ${amountText(projected, metricUnit(rule.metric))}, so those are awaited.`
      : '';
    return judged(rule, reading, 'warming', found, text);
  }
  const text = wording ? `${sinceText(crossed, band)}: add ${vmsText(by)}.` : '';
  return judged(rule, reading, 'fires', { ...found, recommends: by, wish: by }, text);
}

function judgeIn(crossed: Crossed): Judgement {
  const { rule, bands, reading, value, crossedAtMs, situation } = crossed;
  const { nowMs, lastOutAtMs = -Infinity, lastInAtMs = -Infinity, wording, desired, min } = situation;
  const band = farthest(bands, 'in', value);
  const asked = band === undefined ? 0 : vmsOf(band.by, desired);
  const least = reading.ofGroup ? min : Math.max(min, 1);
  const removable = desired - least;
  const safe = safeSize(situation);
  // Where there is nothing to remove the limits of the group will say no.
  const by = removable <= 0 ? asked : Math.min(asked, removable, desired - safe.size);
  const found = { direction: 'in', value, threshold: band?.bound ?? 0, crossedAtMs } as const;
  const wish = by > 0 ? -by : 0;
  const restMs = Math.max(lastOutAtMs, lastInAtMs) + rule.cooldownMs - nowMs;
  if (restMs > 0) {
    const text = wording ? `${sinceText(crossed)}; cooling down for another ${durationText(restMs)}.` : '';
    return judged(rule, reading, 'cooling-down', { ...found, wish }, text);
  }
  const warming = warmingIn(rule.metric, reading, situation);
  if (warming > 0) {
    const text = wording ? `${sinceText(crossed)}; ${warmingText(warming, situation.launching)}.` : '';
    return judged(rule, reading, 'warming', { ...found, wish }, text);
  }
  if (isSettling(rule.metric, reading, situation)) {
    const text = wording ? `${sinceText(crossed)}; ${SETTLING_TEXT}.` : '';
    return judged(rule, reading, 'warming', found, text);
  }
  if (by < 1) {
    return judged(
      rule,
      reading,
      flapVerdict(safe),
      found,
      wording ? `${sinceText(crossed)}; ${flapText(situation, safe)}` : '',
    );
  }
  const less = by < asked ? ` (${asked} would be too many)` : '';
  const text = wording ? `${sinceText(crossed, band)}: remove ${vmsText(by)}${less}.` : '';
  return judged(rule, reading, 'fires', { ...found, recommends: -by, wish }, text);
}

/** Why a smaller group is not safe: it would flap, or nobody can tell. */
export function flapVerdict({ rule, limit }: SafeSize): 'would-flap' | 'no-data' {
  return rule !== undefined && limit === undefined ? 'no-data' : 'would-flap';
}

/** "with 1 VM less it would be 38 %, above the 30 % of rule hot: the group would flap." */
export function flapText(situation: Situation, { rule, metric, limit }: SafeSize): string {
  if (rule === undefined || metric === undefined) return 'nothing can go.';
  if (limit === undefined) return `what rule ${rule.name} would say of fewer VMs is not known.`;
  const load = largestLoad(metric, readingOf(metric, situation), situation) ?? 0;
  const projected = amountText(load / Math.max(1, situation.desired - 1), metricUnit(metric));
  return `with ${vmsText(1)} less it would be ${projected}, above the ${amountText(limit, metricUnit(metric))} of rule ${rule.name}: the group would flap.`;
}

export function warmingText(warming: number, launching: number): string {
  const [verb, what] = [warming === 1 ? 'is' : 'are', launching > 0 ? 'still being launched' : 'still warming up'];
  return `${vmsText(warming)} ${verb} ${what}`;
}

function farthest(bands: readonly Band[], direction: 'out' | 'in', value: number): Band | undefined {
  let band: Band | undefined;
  for (const next of bands) {
    if (!isBeyond(direction, value, next.bound)) break;
    band = next;
  }
  return band;
}

function isBeyond(direction: 'out' | 'in', value: number, bound: number): boolean {
  return direction === 'out' ? value > bound : value < bound;
}

function sideText(direction: 'out' | 'in'): string {
  return direction === 'out' ? 'above' : 'below';
}

/** "CPU 90 %, above 75 % for 3 s" */
function sinceText({ rule, bands, reading, value, crossedAtMs, situation }: Crossed, band = bands[0]): string {
  const { metric, direction } = rule;
  const bound = amountText(band?.bound ?? 0, metricUnit(metric));
  const since = durationText(situation.nowMs - crossedAtMs);
  return `${valueText(metric, reading, value, direction)}, ${sideText(direction)} ${bound} for ${since}`;
}
