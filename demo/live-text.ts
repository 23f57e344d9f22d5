// What the terminal shows while the story goes on. Pure text.

import type { PublicHost } from '../src/edge/schemas.ts';
import type { RequestRecord } from './request-record.ts';
import { percentile } from './statistics.ts';

const RECENT_MS = 2000;

/** e.g. `libvirt 9.0.0, QEMU 7.2.22, emulated CPU` */
export function machineText(host: PublicHost | undefined): string {
  const accel = host?.accel === 'kvm' ? 'KVM' : 'emulated CPU (no KVM)';
  return `libvirt ${host?.libvirtVersion ?? '?'}, QEMU ${host?.qemuVersion ?? '?'}, ${accel}`;
}

/** About the requests that were answered in the last two seconds before `nowMs`. */
export function recentText(requests: readonly RequestRecord[], nowMs: number): string {
  const sinceMs = nowMs - RECENT_MS;
  const recent = requests.slice(-2000).filter((r) => r.sentAtMs + r.latencyMs >= sinceMs);
  const median = percentile(
    recent.map((r) => r.latencyMs),
    50,
  );
  if (median === undefined) return 'no requests';
  const perVm = [...Map.groupBy(recent, (r) => r.vm)].map(
    ([vm, records]) => `${vm} ${(records.length / (RECENT_MS / 1000)).toFixed(0)}`,
  );
  return `answers per second: ${perVm.join(', ')}; median response ${median.toFixed(median < 10 ? 1 : 0)} ms`;
}
