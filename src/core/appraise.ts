// Looks at one group and sizes it: who is in it, what its metrics are, how many VMs it shall have. Not here: bringing that about (reconcile).

import { type Membership, membershipOf } from './membership.ts';
import type { GroupMemory, TransientMemory } from './memory.ts';
import { isPercent, type Metric, type MetricReading, metricKey } from './metric.ts';
import type { GroupView, HostName, HostView, Snapshot, VmView } from './model.ts';
import type { Policy } from './policy.ts';
import { readMetrics, wantedStats } from './readings.ts';
import { decideSize, type Sized } from './size.ts';

/** CPU values older than this are missing data, unless the snapshot says otherwise: three polls of a second, and some patience. */
const DEFAULT_STALE_AFTER_MS = 5000;

export interface AppraiseInput {
  readonly policy: Policy;
  readonly snapshot: Snapshot;
  readonly hosts: ReadonlyMap<HostName, HostView>;
  /** Of the group. */
  readonly vms: readonly VmView[];
  readonly memory: GroupMemory;
  readonly nowMs: number;
  /**
   * The policy does not act: its size is its own. The load is what the VMs there are really carry, spread over as many as it would have;
   * of those nobody has to wait for any.
   */
  readonly isShadow: boolean;
}

export interface Appraised {
  readonly membership: Membership;
  readonly sized: Sized;
  readonly transient: TransientMemory;
}

export function appraise(input: AppraiseInput): Appraised {
  const { hosts, isShadow, memory, nowMs, policy, snapshot, vms } = input;
  const { durable, transient } = memory;
  const { rules } = policy;
  const staleAfterMs = snapshot.staleAfterMs ?? DEFAULT_STALE_AFTER_MS;
  const membership = membershipOf({
    vms,
    hosts,
    samples: transient.cpu,
    stats: transient.stats,
    wanted: wantedStats(rules),
    nowMs,
    staleAfterMs,
  });
  const group = groupViewOf(snapshot, policy.group);
  const { members, counts, silentHosts } = membership;
  const readings = readMetrics({ members, group, rules, warmupMs: policy.warmupMs, nowMs, staleAfterMs });
  const shadowSize = durable.desired ?? membership.active.length;
  const sized = decideSize({
    policy,
    readings: isShadow ? spread(readings, policy, counts.inService, shadowSize) : readings,
    inService: isShadow ? shadowSize : counts.inService,
    launching: isShadow ? 0 : counts.launching,
    silentHosts,
    group,
    durable,
    transient,
    nowMs,
  });
  const { samples, stats } = membership;
  return { membership, sized, transient: { cpu: samples, ...(stats && { stats }), ...sized.transient } };
}

const NOTHING_KNOWN: GroupView = {};

function groupViewOf({ groups }: Snapshot, name: string): GroupView {
  const view = groups !== undefined && Object.hasOwn(groups, name) ? groups[name] : undefined;
  return view ?? NOTHING_KNOWN;
}

/** What each of `shadow` VMs would measure of the load that `live` VMs carry. The whole group's numbers are what they are. */
function spread(
  readings: ReadonlyMap<string, MetricReading>,
  { rules }: Policy,
  live: number,
  shadow: number,
): ReadonlyMap<string, MetricReading> {
  const spreaded = new Map(readings);
  for (const rule of rules) {
    if (!('metric' in rule) || rule.metric.scope === 'total') continue;
    const key = metricKey(rule.metric);
    const reading = readings.get(key);
    if (reading !== undefined) spreaded.set(key, spreadOne(rule.metric, reading, live, shadow));
  }
  return spreaded;
}

function spreadOne(metric: Metric, reading: MetricReading, live: number, shadow: number): MetricReading {
  const { value, low, high, expected, measured, ...rest } = reading;
  if (shadow === 0 && !reading.ofGroup) return { ...rest, expected: 0, measured: 0 };
  const most = isPercent(metric) ? 100 : Number.POSITIVE_INFINITY;
  const each = (number: number) => Math.min(most, (number * live) / Math.max(1, shadow));
  // As many of them tell as of those there really are; none of them is warming up.
  const told = measured >= expected ? shadow : Math.floor((shadow * measured) / expected);
  return {
    ...rest,
    ...(reading.ofGroup
      ? { expected, measured }
      : { expected: shadow, measured: measured === 0 ? 0 : Math.max(1, told) }),
    ...(value !== undefined && { value: each(value) }),
    ...(low !== undefined && { low: each(low) }),
    ...(high !== undefined && { high: each(high) }),
  };
}
