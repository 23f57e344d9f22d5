import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VmPhase, VmRecord } from '../../src/core/model.ts';
import { roomsOf } from '../../src/core/placement/rooms.ts';
import type { RemovalOrder } from '../../src/core/policy.ts';
import type { Candidate } from '../../src/core/removal-order.ts';
import { chooseVictims } from '../../src/core/victims.ts';
import { hostOf, NOW_MS, snapshotOf, viewOf } from './builders.ts';

function candidate(
  id: number,
  percent: number | undefined,
  over: { readonly phase?: VmPhase; readonly fresh?: boolean; readonly hostUp?: boolean } = {},
): Candidate {
  const { phase = 'in-service', fresh = true, hostUp = true } = over;
  return { view: viewOf(id, { record: { phase }, fresh }), hostUp, ...(percent !== undefined && { percent }) };
}

function chosenIds(candidates: readonly Candidate[], count: number): readonly number[] {
  return chooseVictims(candidates, { order: { kind: 'idlest' }, count, nowMs: NOW_MS }).chosen.map(
    ({ record }) => record.id,
  );
}

describe('chooseVictims', () => {
  it.each<[string, readonly Candidate[], number, readonly number[]]>([
    ['the idlest', [candidate(1, 50), candidate(2, 5), candidate(3, 30)], 1, [2]],
    ['the two idlest', [candidate(1, 50), candidate(2, 5), candidate(3, 30)], 2, [2, 3]],
    ['unmeasured ones last', [candidate(1, undefined), candidate(2, 90)], 1, [2]],
    ['launching ones before all others', [candidate(1, 0), candidate(2, undefined, { phase: 'launching' })], 1, [2]],
    ['among equals the newest', [candidate(1, 10), candidate(3, 10), candidate(2, 10)], 2, [3, 2]],
    ['none on a host that does not answer', [candidate(1, 0, { hostUp: false }), candidate(2, 90)], 2, [2]],
    ['none that changed since it was looked at', [candidate(1, 0, { fresh: false }), candidate(2, 90)], 2, [2]],
    ['none', [candidate(1, 0)], 0, []],
  ])('takes %s', (_name, candidates, count, ids) => {
    expect(chosenIds(candidates, count)).toEqual(ids);
    expect(chosenIds(candidates.toReversed(), count)).toEqual(ids);
  });

  it('says of every VM why it was or was not taken', () => {
    const { choices } = chooseVictims(
      [
        candidate(1, 7.25),
        candidate(2, 40),
        candidate(3, undefined),
        candidate(4, 1, { hostUp: false }),
        candidate(5, 1, { fresh: false }),
        candidate(6, undefined, { phase: 'launching' }),
      ],
      { order: { kind: 'idlest' }, count: 2, nowMs: NOW_MS },
    );
    expect(choices).toEqual([
      { name: 'web-6', chosen: true, text: 'still launching: nobody uses it yet' },
      { name: 'web-1', chosen: true, text: 'idlest: 7.3 % CPU' },
      { name: 'web-2', chosen: false, text: 'stays: 40 % CPU' },
      { name: 'web-3', chosen: false, text: 'stays: CPU not measured' },
      { name: 'web-4', chosen: false, text: 'stays: its host h1 does not answer' },
      { name: 'web-5', chosen: false, text: 'stays: it changed since its host was last asked' },
    ]);
  });

  const record = (id: number, over: Partial<VmRecord>, percent = 50): Candidate => ({
    view: viewOf(id, { record: over }),
    hostUp: true,
    percent,
  });

  it.each<[string, RemovalOrder, readonly Candidate[], readonly number[]]>([
    [
      'oldest',
      { kind: 'oldest' },
      [record(1, { servedSinceMs: 300 }), record(2, { servedSinceMs: 100 }), record(3, { servedSinceMs: 200 })],
      [2, 3, 1],
    ],
    [
      'newest',
      { kind: 'newest' },
      [record(1, { servedSinceMs: 300 }), record(2, { servedSinceMs: 100 }), record(3, { servedSinceMs: 200 })],
      [1, 3, 2],
    ],
    [
      'by label, those without or without a number last',
      { kind: 'label', label: 'rank' },
      [
        record(1, { labels: { rank: '10' } }),
        record(2, { labels: { rank: '9.5' } }),
        record(3, {}),
        record(4, { labels: { rank: 'x' } }),
        record(5, { labels: { rank: '-1' } }),
        record(6, { labels: { rank: ' ' } }),
      ],
      [5, 2, 1, 6, 4, 3],
    ],
  ])('orders: %s', (_name, order, candidates, ids) => {
    const options = { order, count: candidates.length, nowMs: NOW_MS };
    expect(chooseVictims(candidates, options).chosen.map((view) => view.record.id)).toEqual(ids);
    expect(chooseVictims(candidates.toReversed(), options).chosen.map((view) => view.record.id)).toEqual(ids);
  });

  it('takes one after the other from the host that is fullest by then', () => {
    const on = (id: number, host: string, percent = 50) => record(id, { host }, percent);
    const candidates = [on(1, 'a'), on(2, 'a', 10), on(3, 'a'), on(4, 'b'), on(5, 'b'), on(6, 'c')];
    const hosts = ['a', 'b', 'c'].map((name, index) =>
      hostOf(name, { capacity: { memoryMiB: name === 'c' ? 256 : 1024 }, traits: { index } }),
    );
    const snapshot = snapshotOf({ hosts, vms: candidates.map(({ view }) => view) });
    const options = {
      order: { kind: 'fullest-host' },
      count: 4,
      nowMs: NOW_MS,
      rooms: () => roomsOf(snapshot),
    } as const;
    const { chosen, choices } = chooseVictims(candidates, options);
    // c: half of it; a: three of eight; then a and b: two of eight each, the first of the configuration.
    expect(chosen.map((view) => view.record.id)).toEqual([6, 2, 3, 5]);
    expect(choices[0]?.text).toBe('on the fullest host, c: 50 % CPU');
    expect(choices.at(-1)?.text).toMatch(/^stays: on host [ab], 50 % CPU$/);
  });

  it('takes unhealthy ones before those that serve, and outdated ones before the others', () => {
    const ill: Candidate = { ...candidate(1, 90), view: { ...viewOf(1), unhealthy: 'it does not answer' } };
    const outdated: Candidate = { ...candidate(2, 80), outdated: true };
    const all = [candidate(3, 1), outdated, ill];
    const { chosen, choices } = chooseVictims(all, { order: { kind: 'idlest' }, count: 2, nowMs: NOW_MS });
    expect(chosen.map((view) => view.record.id)).toEqual([1, 2]);
    expect(choices.map(({ text }) => text)).toEqual([
      'unhealthy: it does not answer',
      'outdated, idlest: 80 % CPU',
      'stays: 1 % CPU',
    ]);
  });

  it('an unhealthy one is not taken when it is among the last in service: its check may be wrong', () => {
    const sick = (id: number): Candidate => {
      const made = candidate(id, 10);
      return { ...made, view: { ...made.view, unhealthy: 'no answer' } };
    };
    const launching = { ...candidate(3, undefined, { phase: 'launching' }), hostUp: false };
    const options = { order: { kind: 'idlest' }, nowMs: NOW_MS, count: 1 } as const;
    expect(chooseVictims([sick(1), launching], { ...options, inServiceMax: 0, servingMax: 0 })).toMatchObject({
      chosen: [],
      needed: 1,
    });
    expect(chooseVictims([sick(1), sick(2)], { ...options, count: 2, inServiceMax: 1, servingMax: 0 })).toMatchObject({
      chosen: [{ record: { id: 2 } }],
      needed: 1,
    });
  });

  it('counts why fewer go than should', () => {
    const candidates = [
      candidate(1, 5),
      candidate(2, 5),
      candidate(3, 5, { fresh: false }),
      record(4, { isProtected: true }),
      record(5, { isProtected: true }),
    ];
    const options = { order: { kind: 'idlest' }, nowMs: NOW_MS } as const;
    expect(chooseVictims(candidates, { ...options, count: 4, servingMax: 1 })).toMatchObject({
      chosen: [{ record: { id: 2 } }],
      needed: 1,
      unknown: 1,
      shielded: 1,
    });
  });
});

describe('for any group', () => {
  const anyCandidate = fc.record({
    percent: fc.option(fc.integer({ min: 0, max: 100 }), { nil: undefined }),
    phase: fc.constantFrom<VmPhase>('in-service', 'in-service', 'in-service', 'launching'),
    fresh: fc.boolean(),
    hostUp: fc.boolean(),
    isProtected: fc.boolean(),
  });

  it('no busy VM goes while an idler one may go, no protected or unknown one ever, and all is accounted for', () => {
    fc.assert(
      fc.property(fc.array(anyCandidate, { maxLength: 12 }), fc.nat(12), fc.nat(12), (raw, count, servingMax) => {
        const candidates = raw.map(({ isProtected, ...one }, index): Candidate => {
          const made = candidate(index + 1, one.percent, one);
          return isProtected ? { ...made, view: { ...made.view, record: { ...made.view.record, isProtected } } } : made;
        });
        const victims = chooseVictims(candidates, { order: { kind: 'idlest' }, count, servingMax, nowMs: NOW_MS });
        const ids = new Set(victims.chosen.map((view) => view.record.id));
        const may = candidates.filter(({ view, hostUp }) => hostUp && view.fresh && view.record.isProtected !== true);
        expect([...ids].every((id) => may.some(({ view }) => view.record.id === id))).toBe(true);
        const serving = may.filter(({ view }) => view.record.phase === 'in-service');
        const busiest = Math.max(
          -1,
          ...serving.filter(({ view }) => ids.has(view.record.id)).map((one) => one.percent ?? 101),
        );
        const idlest = Math.min(
          102,
          ...serving.filter(({ view }) => !ids.has(view.record.id)).map((one) => one.percent ?? 101),
        );
        expect(busiest).toBeLessThanOrEqual(idlest);
        const { needed, shielded, unknown } = victims;
        expect(ids.size + needed + shielded + unknown).toBe(Math.min(count, candidates.length));
        expect(victims.choices.map(({ name }) => name).toSorted()).toEqual(
          candidates.map(({ view }) => view.record.name).toSorted(),
        );
      }),
      { numRuns: 2000 },
    );
  });
});
