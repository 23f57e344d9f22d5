// Stored times after the wall clock was set back between two daemons. Not here: the same with everything else (test/sim).

import { expect, test } from 'vitest';
import { backoffMs } from '../../src/core/breaker.ts';
import { rebase } from '../../src/core/rebase.ts';
import { aVmRecord } from '../contracts/store.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = 10 * HOUR_MS;

const draining = aVmRecord(1, {
  phase: 'draining',
  phaseAtMs: NOW_MS - 3000,
  changedAtMs: NOW_MS - 2000,
  deadlineAtMs: NOW_MS + 2000,
});
const memory = {
  web: {
    desired: 2,
    paused: false,
    lastOutAtMs: NOW_MS - 9000,
    lastInAtMs: NOW_MS - 500,
    breaker: { failures: 4, openedAtMs: NOW_MS - 40_000, retryAtMs: NOW_MS + 20_000 },
  },
};

test('times of the past stay as they are', () => {
  expect(rebase({ vms: [draining], memory }, NOW_MS)).toEqual({ vms: [draining], memory });
});

test('times from the future become now, and deadlines are no further off than when they were set', () => {
  const back = NOW_MS - HOUR_MS;
  expect(rebase({ vms: [draining], memory }, back)).toEqual({
    vms: [{ ...draining, phaseAtMs: back, changedAtMs: back, deadlineAtMs: back + 5000 }],
    memory: {
      web: {
        ...memory.web,
        lastOutAtMs: back,
        lastInAtMs: back,
        breaker: { failures: 4, openedAtMs: back, retryAtMs: back + backoffMs(4) },
      },
    },
  });
});

test('a record from another setting of the clock moves no other record', () => {
  const ahead = aVmRecord(2, { phase: 'in-service', phaseAtMs: NOW_MS + HOUR_MS, changedAtMs: NOW_MS + HOUR_MS });
  const { vms, memory: after } = rebase({ vms: [ahead, draining], memory }, NOW_MS);
  expect(vms).toEqual([{ ...ahead, phaseAtMs: NOW_MS, changedAtMs: NOW_MS }, draining]);
  expect(after).toEqual(memory);
});

test('to do it twice is to do it once', () => {
  const once = rebase({ vms: [draining], memory }, NOW_MS - HOUR_MS);
  expect(rebase(once, NOW_MS - HOUR_MS)).toEqual(once);
});

test('a launch that was under way gets a second look, and no more patience than it had', () => {
  const late = aVmRecord(3, { phaseAtMs: NOW_MS - 60_000, changedAtMs: NOW_MS - 50_000, deadlineAtMs: NOW_MS - 1000 });
  const [again] = rebase({ vms: [late], memory: {} }, NOW_MS).vms;
  expect(again).toMatchObject({ phaseAtMs: NOW_MS - 49_000, deadlineAtMs: NOW_MS + 10_000 });
  const [back] = rebase({ vms: again === undefined ? [] : [again], memory: {} }, NOW_MS - HOUR_MS).vms;
  expect(back).toMatchObject({ phaseAtMs: NOW_MS - HOUR_MS, deadlineAtMs: NOW_MS - HOUR_MS + 59_000 });
});

test('a refresh, rate limits, hooks and ages come back as well; a pause is no longer than it was', () => {
  const serving = aVmRecord(4, {
    phase: 'in-service',
    servedSinceMs: NOW_MS - 1000,
    hook: { sinceMs: NOW_MS - 500, tries: 1 },
  });
  const refresh = {
    to: 'new',
    startedAtMs: NOW_MS - 60_000,
    state: 'paused',
    pausedAtMs: NOW_MS - 10_000,
    resumeAtMs: NOW_MS + 20_000,
    failures: 0,
    passed: 1,
    total: 4,
  } as const;
  const changes = [{ atMs: NOW_MS - 5000, by: 1 }];
  const stored = { vms: [serving], memory: { web: { ...memory.web, changes, refresh } } };
  expect(rebase(stored, NOW_MS)).toEqual(stored);
  const back = NOW_MS - HOUR_MS;
  const after = rebase(stored, back);
  expect(after.vms).toMatchObject([{ servedSinceMs: back, hook: { sinceMs: back, tries: 1 } }]);
  expect(after.memory['web']).toMatchObject({
    changes: [{ atMs: back, by: 1 }],
    refresh: { ...refresh, startedAtMs: back, pausedAtMs: back, resumeAtMs: back + 30_000 },
  });
  expect(rebase(after, back)).toEqual(after);
});
