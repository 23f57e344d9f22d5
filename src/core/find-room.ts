// Where the VMs that are launched go: hosts for those made from a template, domains for those that are listed.
// Not here: how many (grow, standby), the placing itself (placement/).

import type { Action, Choice } from './decision.ts';
import type { GroupName, HostName, Snapshot, StandbyKind } from './model.ts';
import { pickListed } from './placement/listed-domains.ts';
import { explain, needOf, type Placed, type PlaceRequest, place, type Rooms, roomsOf } from './placement/place.ts';
import { DEFAULT_PLACEMENT, type Placements } from './placement/registry.ts';
import { withClaim } from './placement/rooms.ts';
import type { ListedDomain, Policy, Template } from './policy.ts';
import { vmsText } from './wording.ts';

/** What groups decided upon in the same turn have taken already. */
export interface Claims {
  /** Absent until a group needs room: in most turns none does. */
  readonly rooms?: Rooms;
  /** Uuids of domains that have a record or will have one. */
  readonly domains: ReadonlySet<string>;
}

export interface RoomInput {
  readonly policy: Policy;
  readonly snapshot: Snapshot;
  readonly claims: Claims;
  readonly placements: Placements;
  /** What VMs shall be made from now; absent for listed domains. */
  readonly target?: Template;
  /** `target` is not the policy's: launches say so, and cannot be forked. */
  readonly isPrevious: boolean;
}

export interface Found {
  readonly limit: 'no-host' | 'no-domain';
  readonly actions: readonly Action[];
  readonly choices: readonly Choice[];
  readonly claims: Claims;
  /** Empty when nothing was found. */
  readonly text: string;
}

/** Hosts told in a decision's trail: all in most fleets; the nearest of a large one. */
const HOSTS_TOLD_MAX = 50;

export function roomsNow({ claims, snapshot }: Pick<RoomInput, 'claims' | 'snapshot'>): Rooms {
  return claims.rooms ?? roomsOf(snapshot);
}

export interface RoomOptions {
  /** Of `wanted` VMs so many could come about slower than by a fork and quicker than by a cold boot: cold boots they can stand in for are left out. */
  readonly standIns?: { readonly count: number; readonly wanted: number };
  /** They shall wait. */
  readonly standby?: StandbyKind;
}

/** At most `count` launches. */
export function findRoom(input: RoomInput, count: number, options: RoomOptions = {}): Found {
  const { policy, target } = input;
  if (policy.source.kind === 'domains') return findDomains(input, policy.source.domains, count);
  return target === undefined
    ? { limit: 'no-host', actions: [], choices: [], claims: input.claims, text: '' }
    : findHosts(input, target, count, options);
}

function findHosts(
  input: RoomInput,
  { flavor, image }: Template,
  count: number,
  { standIns = { count: 0, wanted: count }, standby }: RoomOptions,
): Found {
  const { policy, placements, claims, isPrevious } = input;
  const { group } = policy;
  const rooms = roomsNow(input);
  const rules = policy.placement ?? {};
  const request: PlaceRequest = { need: needOf(flavor, image), count, set: group, rules, allOrNothing: false };
  const all = place(rooms, request, placements);
  const forkable = forkHosts(input);
  const notPlaced = standIns.wanted - all.hosts.length;
  const placed = { ...all, hosts: withoutCold(all.hosts, forkable, standIns.count - notPlaced) };
  const actions = placed.hosts.map(
    (host): Action => ({
      kind: 'launch',
      group,
      host,
      ...(forkable.has(host) && { way: 'fork' }),
      ...(standby !== undefined && { standby }),
      ...(isPrevious && { template: 'previous' }),
    }),
  );
  const left = placed.hosts.length === all.hosts.length ? all.rooms : claimedAgain(rooms, request, placed.hosts);
  return {
    limit: 'no-host',
    actions,
    choices: explain(rooms, request, placed, HOSTS_TOLD_MAX),
    claims: { ...claims, rooms: left },
    text: launchText(placed, forkable, standby),
  };
}

/** Hosts where a fork of the policy's template is possible. */
function forkHosts({ policy, snapshot, isPrevious }: RoomInput): ReadonlySet<HostName> {
  if (!policy.capacity.fork || isPrevious) return NO_HOSTS;
  return new Set(groupOf(snapshot, policy.group)?.forkHosts);
}

const NO_HOSTS: ReadonlySet<HostName> = new Set();

function groupOf({ groups }: Snapshot, group: GroupName) {
  return groups !== undefined && Object.hasOwn(groups, group) ? groups[group] : undefined;
}

/** Leaves out the last `count` that would be booted cold. */
function withoutCold(hosts: readonly HostName[], forkable: ReadonlySet<HostName>, count: number): readonly HostName[] {
  let left = count;
  return hosts
    .toReversed()
    .filter((host) => {
      const goes = left > 0 && !forkable.has(host);
      if (goes) left -= 1;
      return !goes;
    })
    .reverse();
}

function claimedAgain(rooms: Rooms, { need, set }: PlaceRequest, hosts: readonly HostName[]): Rooms {
  const all = [...rooms.all];
  for (const host of hosts) {
    const index = rooms.index.get(host) ?? -1;
    const room = all[index];
    if (room !== undefined) all[index] = withClaim(room, need, set);
  }
  const lastHost = hosts.at(-1);
  return { ...rooms, all, ...(lastHost !== undefined && { lastHost }) };
}

function launchText(
  { hosts, fallback }: Placed,
  forkable: ReadonlySet<HostName>,
  standby: StandbyKind | undefined,
): string {
  if (hosts.length === 0) return '';
  const [forks, cold] = [hosts.filter((host) => forkable.has(host)), hosts.filter((host) => !forkable.has(host))];
  const to = standby === undefined ? '' : ` to wait in standby (${standby})`;
  const parts = [
    forks.length > 0 ? `Forking ${vmsText(forks.length)}${to} on ${hostsText(forks)}.` : '',
    cold.length > 0 ? `Launching ${vmsText(cold.length)}${to} on ${hostsText(cold)}.` : '',
    fallback === undefined ? '' : `Placed by ${DEFAULT_PLACEMENT}: ${fallback}.`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function hostsText(hosts: readonly HostName[]): string {
  return [...new Set(hosts)].map((host) => `host ${host}`).join(', ');
}

function findDomains(input: RoomInput, listed: readonly ListedDomain[], count: number): Found {
  const { claims, policy, snapshot } = input;
  const { group } = policy;
  const picked = pickListed(snapshot, listed, count, claims.domains);
  const names = picked.domains.map(({ name, host }) => `${name} on host ${host}`).join(', ');
  return {
    limit: 'no-domain',
    actions: picked.domains.map(({ name, ...domain }) => ({ kind: 'start', group, domain: name, ...domain })),
    choices: picked.choices,
    claims: { ...claims, domains: new Set([...claims.domains, ...picked.domains.map(({ uuid }) => uuid)]) },
    text: names === '' ? '' : `Starting ${names}.`,
  };
}
