// The decision: one picture, the policies and the memory go in; one decision per policy and the new memory come out. Pure: the same
// function runs live, dry, in replay and in simulation. Not here: single rules (strategies/), bringing the size about (reconcile).

import type { AppliedLimit, Decision } from './decision.ts';
import { measuredMean } from './group-cpu.ts';
import { type Membership, membershipOf } from './membership.ts';
import { type DurableMemory, EMPTY_GROUP_MEMORY, type GroupMemory, type Memory } from './memory.ts';
import type { GroupName, HostName, HostView, Snapshot, VmView } from './model.ts';
import { BUILT_IN, type Placements } from './placement/registry.ts';
import type { Policy } from './policy.ts';
import { type Claims, type Reconciled, reconcile } from './reconcile.ts';
import { type Advice, consultRules } from './rules.ts';
import { vmsText } from './wording.ts';

/** CPU values older than this are missing data, unless the snapshot says otherwise: three polls of a second, and some patience. */
export const DEFAULT_STALE_AFTER_MS = 5000;

export interface Decided {
  /** One per policy, in the order of the policies. */
  readonly decisions: readonly Decision[];
  /** Groups without a policy are in it as they were. */
  readonly memory: Memory;
}

interface Picture {
  readonly snapshot: Snapshot;
  readonly hosts: ReadonlyMap<HostName, HostView>;
  readonly vmsByGroup: ReadonlyMap<GroupName, readonly VmView[]>;
  readonly placements: Placements;
  readonly nowMs: number;
}

/**
 * Each group may have one policy. Groups are decided upon in the order of `policies`, and what one takes, the next has not. VMs
 * without a group take room on their hosts and are otherwise left alone. `placements`: the algorithms that policies may name.
 */
export function decide(
  snapshot: Snapshot,
  policies: readonly Policy[],
  memory: Memory,
  nowMs: number,
  placements: Placements = BUILT_IN,
): Decided {
  const picture: Picture = {
    snapshot,
    hosts: new Map(snapshot.hosts.map((host) => [host.name, host])),
    vmsByGroup: byGroup(snapshot.vms),
    placements,
    nowMs,
  };
  let claims: Claims = { domains: new Set(snapshot.vms.map(({ record }) => record.uuid)) };
  const decisions: Decision[] = [];
  const remembered = new Map(Object.entries(memory));
  for (const policy of policies) {
    const before = remembered.get(policy.group) ?? EMPTY_GROUP_MEMORY;
    const result = decideGroup(picture, policy, before, claims);
    decisions.push(result.decision);
    remembered.set(policy.group, result.memory);
    claims = result.claims;
  }
  return { decisions, memory: Object.fromEntries(remembered) };
}

function byGroup(vms: readonly VmView[]): ReadonlyMap<GroupName, readonly VmView[]> {
  const groups = new Map<GroupName, VmView[]>();
  for (const view of vms) {
    const { group } = view.record;
    if (group === undefined) continue;
    const members = groups.get(group);
    if (members === undefined) groups.set(group, [view]);
    else members.push(view);
  }
  return groups;
}

function decideGroup(
  picture: Picture,
  policy: Policy,
  before: GroupMemory,
  claims: Claims,
): { readonly decision: Decision; readonly memory: GroupMemory; readonly claims: Claims } {
  const { snapshot, placements, nowMs } = picture;
  const { durable, transient } = before;
  const membership = membershipOf({
    vms: picture.vmsByGroup.get(policy.group) ?? [],
    hosts: picture.hosts,
    samples: transient.cpu,
    nowMs,
    staleAfterMs: snapshot.staleAfterMs ?? DEFAULT_STALE_AFTER_MS,
  });
  const desiredBefore = durable.desired ?? membership.active.length;
  const bounded = bound(desiredBefore, policy);
  const advice = consultRules(
    policy.rules,
    {
      nowMs,
      cpu: membership.cpu,
      launching: membership.counts.launching,
      desired: bounded.desired,
      min: policy.min,
      silentHosts: membership.silentHosts,
      rules: policy.rules,
      ...(durable.lastOutAtMs !== undefined && { lastOutAtMs: durable.lastOutAtMs }),
      ...(durable.lastInAtMs !== undefined && { lastInAtMs: durable.lastInAtMs }),
    },
    transient.crossedAtMs,
  );
  const moved = followAdvice(advice, bounded.desired, policy, durable.paused);
  const sized: Sized = {
    desiredBefore,
    desired: moved.desired,
    bounded: bounded.desired,
    limits: [...bounded.limits, ...moved.limits],
    asked: durable.desiredBy === 'user',
  };
  const reconciled = durable.paused
    ? standStill(membership, sized.desired, claims)
    : reconcile({
        policy,
        membership,
        desired: sized.desired,
        breaker: durable.breaker,
        snapshot,
        claims,
        placements,
        nowMs,
        drainReason: drainReason(sized, advice, policy),
      });
  return {
    decision: explain(picture, policy, membership, advice, sized, reconciled),
    memory: {
      durable: remember(durable, sized, nowMs),
      transient: { cpu: membership.samples, crossedAtMs: advice.crossedAtMs },
    },
    claims: reconciled.claims,
  };
}

/** How `desired` went: from what it was, over the policy's bounds, to where the rules moved it. */
interface Sized {
  readonly desiredBefore: number;
  readonly bounded: number;
  readonly desired: number;
  readonly limits: readonly AppliedLimit[];
  /** A user set `desired` since the last decision. */
  readonly asked: boolean;
}

function bound(
  desired: number,
  policy: Policy,
): { readonly desired: number; readonly limits: readonly AppliedLimit[] } {
  if (desired < policy.min) {
    const text = `The policy wants at least ${vmsText(policy.min)}.`;
    return { desired: policy.min, limits: [{ limit: 'min', from: desired, to: policy.min, text }] };
  }
  if (desired > policy.max) {
    const text = `The policy allows at most ${vmsText(policy.max)}.`;
    return { desired: policy.max, limits: [{ limit: 'max', from: desired, to: policy.max, text }] };
  }
  return { desired, limits: [] };
}

/** Moves `desired` as the rules advise, within the bounds; not at all while the group is paused. */
function followAdvice(
  { followed }: Advice,
  desired: number,
  policy: Policy,
  paused: boolean,
): { readonly desired: number; readonly limits: readonly AppliedLimit[] } {
  if (followed === undefined) return { desired, limits: [] };
  const wanted = desired + followed.recommends;
  if (paused) {
    const text = `Rule ${followed.rule} is not followed: the group is paused.`;
    return { desired, limits: [{ limit: 'paused', from: wanted, to: desired, text }] };
  }
  // Rules never take the last VM: without one there is no CPU to measure and no way back.
  if (wanted < 1 && policy.min === 0 && desired > 0) {
    const text = 'Rules leave the last VM alone: without it there is no CPU to measure.';
    return { desired: 1, limits: [{ limit: 'min', from: wanted, to: 1, text }] };
  }
  return bound(wanted, policy);
}

/** A paused group: whatever is missing or too much stays so. */
function standStill({ active }: Membership, desired: number, claims: Claims): Reconciled {
  const none: Reconciled = { actions: [], limits: [], hosts: [], victims: [], claims };
  if (active.length === desired) return none;
  const text = `The group is paused: it has ${vmsText(active.length)} and is left so.`;
  return { ...none, limits: [{ limit: 'paused', from: desired, to: active.length, text }], text };
}

function remember(durable: DurableMemory, sized: Sized, nowMs: number): DurableMemory {
  const { desiredBy: _consumed, ...kept } = durable;
  return {
    ...kept,
    desired: sized.desired,
    ...(sized.desired > sized.bounded && { lastOutAtMs: nowMs }),
    ...(sized.desired < sized.bounded && { lastInAtMs: nowMs }),
  };
}

function causeOf(sized: Sized, reconciled: Reconciled): Decision['cause'] {
  if (sized.desired !== sized.bounded) return 'rule';
  if (sized.bounded !== sized.desiredBefore) return 'limits';
  if (sized.asked) return 'user';
  return reconciled.actions.length > 0 ? 'replace' : 'none';
}

/** Why VMs go, as `vm.draining` tells it. */
function drainReason(sized: Sized, { followed }: Advice, policy: Policy): string {
  if (sized.desired !== sized.bounded && followed) return `rule ${followed.rule}: ${followed.text}`;
  if (sized.bounded < sized.desiredBefore) return `the policy allows at most ${vmsText(policy.max)}`;
  return sized.asked ? `a user asked for ${vmsText(sized.desired)}` : `more than the ${vmsText(sized.desired)} wanted`;
}

function explain(
  { nowMs }: Picture,
  policy: Policy,
  membership: Membership,
  advice: Advice,
  sized: Sized,
  reconciled: Reconciled,
): Decision {
  const cause = causeOf(sized, reconciled);
  const cpuPercent = measuredMean(membership.cpu);
  return {
    group: policy.group,
    atMs: nowMs,
    desiredBefore: sized.desiredBefore,
    desired: sized.desired,
    cause,
    ...(cause === 'rule' && advice.followed && { rule: advice.followed.rule }),
    counts: { desired: sized.desired, ...membership.counts },
    ...(cpuPercent !== undefined && { cpuPercent }),
    cpuByVm: membership.cpuByVm,
    verdicts: advice.verdicts,
    limits: [...sized.limits, ...reconciled.limits],
    hosts: reconciled.hosts,
    victims: reconciled.victims,
    actions: reconciled.actions,
    text: textOf(cause, membership, advice, sized, reconciled),
  };
}

function textOf(
  cause: Decision['cause'],
  { counts }: Membership,
  advice: Advice,
  sized: Sized,
  reconciled: Reconciled,
): string {
  const { desiredBefore, desired, limits } = sized;
  const sentences: string[] = [];
  const { followed, heldBack } = advice;
  if (cause === 'rule' && followed) sentences.push(`Rule ${followed.rule}: ${followed.text}`);
  if (cause === 'user') sentences.push(`A user asked for ${vmsText(desired)}.`);
  sentences.push(...limits.map((limit) => limit.text));
  if (desired !== desiredBefore) sentences.push(`Desired goes from ${desiredBefore} to ${desired}.`);
  if (cause === 'replace') {
    const active = counts.inService + counts.launching;
    const what = active < desired ? `${vmsText(desired - active)} missing` : `${vmsText(active - desired)} too many`;
    sentences.push(`${what} of ${desired} desired.`);
  }
  if (reconciled.text !== undefined) sentences.push(reconciled.text);
  if (sentences.length === 0) {
    sentences.push(`${counts.inService} of ${vmsText(desired)} in service.`);
    if (counts.launching > 0) sentences.push(`${vmsText(counts.launching)} launching.`);
    if (heldBack !== undefined) sentences.push(heldBack);
    sentences.push(...advice.verdicts.map((verdict) => `${verdict.rule}: ${verdict.text}`));
  }
  return sentences.join(' ');
}
