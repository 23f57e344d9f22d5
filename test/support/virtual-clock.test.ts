// VirtualClock: the contract, and the order in which it lets things happen.
// Not here: real time (test/adapters/clock).

import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { clockContract } from '../contracts/clock.ts';
import { SeededIds, SeededRandom } from './seeded-ids.ts';
import { VirtualClock } from './virtual-clock.ts';

clockContract('virtual', () => {
  const clock = new VirtualClock(Date.now());
  return { clock, pass: (ms) => clock.run(clock.nowMs() + ms), timers: () => clock.pending };
});

test('timers fire by time, then by order of arrival, however they were set', async () => {
  const random = new SeededRandom(7);
  const clock = new VirtualClock(0);
  const fired: { readonly ms: number; readonly order: number }[] = [];
  const set = Array.from({ length: 300 }, (_, order) => ({ ms: random.int(0, 40), order }));
  for (const timer of set) void clock.sleep(timer.ms).then(() => fired.push(timer));
  await clock.run(40);
  expect(fired).toEqual(set.toSorted((a, b) => a.ms - b.ms || a.order - b.order));
});

test('what a timer sets off runs to its end before the next timer fires', async () => {
  const clock = new VirtualClock(0);
  const seen: string[] = [];
  void clock.sleep(10).then(async () => {
    for (let i = 0; i < 50; i += 1) await Promise.resolve();
    await setImmediate();
    seen.push(`first at ${clock.nowMs()}`);
    await clock.sleep(0);
    seen.push(`first again at ${clock.nowMs()}`);
  });
  void clock.sleep(11).then(() => seen.push(`second at ${clock.nowMs()}`));
  await clock.run(20);
  expect(seen).toEqual(['first at 10', 'first again at 10', 'second at 11']);
  expect(clock.nowMs()).toBe(20);
});

test('run stops where it is told and goes on from there', async () => {
  const clock = new VirtualClock(0);
  let ticks = 0;
  const stop = new AbortController();
  const ticking = (async () => {
    while (!stop.signal.aborted) {
      await clock.sleep(10, stop.signal);
      ticks += 1;
    }
  })();
  await clock.run(55);
  expect(ticks).toBe(5);
  await clock.run(60);
  expect(ticks).toBe(6);
  stop.abort();
  await ticking;
  expect(clock.pending).toBe(0);
});

test('a wait for nothing that never ends is an error, not a hang', async () => {
  const clock = new VirtualClock(0);
  const stop = new AbortController();
  void (async () => {
    while (!stop.signal.aborted) await clock.sleep(0, stop.signal);
  })();
  await expect(clock.run(1)).rejects.toThrow('time stands still');
  stop.abort();
});

test('the wall clock can be set without moving engine time', () => {
  const clock = new VirtualClock(0);
  clock.stepWall(3_600_000);
  expect(clock.nowMs()).toBe(0);
  expect(clock.wall()).toBe('1970-01-01T01:00:00.000Z');
});

test('seeded identifiers repeat, differ between seeds, and are version 4 UUIDs', () => {
  const draw = (seed: number): string[] => {
    const ids = new SeededIds(seed);
    return Array.from({ length: 200 }, () => ids.uuid());
  };
  expect(draw(1)).toEqual(draw(1));
  expect(new Set([...draw(1), ...draw(2)]).size).toBe(400);
  for (const uuid of draw(3))
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
