// CPU usage of one VM from the counters of consecutive polls. Not here: the group's mean (readings), other counters (stats-series).

import type { CpuSample } from './memory.ts';
import type { HostName } from './model.ts';

/** What one poll says about one VM's CPU. */
export interface CpuReading {
  readonly readAtMs: number;
  /** Absent when libvirt did not tell this time. */
  readonly cpuTimeNs?: number;
  readonly vcpus: number;
  readonly running: boolean;
  readonly host?: HostName;
}

/** Readings closer together than this measure the counter's grain (10 ms ticks: 2 % of it), not the VM. Turns may be brought forward. */
const MIN_INTERVAL_MS = 500;
const NS_PER_MS = 1_000_000;

/**
 * The next sample of a VM. `percent` is Δcpu / (Δt · vcpus) · 100, clamped to 0–100 (emulation charges QEMU's own threads to the
 * guest, so the raw value can pass 100). However many polls were missed, Δt is the time between the two readings.
 *
 * - No value, new anchor: the first reading, a counter that went back (the VM was restarted), another number of vCPUs, another host
 *   (the VM was migrated: its counter there is another one), and an interval that began before `notBeforeMs` (when the VM came into service: the CPU of booting is not load).
 * - Old value and anchor kept: the counter is missing, the same reading once more, or a reading too soon after the last.
 * - Undefined: the VM does not run.
 */
export function sampleCpu(
  previous: CpuSample | undefined,
  reading: CpuReading,
  notBeforeMs: number,
): CpuSample | undefined {
  const { readAtMs, cpuTimeNs, vcpus, running, host } = reading;
  if (!running) return undefined;
  if (cpuTimeNs === undefined || vcpus <= 0) return previous;
  const anchor: CpuSample = { readAtMs, cpuTimeNs, vcpus, ...(host !== undefined && { host }) };
  if (previous === undefined || movedFrom(previous.host, host)) return anchor;
  const intervalMs = readAtMs - previous.readAtMs;
  if (intervalMs <= 0) return previous;
  const usedNs = cpuTimeNs - previous.cpuTimeNs;
  if (usedNs < 0 || vcpus !== previous.vcpus || previous.readAtMs < notBeforeMs) return anchor;
  if (intervalMs < MIN_INTERVAL_MS) return previous;
  const percent = (usedNs / (intervalMs * NS_PER_MS * vcpus)) * 100;
  return { ...anchor, percent: Math.min(100, percent), percentFromMs: previous.readAtMs, percentAtMs: readAtMs };
}

function movedFrom(before: HostName | undefined, now: HostName | undefined): boolean {
  return before !== undefined && now !== undefined && before !== now;
}
