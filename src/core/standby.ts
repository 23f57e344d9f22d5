// Standbys: how many of each kind there shall be, the next one to make, those to give up. Not here: waking them (grow).

import { launchesAllowed } from './breaker.ts';
import type { Action, Choice } from './decision.ts';
import { type Claims, findRoom, type RoomInput } from './find-room.ts';
import type { Member, Membership } from './membership.ts';
import type { BreakerMemory, Suspendable } from './memory.ts';
import type { StandbyKind } from './model.ts';
import type { Capacity } from './policy.ts';
import { STANDBY_KINDS } from './ready-made.ts';
import { madeFrom } from './template-match.ts';

export interface StandbyInput extends RoomInput {
  readonly membership: Membership;
  /** VMs there are or shall be in service, whichever is more. */
  readonly active: number;
  /** The group's max now: standbys never go beyond it. */
  readonly max: number;
  /** Ids of those that are woken in this very turn. */
  readonly woken: ReadonlySet<number>;
  /** Nothing more urgent goes on: one may be made. */
  readonly mayFill: boolean;
  readonly breaker: BreakerMemory;
  readonly suspended: readonly Suspendable[];
  readonly nowMs: number;
}

export interface Standbys {
  readonly actions: readonly Action[];
  readonly choices: readonly Choice[];
  readonly claims: Claims;
  readonly text: string;
}

/** Standbys that shall be kept: what the policy says, as far as the group could still grow; the quickest kinds first. */
export function wantedStandbys(capacity: Capacity, max: number, active: number): Readonly<Record<StandbyKind, number>> {
  const wanted = { paused: 0, saved: 0, stopped: 0 };
  let room = Math.max(0, max - active);
  for (const kind of STANDBY_KINDS) {
    wanted[kind] = Math.min(capacity[kind], room);
    room -= wanted[kind];
  }
  return wanted;
}

export function keepStandbys(input: StandbyInput): Standbys {
  const { policy, membership, suspended, target, woken } = input;
  const none: Standbys = { actions: [], choices: [], claims: input.claims, text: '' };
  const { capacity } = policy;
  const asksForNone = capacity.paused + capacity.saved + capacity.stopped === 0;
  if (target === undefined || (asksForNone && membership.counts.standby === 0)) return none;
  const all = membership.members.filter(({ view }) => kindOf(view.record) !== undefined && !woken.has(view.record.id));
  const wanted = wantedStandbys(capacity, input.max, input.active);
  const unwanted = unwantedOf(all, wanted, input);
  const removing = suspended.includes('remove') ? [] : unwanted.filter(({ member }) => isTouchable(member));
  const filled = fillOne(input, all, wanted, unwanted.length > 0);
  const { group } = policy;
  const discards = removing.map(
    ({ member, why }): Action => ({ kind: 'discard', group, vmId: member.view.record.id, reason: why }),
  );
  const names = removing.map(({ member }) => member.view.record.name).join(', ');
  const given = names === '' ? '' : `Giving up standby ${names}.`;
  return {
    actions: [...discards, ...filled.actions],
    choices: filled.choices,
    claims: filled.claims,
    text: [given, filled.text].filter((sentence) => sentence !== '').join(' '),
  };
}

/** The kind that a VM is in standby as, or is launched to be. */
function kindOf({ phase, standby }: Member['view']['record']): StandbyKind | undefined {
  return phase === 'standby' || phase === 'launching' ? standby : undefined;
}

interface Unwanted {
  readonly member: Member;
  readonly why: string;
}

/** Made from another template, or too many of their kind: those not there yet first, then the newest. Those on silent hosts are left. */
function unwantedOf(
  all: readonly Member[],
  wanted: Readonly<Record<StandbyKind, number>>,
  { target }: StandbyInput,
): readonly Unwanted[] {
  const unwanted: Unwanted[] = [];
  for (const kind of STANDBY_KINDS) {
    const present = all.filter(({ view, hostUp }) => hostUp && kindOf(view.record) === kind).sort(byWorth);
    const isGood = ({ view }: Member) => target === undefined || madeFrom(view.record, target);
    const bad = present.filter((member) => !isGood(member));
    unwanted.push(...bad.map((member) => ({ member, why: 'made from another template' })));
    const good = present.filter(isGood);
    const why = wanted[kind] === 0 ? `no ${kind} standby is wanted now` : `only ${wanted[kind]} ${kind} wanted now`;
    unwanted.push(...good.slice(wanted[kind]).map((member) => ({ member, why })));
  }
  return unwanted;
}

function byWorth(a: Member, b: Member): number {
  const [one, other] = [a.view.record, b.view.record];
  return Number(one.phase === 'launching') - Number(other.phase === 'launching') || one.id - other.id;
}

function isTouchable({ view, hostUp }: Member): boolean {
  return hostUp && view.fresh && view.record.isProtected !== true;
}

/** One at a time: there is no hurry, and hosts have better to do. */
function fillOne(
  input: StandbyInput,
  all: readonly Member[],
  wanted: Readonly<Record<StandbyKind, number>>,
  isCrowded: boolean,
): Standbys {
  const { breaker, claims, max, mayFill, membership, nowMs, suspended } = input;
  const none: Standbys = { actions: [], choices: [], claims, text: '' };
  const isComing = all.some(({ view }) => view.record.phase === 'launching');
  // After failures one of them may be the launch that shows whether all is well again.
  const isHopeless = launchesAllowed(breaker, nowMs, 0) === 0;
  if (!mayFill || isComing || isCrowded || isHopeless || suspended.includes('launch')) return none;
  if (membership.counts.existing >= max) return none;
  const kind = STANDBY_KINDS.find(
    (one) => all.filter(({ view, hostUp }) => hostUp && kindOf(view.record) === one).length < wanted[one],
  );
  return kind === undefined ? none : findRoom(input, 1, { standby: kind });
}
