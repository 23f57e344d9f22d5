import { describe, expect, it } from 'vitest';
import { launchesAllowed, recordLaunchFailure, recordLaunchSuccess } from '../../src/core/breaker.ts';
import type { BreakerMemory } from '../../src/core/memory.ts';

const CLOSED: BreakerMemory = { failures: 0 };

/** Fails at each of the times. */
function failing(...timesMs: readonly number[]): BreakerMemory {
  return timesMs.reduce((memory, atMs) => recordLaunchFailure(memory, atMs, `reason at ${atMs}`), CLOSED);
}

describe('launch breaker', () => {
  it('lets launches go while fewer than three failed in a row', () => {
    expect(launchesAllowed(CLOSED, 0, 50)).toBe(Number.POSITIVE_INFINITY);
    expect(launchesAllowed(failing(1, 2), 2, 50)).toBe(Number.POSITIVE_INFINITY);
  });

  it('opens at the third', () => {
    const open = failing(1000, 2000, 3000);
    expect(open).toEqual({ failures: 3, openedAtMs: 3000, retryAtMs: 33_000, lastReason: 'reason at 3000' });
    expect(launchesAllowed(open, 3000, 0)).toBe(0);
    expect(launchesAllowed(open, 32_999, 0)).toBe(0);
  });

  it('allows one launch at a time when half-open', () => {
    const open = failing(1000, 2000, 3000);
    expect(launchesAllowed(open, 33_000, 0)).toBe(1);
    expect(launchesAllowed(open, 33_000, 1)).toBe(0);
    expect(launchesAllowed(open, 33_000, 7)).toBe(0);
  });

  it('doubles its wait with every failed try, up to ten minutes', () => {
    let memory = failing(0, 0, 0);
    const waits: number[] = [];
    for (let tries = 0; tries < 8; tries += 1) {
      const atMs = memory.retryAtMs ?? Number.NaN;
      memory = recordLaunchFailure(memory, atMs, 'again');
      waits.push((memory.retryAtMs ?? Number.NaN) - atMs);
    }
    expect(waits).toEqual([60_000, 120_000, 240_000, 480_000, 600_000, 600_000, 600_000, 600_000]);
    expect(memory.openedAtMs).toBe(0);
  });

  it('is not lengthened by launches that were under way when it opened', () => {
    const open = failing(0, 0, 0);
    const later = recordLaunchFailure(open, 500, 'a straggler');
    expect(later).toEqual({ ...open, lastReason: 'a straggler' });
  });

  it('closes with one success, and three more failures open it again with the short wait', () => {
    const closed = recordLaunchSuccess(failing(0, 0, 0, 30_000));
    expect(closed).toEqual({ failures: 0 });
    const again = [1, 2, 3].reduce((memory, atMs) => recordLaunchFailure(memory, atMs, 'x'), closed);
    expect(again.retryAtMs).toBe(30_003);
  });

  it('survives being stored', () => {
    const open = failing(1, 2, 3);
    expect(JSON.parse(JSON.stringify(open))).toEqual(open);
  });
});
