// The launch breaker: launches that keep failing are not tried forever. Not here: what counts as a failed launch (steps).
//
//   closed ──3 failures in a row──▶ open ──retryAt──▶ half-open (one launch at a time)
//     ▲                              ▲                   │
//     │                              └──── it failed ────┤   (the wait doubles, 30 s to 10 min)
//     └───────────────── it succeeded ───────────────────┘

import type { BreakerMemory } from './memory.ts';

/** Failed launches in a row that open the breaker. */
export const BREAKER_FAILURES = 3;
const BACKOFF_MIN_MS = 30_000;
const BACKOFF_MAX_MS = 600_000;

/** A launch failed. Those still under way when the breaker opened do not lengthen its wait. */
export function recordLaunchFailure(memory: BreakerMemory, nowMs: number, reason: string): BreakerMemory {
  if (memory.retryAtMs !== undefined && nowMs < memory.retryAtMs) return { ...memory, lastReason: reason };
  const failures = memory.failures + 1;
  if (failures < BREAKER_FAILURES) return { ...memory, failures, lastReason: reason };
  return {
    failures,
    openedAtMs: memory.openedAtMs ?? nowMs,
    retryAtMs: nowMs + backoffMs(failures),
    lastReason: reason,
  };
}

/** How long no launch is tried after so many failures in a row. */
export function backoffMs(failures: number): number {
  return Math.min(BACKOFF_MIN_MS * 2 ** Math.max(0, failures - BREAKER_FAILURES), BACKOFF_MAX_MS);
}

/** A launch succeeded: whatever was wrong is over. */
export function recordLaunchSuccess(_memory: BreakerMemory): BreakerMemory {
  return { failures: 0 };
}

/** How many launches may begin now, given how many are under way. `Infinity` while closed. */
export function launchesAllowed(memory: BreakerMemory, nowMs: number, launchingNow: number): number {
  if (memory.retryAtMs === undefined) return Number.POSITIVE_INFINITY;
  if (nowMs < memory.retryAtMs) return 0;
  return Math.max(0, 1 - launchingNow);
}
