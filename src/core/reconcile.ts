// Brings the number of VMs towards `desired`: launches what is missing or drains what is too much, never both.
// Not here: what `desired` is (decide). What stands in the way becomes a limit in the trail.

import { launchesAllowed } from './breaker.ts';
import type { Action, AppliedLimit, Choice } from './decision.ts';
import type { Membership } from './membership.ts';
import type { BreakerMemory } from './memory.ts';
import type { Snapshot } from './model.ts';
import { pickListed } from './placement/listed-domains.ts';
import { explain, needOf, type Placed, type PlaceRequest, place, type Rooms, roomsOf } from './placement/place.ts';
import { DEFAULT_PLACEMENT, type Placements } from './placement/registry.ts';
import type { Policy } from './policy.ts';
import { chooseVictims } from './victims.ts';
import { durationText, vmsText } from './wording.ts';

export interface Reconciled {
  readonly actions: readonly Action[];
  readonly limits: readonly AppliedLimit[];
  readonly hosts: readonly Choice[];
  readonly victims: readonly Choice[];
  /** One sentence for people; absent when nothing was needed. */
  readonly text?: string;
  /** What is left for the groups after this one. */
  readonly claims: Claims;
}

/** What groups decided upon in the same turn have taken already. */
export interface Claims {
  /** Absent until a group needs room: in most turns none does. */
  readonly rooms?: Rooms;
  /** Uuids of domains that have a record or will have one. */
  readonly domains: ReadonlySet<string>;
}

export interface ReconcileInput {
  readonly policy: Policy;
  readonly membership: Membership;
  readonly desired: number;
  readonly breaker: BreakerMemory;
  readonly snapshot: Snapshot;
  readonly claims: Claims;
  readonly placements: Placements;
  readonly nowMs: number;
  /** Why VMs are too many, for those that go. */
  readonly drainReason: string;
}

export function reconcile(input: ReconcileInput): Reconciled {
  const need = input.desired - input.membership.active.length;
  if (need > 0) return launch(input, need);
  if (need < 0) return drain(input, -need);
  return { actions: [], limits: [], hosts: [], victims: [], claims: input.claims };
}

function launch(input: ReconcileInput, need: number): Reconciled {
  const { policy, membership, desired, breaker, nowMs } = input;
  const { counts, active } = membership;
  const limits: AppliedLimit[] = [];
  let allowed = need;
  const limitTo = (limit: AppliedLimit['limit'], launches: number, text: string) => {
    if (launches >= allowed) return;
    limits.push({ limit, from: active.length + allowed, to: active.length + launches, text });
    allowed = launches;
  };
  limitTo('exists', Math.max(0, policy.max - counts.existing), existsText(policy.max, counts));
  limitTo('breaker', launchesAllowed(breaker, nowMs, counts.launching), breakerText(breaker, nowMs));
  if (allowed === 0) {
    const text = limits.at(-1)?.text;
    return { actions: [], limits, hosts: [], victims: [], claims: input.claims, ...(text !== undefined && { text }) };
  }
  const found = findRoom(input, allowed);
  limitTo(
    found.limit,
    found.actions.length,
    found.limit === 'no-host'
      ? `No host can take ${found.actions.length === 0 ? 'a VM' : 'more'} (asked for ${vmsText(allowed)} in all).`
      : `No listed domain is left to start (asked for ${vmsText(allowed)}).`,
  );
  const missing = desired - active.length - found.actions.length;
  const short = missing > 0 ? ` ${limits.at(-1)?.text ?? ''}` : '';
  const text = found.actions.length > 0 ? `${found.text}${short}` : (limits.at(-1)?.text ?? '');
  return { actions: found.actions, limits, hosts: found.choices, victims: [], claims: found.claims, text };
}

interface Found {
  readonly limit: 'no-host' | 'no-domain';
  readonly actions: readonly Action[];
  readonly choices: readonly Choice[];
  readonly claims: Claims;
  readonly text: string;
}

/** Hosts told in a decision's trail: all in most fleets; the nearest of a large one. */
const HOSTS_TOLD_MAX = 50;

function findRoom({ policy, snapshot, claims, placements }: ReconcileInput, count: number): Found {
  const { group, source } = policy;
  if (source.kind === 'template') {
    const { flavor, image } = source.template;
    const rooms = claims.rooms ?? roomsOf(snapshot);
    const rules = policy.placement ?? {};
    const request: PlaceRequest = { need: needOf(flavor, image), count, set: group, rules, allOrNothing: false };
    const placed = place(rooms, request, placements);
    return {
      limit: 'no-host',
      actions: placed.hosts.map((host) => ({ kind: 'launch', group, host })),
      choices: explain(rooms, request, placed, HOSTS_TOLD_MAX),
      claims: { ...claims, rooms: placed.rooms },
      text: launchText(placed),
    };
  }
  const picked = pickListed(snapshot, source.domains, count, claims.domains);
  const names = picked.domains.map(({ name, host }) => `${name} on host ${host}`).join(', ');
  return {
    limit: 'no-domain',
    actions: picked.domains.map(({ name, ...domain }) => ({ kind: 'start', group, domain: name, ...domain })),
    choices: picked.choices,
    claims: { ...claims, domains: new Set([...claims.domains, ...picked.domains.map(({ uuid }) => uuid)]) },
    text: `Starting ${names}.`,
  };
}

function launchText({ hosts, fallback }: Placed): string {
  const where = [...new Set(hosts)].map((host) => `host ${host}`).join(', ');
  const launching = `Launching ${vmsText(hosts.length)} on ${where}.`;
  return fallback === undefined ? launching : `${launching} Placed by ${DEFAULT_PLACEMENT}: ${fallback}.`;
}

function drain({ policy, membership, desired, claims, drainReason }: ReconcileInput, excess: number): Reconciled {
  const { active, counts } = membership;
  const { chosen, needed, choices } = chooseVictims(active, excess, Math.max(0, counts.inService - policy.min));
  const actions = chosen.map(
    ({ record }): Action => ({ kind: 'drain', group: policy.group, vmId: record.id, reason: drainReason }),
  );
  const names = chosen.map(({ record }) => record.name).join(', ');
  const limits: AppliedLimit[] = [];
  const sentences = chosen.length > 0 ? [`Removing ${names}.`] : [];
  if (needed > 0) {
    const text = `${vmsText(needed)} too many, but the policy wants at least ${vmsText(policy.min)} in service: they stay until others are ready.`;
    limits.push({ limit: 'min', from: desired, to: active.length - chosen.length, text });
    sentences.push(text);
  }
  const unknown = excess - chosen.length - needed;
  if (unknown > 0) {
    const text = `${vmsText(unknown)} too many, but what they do now is not known: they stay until their hosts have answered.`;
    limits.push({ limit: 'stale', from: desired, to: active.length - chosen.length, text });
    sentences.push(text);
  }
  return { actions, limits, hosts: [], victims: choices, claims, text: sentences.join(' ') };
}

function existsText(max: number, counts: Membership['counts']): string {
  const leaving = counts.draining + counts.removing;
  const rest = leaving > 0 ? `, ${leaving} of them on their way out` : '';
  return `${vmsText(counts.existing)} exist${counts.existing === 1 ? 's' : ''}${rest}; the policy allows ${max}.`;
}

function breakerText(breaker: BreakerMemory, nowMs: number): string {
  const last = breaker.lastReason === undefined ? '' : ` (the last: ${breaker.lastReason})`;
  const failed = `${breaker.failures} launches failed in a row${last}`;
  const restMs = (breaker.retryAtMs ?? nowMs) - nowMs;
  if (restMs > 0) return `${failed}; the next is tried in ${durationText(restMs)}.`;
  return `${failed}; one at a time is tried until one succeeds.`;
}
