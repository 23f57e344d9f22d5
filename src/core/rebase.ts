// Times that an earlier daemon stored, brought into this one's clock. Engine time is anchored to the wall clock at the start:
// when somebody set that back in between, everything stored would lie in the future, nothing be fresh and no cooldown end.
//
// Each record is brought back by itself, and to do it again changes nothing: what is loaded is not stored before it changes, so a
// store may hold records from several settings of the wall clock.

import { backoffMs } from './breaker.ts';
import type { BreakerMemory, DurableMemory, RefreshMemory } from './memory.ts';
import type { GroupName, VmRecord } from './model.ts';

export interface StoredTimes {
  readonly vms: readonly VmRecord[];
  readonly memory: Readonly<Record<GroupName, DurableMemory>>;
}

/** A launch that was under way gets this long to show itself: it may well have become ready while no daemon was there to see. */
const SECOND_LOOK_MS = 10_000;

/** The same state with every past moment at or before `nowMs`, and every deadline no further off than it was when it was set. */
export function rebase({ vms, memory }: StoredTimes, nowMs: number): StoredTimes {
  return {
    vms: vms.map((vm) => rebaseVm(vm, nowMs)),
    memory: Object.fromEntries(Object.entries(memory).map(([group, durable]) => [group, rebaseMemory(durable, nowMs)])),
  };
}

function rebaseVm(vm: VmRecord, nowMs: number): VmRecord {
  const past = {
    ...vm,
    phaseAtMs: Math.min(vm.phaseAtMs, nowMs),
    changedAtMs: Math.min(vm.changedAtMs, nowMs),
    ...(vm.servedSinceMs !== undefined && { servedSinceMs: Math.min(vm.servedSinceMs, nowMs) }),
    ...(vm.hook !== undefined && { hook: { ...vm.hook, sinceMs: Math.min(vm.hook.sinceMs, nowMs) } }),
  };
  if (vm.deadlineAtMs === undefined) return past;
  // In the phase's own time, deadlines lie behind its beginning: that far from now at the most.
  const deadlineAtMs = Math.min(vm.deadlineAtMs, nowMs + Math.max(0, vm.deadlineAtMs - vm.phaseAtMs));
  if (vm.phase !== 'launching') return { ...past, deadlineAtMs };
  // The beginning moves along, or the launch would from now on pass for one with so much more patience.
  const laterMs = Math.max(0, nowMs + SECOND_LOOK_MS - deadlineAtMs);
  return { ...past, phaseAtMs: Math.min(past.phaseAtMs + laterMs, nowMs), deadlineAtMs: deadlineAtMs + laterMs };
}

function rebaseMemory(durable: DurableMemory, nowMs: number): DurableMemory {
  const { changes, lastOutAtMs, lastInAtMs, refresh } = durable;
  return {
    ...durable,
    ...(lastOutAtMs !== undefined && { lastOutAtMs: Math.min(lastOutAtMs, nowMs) }),
    ...(lastInAtMs !== undefined && { lastInAtMs: Math.min(lastInAtMs, nowMs) }),
    ...(changes !== undefined && { changes: changes.map(({ atMs, by }) => ({ atMs: Math.min(atMs, nowMs), by })) }),
    breaker: rebaseBreaker(durable.breaker, nowMs),
    ...(refresh !== undefined && { refresh: rebaseRefresh(refresh, nowMs) }),
  };
}

function rebaseRefresh(refresh: RefreshMemory, nowMs: number): RefreshMemory {
  const { pausedAtMs, resumeAtMs, startedAtMs } = refresh;
  const pauseMs = Math.max(0, (resumeAtMs ?? 0) - (pausedAtMs ?? 0));
  return {
    ...refresh,
    startedAtMs: Math.min(startedAtMs, nowMs),
    ...(pausedAtMs !== undefined && { pausedAtMs: Math.min(pausedAtMs, nowMs) }),
    ...(resumeAtMs !== undefined && { resumeAtMs: Math.min(resumeAtMs, nowMs + pauseMs) }),
  };
}

function rebaseBreaker(breaker: BreakerMemory, nowMs: number): BreakerMemory {
  const { failures, openedAtMs, retryAtMs } = breaker;
  return {
    ...breaker,
    ...(openedAtMs !== undefined && { openedAtMs: Math.min(openedAtMs, nowMs) }),
    ...(retryAtMs !== undefined && { retryAtMs: Math.min(retryAtMs, nowMs + backoffMs(failures)) }),
  };
}
