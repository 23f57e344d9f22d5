// One simulated domain: what the machine knows of it, how its CPU counter grows, and what time does to it.
// Not here: who may do what to it (memory-domains).

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
  /** Since when its vCPUs stand still. */
  pausedAtMs: number | undefined;
  startedAtMs: number;
  bootedAtMs: number;
  /** Infinite for a guest that never serves. */
  readyAtMs: number;
  /** When it will be off; infinite unless it was asked to. */
  shutdownAtMs: number;
  cpuTimeNs: number;
  /** Until when `cpuTimeNs` counts. */
  countedToMs: number;
  /** Its memory is on disk: the next start goes on from there. */
  saved: boolean;
  /** It comes from another host and is not whole yet. */
  arriving: boolean;
  /** A fork that has not been made its own yet is still called what the template is. */
  hostname: string;
  /** What it wrote to its serial console since it was started. */
  console: string;
}

/** What the outside is told of a domain. */
export interface MemoryDomain {
  readonly uuid: string;
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly disk: string | undefined;
  readonly metadata: VmMetadata | undefined;
  readonly running: boolean;
  readonly paused: boolean;
  readonly startedAtMs: number;
  readonly serves: boolean;
  /** What the guest believes it is called. */
  readonly hostname: string;
  readonly endpoint: Endpoint | undefined;
}

export type NewGuest = Pick<
  GuestState,
  'uuid' | 'name' | 'vcpus' | 'memoryMiB' | 'disk' | 'metadata' | 'forwarded' | 'lease'
>;

export function newGuest(guest: NewGuest): GuestState {
  return {
    ...guest,
    running: false,
    pausedAtMs: undefined,
    startedAtMs: 0,
    bootedAtMs: 0,
    readyAtMs: Number.POSITIVE_INFINITY,
    shutdownAtMs: Number.POSITIVE_INFINITY,
    cpuTimeNs: 0,
    countedToMs: 0,
    saved: false,
    arriving: false,
    hostname: guest.name,
    console: '',
  };
}

/** Its kernel begins anew; `never`: it will not serve. */
export function beginBoot(guest: GuestState, atMs: number, bootMs: number, never: boolean): void {
  // What stands still boots when it goes on.
  const fromMs = guest.pausedAtMs ?? atMs;
  guest.bootedAtMs = fromMs + bootMs;
  guest.readyAtMs = never ? Number.POSITIVE_INFINITY : guest.bootedAtMs;
  guest.shutdownAtMs = Number.POSITIVE_INFINITY;
  guest.console += `${guest.name}: booting\n`;
}

/** Whatever was to come, comes as much later as it stood still. */
export function goOn(guest: GuestState, atMs: number): void {
  if (guest.pausedAtMs === undefined) return;
  const stoodMs = atMs - guest.pausedAtMs;
  for (const key of ['bootedAtMs', 'readyAtMs', 'shutdownAtMs'] as const) {
    if (guest[key] > guest.pausedAtMs) guest[key] += stoodMs;
  }
  guest.countedToMs = atMs;
  guest.pausedAtMs = undefined;
}

/** libvirt without cgroups reads the counter from /proc, in clock ticks. */
const COUNTER_STEP_NS = 10_000_000;
const STEP_MS = 250;
const STEPS_MAX = 400;

/** CPU time = ∫ load × vCPUs dt, by steps, so that a load that changes between two polls is counted right. */
export function countCpu(guest: GuestState, endMs: number, load: LoadFunction, bootRatio: number): void {
  const spanMs = endMs - guest.countedToMs;
  if (spanMs <= 0 || guest.pausedAtMs !== undefined) return;
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
