// The decision: one picture, the policies and the memory go in; one decision per policy and the new memory come out. Pure: the same
// function runs live, dry, in replay and in simulation. Not here: sizing (size), bringing the size about (reconcile).

import { appraise } from './appraise.ts';
import type { Decision } from './decision.ts';
import { drainReason, explainDecision } from './explain-decision.ts';
import { type DurableMemory, EMPTY_GROUP_MEMORY, type GroupMemory, type Memory } from './memory.ts';
import type { GroupName, HostName, HostView, Snapshot, VmView } from './model.ts';
import { BUILT_IN, type Placements } from './placement/registry.ts';
import type { Policy } from './policy.ts';
import { type Claims, reconcile } from './reconcile.ts';
import type { Sized } from './size.ts';

export interface Decided {
  /** One per policy, in the order of the policies. */
  readonly decisions: readonly Decision[];
  /** Groups without a policy are in it as they were. */
  readonly memory: Memory;
}

interface Picture {
  readonly snapshot: Snapshot;
  readonly hosts: ReadonlyMap<HostName, HostView>;
  readonly placements: Placements;
  readonly nowMs: number;
}

/**
 * Each group may have one policy. Groups are decided upon in the order of `policies`, and what one takes, the next has not. VMs
 * without a group take room on their hosts and are otherwise left alone. A policy in mode `observe` is decided as a candidate.
 * `placements`: the algorithms that policies may name.
 */
export function decide(
  snapshot: Snapshot,
  policies: readonly Policy[],
  memory: Memory,
  nowMs: number,
  placements: Placements = BUILT_IN,
): Decided {
  const picture: Picture = { snapshot, hosts: hostsByName(snapshot), placements, nowMs };
  const vmsByGroup = byGroup(snapshot.vms);
  let claims: Claims = { domains: new Set(snapshot.vms.map(({ record }) => record.uuid)) };
  const decisions: Decision[] = [];
  const remembered = new Map(Object.entries(memory));
  for (const policy of policies) {
    const before = remembered.get(policy.group) ?? EMPTY_GROUP_MEMORY;
    const vms = vmsByGroup.get(policy.group) ?? [];
    const result =
      policy.mode === 'observe'
        ? { ...observe(picture, policy, vms, before), claims }
        : act(picture, policy, vms, before, claims);
    decisions.push(result.decision);
    remembered.set(policy.group, result.memory);
    claims = result.claims;
  }
  return { decisions, memory: Object.fromEntries(remembered) };
}

/**
 * What a policy that only observes would have by now. Its `desired` is its own, and every change of it is taken for done at once; the load
 * is what the group's VMs really carry, spread over as many as it would have. `memory`: the candidate's, not the group's.
 */
export function decideCandidate(
  snapshot: Snapshot,
  policy: Policy,
  memory: GroupMemory,
  nowMs: number,
): { readonly decision: Decision; readonly memory: GroupMemory } {
  const vms = snapshot.vms.filter(({ record }) => record.group === policy.group);
  const picture = { snapshot, hosts: hostsByName(snapshot), placements: BUILT_IN, nowMs };
  return observe(picture, policy, vms, memory);
}

function hostsByName({ hosts }: Snapshot): ReadonlyMap<HostName, HostView> {
  return new Map(hosts.map((host) => [host.name, host]));
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

interface GroupDecided {
  readonly decision: Decision;
  readonly memory: GroupMemory;
}

function observe(picture: Picture, policy: Policy, vms: readonly VmView[], memory: GroupMemory): GroupDecided {
  const { membership, sized, transient } = appraise({ ...picture, policy, vms, memory, isShadow: true });
  const asked = memory.durable.desiredBy === 'user';
  return {
    decision: explainDecision({ policy, membership, sized, asked, nowMs: picture.nowMs }),
    memory: { durable: { ...sized.durable, observing: true }, transient },
  };
}

function act(
  picture: Picture,
  policy: Policy,
  vms: readonly VmView[],
  before: GroupMemory,
  claims: Claims,
): GroupDecided & { readonly claims: Claims } {
  const memory = before.durable.observing ? { ...before, durable: awake(before.durable) } : before;
  const { membership, sized, transient } = appraise({ ...picture, policy, vms, memory, isShadow: false });
  const asked = memory.durable.desiredBy === 'user';
  const reconciled = reconcile({
    ...picture,
    policy,
    membership,
    sized,
    durable: sized.durable,
    claims,
    drainReason: drainReason({ policy, sized, asked }),
    isPressed: isPressed(sized),
  });
  return {
    decision: explainDecision({ policy, membership, sized, asked, reconciled, nowMs: picture.nowMs }),
    memory: { durable: reconciled.durable, transient },
    claims: reconciled.claims,
  };
}

/** The memory of a policy that only observed until now: what it would have had says nothing about what there is. */
function awake(durable: DurableMemory): DurableMemory {
  const { changes, desired, lastInAtMs, lastOutAtMs, observing, ...kept } = durable;
  return durable.desiredBy === 'user' && desired !== undefined ? { ...kept, desired } : kept;
}

/** A rule asks for more VMs, whatever becomes of that. */
function isPressed({ verdicts }: Sized): boolean {
  return verdicts.some(({ recommends, verdict }) => verdict === 'fires' && recommends > 0);
}
