// What the slower counters of one VM say: network, disk, steal and memory from consecutive readings. Not here: CPU (series), the
// group's values (readings).

import type { StatsSample } from './memory.ts';
import type { DomainStats, HostName } from './model.ts';

/** What one poll says about one VM. */
export interface StatsReading {
  readonly stats: DomainStats;
  readonly vcpus: number;
  readonly host: HostName;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Readings closer together than this measure the counters' grain. */
const MIN_INTERVAL_MS = 500;
const BYTES_PER_MB = 1_000_000;
const NS_PER_MS = 1_000_000;

/**
 * The next sample of a VM. Each rate is measured for itself: it is absent after the first reading, after its counter went back or was not
 * told, after the VM came to another host (its counters begin anew, and need not be lower for that), and for an interval that began
 * before `notBeforeMs`. Steal is Δdelay ÷ (Δt · vCPUs), 0–100 %. The same reading once more, or one too soon, changes nothing.
 */
export function sampleStats(
  previous: StatsSample | undefined,
  reading: StatsReading,
  notBeforeMs: number,
): StatsSample {
  const { stats, vcpus, host } = reading;
  const { readAtMs, networkBytes, diskBytes, delayNs, memoryPercent } = stats;
  const intervalMs = previous === undefined ? 0 : readAtMs - previous.readAtMs;
  if (previous !== undefined && previous.host === host && intervalMs < MIN_INTERVAL_MS) return previous;
  const next: Writable<StatsSample> = { readAtMs, vcpus, host };
  if (networkBytes !== undefined) next.networkBytes = networkBytes;
  if (diskBytes !== undefined) next.diskBytes = diskBytes;
  if (delayNs !== undefined) next.delayNs = delayNs;
  if (memoryPercent !== undefined && Number.isFinite(memoryPercent)) {
    next.memory = Math.min(100, Math.max(0, memoryPercent));
  }
  if (previous === undefined || previous.host !== host || previous.readAtMs < notBeforeMs) return next;
  next.fromMs = previous.readAtMs;
  const network = grown(previous.networkBytes, networkBytes);
  const disk = grown(previous.diskBytes, diskBytes);
  const delay = previous.vcpus === vcpus && vcpus > 0 ? grown(previous.delayNs, delayNs) : undefined;
  const seconds = intervalMs / 1000;
  if (network !== undefined) next.network = network / BYTES_PER_MB / seconds;
  if (disk !== undefined) next.disk = disk / BYTES_PER_MB / seconds;
  if (delay !== undefined) next.steal = Math.min(100, (delay / (intervalMs * NS_PER_MS * vcpus)) * 100);
  return next;
}

/** Undefined when one of the two is missing or the counter went back. */
function grown(before: number | undefined, now: number | undefined): number | undefined {
  return before === undefined || now === undefined || now < before ? undefined : now - before;
}
