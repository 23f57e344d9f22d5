// More VMs in service: draining ones are taken back, standbys woken, the rest launched, the quickest first: returned, paused, saved,
// forked, stopped, cold. Not here: how many are missing (reconcile), filling up standbys (standby).

import { launchesAllowed } from './breaker.ts';
import type { Action, AppliedLimit, Choice, DecisionCounts } from './decision.ts';
import { type Claims, type Found, findRoom, type RoomInput, roomsNow } from './find-room.ts';
import type { Membership } from './membership.ts';
import type { BreakerMemory, Suspendable } from './memory.ts';
import type { VmRecord } from './model.ts';
import { returnable, roomsAfterWaking, STANDBY_KINDS, type Standby, wakeable } from './ready-made.ts';
import { durationText, vmsText } from './wording.ts';

export interface GrowInput extends RoomInput {
  readonly membership: Membership;
  /** VMs missing; positive. */
  readonly need: number;
  /** Launching or in service, without those just chosen to go. */
  readonly active: number;
  /** How many may exist. */
  readonly max: number;
  /** A refresh is replacing VMs not made from `target`. */
  readonly isUnderWay: boolean;
  readonly breaker: BreakerMemory;
  readonly suspended: readonly Suspendable[];
  readonly nowMs: number;
}

export interface Grown {
  readonly actions: readonly Action[];
  readonly limits: readonly AppliedLimit[];
  readonly choices: readonly Choice[];
  readonly claims: Claims;
  readonly text: string;
}

export function grow(input: GrowInput): Grown {
  const { active, breaker, membership, need, nowMs, policy, suspended } = input;
  const { counts, members } = membership;
  const readyMade = { ...input, members };
  const returned = returnable(readyMade).slice(0, need);
  let missing = need - returned.length;
  const limits: AppliedLimit[] = [];
  const limitTo = (limit: AppliedLimit['limit'], count: number, text: string) => {
    if (count >= missing) return;
    const base = active + returned.length;
    limits.push({ limit, from: base + missing, to: base + count, text });
    missing = count;
  };
  if (suspended.includes('launch')) limitTo('suspended', 0, `${vmsText(missing)} missing: launching is suspended.`);
  const hasStandbys = missing > 0 && counts.standby > 0;
  const standbys = hasStandbys ? wakeable(readyMade, roomsNow(input)) : NO_STANDBYS;
  const room = Math.max(0, input.max - counts.existing);
  // Of those that shall wait, too: while launches fail one at a time is tried, whatever for.
  const underWay = members.filter(({ view }) => view.record.phase === 'launching').length;
  limitTo('exists', room + standbys.ready.length, existsText(input.max, counts));
  limitTo('breaker', launchesAllowed(breaker, nowMs, underWay), breakerText(breaker, nowMs));
  const asked = missing;
  const filled = missing > 0 ? fill(input, standbys.ready, missing, room) : nothing(input.claims);
  const fits = filled.woken.length + filled.found.actions.length;
  limitTo(filled.found.limit, fits, shortText(filled.found.limit, fits, asked));
  const { group } = policy;
  const woken = filled.woken.map(({ record, kind }): Action => ({ kind: 'wake', group, vmId: record.id, way: kind }));
  const back = returned.map(({ id }): Action => ({ kind: 'return', group, vmId: id, reason: RETURN_REASON }));
  const sentences = [returnText(returned), ...wakeTexts(filled.woken), filled.found.text, limits.at(-1)?.text ?? ''];
  return {
    actions: [...back, ...woken, ...filled.found.actions],
    limits,
    choices: [...readyMadeChoices(returned, filled.woken, standbys), ...filled.found.choices],
    claims: filled.found.claims,
    text: sentences.filter((sentence) => sentence !== '').join(' '),
  };
}

const RETURN_REASON = 'it is needed again';
const NO_STANDBYS: ReturnType<typeof wakeable> = { ready: [], choices: [] };

interface Filled {
  readonly woken: readonly Standby[];
  readonly found: Found;
}

function nothing(claims: Claims): Filled {
  return { woken: [], found: { limit: 'no-host', actions: [], choices: [], claims, text: '' } };
}

/** `count` VMs: from standbys that wake at once, then forks, then stopped standbys, then cold boots; `room`: how many may be new. */
function fill(input: GrowInput, ready: readonly Standby[], count: number, room: number): Filled {
  const quick = ready.filter(({ kind }) => kind !== 'stopped').slice(0, count);
  const stopped = ready.filter(({ kind }) => kind === 'stopped');
  const left = count - quick.length;
  const before = waking(input, quick);
  if (left === 0) return { ...nothing(before.claims), woken: quick };
  const asked = Math.min(left, room);
  const standIns = { count: stopped.length, wanted: left };
  const found = asked > 0 ? findRoom(before, asked, { standIns }) : nothing(before.claims).found;
  const woken = stopped.slice(0, left - found.actions.length);
  const after = waking({ ...before, claims: found.claims }, woken);
  return { woken: [...quick, ...woken], found: { ...found, claims: after.claims } };
}

function waking(input: GrowInput, woken: readonly Standby[]): GrowInput {
  if (woken.length === 0) return input;
  return { ...input, claims: { ...input.claims, rooms: roomsAfterWaking(roomsNow(input), woken) } };
}

function returnText(returned: readonly VmRecord[]): string {
  return returned.length === 0 ? '' : `Taking ${namesText(returned)} back into service.`;
}

function wakeTexts(woken: readonly Standby[]): readonly string[] {
  return STANDBY_KINDS.map((kind) => {
    const records = woken.filter((standby) => standby.kind === kind).map(({ record }) => record);
    return records.length === 0 ? '' : `Waking ${namesText(records)} (${kind}).`;
  });
}

function namesText(records: readonly VmRecord[]): string {
  return records.map(({ name }) => name).join(', ');
}

function readyMadeChoices(
  returned: readonly VmRecord[],
  woken: readonly Standby[],
  { ready, choices }: ReturnType<typeof wakeable>,
): readonly Choice[] {
  return [
    ...returned.map(({ name }) => ({ name, chosen: true, text: 'was draining, goes back into service' })),
    ...woken.map(({ record, kind }) => ({ name: record.name, chosen: true, text: `standby (${kind}), is woken` })),
    ...ready
      .filter((standby) => !woken.includes(standby))
      .map(({ record, kind }) => ({ name: record.name, chosen: false, text: `standby (${kind}), not needed` })),
    ...choices,
  ];
}

function shortText(limit: Found['limit'], fits: number, asked: number): string {
  if (limit === 'no-domain') return `No listed domain is left to start (asked for ${vmsText(asked)}).`;
  return `No host can take ${fits === 0 ? 'a VM' : 'more'} (asked for ${vmsText(asked)} in all).`;
}

function existsText(max: number, counts: Omit<DecisionCounts, 'desired'>): string {
  const leaving = counts.draining + counts.removing;
  const parts = [
    ...(leaving > 0 ? [`${leaving} of them on their way out`] : []),
    ...(counts.standby > 0 ? [`${counts.standby} in standby`] : []),
  ];
  const rest = parts.length > 0 ? `, ${parts.join(', ')}` : '';
  return `${vmsText(counts.existing)} exist${counts.existing === 1 ? 's' : ''}${rest}; the policy allows ${max}.`;
}

function breakerText(breaker: BreakerMemory, nowMs: number): string {
  const last = breaker.lastReason === undefined ? '' : ` (the last: ${breaker.lastReason})`;
  const failed = `${breaker.failures} launches failed in a row${last}`;
  const restMs = (breaker.retryAtMs ?? nowMs) - nowMs;
  if (restMs > 0) return `${failed}; the next is tried in ${durationText(restMs)}.`;
  return `${failed}; one at a time is tried until one succeeds.`;
}
