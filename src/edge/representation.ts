// Engine pictures as the HTTP API shows them: RFC 3339 instead of engine time, public words instead of records.
// Not here: the shapes' declaration (schemas) or HTTP.

import type { Decision, LoggedDecision } from '../core/decision.ts';
import type { DurableMemory } from '../core/memory.ts';
import type { Amounts, Flavor, HostCapacity, HostTraits, PlacementRules, VmPhase } from '../core/model.ts';
import type { Source } from '../core/policy.ts';
import type { GroupStatus, HostStatus, VmStatus } from '../engine/view.ts';
import type { Clock } from '../ports/clock.ts';
import type { PublicDecision, PublicGroup, PublicGroupDetail, PublicHost, PublicVm } from './schemas.ts';

/** A moment known both ways: engine time of the same process life becomes wall time by the distance from it. */
interface Anchor {
  readonly at: string;
  readonly atMs: number;
}

function wallOf(ms: number, anchor: Anchor): string {
  return new Date(Date.parse(anchor.at) + (ms - anchor.atMs)).toISOString();
}

/** `ours`: how many of its domains are VMs that virtscale is responsible for. */
export function publicHost(host: HostStatus, ours: number): PublicHost {
  const { capacity, traits } = host;
  const promisable = capacity && promisableOf(capacity, traits);
  const left = (total: number, used: number): number => Math.max(0, total - used);
  return {
    name: host.name,
    id: host.id,
    uri: host.uri,
    state: host.condition,
    ...(host.reason !== undefined && { reason: host.reason }),
    ...(traits.cordoned !== undefined && { cordoned: traits.cordoned }),
    ...(host.lastSeenAt !== undefined && { lastSeenAt: host.lastSeenAt }),
    ...(host.pollMs !== undefined && { pollMs: host.pollMs }),
    ...(host.info && {
      libvirtVersion: host.info.libvirt,
      qemuVersion: host.info.qemu,
      accel: host.info.accel,
      accelReason: host.info.accelReason,
      ...(host.info.arch !== undefined && { arch: host.info.arch }),
      ...(host.info.cpuModel !== undefined && { cpuModel: host.info.cpuModel }),
    }),
    labels: { ...traits.labels },
    ...(capacity && {
      capacity: {
        cpus: capacity.cpus,
        memoryMiB: capacity.memoryMiB,
        memoryFreeMiB: capacity.memoryFreeMiB,
        diskGiB: capacity.diskGiB,
        diskFreeGiB: capacity.diskFreeGiB,
        ...(capacity.cpuRatio !== undefined && { cpuPercent: capacity.cpuRatio * 100 }),
      },
    }),
    reserved: { ...traits.reserved },
    overcommit: { ...traits.overcommit },
    ...(promisable && { promisable }),
    promised: { vcpus: host.runningVcpus, memoryMiB: host.runningMemoryMiB },
    ...(capacity &&
      promisable && {
        free: {
          vcpus: left(promisable.vcpus, host.runningVcpus),
          memoryMiB: left(promisable.memoryMiB, host.runningMemoryMiB),
          diskGiB: left(capacity.diskFreeGiB, traits.reserved.diskGiB),
        },
      }),
    domainCount: host.domains,
    runningCount: host.running,
    vmCount: host.vms,
    otherCount: left(host.domains, ours),
  };
}

function promisableOf(capacity: HostCapacity, { reserved, overcommit }: HostTraits): Amounts {
  const part = (whole: number, kept: number, times: number): number => Math.max(0, whole - kept) * times;
  return {
    vcpus: part(capacity.cpus, reserved.vcpus, overcommit.cpus),
    memoryMiB: part(capacity.memoryMiB, reserved.memoryMiB, overcommit.memory),
    diskGiB: part(capacity.diskGiB, reserved.diskGiB, overcommit.disk),
  };
}

export function publicVm(vm: VmStatus): PublicVm {
  const { record } = vm;
  const anchor = { at: vm.phaseAt, atMs: record.phaseAtMs };
  return {
    id: record.id,
    name: record.name,
    uuid: record.uuid,
    ...(record.group !== undefined && { group: record.group }),
    host: record.host,
    kind: record.kind,
    phase: record.phase,
    step: record.step,
    phaseAt: vm.phaseAt,
    ...(record.deadlineAtMs !== undefined && { deadlineAt: wallOf(record.deadlineAtMs, anchor) }),
    desired: vm.desired,
    state: vm.state,
    ...(vm.difference !== undefined && { difference: vm.difference }),
    ...(record.reason !== undefined && { reason: record.reason }),
    tries: record.tries,
    ...(record.endpoint && { endpoint: { ...record.endpoint } }),
    ...(vm.cpuPercent !== undefined && { cpuPercent: vm.cpuPercent }),
    ...(vm.vcpus !== undefined && { vcpus: vm.vcpus }),
    ...(vm.memoryMiB !== undefined && { memoryMiB: vm.memoryMiB }),
    ...(record.image && { image: record.image.name }),
    ...(record.flavor && { flavor: publicFlavor(record.flavor) }),
    ...(record.ready && { ready: { http: { ...record.ready.http } } }),
    owner: record.owner,
    operation: record.operation,
  };
}

export function publicFlavor(flavor: Flavor): PublicVm['flavor'] & object {
  const { name, vcpus, memoryMiB, diskGiB } = flavor;
  return { name, vcpus, memoryMiB, ...(diskGiB !== undefined && { diskGiB }) };
}

export function publicGroup(group: GroupStatus, clock: Pick<Clock, 'wallOf'>): PublicGroup {
  const { policy, memory, lastDecision } = group;
  return {
    name: policy.group,
    file: group.file,
    min: policy.min,
    max: policy.max,
    ...(memory.desired !== undefined && { desired: memory.desired }),
    paused: memory.paused,
    ...(lastDecision?.cpuPercent !== undefined && { cpuPercent: lastDecision.cpuPercent }),
    vmCounts: vmCounts(group.vms),
    ...(lastDecision && { text: lastDecision.text }),
    ...(group.lastDecisionAt !== undefined && { lastEvaluatedAt: group.lastDecisionAt }),
    ...(memory.lastOutAtMs !== undefined && { lastScaleOutAt: clock.wallOf(memory.lastOutAtMs) }),
    ...(memory.lastInAtMs !== undefined && { lastScaleInAt: clock.wallOf(memory.lastInAtMs) }),
    breaker: publicBreaker(memory.breaker, clock),
    source: publicSource(policy.source),
    rules: policy.rules.map((rule) => ({ ...rule })),
    ...(policy.placement !== undefined && { placement: publicPlacement(policy.placement) }),
    launchDeadlineMs: policy.launchDeadlineMs,
    drainGraceMs: policy.drainGraceMs,
    shutdownDeadlineMs: policy.shutdownDeadlineMs,
  };
}

export function publicGroupDetail(group: GroupStatus, clock: Pick<Clock, 'wallOf'>): PublicGroupDetail {
  const { lastDecision, lastDecisionAt } = group;
  return {
    ...publicGroup(group, clock),
    vms: group.vms.map(publicVm),
    ...(lastDecision && lastDecisionAt !== undefined && { lastDecision: publicDecision(lastDecision, lastDecisionAt) }),
  };
}

export function vmCounts(vms: readonly VmStatus[]): PublicGroup['vmCounts'] {
  const of = (phase: VmPhase): number => vms.filter((vm) => vm.record.phase === phase).length;
  return {
    launching: of('launching'),
    inService: of('in-service'),
    draining: of('draining'),
    removing: of('removing'),
    total: vms.length,
  };
}

function publicBreaker(breaker: DurableMemory['breaker'], clock: Pick<Clock, 'wallOf'>): PublicGroup['breaker'] {
  return {
    open: breaker.openedAtMs !== undefined,
    failures: breaker.failures,
    ...(breaker.openedAtMs !== undefined && { openedAt: clock.wallOf(breaker.openedAtMs) }),
    ...(breaker.retryAtMs !== undefined && { retryAt: clock.wallOf(breaker.retryAtMs) }),
    ...(breaker.lastReason !== undefined && { reason: breaker.lastReason }),
  };
}

function publicPlacement({ withVms, withoutVms, labels, ...rest }: PlacementRules): PublicGroup['placement'] & object {
  return {
    ...rest,
    ...(labels && { labels: { ...labels } }),
    ...(withVms && { withVms: [...withVms] }),
    ...(withoutVms && { withoutVms: [...withoutVms] }),
  };
}

function publicSource(source: Source): PublicGroup['source'] {
  if (source.kind === 'domains') {
    const domains = source.domains.map(({ name, address }) => ({ name, ...(address !== undefined && { address }) }));
    return { kind: 'domains', domains, ready: { http: { ...source.ready.http } } };
  }
  const { image, flavor, ready } = source.template;
  return { kind: 'template', image: image.name, flavor: publicFlavor(flavor), ready: { http: { ...ready.http } } };
}

/** `at` is the wall time of `decision.atMs`. */
export function publicDecision(decision: Decision | LoggedDecision, at: string): PublicDecision {
  const anchor = { at, atMs: decision.atMs };
  return {
    ...('id' in decision && { id: decision.id }),
    at,
    group: decision.group,
    desiredBefore: decision.desiredBefore,
    desired: decision.desired,
    cause: decision.cause,
    ...(decision.rule !== undefined && { rule: decision.rule }),
    counts: { ...decision.counts },
    ...(decision.cpuPercent !== undefined && { cpuPercent: decision.cpuPercent }),
    cpuPercentByVm: { ...decision.cpuByVm },
    verdicts: decision.verdicts.map(({ crossedAtMs, ...verdict }) => ({
      ...verdict,
      ...(crossedAtMs !== undefined && { crossedAt: wallOf(crossedAtMs, anchor) }),
    })),
    limits: decision.limits.map((limit) => ({ ...limit })),
    hosts: decision.hosts.map((choice) => ({ ...choice })),
    victims: decision.victims.map((choice) => ({ ...choice })),
    actions: decision.actions.map((action) => ({ ...action })),
    text: decision.text,
  };
}
