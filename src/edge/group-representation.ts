// Groups as the HTTP API shows them: their policy in public words, how they stand, their candidates and templates.
// Not here: the shapes' declaration (group-schemas), hosts and VMs (representation), decisions (decision-representation).

import type { DurableMemory, RefreshMemory } from '../core/memory.ts';
import { type Metric, metricText, metricUnit } from '../core/metric.ts';
import type { PlacementRules, VmPhase } from '../core/model.ts';
import type { HealthCheck, Hook, PaceLimit, Policy, Refresh, RemovalOrder, ScaleRule, Source } from '../core/policy.ts';
import type { CandidateStatus, GroupStatus, VmStatus } from '../engine/view.ts';
import type { Clock } from '../ports/clock.ts';
import { publicDecision } from './decision-representation.ts';
import type { PublicCandidate, PublicGroup, PublicGroupDetail, PublicRule } from './group-schemas.ts';
import { publicFlavor, publicReady, publicVm, withoutSecrets } from './representation.ts';

type WallClock = Pick<Clock, 'wallOf'>;

export function publicGroup(group: GroupStatus, clock: WallClock): PublicGroup {
  const { policy, memory, lastDecision } = group;
  return {
    name: policy.group,
    file: group.file,
    ...publicPolicy(policy),
    ...(memory.desired !== undefined && { desired: memory.desired }),
    paused: memory.paused,
    suspended: [...(memory.suspended ?? [])],
    ...(lastDecision?.cpuPercent !== undefined && { cpuPercent: lastDecision.cpuPercent }),
    vmCounts: vmCounts(group.vms),
    ...(lastDecision && { text: lastDecision.text }),
    ...(group.lastDecisionAt !== undefined && { lastEvaluatedAt: group.lastDecisionAt }),
    ...(memory.lastOutAtMs !== undefined && { lastScaleOutAt: clock.wallOf(memory.lastOutAtMs) }),
    ...(memory.lastInAtMs !== undefined && { lastScaleInAt: clock.wallOf(memory.lastInAtMs) }),
    breaker: publicBreaker(memory.breaker, clock),
    ...(memory.refresh && { refresh: publicRefresh(memory.refresh, lastDecision?.refresh?.done, clock) }),
    candidates: group.candidates.map(publicCandidate),
    templates: group.templates.map((template) => ({ ...template })),
    source: publicSource(policy.source),
    ...(policy.placement !== undefined && { placement: publicPlacement(policy.placement) }),
    capacity: { ...policy.capacity },
    removal: publicRemoval(policy.removal),
    ...(policy.balancer !== undefined && { balancer: policy.balancer }),
    hooks: {
      ...(policy.hooks.launch && { launch: publicHook(policy.hooks.launch) }),
      ...(policy.hooks.remove && { remove: publicHook(policy.hooks.remove) }),
    },
    ...(policy.health && { health: publicHealth(policy.health) }),
    ...(policy.refresh && { refreshPolicy: publicRefreshPolicy(policy.refresh) }),
    launchDeadlineMs: policy.launchDeadlineMs,
    drainGraceMs: policy.drainGraceMs,
    shutdownDeadlineMs: policy.shutdownDeadlineMs,
  };
}

export function publicGroupDetail(group: GroupStatus, clock: WallClock): PublicGroupDetail {
  const { lastDecision, lastDecisionAt, candidates } = group;
  const decided = candidates.flatMap(({ name, lastDecision: latest }) =>
    latest === undefined ? [] : [[name, publicDecision(latest, clock.wallOf(latest.atMs))] as const],
  );
  return {
    ...publicGroup(group, clock),
    vms: group.vms.map((vm) => publicVm(vm)),
    ...(lastDecision && lastDecisionAt !== undefined && { lastDecision: publicDecision(lastDecision, lastDecisionAt) }),
    candidateDecisions: Object.fromEntries(decided),
  };
}

export function vmCounts(vms: readonly VmStatus[]): PublicGroup['vmCounts'] {
  const of = (phase: VmPhase): number => vms.filter((vm) => vm.record.phase === phase).length;
  return {
    launching: of('launching'),
    standby: of('standby'),
    inService: of('in-service'),
    draining: of('draining'),
    removing: of('removing'),
    total: vms.length,
  };
}

function publicPolicy({ min, max, mode, rules, pace, warmupMs }: Policy) {
  const paceOf = ({ rate, stabiliseMs }: PaceLimit) => ({ ...(rate && { rate: { ...rate } }), stabiliseMs });
  return {
    min,
    max,
    mode,
    rules: rules.map(publicRule),
    pace: { out: paceOf(pace.out), in: paceOf(pace.in) },
    warmupMs,
  };
}

function publicRule(rule: ScaleRule): PublicRule {
  if (rule.type === 'schedule') return { ...rule };
  const metric = publicMetric(rule.metric);
  switch (rule.type) {
    case 'threshold':
      return { ...rule, ...metric, by: { ...rule.by } };
    case 'step':
      return { ...rule, ...metric, bands: rule.bands.map(({ bound, by }) => ({ bound, by: { ...by } })) };
    case 'target': {
      const { tolerance, ...rest } = rule;
      const tolerancePercent = { up: inPercent(tolerance.up), down: inPercent(tolerance.down) };
      return { ...rest, ...metric, tolerancePercent, cooldownMs: { ...rule.cooldownMs } };
    }
    case 'forecast':
      return { ...rule, ...metric };
  }
}

function publicMetric(metric: Metric) {
  const { aggregate, overMs, scope } = metric;
  return {
    metric: metricText(metric),
    unit: metricUnit(metric),
    aggregate: typeof aggregate === 'string' ? aggregate : `p${aggregate.percentile}`,
    overMs,
    scope,
  };
}

/** Of a share; 0.07 × 100 shall not become 7.000000000000001. */
function inPercent(share: number): number {
  return Number((share * 100).toPrecision(12));
}

function publicCandidate({ name, file, policy, desired, lastDecision }: CandidateStatus): PublicCandidate {
  return {
    name,
    file,
    ...publicPolicy(policy),
    ...(desired !== undefined && { desired }),
    ...(lastDecision && { text: lastDecision.text }),
  };
}

function publicBreaker(breaker: DurableMemory['breaker'], clock: WallClock): PublicGroup['breaker'] {
  return {
    open: breaker.openedAtMs !== undefined,
    failures: breaker.failures,
    ...(breaker.openedAtMs !== undefined && { openedAt: clock.wallOf(breaker.openedAtMs) }),
    ...(breaker.retryAtMs !== undefined && { retryAt: clock.wallOf(breaker.retryAtMs) }),
    ...(breaker.lastReason !== undefined && { reason: breaker.lastReason }),
  };
}

function publicRefresh(
  { state, startedAtMs, pausedAtMs, resumeAtMs, failures, passed, total, reason }: RefreshMemory,
  done: number | undefined,
  clock: WallClock,
): PublicGroup['refresh'] & object {
  return {
    state,
    startedAt: clock.wallOf(startedAtMs),
    ...(pausedAtMs !== undefined && { pausedAt: clock.wallOf(pausedAtMs) }),
    ...(resumeAtMs !== undefined && { resumeAt: clock.wallOf(resumeAtMs) }),
    total,
    ...(done !== undefined && { done }),
    failures,
    checkpointsPassed: passed,
    ...(reason !== undefined && { reason }),
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

function publicRemoval(removal: RemovalOrder): PublicGroup['removal'] {
  return removal.kind === 'label' ? { order: 'label', label: removal.label } : { order: removal.kind };
}

function publicHook({ url, secretFile, deadlineMs, onTimeout }: Hook): PublicGroup['hooks']['launch'] & object {
  return { url: withoutSecrets(url), signed: secretFile !== undefined, deadlineMs, onTimeout };
}

function publicHealth({ check, budget, ...rest }: HealthCheck): PublicGroup['health'] & object {
  return { check: publicReady(check), ...rest, budget: { ...budget } };
}

function publicRefreshPolicy({ checkpoints, ...rest }: Refresh): PublicGroup['refreshPolicy'] & object {
  return { ...rest, checkpointsPercent: checkpoints.map(inPercent) };
}

function publicSource(source: Source): PublicGroup['source'] {
  if (source.kind === 'domains') {
    const domains = source.domains.map(({ name, address }) => ({ name, ...(address !== undefined && { address }) }));
    return { kind: 'domains', domains, ready: publicReady(source.ready) };
  }
  const { image, flavor, ready } = source.template;
  return { kind: 'template', image: image.name, flavor: publicFlavor(flavor), ready: publicReady(ready) };
}
