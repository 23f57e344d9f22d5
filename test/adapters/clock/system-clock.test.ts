// SystemClock: the contract, and what happens when somebody sets the wall clock.
// Not here: simulated time (test/support/virtual-clock.test.ts).

import { getActiveResourcesInfo } from 'node:process';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { SystemClock } from '../../../src/adapters/clock/system-clock.ts';
import { clockContract } from '../../contracts/clock.ts';

const countTimers = (): number => getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

clockContract('system', () => {
  const before = countTimers();
  return {
    clock: new SystemClock(),
    pass: async (ms) => {
      await setTimeout(ms + 1);
    },
    // The test runner has timers of its own, which may end meanwhile.
    timers: () => Math.max(0, countTimers() - before),
  };
});

function machine() {
  const time = { wall: 1_000_000, monotonic: 500 };
  const clock = new SystemClock({ wallMs: () => time.wall, monotonicMs: () => time.monotonic });
  return {
    clock,
    pass: (ms: number) => {
      time.wall += ms;
      time.monotonic += ms;
    },
    setWall: (byMs: number) => {
      time.wall += byMs;
    },
  };
}

test('engine time is the wall time of the start plus what has passed since', () => {
  const { clock, pass } = machine();
  expect(clock.nowMs()).toBe(1_000_000);
  pass(250.5);
  expect(clock.nowMs()).toBe(1_000_250.5);
});

test('a step of the wall clock moves the wall, never engine time', () => {
  const { clock, pass, setWall } = machine();
  pass(1000);
  const before = clock.nowMs();
  setWall(-3_600_000);
  expect(clock.nowMs()).toBe(before);
  expect(clock.wall()).toBe(new Date(1_001_000 - 3_600_000).toISOString());
  expect(clock.wallOf(before)).toBe(clock.wall());
});

test('the coarseness of the wall clock does not make wallOf tremble', () => {
  const { clock, setWall } = machine();
  const at = clock.nowMs();
  const first = clock.wallOf(at);
  setWall(7);
  expect(clock.wallOf(at)).toBe(first);
});
