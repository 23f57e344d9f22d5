// A group as the picture shows it: who is in it, in which phase, how busy. Not here: what follows from it (decide).

import type { DecisionCounts } from './decision.ts';
import type { GroupCpu } from './group-cpu.ts';
import type { CpuSample } from './memory.ts';
import type { HostName, HostView, VmPhase, VmView } from './model.ts';
import { sampleCpu } from './series.ts';

export interface Member {
  readonly view: VmView;
  readonly hostUp: boolean;
  /** Fresh CPU usage; absent when there is none. */
  readonly percent?: number;
}

export interface Membership {
  readonly members: readonly Member[];
  /** Launching or in service; on a host that does not answer, too: unreachable is not gone. */
  readonly active: readonly Member[];
  readonly counts: Omit<DecisionCounts, 'desired'>;
  readonly cpu: GroupCpu;
  /** By VM name. */
  readonly cpuByVm: Readonly<Record<string, number>>;
  /** By uuid; what is to be remembered. */
  readonly samples: Readonly<Record<string, CpuSample>>;
  /** Hosts with VMs of the group that do not answer now, by name. */
  readonly silentHosts: readonly HostName[];
}

export interface MembershipInput {
  readonly vms: readonly VmView[];
  readonly hosts: ReadonlyMap<HostName, HostView>;
  readonly samples: Readonly<Record<string, CpuSample>>;
  readonly nowMs: number;
  readonly staleAfterMs: number;
}

export function membershipOf(input: MembershipInput): Membership {
  const { vms, hosts, nowMs, staleAfterMs } = input;
  const phases: Record<VmPhase, number> = { launching: 0, 'in-service': 0, draining: 0, removing: 0 };
  const samples: [string, CpuSample][] = [];
  const cpuByVm: [string, number][] = [];
  const silent = new Set<HostName>();
  const members = vms.map((view): Member => {
    const { record } = view;
    phases[record.phase] += 1;
    const hostUp = hosts.get(record.host)?.state === 'up';
    if (!hostUp) silent.add(record.host);
    const sample = nextSample(view, input.samples[record.uuid]);
    if (sample) samples.push([record.uuid, sample]);
    const percent = freshPercent(sample, nowMs - staleAfterMs);
    if (percent === undefined) return { view, hostUp };
    cpuByVm.push([record.name, percent]);
    return { view, hostUp, percent };
  });
  const sampleByUuid = Object.fromEntries(samples);
  return {
    members,
    active: members.filter(({ view }) => view.record.phase === 'launching' || view.record.phase === 'in-service'),
    counts: {
      inService: phases['in-service'],
      launching: phases.launching,
      draining: phases.draining,
      removing: phases.removing,
      existing: members.length,
    },
    cpu: cpuOf(members, sampleByUuid),
    cpuByVm: Object.fromEntries(cpuByVm),
    samples: sampleByUuid,
    silentHosts: [...silent].sort(),
  };
}

/** What this turn's picture of a VM makes of its last sample. */
function nextSample({ record, domain, fresh }: VmView, previous: CpuSample | undefined): CpuSample | undefined {
  if (domain === undefined) return fresh ? undefined : previous;
  if (domain.state === 'unknown') return previous;
  const reading = {
    readAtMs: domain.readAtMs,
    vcpus: domain.vcpus,
    running: domain.state === 'running',
    ...(domain.cpuTimeNs !== undefined && { cpuTimeNs: domain.cpuTimeNs }),
  };
  return sampleCpu(previous, reading, record.phase === 'in-service' ? record.phaseAtMs : 0);
}

function freshPercent(sample: CpuSample | undefined, sinceMs: number): number | undefined {
  if (sample?.percentAtMs === undefined || sample.percentAtMs < sinceMs) return undefined;
  return sample.percent;
}

/** A gap in the polls makes a long interval; its mean speaks for this much of its end at the most. */
const MAX_BACKDATE_MS = 2000;

function cpuOf(members: readonly Member[], samples: Readonly<Record<string, CpuSample>>): GroupCpu {
  let [inService, measured, sumPercent, sinceMs] = [0, 0, 0, -Infinity];
  for (const { view, percent } of members) {
    if (view.record.phase !== 'in-service') continue;
    inService += 1;
    if (percent === undefined) continue;
    measured += 1;
    sumPercent += percent;
    const { percentFromMs = -Infinity, percentAtMs = -Infinity } = samples[view.record.uuid] ?? {};
    sinceMs = Math.max(sinceMs, percentFromMs, percentAtMs - MAX_BACKDATE_MS);
  }
  return { inService, measured, sumPercent, ...(measured > 0 && { sinceMs }) };
}
