// What a group's demand was: its mean in each five minutes of the last fifteen days. Pure, bounded, and small as text.
// Not here: what it lets expect (forecast).

export const BUCKET_MS = 5 * 60_000;
export const HISTORY_DAYS = 15;
export const DAY_BUCKETS = (24 * 60 * 60_000) / BUCKET_MS;
const BUCKETS_MAX = HISTORY_DAYS * DAY_BUCKETS;
/** Kept as text with so many digits: a forecast needs no more. */
const DIGITS = 5;

export interface LoadHistory {
  /** Unix time of the first bucket's beginning, divided by `BUCKET_MS`. Meaningless while there are no buckets. */
  readonly firstBucket: number;
  /** Demand per bucket, oldest first; null where nothing was measured. Whole buckets only; the one now being filled is `open`. */
  readonly buckets: readonly (number | null)[];
  /** Sum and number of what was observed in the bucket `at`. */
  readonly open?: { readonly at: number; readonly sum: number; readonly count: number };
}

export const NO_HISTORY: LoadHistory = { firstBucket: 0, buckets: [] };

/**
 * Takes in one observation: at `nowMs` (Unix ms, of engine time) the group's demand in its metric's unit, summed over its VMs. Unknown
 * demand is not observed. Time that goes back by less than a bucket is taken for the same bucket; by more, the observation is dropped.
 * Returns the same object when nothing changed.
 */
export function observeLoad(history: LoadHistory, nowMs: number, demand: number): LoadHistory {
  if (!Number.isFinite(demand) || demand < 0) return history;
  const at = Math.floor(nowMs / BUCKET_MS);
  const { open } = history;
  if (open === undefined) return { ...history, open: { at, sum: demand, count: 1 } };
  if (at < open.at - 1) return history;
  if (at <= open.at) return { ...history, open: { at: open.at, sum: open.sum + demand, count: open.count + 1 } };
  return { ...closed(history, open), open: { at, sum: demand, count: 1 } };
}

function closed(
  { firstBucket, buckets }: LoadHistory,
  { at, sum, count }: NonNullable<LoadHistory['open']>,
): LoadHistory {
  const value = sum / count;
  const gap = at - (firstBucket + buckets.length);
  // After so long a silence nothing of before is worth keeping.
  if (buckets.length === 0 || gap >= BUCKETS_MAX) return { firstBucket: at, buckets: [value] };
  if (gap < 0) return { firstBucket, buckets };
  const filled = [...buckets, ...new Array<null>(gap).fill(null), value];
  const surplus = Math.max(0, filled.length - BUCKETS_MAX);
  return { firstBucket: firstBucket + surplus, buckets: filled.slice(surplus) };
}

/** Of whole buckets; null where it is not known. */
export function loadAt({ firstBucket, buckets }: LoadHistory, bucket: number): number | null {
  return buckets[bucket - firstBucket] ?? null;
}

/** One line of text: `1,<first bucket>,<values>`, an empty value for null. About 20 KB for fifteen days. The open bucket is not in it. */
export function loadText({ firstBucket, buckets }: LoadHistory): string {
  const values = buckets.map((value) => (value === null ? '' : String(Number(value.toPrecision(DIGITS)))));
  return ['1', String(firstBucket), ...values].join(',');
}

/** What `loadText` wrote; `NO_HISTORY` for anything else. */
export function loadFromText(text: string): LoadHistory {
  const [format, first = '', ...values] = text.split(',');
  const firstBucket = Number(first);
  if (format !== '1' || !Number.isSafeInteger(firstBucket) || firstBucket < 0 || values.length > BUCKETS_MAX) {
    return NO_HISTORY;
  }
  const buckets = values.map((value) => (value === '' ? null : Number(value)));
  const isDemand = (value: number | null) => value === null || (Number.isFinite(value) && value >= 0);
  return buckets.every(isDemand) && buckets.length > 0 ? { firstBucket, buckets } : NO_HISTORY;
}
