// How fast a size may change: stabilisation windows and rate limits. Not here: what the rules want (rules), bounds (size).

import type { DurableMemory, Point, TransientMemory } from './memory.ts';
import type { PaceLimit, Policy } from './policy.ts';

type Pace = Policy['pace'];
type Recommended = NonNullable<TransientMemory['recommended']>;
type Changes = NonNullable<DurableMemory['changes']>;

/** Changes remembered: older ones of the same direction are taken for one, at the later time. */
const CHANGES_MAX = 100;
/** Sizes remembered in each direction. Only those that can still matter are; a group seldom has that many different ones. */
const RECOMMENDED_MAX = 500;

export interface Stabilised {
  readonly size: number;
  /** What is to be remembered; absent: no window is asked for. */
  readonly recommended?: Recommended;
}

/**
 * The rule of Kubernetes' HPA: up to the smallest size recommended within the window of `out`, down to the largest within that of `in`.
 * After a restart, when nothing is remembered, the present size counts as just recommended.
 */
export function stabilise(
  { out, in: down }: Pace,
  current: number,
  recommendation: number,
  before: Recommended | undefined,
  nowMs: number,
): Stabilised {
  if (out.stabiliseMs === 0 && down.stabiliseMs === 0) return { size: recommendation };
  const start: readonly Point[] = [{ atMs: nowMs, value: current }];
  const outs = pushed(before?.out ?? start, recommendation, nowMs - out.stabiliseMs, nowMs, (a, b) => a >= b);
  const ins = pushed(before?.in ?? start, recommendation, nowMs - down.stabiliseMs, nowMs, (a, b) => a <= b);
  const recommended = { out: out.stabiliseMs > 0 ? outs : [], in: down.stabiliseMs > 0 ? ins : [] };
  const lowest = out.stabiliseMs > 0 ? (outs[0]?.value ?? recommendation) : recommendation;
  const highest = down.stabiliseMs > 0 ? (ins[0]?.value ?? recommendation) : recommendation;
  return { size: Math.min(Math.max(current, lowest), highest), recommended };
}

/** A monotone queue: a value that a later one beats cannot matter any more; the first one is the extreme of the window. */
function pushed(
  queue: readonly Point[],
  value: number,
  sinceMs: number,
  nowMs: number,
  beaten: (old: number, next: number) => boolean,
): readonly Point[] {
  let [first, end] = [0, queue.length];
  while (first < end && (queue[first]?.atMs ?? nowMs) < sinceMs) first += 1;
  while (end > first && beaten(queue[end - 1]?.value ?? value, value)) end -= 1;
  const kept = queue.slice(Math.max(first, end - RECOMMENDED_MAX + 1), end);
  kept.push({ atMs: nowMs, value });
  return kept;
}

/** How many VMs more (or fewer) the rate limit of that direction allows now; Infinity without one. */
export function allowedNow(
  { rate }: PaceLimit,
  sign: 1 | -1,
  current: number,
  changes: Changes | undefined,
  nowMs: number,
): number {
  if (rate === undefined) return Number.POSITIVE_INFINITY;
  let [used, net] = [0, 0];
  for (const { atMs, by } of changes ?? []) {
    if (atMs <= nowMs - rate.windowMs) continue;
    net += by;
    if (Math.sign(by) === sign) used += Math.abs(by);
  }
  const atBeginning = Math.max(0, current - net);
  const share = rate.percent === undefined ? 0 : Math.max(1, Math.floor((atBeginning * rate.percent) / 100));
  return Math.max(0, Math.max(rate.vms ?? 0, share) - used);
}

/** The changes with one more, and without those older than any window. Undefined where no limit wants them. */
export function noted(
  { out, in: down }: Pace,
  before: Changes | undefined,
  by: number,
  nowMs: number,
): Changes | undefined {
  const windowMs = Math.max(out.rate?.windowMs ?? 0, down.rate?.windowMs ?? 0);
  if (windowMs === 0) return undefined;
  const [oldest] = before ?? [];
  if (by === 0 && (oldest === undefined || oldest.atMs > nowMs - windowMs)) return before;
  const kept = (before ?? []).filter(({ atMs }) => atMs > nowMs - windowMs);
  if (by !== 0) kept.push({ atMs: nowMs, by });
  while (kept.length > CHANGES_MAX) mergeOldest(kept);
  return kept;
}

/** As if the oldest had happened together with the next of its direction: it counts for longer, never for less. */
function mergeOldest(changes: { readonly atMs: number; readonly by: number }[]): void {
  const oldest = changes.shift();
  if (oldest === undefined) return;
  const index = changes.findIndex(({ by }) => Math.sign(by) === Math.sign(oldest.by));
  const next = changes[index];
  if (next !== undefined) changes[index] = { atMs: next.atMs, by: next.by + oldest.by };
}
