// What the learned pattern of a group's load says about the time ahead, and whether it has anything to offer.
// Not here: keeping the load (load-history), the pattern itself (seasonal-model), what is done about it (strategies/forecast).

import { BUCKET_MS, DAY_BUCKETS, HISTORY_DAYS, type LoadHistory, loadAt } from './load-history.ts';
import type { ForecastView } from './model.ts';
import type { ForecastRule } from './policy.ts';
import { DAYS_MIN, fitSeason, guessAhead, type SeasonalFit } from './seasonal-model.ts';
import { durationText } from './wording.ts';

/** A pattern is learned from so many days before the day's beginning (UTC): the history still holds them at the day's end. */
const LEARNED_DAYS = HISTORY_DAYS - 1;
/** A pattern of the day before, an hour of slack for its neighbours: it says nothing beyond that. */
const AHEAD_MAX = DAY_BUCKETS - 12;
/** It must be better than the seasonal-naive guess by this: less is chance. The guess "as now" it must only not be worse than. */
const BETTER_BY = 0.05;
/** A guess that is wrong by more than this is of no use, whatever it is better than. */
const ERROR_MAX = 0.5;

type Learned =
  | { readonly fit: SeasonalFit; readonly text: string; readonly offers: boolean }
  | { readonly fit?: undefined; readonly text: string };

/**
 * For one forecast rule. What it answers depends on the history and the time alone; it remembers what it has learned until the day (UTC)
 * ends, and its last answer until the next five minutes begin, so that asking each second costs nothing.
 */
export class Forecaster {
  readonly #rule: Pick<ForecastRule, 'name' | 'leadMs'>;
  #learned: { readonly day: number; readonly days: number; readonly learned: Learned } | undefined;
  #last: { readonly bucket: number; readonly history: LoadHistory['buckets']; readonly view: ForecastView } | undefined;

  constructor(rule: Pick<ForecastRule, 'name' | 'leadMs'>) {
    this.#rule = rule;
  }

  /** `nowMs`: Unix ms, as the history was observed with. */
  view(history: LoadHistory, nowMs: number): ForecastView {
    const bucket = Math.floor(nowMs / BUCKET_MS);
    if (this.#last?.bucket === bucket && this.#last.history === history.buckets) return this.#last.view;
    const view = this.#answer(history, bucket);
    this.#last = { bucket, history: history.buckets, view };
    return view;
  }

  #answer(history: LoadHistory, bucket: number): ForecastView {
    const { name: rule, leadMs } = this.#rule;
    const ahead = Math.min(AHEAD_MAX, Math.max(1, Math.ceil(leadMs / BUCKET_MS)));
    const day = Math.floor(bucket / DAY_BUCKETS) * DAY_BUCKETS;
    const from = Math.max(history.firstBucket, day - LEARNED_DAYS * DAY_BUCKETS);
    const days = Math.max(0, day - from);
    if (this.#learned?.day !== day || this.#learned.days !== days) {
      this.#learned = { day, days, learned: learn(history, from, day, ahead) };
    }
    const { fit, text, offers } = { offers: false, ...this.#learned.learned };
    if (fit === undefined || !offers) return { rule, text };
    const demand = guessAhead(seriesOf(history, from, bucket), ahead, fit);
    if (demand === undefined) return { rule, text: 'The load of the days before is not known for the time ahead.' };
    return { rule, demand, text };
  }
}

/** The same, asked once. */
export function forecastFor(
  history: LoadHistory,
  rule: Pick<ForecastRule, 'name' | 'leadMs'>,
  nowMs: number,
): ForecastView {
  return new Forecaster(rule).view(history, nowMs);
}

function learn(history: LoadHistory, from: number, day: number, ahead: number): Learned {
  const days = Math.floor(Math.max(0, history.buckets.length === 0 ? 0 : day - from) / DAY_BUCKETS);
  if (days < DAYS_MIN) return { text: `It has learned for ${days} of the ${DAYS_MIN} whole days that it needs.` };
  const fit = fitSeason(seriesOf(history, from, day), ahead);
  if (fit === undefined) return { text: 'Too much of the load of the last days is not known.' };
  const { error, naiveError, naive } = fit;
  const figures = `On the last two days it was wrong by ${percent(error)}, the guess "as ${naive}" by ${percent(naiveError)}`;
  const over = `(the largest demand within ${durationText(ahead * BUCKET_MS)})`;
  if (error > naiveError * (naive === 'now' ? 1 : 1 - BETTER_BY))
    return { fit, offers: false, text: `${figures} ${over}: it has nothing to offer.` };
  if (error > ERROR_MAX) return { fit, offers: false, text: `${figures} ${over}: too much to be of use.` };
  return { fit, offers: true, text: `${figures} ${over}.` };
}

function seriesOf(history: LoadHistory, from: number, until: number): Float64Array {
  return Float64Array.from(
    { length: Math.max(0, until - from) },
    (_, index) => loadAt(history, from + index) ?? Number.NaN,
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
