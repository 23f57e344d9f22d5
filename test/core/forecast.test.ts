// Forecasts on made-up load: a pattern is found, chance is not taken for one, and nothing is ever known beforehand.

import { describe, expect, it } from 'vitest';
import { Forecaster, forecastFor } from '../../src/core/forecast.ts';
import { BUCKET_MS, DAY_BUCKETS, type LoadHistory, NO_HISTORY, observeLoad } from '../../src/core/load-history.ts';
import { fractions } from './recorded-turns.ts';

const START_MS = Date.UTC(2026, 2, 1);
const DAY_MS = 86_400_000;
const HOUR = { name: 'ahead', leadMs: 3_600_000 };
type Load = (bucket: number) => number | null;

function learned(days: number, load: Load): { readonly history: LoadHistory; readonly nowMs: number } {
  let history = NO_HISTORY;
  const count = Math.round(days * DAY_BUCKETS);
  for (let bucket = 0; bucket <= count; bucket += 1) {
    const demand = load(bucket);
    if (demand !== null) history = observeLoad(history, START_MS + bucket * BUCKET_MS, demand);
  }
  return { history, nowMs: START_MS + count * BUCKET_MS };
}

/** By day from 100 to 900, and each day on another level. */
function daily(seed = 1, noise = 0.05): Load {
  const random = fractions(seed);
  const levels = Array.from({ length: 20 }, () => 0.7 + 0.6 * random());
  return (bucket) => {
    const shape = 500 - 400 * Math.cos((2 * Math.PI * bucket) / DAY_BUCKETS);
    return shape * (levels[Math.floor(bucket / DAY_BUCKETS)] ?? 1) * (1 + noise * (random() - 0.5));
  };
}

describe('a forecast', () => {
  it('sees the morning coming, better than yesterday, and says by how much', () => {
    const load = daily();
    const { history, nowMs } = learned(9.25, load);
    const view = forecastFor(history, HOUR, nowMs);
    const again = daily();
    const all = Array.from({ length: 10 * DAY_BUCKETS }, (_, bucket) => again(bucket) ?? 0);
    const now = 9.25 * DAY_BUCKETS;
    const came = Math.max(...all.slice(now, now + 12));
    expect(view.demand).toBeGreaterThan((all[now - 1] ?? 0) * 1.1);
    expect(Math.abs((view.demand ?? 0) - came) / came).toBeLessThan(0.1);
    expect(view.text).toMatch(
      /^On the last two days it was wrong by \d\.\d %, the guess "as (yesterday|a week ago|now)" by \d+\.\d % \(the largest demand within 60 min\)\.$/,
    );
  });

  it('tells a weekly pattern from a daily one', () => {
    const random = fractions(5);
    const level = (day: number) => (day % 7 >= 5 ? 0.2 : 1);
    const { history, nowMs } = learned(14.5, (bucket) => {
      const shape = 500 - 400 * Math.cos((2 * Math.PI * bucket) / DAY_BUCKETS);
      return shape * level(Math.floor(bucket / DAY_BUCKETS)) * (0.95 + 0.1 * random());
    });
    const { text } = forecastFor(history, HOUR, nowMs);
    expect(text).toContain('"as a week ago"');
  });

  it('has nothing to offer on chance, and says why', () => {
    const random = fractions(3);
    let value = 100;
    const { history, nowMs } = learned(10.5, () => {
      value = Math.max(1, value * (0.7 + 0.6 * random()));
      return value;
    });
    const view = forecastFor(history, HOUR, nowMs);
    expect(view).not.toHaveProperty('demand');
    expect(view.text).toMatch(/nothing to offer|too much to be of use/);
  });

  it('has nothing to offer where every day is the same: yesterday says it as well', () => {
    const { history, nowMs } = learned(10.5, (bucket) => 500 - 400 * Math.cos((2 * Math.PI * bucket) / DAY_BUCKETS));
    const view = forecastFor(history, HOUR, nowMs);
    expect(view).not.toHaveProperty('demand');
    expect(view.text).toContain('it has nothing to offer');
  });

  it('needs five whole days, and says how many it has', () => {
    const { history, nowMs } = learned(4.9, daily());
    expect(forecastFor(history, HOUR, nowMs).text).toBe('It has learned for 4 of the 5 whole days that it needs.');
    expect(forecastFor(NO_HISTORY, HOUR, START_MS)).toEqual({
      rule: 'ahead',
      text: 'It has learned for 0 of the 5 whole days that it needs.',
    });
    expect(forecastFor(learned(5.1, daily()).history, HOUR, START_MS + 5.1 * DAY_MS).demand).toBeGreaterThan(0);
  });

  it('lives with holes, and has nothing to say where too much is missing', () => {
    const load = daily();
    const some = learned(9.25, (bucket) => (bucket % 7 < 2 ? null : load(bucket)));
    expect(forecastFor(some.history, HOUR, some.nowMs).demand).toBeGreaterThan(0);
    const few = learned(9.25, (bucket) => (bucket > 6 * DAY_BUCKETS && bucket < 9 * DAY_BUCKETS ? null : 100));
    const view = forecastFor(few.history, HOUR, few.nowMs);
    expect(view).toEqual({ rule: 'ahead', text: 'Too much of the load of the last days is not known.' });
  });

  it('is the same whether asked all along or once, and when the same load goes on it does not change what was said', () => {
    const load = daily(7);
    let history = NO_HISTORY;
    const forecaster = new Forecaster(HOUR);
    for (let bucket = 0; bucket <= 16 * DAY_BUCKETS; bucket += 1) {
      const nowMs = START_MS + bucket * BUCKET_MS;
      history = observeLoad(history, nowMs, load(bucket) ?? 0);
      const view = forecaster.view(history, nowMs);
      if (bucket % 97 === 0) expect(view).toEqual(forecastFor(history, HOUR, nowMs));
      // What comes later within the same five minutes is not known yet.
      if (bucket % 97 === 0) expect(forecastFor(observeLoad(history, nowMs, 1e9), HOUR, nowMs)).toEqual(view);
    }
  });

  it('looks no further than almost a day, whatever the lead', () => {
    const { history, nowMs } = learned(9.25, daily());
    const views = [26, 48, 200].map((hours) => forecastFor(history, { name: 'x', leadMs: hours * 3_600_000 }, nowMs));
    expect(views[1]).toEqual(views[0]);
    expect(views[2]).toEqual(views[0]);
    expect(views[0]?.text).toContain('1380 min');
  });
});
