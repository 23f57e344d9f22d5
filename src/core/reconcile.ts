// Brings a group's VMs towards what is desired: replaces the unhealthy, launches what is missing or drains what is too much, goes on
// with a refresh, keeps standbys. Not here: what `desired` is (size). What stands in the way becomes a limit in the trail.

import type { Action, AppliedLimit, Choice, Decision } from './decision.ts';
import { type Claims, roomsNow } from './find-room.ts';
import { type Grown, grow } from './grow.ts';
import { type Replacements, replaceUnhealthy } from './health-budget.ts';
import type { Member, Membership } from './membership.ts';
import type { DurableMemory } from './memory.ts';
import type { Snapshot } from './model.ts';
import type { Placements } from './placement/registry.ts';
import type { Policy } from './policy.ts';
import { planRefresh, type RefreshPlan } from './refresh.ts';
import { shrink } from './shrink.ts';
import { keepStandbys, type Standbys } from './standby.ts';
import { chooseVictims } from './victims.ts';
import { vmsText } from './wording.ts';

export type { Claims };

export interface ReconcileInput {
  readonly policy: Policy;
  readonly membership: Membership;
  /** The size there shall be, and the bounds that hold now. */
  readonly sized: { readonly desired: number; readonly min: number; readonly max: number };
  readonly durable: DurableMemory;
  readonly snapshot: Snapshot;
  readonly claims: Claims;
  readonly placements: Placements;
  readonly nowMs: number;
  /** Why VMs are too many, for those that go. */
  readonly drainReason: string;
  /** A rule asks for more VMs: nothing is done that could wait. */
  readonly isPressed: boolean;
}

export interface Reconciled {
  readonly actions: readonly Action[];
  readonly limits: readonly AppliedLimit[];
  readonly hosts: readonly Choice[];
  readonly victims: readonly Choice[];
  /** For people; absent when nothing was needed. */
  readonly text?: string;
  /** What is left for the groups after this one. */
  readonly claims: Claims;
  /** What the actions are about, besides the size; the first that holds. */
  readonly about?: 'replace' | 'refresh' | 'standby';
  readonly refresh?: NonNullable<Decision['refresh']>;
  /** The group's durable memory with what becomes of a refresh. */
  readonly durable: DurableMemory;
}

export function reconcile(input: ReconcileInput): Reconciled {
  if (input.durable.paused) return standStill(input);
  const { durable, membership, nowMs, policy, sized } = input;
  const suspended = durable.suspended ?? [];
  const { members } = membership;
  const { desired } = sized;
  const sick = replaceUnhealthy({
    health: policy.health,
    members,
    desired,
    breaker: durable.breaker,
    suspended,
    nowMs,
  });
  const active = membership.active.filter((member) => !sick.chosen.includes(member));
  const isHeld = suspended.includes('launch') || suspended.includes('remove');
  const plan = planRefresh({ policy, memory: durable.refresh, active, members, desired, isHeld, nowMs });
  const need = plan.size - active.length;
  const memory = remember(durable, plan);
  const parts: Parts = { input: { ...input, durable: memory }, plan, active };
  const sized1 = need > 0 ? growPart(parts, need) : need < 0 ? shrinkPart(parts, -need) : nothing(input.claims);
  const refreshed = need < 0 ? NO_DRAINS : refreshPart(parts);
  const standbys = standbyPart(parts, sized1, need);
  const ill = sick.chosen.map(({ view }) => drainUnhealthy(policy.group, view.record.id, view.unhealthy ?? ''));
  const actions = [...ill, ...sized1.actions, ...refreshed.actions, ...standbys.actions];
  const about = aboutOf(sick, sized1, refreshed, standbys, plan);
  const text = [illText(sick), sized1.text, refreshed.text, plan.progress?.text ?? '', standbys.text]
    .filter((sentence) => sentence !== '')
    .join(' ');
  return {
    actions,
    limits: [...sick.limits, ...sized1.limits],
    hosts: [...sized1.hosts, ...standbys.choices],
    victims: [...sick.choices, ...sized1.victims, ...refreshed.victims],
    claims: standbys.claims,
    durable: memory,
    ...(text !== '' && { text }),
    ...(about !== undefined && { about }),
    ...(plan.progress !== undefined && { refresh: plan.progress }),
  };
}

interface Parts {
  readonly input: ReconcileInput;
  readonly plan: RefreshPlan;
  /** Launching or in service, without the unhealthy that are just being replaced. */
  readonly active: readonly Member[];
}

type SizePart = Pick<Reconciled, 'actions' | 'limits' | 'hosts' | 'victims' | 'claims'> & { readonly text: string };

function nothing(claims: Claims): SizePart {
  return { actions: [], limits: [], hosts: [], victims: [], claims, text: '' };
}

/** A paused group: whatever is missing or too much stays so. */
function standStill({ claims, durable, membership, sized: { desired } }: ReconcileInput): Reconciled {
  const none = { ...nothing(claims), durable };
  const { length } = membership.active;
  if (length === desired) {
    const { text: _none, ...quiet } = none;
    return quiet;
  }
  const text = `The group is paused: it has ${vmsText(length)} and is left so.`;
  return { ...none, limits: [{ limit: 'paused', from: desired, to: length, text }], text };
}

function growPart({ input, plan, active }: Parts, need: number): SizePart {
  const { durable, sized } = input;
  const { desired } = sized;
  const allowed = Math.min(need, plan.launchMax);
  const limits: AppliedLimit[] = [];
  if (active.length + allowed < Math.min(desired, active.length + need)) {
    const text = 'The refresh waits until VMs that it replaces are gone.';
    limits.push({ limit: 'budget', from: desired, to: active.length + allowed, text });
  }
  const wait = limits[0]?.text ?? '';
  if (allowed === 0) return { ...nothing(input.claims), limits, text: wait };
  const grown: Grown = grow({
    ...input,
    ...(plan.target !== undefined && { target: plan.target }),
    isPrevious: plan.isPrevious,
    isUnderWay: plan.isUnderWay,
    need: allowed,
    active: active.length,
    max: sized.max + plan.beyondMax,
    breaker: durable.breaker,
    suspended: durable.suspended ?? [],
  });
  const text = [grown.text, wait].filter((sentence) => sentence !== '').join(' ');
  return { ...grown, limits: [...limits, ...grown.limits], hosts: grown.choices, victims: [], text };
}

function shrinkPart({ input, plan, active }: Parts, excess: number): SizePart {
  const { claims, durable, membership, nowMs, policy, sized } = input;
  const outdated = new Set(plan.outdated);
  const shrunk = shrink({
    policy,
    membership,
    candidates: active.map((member) => (outdated.has(member) ? { ...member, outdated: true } : member)),
    excess,
    min: sized.min,
    suspended: durable.suspended ?? [],
    rooms: () => roomsNow(input),
    nowMs,
    reason: input.drainReason,
  });
  return { ...shrunk, hosts: [], claims };
}

interface Drained {
  readonly actions: readonly Action[];
  readonly victims: readonly Choice[];
  readonly text: string;
}

const NO_DRAINS: Drained = { actions: [], victims: [], text: '' };

/** VMs of the old template that the new ones make dispensable. */
function refreshPart({ input, plan }: Parts): Drained {
  const { nowMs, policy } = input;
  const { all, serving } = plan.drains;
  if (plan.outdated.length === 0 || all <= 0) return NO_DRAINS;
  const { chosen, choices } = chooseVictims(plan.outdated, {
    order: policy.removal,
    count: all,
    servingMax: serving,
    nowMs,
    rooms: () => roomsNow(input),
  });
  if (chosen.length === 0) return NO_DRAINS;
  const reason = plan.isPrevious
    ? 'refresh going back: made from the new template'
    : 'refresh: made from another template';
  return {
    actions: chosen.map(({ record }) => ({
      kind: 'drain',
      group: policy.group,
      vmId: record.id,
      reason,
      because: 'refresh',
    })),
    victims: choices,
    text: `Replacing ${chosen.map(({ record }) => record.name).join(', ')}.`,
  };
}

function standbyPart({ input, plan, active }: Parts, sizedPart: SizePart, need: number): Standbys {
  const { durable, isPressed, membership, sized } = input;
  const woken = sizedPart.actions.flatMap((action) => (action.kind === 'wake' ? [action.vmId] : []));
  const isCalm = need === 0 && membership.counts.launching === 0 && active.length === membership.active.length;
  return keepStandbys({
    ...input,
    claims: sizedPart.claims,
    ...(plan.target !== undefined && { target: plan.target }),
    isPrevious: plan.isPrevious,
    active: Math.max(sized.desired, active.length),
    max: sized.max,
    woken: new Set(woken),
    mayFill: isCalm && !isPressed && !plan.isUnderWay,
    breaker: durable.breaker,
    suspended: durable.suspended ?? [],
  });
}

function remember({ refresh: _before, ...durable }: DurableMemory, plan: RefreshPlan): DurableMemory {
  return {
    ...durable,
    ...(plan.turnedBack && { breaker: { failures: 0 } }),
    ...(plan.memory !== undefined && { refresh: plan.memory }),
  };
}

function drainUnhealthy(group: string, vmId: number, why: string): Action {
  return { kind: 'drain', group, vmId, reason: `unhealthy: ${why}`, because: 'unhealthy', atOnce: true };
}

function illText({ chosen, limits }: Replacements): string {
  const names = chosen.map(({ view }) => view.record.name).join(', ');
  const sentences = names === '' ? [] : [`Replacing ${names}: unhealthy.`];
  return [...sentences, ...limits.map(({ text }) => text)].join(' ');
}

function aboutOf(
  sick: Replacements,
  sized: SizePart,
  refreshed: Drained,
  standbys: Standbys,
  plan: RefreshPlan,
): Reconciled['about'] {
  if (sick.chosen.length > 0) return 'replace';
  if (refreshed.actions.length > 0) return 'refresh';
  if (sized.actions.length > 0) return plan.isUnderWay ? 'refresh' : 'replace';
  return standbys.actions.length > 0 ? 'standby' : undefined;
}
