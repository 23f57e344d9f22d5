// When cron expressions match, across changes of clocks. Every moment is given: nothing here asks what time it is.

import { createTask } from 'node-cron';
import { describe, expect, it } from 'vitest';
import { CronCalendar } from '../../../src/adapters/calendar/cron-calendar.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const BERLIN = 'Europe/Berlin';
const NEW_YORK = 'America/New_York';
const ms = (time: string): number => Date.parse(time);

/** Times, in UTC, of all matches from one moment to another; asked by `next`, and the same again by `latest`. */
function matches(cron: string, timezone: string, from: string, to: string): readonly string[] {
  const calendar = new CronCalendar();
  const found: number[] = [];
  for (let atMs = calendar.next(cron, timezone, ms(from)); atMs !== undefined && atMs < ms(to); ) {
    found.push(atMs);
    atMs = calendar.next(cron, timezone, atMs);
  }
  const again: number[] = [];
  const backwards = new CronCalendar();
  for (let atMs = ms(to) - 1; atMs > ms(from); ) {
    const latest = backwards.latest(cron, timezone, atMs, atMs - ms(from) - 1);
    if (latest === undefined) break;
    again.unshift(latest);
    atMs = latest - 1;
  }
  expect(again).toEqual(found);
  return found.map((atMs) => new Date(atMs).toISOString().replace(':00.000Z', 'Z'));
}

describe('matches', () => {
  it('are by the clocks of the zone', () => {
    expect(matches('30 8 * * 1-5', BERLIN, '2026-01-08T00:00:00Z', '2026-01-13T00:00:00Z')).toEqual([
      '2026-01-08T07:30Z',
      '2026-01-09T07:30Z',
      '2026-01-12T07:30Z',
    ]);
    expect(matches('30 8 * jul fri', NEW_YORK, '2026-07-01T00:00:00Z', '2026-07-12T00:00:00Z')).toEqual([
      '2026-07-03T12:30Z',
      '2026-07-10T12:30Z',
    ]);
    expect(matches('45 23 * * *', 'Asia/Kathmandu', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z')).toEqual([
      '2026-01-01T18:00Z',
    ]);
  });

  it('are at seconds where there are six fields, on last days, on nth weekdays, and once a year', () => {
    const at = (cron: string, to: string) => matches(cron, 'UTC', '2026-01-01T00:00:00Z', to);
    expect(at('*/20 0 12 * * *', '2026-01-02T00:00:00Z')).toEqual([
      '2026-01-01T12:00Z',
      '2026-01-01T12:00:20.000Z',
      '2026-01-01T12:00:40.000Z',
    ]);
    expect(at('0 6 L * *', '2026-03-15T00:00:00Z')).toEqual(['2026-01-31T06:00Z', '2026-02-28T06:00Z']);
    expect(at('0 6 * * 1#2', '2026-03-01T00:00:00Z')).toEqual(['2026-01-12T06:00Z', '2026-02-09T06:00Z']);
    expect(at('@monthly', '2026-03-02T00:00:00Z')).toEqual(['2026-02-01T00:00Z', '2026-03-01T00:00Z']);
    expect(at('15 10 24 12 *', '2027-01-01T00:00:00Z')).toEqual(['2026-12-24T10:15Z']);
  });

  it('agree with what node-cron says of single instants, where clocks are not changed', () => {
    for (const cron of ['*/7 3-5,22 * * *', '0 0 1,15 * *', '59 23 * * 0', '5 4 31 * *', '0 */6 * 2 *']) {
      for (const timezone of ['Asia/Kolkata', 'Pacific/Auckland']) {
        const task = createTask(cron, () => undefined, { timezone });
        const from = '2026-02-27T12:00:00Z';
        const to = '2026-03-01T12:00:00Z';
        const expected: string[] = [];
        for (let atMs = ms(from) + 60_000; atMs < ms(to); atMs += 60_000) {
          if (task.match(new Date(atMs))) expected.push(new Date(atMs).toISOString().replace(':00.000Z', 'Z'));
        }
        void task.destroy();
        expect(matches(cron, timezone, from, to)).toEqual(expected);
      }
    }
  });
});

describe('when clocks are put forward', () => {
  it('02:30, which is left out, is when they are put forward: Berlin, 29 March 2026 01:00Z; New York, 8 March 07:00Z', () => {
    expect(matches('30 2 * * *', BERLIN, '2026-03-28T00:00:00Z', '2026-03-31T00:00:00Z')).toEqual([
      '2026-03-28T01:30Z',
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ]);
    expect(matches('30 2 * * *', NEW_YORK, '2026-03-07T00:00:00Z', '2026-03-10T00:00:00Z')).toEqual([
      '2026-03-07T07:30Z',
      '2026-03-08T07:00Z',
      '2026-03-09T06:30Z',
    ]);
  });

  it('nothing else moves, and it happens once also when the hour after is meant too', () => {
    expect(matches('0 1,3,4 * * *', BERLIN, '2026-03-29T00:00:00Z', '2026-03-29T12:00:00Z')).toEqual([
      '2026-03-29T01:00Z',
      '2026-03-29T02:00Z',
    ]);
    expect(matches('0,30 2,3 * * *', BERLIN, '2026-03-29T00:00:00Z', '2026-03-29T12:00:00Z')).toEqual([
      '2026-03-29T01:00Z',
      '2026-03-29T01:30Z',
    ]);
    expect(matches('30 2 * * 1-6', BERLIN, '2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z')).toEqual([
      '2026-03-30T00:30Z',
    ]);
    expect(matches('20 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', '2026-10-04T12:00:00Z')).toEqual([
      '2026-10-03T15:30Z',
    ]);
  });
});

describe('when clocks are put back', () => {
  it('02:30, which comes twice, is the first time: Berlin, 25 October 2026; 01:30 in New York, 1 November', () => {
    expect(matches('30 2 * * *', BERLIN, '2026-10-24T00:00:00Z', '2026-10-27T00:00:00Z')).toEqual([
      '2026-10-24T00:30Z',
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ]);
    expect(matches('30 1 * * *', NEW_YORK, '2026-10-31T00:00:00Z', '2026-11-03T00:00:00Z')).toEqual([
      '2026-10-31T05:30Z',
      '2026-11-01T05:30Z',
      '2026-11-02T06:30Z',
    ]);
  });

  it('what is meant every hour goes on by real time', () => {
    const every = '*/30 * * * *';
    const quarters = matches(every, BERLIN, '2026-10-24T23:45:00Z', '2026-10-25T02:15:00Z');
    expect(quarters).toEqual([
      '2026-10-25T00:00Z',
      '2026-10-25T00:30Z',
      '2026-10-25T01:00Z',
      '2026-10-25T01:30Z',
      '2026-10-25T02:00Z',
    ]);
    expect(matches(every, BERLIN, '2026-03-29T00:15:00Z', '2026-03-29T02:15:00Z')).toHaveLength(4);
  });
});

describe('latest', () => {
  it('counts a match at the moment itself, and none that is older than asked for', () => {
    const calendar = new CronCalendar();
    const at = ms('2026-01-08T07:30:00Z');
    expect(calendar.latest('30 8 * * *', BERLIN, at - 1, HOUR_MS)).toBeUndefined();
    expect(calendar.latest('30 8 * * *', BERLIN, at, HOUR_MS)).toBe(at);
    expect(calendar.latest('30 8 * * *', BERLIN, at + HOUR_MS, HOUR_MS)).toBe(at);
    expect(calendar.latest('30 8 * * *', BERLIN, at + HOUR_MS + 1, HOUR_MS)).toBeUndefined();
    expect(calendar.latest('30 8 * * *', BERLIN, at + HOUR_MS + 1, 2 * HOUR_MS)).toBe(at);
  });

  it('answers the same whatever was asked before, also when the wall clock is put back', () => {
    const calendar = new CronCalendar();
    const from = ms('2026-03-27T00:00:00Z');
    let state = 1;
    for (let turn = 0; turn < 100; turn += 1) {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      const atMs = from + (state % (4 * DAY_MS));
      const withinMs = (state % 5) * 7 * HOUR_MS;
      expect(calendar.latest('30 2,14 * * *', BERLIN, atMs, withinMs)).toBe(
        new CronCalendar().latest('30 2,14 * * *', BERLIN, atMs, withinMs),
      );
      expect(calendar.next('30 2,14 * * *', BERLIN, atMs)).toBe(new CronCalendar().next('30 2,14 * * *', BERLIN, atMs));
    }
  });

  it('is cheap when asked each second', () => {
    const calendar = new CronCalendar();
    const from = ms('2026-01-08T00:00:00Z');
    const ask = (second: number) => calendar.latest('0 8 1 1 *', BERLIN, from + second * 1000, 30 * DAY_MS);
    ask(0);
    const startedMs = performance.now();
    for (let second = 1; second <= 10_000; second += 1) ask(second);
    // Without what is kept, one answer takes milliseconds.
    expect(performance.now() - startedMs).toBeLessThan(500);
  });
});

describe('next', () => {
  it('is undefined when there is none within a year', () => {
    const calendar = new CronCalendar();
    expect(calendar.next('0 0 29 2 *', 'UTC', ms('2026-01-01T00:00:00Z'))).toBeUndefined();
    expect(calendar.next('0 0 29 2 *', 'UTC', ms('2027-06-01T00:00:00Z'))).toBe(ms('2028-02-29T00:00:00Z'));
  });
});

describe('problem', () => {
  const calendar = new CronCalendar();
  it.each([
    ['30 8 * * 1-5', BERLIN],
    ['0 30 8 * * mon', NEW_YORK],
    ['@daily', 'UTC'],
    ['0 0 29 2 *', 'UTC'],
  ])('none: %s in %s', (cron, timezone) => {
    expect(calendar.problem(cron, timezone)).toBeUndefined();
  });

  it.each([
    ['61 8 * * *', 'UTC', /minute/],
    ['8 * * *', 'UTC', /fields/],
    ['', 'UTC', /./],
    ['rubbish', 'UTC', /./],
    ['0 8 * * *', 'Europe/Entenhausen', 'there is no time zone "Europe/Entenhausen"'],
    ['0 0 30 2 *', 'UTC', /impossible/],
    ['0 0 * 2 1#5', 'UTC', 'it matches on no day of the years 2024 to 2031'],
  ])('%s in %s', (cron, timezone, text) => {
    expect(calendar.problem(cron, timezone)).toMatch(text);
  });
});
