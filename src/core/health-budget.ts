// Which unhealthy VMs are replaced now. Not here: finding out that a VM is unhealthy (engine), launching its successor (grow).

import { launchesAllowed } from './breaker.ts';
import { vmsOf } from './change.ts';
import type { AppliedLimit, Choice } from './decision.ts';
import type { Member } from './membership.ts';
import type { BreakerMemory, Suspendable } from './memory.ts';
import type { HealthCheck } from './policy.ts';
import { vmsText } from './wording.ts';

export interface HealthInput {
  readonly health: HealthCheck | undefined;
  /** All of the group. */
  readonly members: readonly Member[];
  readonly desired: number;
  readonly breaker: BreakerMemory;
  readonly suspended: readonly Suspendable[];
  readonly nowMs: number;
}

export interface Replacements {
  readonly chosen: readonly Member[];
  readonly choices: readonly Choice[];
  readonly limits: readonly AppliedLimit[];
}

const NONE: Replacements = { chosen: [], choices: [], limits: [] };
/** From this many VMs on, more than half of them unhealthy at once is taken for a fault of something else (the check, the network). */
const ALL_AT_ONCE_FROM = 3;

/**
 * Never more at once than the budget, counting those on their way out as unhealthy and whatever is still launching. A VM that
 * is protected, or of which there is no fresh picture, is left.
 */
export function replaceUnhealthy(input: HealthInput): Replacements {
  const { members, desired } = input;
  const sick = members.filter(({ view }) => view.record.phase === 'in-service' && view.unhealthy !== undefined);
  if (input.health === undefined || sick.length === 0) return NONE;
  const held = heldBack(input, sick.length);
  if (held !== undefined) {
    const limits = [{ limit: held.limit, from: desired, to: desired, text: held.text }];
    return { chosen: [], choices: choicesOf(sick, [], 'nothing is replaced now'), limits };
  }
  const slots = slotsOf(input, input.health);
  const eligible = sick.filter(isTouchable).sort((a, b) => a.view.record.id - b.view.record.id);
  const chosen = eligible.slice(0, slots);
  const limits: AppliedLimit[] = [];
  if (chosen.length < eligible.length) {
    const text = `${vmsText(eligible.length)} unhealthy; ${chosen.length} can be replaced now: the budget is ${vmsText(vmsOf(input.health.budget, desired))} at a time.`;
    limits.push({ limit: 'budget', from: desired, to: desired, text });
  }
  return { chosen, choices: choicesOf(sick, chosen, 'others are being replaced'), limits };
}

function slotsOf({ members, desired }: HealthInput, { budget }: HealthCheck): number {
  const underWay = members.filter(({ view: { record }, hostUp }) => {
    if (record.phase === 'launching') return record.standby === undefined;
    // One that cannot be finished because its host is silent must not hold up the others for ever.
    return isLeavingUnhealthy(record) && hostUp;
  });
  return Math.max(0, vmsOf(budget, desired) - underWay.length);
}

function isLeavingUnhealthy({ phase, leaving }: Member['view']['record']): boolean {
  return leaving === 'unhealthy' && (phase === 'draining' || phase === 'removing');
}

function heldBack(
  { breaker, members, nowMs, suspended }: HealthInput,
  sick: number,
): { readonly limit: 'suspended' | 'budget' | 'breaker'; readonly text: string } | undefined {
  const process = suspended.find((one) => one === 'health' || one === 'remove' || one === 'launch');
  if (process !== undefined) {
    return { limit: 'suspended', text: `${vmsText(sick)} unhealthy, not replaced: ${process} is suspended.` };
  }
  const inService = members.filter(({ view }) => view.record.phase === 'in-service').length;
  const leaving = members.filter(({ view }) => isLeavingUnhealthy(view.record)).length;
  const [bad, all] = [sick + leaving, inService + leaving];
  if (all >= ALL_AT_ONCE_FROM && bad * 2 > all) {
    const text = `${bad} of ${vmsText(all)} are unhealthy at the same time: something else must be wrong, nothing is replaced.`;
    return { limit: 'budget', text };
  }
  const launching = members.filter(({ view: { record } }) => record.phase === 'launching').length;
  if (launchesAllowed(breaker, nowMs, launching) > 0) return undefined;
  return { limit: 'breaker', text: `${vmsText(sick)} unhealthy, not replaced while launches fail.` };
}

function isTouchable({ view, hostUp }: Member): boolean {
  return hostUp && view.fresh && view.record.isProtected !== true;
}

function choicesOf(sick: readonly Member[], chosen: readonly Member[], whyNot: string): readonly Choice[] {
  return sick.map((member) => {
    const { unhealthy, record, fresh } = member.view;
    const isChosen = chosen.includes(member);
    const known = member.hostUp && fresh ? whyNot : 'what it does now is not known';
    const why = record.isProtected === true ? 'protected' : known;
    const text = isChosen ? `unhealthy: ${unhealthy}` : `stays although unhealthy: ${why}`;
    return { name: record.name, chosen: isChosen, text };
  });
}
