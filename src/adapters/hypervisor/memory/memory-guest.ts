// One simulated domain: what the machine knows of it, and how its CPU counter grows.
// Not here: who may do what to it (memory-host).

import type { Endpoint, VmMetadata } from '../../../core/model.ts';

/** CPU in use by one domain at one time, 0..1 of all its vCPUs.. */
export type LoadFunction = (uuid: string, atMs: number) => number;

export interface GuestState {
  uuid: string;
  name: string;
  vcpus: number;
  memoryMiB: number;
  /** The VM name its disk was made for. */
  disk: string | undefined;
  metadata: VmMetadata | undefined;
  forwarded: Endpoint | undefined;
  /** The address that it gets on a network with DHCP. */
  lease: string;
  running: boolean;
  startedAtMs: number;
  bootedAtMs: number;
  /** Infinite for a guest that never serves. */
  readyAtMs: number;
  /** When it will be off; infinite unless it was asked to. */
  shutdownAtMs: number;
  cpuTimeNs: number;
  /** Until when `cpuTimeNs` counts. */
  countedToMs: number;
}

/** libvirt without cgroups reads the counter from /proc, in clock ticks. */
const COUNTER_STEP_NS = 10_000_000;
const STEP_MS = 250;
const STEPS_MAX = 400;

/** CPU time = ∫ load × vCPUs dt, by steps, so that a load that changes between two polls is counted right. */
export function countCpu(guest: GuestState, endMs: number, load: LoadFunction, bootRatio: number): void {
  const spanMs = endMs - guest.countedToMs;
  if (spanMs <= 0) return;
  const steps = Math.min(STEPS_MAX, Math.ceil(spanMs / STEP_MS));
  const stepMs = spanMs / steps;
  for (let step = 0; step < steps; step += 1) {
    const middleMs = guest.countedToMs + (step + 0.5) * stepMs;
    const ratio = middleMs < guest.bootedAtMs ? bootRatio : load(guest.uuid, middleMs);
    guest.cpuTimeNs += Math.min(1, Math.max(0, ratio)) * guest.vcpus * stepMs * 1e6;
  }
  guest.countedToMs = endMs;
}

export function reportedCpuTimeNs(guest: GuestState): number {
  return Math.floor(guest.cpuTimeNs / COUNTER_STEP_NS) * COUNTER_STEP_NS;
}
