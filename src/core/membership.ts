// A group as the picture shows it: who is in it, in which phase, what was measured on each. Not here: the group's metrics (readings),
// what follows from it (decide).

import type { DecisionCounts } from './decision.ts';
import type { CpuSample, StatsSample } from './memory.ts';
import type { VmMetricName } from './metric.ts';
import type { HostName, HostView, VmView } from './model.ts';
import { sampleCpu } from './series.ts';
import { sampleStats } from './stats-series.ts';

/** A value measured on one VM. */
export interface VmValue {
  readonly value: number;
  /** The beginning of the interval that it was measured over. */
  readonly fromMs: number;
}

export interface Member {
  readonly view: VmView;
  readonly hostUp: boolean;
  /** Fresh CPU usage; absent when there is none. */
  readonly percent?: number;
  /** Fresh values of whatever is measured, CPU included. */
  readonly values: Readonly<Partial<Record<VmMetricName, VmValue>>>;
}

export interface Membership {
  readonly members: readonly Member[];
  /** Launching or in service; on a host that does not answer, too: unreachable is not gone. Standbys are not. */
  readonly active: readonly Member[];
  readonly counts: Omit<DecisionCounts, 'desired'>;
  /** Mean CPU of the VMs in service that have data; absent when none has. */
  readonly cpuPercent?: number;
  /** By VM name. */
  readonly cpuByVm: Readonly<Record<string, number>>;
  /** By uuid; what is to be remembered. */
  readonly samples: Readonly<Record<string, CpuSample>>;
  /** The same for other counters; absent while no rule wants them. */
  readonly stats?: Readonly<Record<string, StatsSample>>;
  /** Hosts with VMs of the group that do not answer now, by name. */
  readonly silentHosts: readonly HostName[];
}

export interface MembershipInput {
  readonly vms: readonly VmView[];
  readonly hosts: ReadonlyMap<HostName, HostView>;
  readonly samples: Readonly<Record<string, CpuSample>>;
  /** Remembered of other counters. */
  readonly stats?: Readonly<Record<string, StatsSample>> | undefined;
  /** What rules measure on VMs (`wantedStats`); absent: CPU alone. */
  readonly wanted?: ReadonlySet<VmMetricName>;
  readonly nowMs: number;
  readonly staleAfterMs: number;
}

/** Other counters than the CPU's are read at a slower beat: older values are missing data. */
const STATS_STALE_MS = 30_000;
/** A gap in the polls makes a long interval; its mean speaks for this much of its end at the most. */
const MAX_BACKDATE_MS = 2000;

type Phase = keyof Omit<DecisionCounts, 'desired' | 'existing'>;

export function membershipOf(input: MembershipInput): Membership {
  const { vms, hosts, wanted } = input;
  const counts = { inService: 0, launching: 0, standby: 0, draining: 0, removing: 0, existing: vms.length };
  const samples: [string, CpuSample][] = [];
  const stats: [string, StatsSample][] = [];
  const cpuByVm: [string, number][] = [];
  const silent = new Set<HostName>();
  let [sumPercent, measured] = [0, 0];
  const measuresMore = wanted !== undefined && [...wanted].some((name) => name !== 'cpu');
  const members = vms.map((view): Member => {
    const { record } = view;
    const phase = phaseOf(view);
    counts[phase] += 1;
    const hostUp = hosts.get(record.host)?.state === 'up';
    if (!hostUp) silent.add(record.host);
    const cpu = nextSample(view, input.samples[record.uuid]);
    if (cpu) samples.push([record.uuid, cpu]);
    const more = measuresMore ? nextStats(view, input.stats?.[record.uuid]) : undefined;
    if (more) stats.push([record.uuid, more]);
    const values = freshValues(cpu, more, input);
    const percent = values.cpu?.value;
    if (percent === undefined) return { view, hostUp, values };
    cpuByVm.push([record.name, percent]);
    if (phase === 'inService') {
      sumPercent += percent;
      measured += 1;
    }
    return { view, hostUp, percent, values };
  });
  return {
    members,
    active: members.filter(({ view }) => ['launching', 'inService'].includes(phaseOf(view))),
    counts,
    ...(measured > 0 && { cpuPercent: sumPercent / measured }),
    cpuByVm: Object.fromEntries(cpuByVm),
    samples: Object.fromEntries(samples),
    ...(measuresMore && { stats: Object.fromEntries(stats) }),
    silentHosts: [...silent].sort(),
  };
}

/** As what a VM counts: one that is launched to wait is a standby from the beginning. */
function phaseOf({ record }: VmView): Phase {
  if (record.phase === 'in-service') return 'inService';
  return record.phase === 'launching' && record.standby !== undefined ? 'standby' : record.phase;
}

/** Since when a VM's counters are load, and not its booting. */
function servedSince({ record }: VmView): number {
  return record.phase === 'in-service' ? (record.servedSinceMs ?? record.phaseAtMs) : 0;
}

/** What this turn's picture of a VM makes of its last sample. */
function nextSample(view: VmView, previous: CpuSample | undefined): CpuSample | undefined {
  const { record, domain, fresh } = view;
  if (domain === undefined) return fresh ? undefined : previous;
  if (domain.state === 'unknown') return previous;
  const reading = {
    readAtMs: domain.readAtMs,
    vcpus: domain.vcpus,
    running: domain.state === 'running',
    host: record.host,
    ...(domain.cpuTimeNs !== undefined && { cpuTimeNs: domain.cpuTimeNs }),
  };
  return sampleCpu(previous, reading, servedSince(view));
}

function nextStats(view: VmView, previous: StatsSample | undefined): StatsSample | undefined {
  const { record, domain, fresh } = view;
  if (domain === undefined) return fresh ? undefined : previous;
  if (domain.state === 'unknown') return previous;
  if (domain.state === 'stopped') return undefined;
  if (domain.stats === undefined) return previous;
  return sampleStats(previous, { stats: domain.stats, vcpus: domain.vcpus, host: record.host }, servedSince(view));
}

function freshValues(
  cpu: CpuSample | undefined,
  stats: StatsSample | undefined,
  { nowMs, staleAfterMs }: MembershipInput,
): Member['values'] {
  const values: { -readonly [K in VmMetricName]?: VmValue } = {};
  if (cpu?.percent !== undefined && cpu.percentAtMs !== undefined && cpu.percentAtMs >= nowMs - staleAfterMs) {
    values.cpu = { value: cpu.percent, fromMs: beginning(cpu.percentFromMs, cpu.percentAtMs) };
  }
  if (stats === undefined || stats.readAtMs < nowMs - Math.max(STATS_STALE_MS, staleAfterMs)) return values;
  const fromMs = beginning(stats.fromMs, stats.readAtMs);
  if (stats.memory !== undefined) values.memory = { value: stats.memory, fromMs: stats.readAtMs };
  if (stats.network !== undefined) values.network = { value: stats.network, fromMs };
  if (stats.disk !== undefined) values.disk = { value: stats.disk, fromMs };
  if (stats.steal !== undefined) values.steal = { value: stats.steal, fromMs };
  return values;
}

function beginning(fromMs = -Infinity, atMs = -Infinity): number {
  return Math.max(fromMs, atMs - MAX_BACKDATE_MS);
}
