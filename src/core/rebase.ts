// Times that an earlier daemon stored, brought into this one's clock. Engine time is anchored to the wall clock at the start:
// when somebody set that back in between, everything stored would lie in the future, nothing be fresh and no cooldown end.

import type { DurableMemory } from './memory.ts';
import type { GroupName, VmRecord } from './model.ts';

export interface StoredTimes {
  readonly vms: readonly VmRecord[];
  readonly memory: Readonly<Record<GroupName, DurableMemory>>;
}

/** A launch that was under way gets this long to show itself: it may well have become ready while no daemon was there to see. */
const SECOND_LOOK_MS = 10_000;

/** The same state with every past moment at or before `nowMs`; deadlines move along with the moments they were counted from. */
export function rebase({ vms, memory }: StoredTimes, nowMs: number): StoredTimes {
  const past = [
    ...vms.flatMap(({ phaseAtMs, changedAtMs }) => [phaseAtMs, changedAtMs]),
    ...Object.values(memory).flatMap((durable) => [
      durable.lastOutAtMs,
      durable.lastInAtMs,
      durable.breaker.openedAtMs,
    ]),
  ];
  const newestMs = past.reduce<number>((newest, atMs) => Math.max(newest, atMs ?? newest), nowMs);
  const skewMs = newestMs - nowMs;
  return {
    vms: vms.map((vm) => rebaseVm(vm, skewMs, nowMs)),
    memory: Object.fromEntries(
      Object.entries(memory).map(([group, durable]) => [group, rebaseMemory(durable, skewMs)]),
    ),
  };
}

function rebaseVm(vm: VmRecord, skewMs: number, nowMs: number): VmRecord {
  const { deadlineAtMs } = vm;
  const shifted = {
    ...vm,
    phaseAtMs: vm.phaseAtMs - skewMs,
    changedAtMs: vm.changedAtMs - skewMs,
    ...(deadlineAtMs !== undefined && { deadlineAtMs: deadlineAtMs - skewMs }),
  };
  if (vm.phase !== 'launching' || shifted.deadlineAtMs === undefined) return shifted;
  return { ...shifted, deadlineAtMs: Math.max(shifted.deadlineAtMs, nowMs + SECOND_LOOK_MS) };
}

function rebaseMemory(durable: DurableMemory, skewMs: number): DurableMemory {
  const { lastOutAtMs, lastInAtMs, breaker } = durable;
  return {
    ...durable,
    ...(lastOutAtMs !== undefined && { lastOutAtMs: lastOutAtMs - skewMs }),
    ...(lastInAtMs !== undefined && { lastInAtMs: lastInAtMs - skewMs }),
    breaker: {
      ...breaker,
      ...(breaker.openedAtMs !== undefined && { openedAtMs: breaker.openedAtMs - skewMs }),
      ...(breaker.retryAtMs !== undefined && { retryAtMs: breaker.retryAtMs - skewMs }),
    },
  };
}
