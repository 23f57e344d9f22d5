// A host's load as far as promises go. Not here: what it really does (Candidate.cpuRatio).

import type { Candidate } from './placement.ts';

/** The largest of the three shares of a host (vCPUs, memory, disk) that are promised, 0–1: of what may be promised, overcommit included. */
export function promisedShare({ total, free }: Candidate): number {
  return Math.max(
    share(total.vcpus - free.vcpus, total.vcpus),
    share(total.memoryMiB - free.memoryMiB, total.memoryMiB),
    share(total.diskGiB - free.diskGiB, total.diskGiB),
  );
}

/** 0 of a part that the host has nothing of: it says nothing about the host. */
export function share(amount: number, total: number): number {
  return total > 0 ? amount / total : 0;
}
