// The daily and weekly pattern in a load, and how well it would have told the largest load ahead. Numbers only.
// Not here: keeping the load (load-history), what is said about it (forecast).

import { DAY_BUCKETS } from './load-history.ts';

const WEEK_BUCKETS = 7 * DAY_BUCKETS;
/** Days that the model has not seen, on which it and the naive guesses are compared. */
const HELD_OUT_DAYS = 2;
/** Days before those, on which the best of the patterns is chosen; as many as there are, up to this. */
const CHOOSING_DAYS_MAX = 3;
/** Days before those, at least, that a pattern is made of. */
const PATTERN_DAYS_MIN = 2;
export const DAYS_MIN = HELD_OUT_DAYS + 1 + PATTERN_DAYS_MIN;
/** Between two moments at which a guess is tried: a quarter of an hour. */
const TRY_EVERY = 3;
/** The present level is that of the last half hour against the pattern's. */
const LEVEL_BUCKETS = 6;
const LEVEL_MIN = 0.2;
const LEVEL_MAX = 5;
/** How long the present level is believed to last: an hour, four hours, for good. */
const LASTING_BUCKETS = [12, 48, Number.POSITIVE_INFINITY] as const;

/** Days back that are averaged, and what a week ago weighs beside them (0–1) where it is known. */
interface Pattern {
  readonly days: number;
  readonly week: number;
}

const PATTERNS: readonly Pattern[] = [
  { days: 1, week: 0 },
  { days: 3, week: 0 },
  { days: 7, week: 0 },
  { days: 2, week: 0.5 },
];

/** Demand per bucket; NaN where it is not known. */
export type Series = Float64Array;

export interface SeasonalFit {
  readonly pattern: Pattern;
  readonly lasting: number;
  /** What its guesses were too small by, as a factor: the largest of noisy numbers lies above the largest of their means. */
  readonly factor: number;
  /** Mean error of the largest demand ahead on the held-out days, as a share of it. */
  readonly error: number;
  /** The same of the best guess without a pattern: the seasonal-naive ones, and what was last measured, by a factor like its own. */
  readonly naiveError: number;
  readonly naive: 'yesterday' | 'a week ago' | 'now';
}

/**
 * Fits on all of `series`, for the largest demand within `ahead` buckets (less than a day). Undefined: there are fewer than `DAYS_MIN`
 * days, or nothing to compare.
 */
export function fitSeason(series: Series, ahead: number): SeasonalFit | undefined {
  const days = Math.floor(series.length / DAY_BUCKETS);
  if (days < DAYS_MIN) return undefined;
  const heldOut = series.length - HELD_OUT_DAYS * DAY_BUCKETS;
  const choosing = heldOut - Math.min(CHOOSING_DAYS_MAX, days - HELD_OUT_DAYS - PATTERN_DAYS_MIN) * DAY_BUCKETS;
  const profiles = PATTERNS.map((pattern) => profileOf(series, pattern, series.length));
  let best: { index: number; lasting: number; factor: number; error: number } | undefined;
  for (const [index, profile] of profiles.entries()) {
    for (const lasting of LASTING_BUCKETS) {
      const guess = (at: number) => largestAhead(series, profile, at, ahead, lasting);
      const factor = factorOf(series, choosing, heldOut, ahead, guess);
      const error = errorOf(series, choosing, heldOut, ahead, (at) => guess(at) * factor);
      if (error !== undefined && (best === undefined || error < best.error)) best = { index, lasting, factor, error };
    }
  }
  const pattern = PATTERNS[best?.index ?? 0];
  const profile = profiles[best?.index ?? 0];
  if (best === undefined || pattern === undefined || profile === undefined) return undefined;
  const { factor, lasting } = best;
  const until = series.length;
  const error = errorOf(
    series,
    heldOut,
    until,
    ahead,
    (at) => largestAhead(series, profile, at, ahead, lasting) * factor,
  );
  const nowFactor = factorOf(series, choosing, heldOut, ahead, (at) => valueAt(series, at - 1));
  const naives = [
    ['yesterday', (at: number) => largestOf(series, at - DAY_BUCKETS, ahead)],
    ['a week ago', (at: number) => largestOf(series, at - WEEK_BUCKETS, ahead)],
    ['now', (at: number) => valueAt(series, at - 1) * nowFactor],
  ] as const;
  let [naive, naiveError]: [SeasonalFit['naive'], number] = ['yesterday', Number.POSITIVE_INFINITY];
  for (const [name, guess] of naives) {
    const wrong = errorOf(series, heldOut, until, ahead, guess);
    if (wrong !== undefined && wrong < naiveError) [naive, naiveError] = [name, wrong];
  }
  if (error === undefined || !Number.isFinite(naiveError)) return undefined;
  return { pattern, lasting, factor, error, naiveError, naive };
}

function valueAt(series: Series, at: number): number {
  return series[at] ?? Number.NaN;
}

/** The largest demand expected in the `ahead` buckets that follow `series`; undefined where the pattern has a hole. */
export function guessAhead(
  series: Series,
  ahead: number,
  { pattern, lasting, factor }: SeasonalFit,
): number | undefined {
  const at = series.length;
  const guess =
    largestAhead(series, profileOf(series, pattern, at + ahead, at - LEVEL_BUCKETS), at, ahead, lasting) * factor;
  return Number.isFinite(guess) ? guess : undefined;
}

/** The pattern's value for each bucket up to `until`, made only of what lies almost a day before it. */
function profileOf(series: Series, { days, week }: Pattern, until: number, from = 0): Series {
  const profile = new Float64Array(until).fill(Number.NaN);
  for (let at = Math.max(from, DAY_BUCKETS); at < until; at += 1) {
    let sum = 0;
    let count = 0;
    for (let day = 1; day <= days; day += 1) {
      const value = around(series, at - day * DAY_BUCKETS);
      if (Number.isNaN(value)) continue;
      sum += value;
      count += 1;
    }
    const recent = sum / count;
    const lastWeek = week > 0 ? around(series, at - WEEK_BUCKETS) : Number.NaN;
    profile[at] = Number.isNaN(lastWeek)
      ? recent
      : Number.isNaN(recent)
        ? lastWeek
        : week * lastWeek + (1 - week) * recent;
  }
  return profile;
}

/** Mean of a bucket and its neighbours, as far as they are known. */
function around(series: Series, at: number): number {
  let sum = 0;
  let count = 0;
  for (let place = at - 1; place <= at + 1; place += 1) {
    const value = valueAt(series, place);
    if (Number.isNaN(value)) continue;
    sum += value;
    count += 1;
  }
  return sum / count;
}

/** As it looks from `at`, with nothing known of `at` and later. NaN where the pattern is not known. */
function largestAhead(series: Series, profile: Series, at: number, ahead: number, lasting: number): number {
  const excess = levelAt(series, profile, at) - 1;
  let largest = Number.NEGATIVE_INFINITY;
  for (let step = 0; step < ahead; step += 1) {
    const value = (profile[at + step] ?? Number.NaN) * (1 + excess * Math.exp(-step / lasting));
    if (value > largest) largest = value;
  }
  return largest === Number.NEGATIVE_INFINITY ? Number.NaN : largest;
}

function levelAt(series: Series, profile: Series, at: number): number {
  let seen = 0;
  let expected = 0;
  for (let place = at - LEVEL_BUCKETS; place < at; place += 1) {
    const value = valueAt(series, place);
    const usual = profile[place] ?? Number.NaN;
    if (Number.isNaN(value) || Number.isNaN(usual)) continue;
    seen += value;
    expected += usual;
  }
  return expected > 0 ? Math.min(LEVEL_MAX, Math.max(LEVEL_MIN, seen / expected)) : 1;
}

function largestOf(series: Series, from: number, count: number): number {
  let largest = Number.NaN;
  for (let at = Math.max(0, from); at < from + count; at += 1) {
    const value = valueAt(series, at);
    if (!(value <= largest) && !Number.isNaN(value)) largest = value;
  }
  return largest;
}

/** The middle one of what came over what was guessed. */
function factorOf(series: Series, from: number, until: number, ahead: number, guess: (at: number) => number): number {
  const ratios: number[] = [];
  for (let at = from; at + ahead <= until; at += TRY_EVERY) {
    const ratio = largestOf(series, at, ahead) / guess(at);
    if (Number.isFinite(ratio) && ratio > 0) ratios.push(ratio);
  }
  ratios.sort((a, b) => a - b);
  return ratios[Math.floor(ratios.length / 2)] ?? 1;
}

/** Sum of errors over sum of what came. Undefined: nothing to compare. */
function errorOf(
  series: Series,
  from: number,
  until: number,
  ahead: number,
  guess: (at: number) => number,
): number | undefined {
  let errors = 0;
  let total = 0;
  let tries = 0;
  for (let at = from; at + ahead <= until; at += TRY_EVERY) {
    const came = largestOf(series, at, ahead);
    const guessed = guess(at);
    if (!Number.isFinite(came) || !Number.isFinite(guessed)) continue;
    errors += Math.abs(came - guessed);
    total += came;
    tries += 1;
  }
  // A guess that is seldom there is none: half of a day is asked for.
  return tries * TRY_EVERY >= DAY_BUCKETS / 2 && total > 0 ? errors / total : undefined;
}
