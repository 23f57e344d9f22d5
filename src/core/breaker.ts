// Launches that keep failing are stopped before they become a runaway: after three in a row, and then tried one at a time.
// Not here: what counts as a failed launch (steps, executors), what is not launched because of it (decide).

import type { BreakerMemory } from './memory.ts';

const FAILURES_TO_OPEN = 3;
const RETRY_MIN_MS = 30_000;
const RETRY_MAX_MS = 600_000;

/** One more failed launch. From the third in a row on the breaker is open; each further failure doubles the wait, up to ten minutes. */
export function recordLaunchFailure(memory: BreakerMemory, nowMs: number, reason: string): BreakerMemory {
  const failures = memory.failures + 1;
  if (failures < FAILURES_TO_OPEN) return { failures, lastReason: reason };
  const waitMs = Math.min(RETRY_MIN_MS * 2 ** Math.min(failures - FAILURES_TO_OPEN, 20), RETRY_MAX_MS);
  return { failures, lastReason: reason, openedAtMs: memory.openedAtMs ?? nowMs, retryAtMs: nowMs + waitMs };
}

/** A VM became ready: the row of failures is over. */
export function recordLaunchSuccess(_memory: BreakerMemory): BreakerMemory {
  return { failures: 0 };
}

/**
 * How many launches may begin now, given how many are under way: any number while closed, none while open,
 * and a single one to try with once the wait is over.
 */
export function launchesAllowed(memory: BreakerMemory, nowMs: number, launching: number): number {
  if (memory.openedAtMs === undefined) return Number.POSITIVE_INFINITY;
  if (nowMs < (memory.retryAtMs ?? 0)) return 0;
  return Math.max(0, 1 - launching);
}
