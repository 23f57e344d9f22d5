// VMs that are there already and could serve at once, or nearly: draining ones and standbys. Not here: how many are taken (grow).

import type { Choice } from './decision.ts';
import type { Member } from './membership.ts';
import type { StandbyKind, VmRecord, VmView } from './model.ts';
import type { Room, Rooms } from './placement/rooms.ts';
import type { Template } from './policy.ts';
import { madeFrom } from './template-match.ts';

export interface ReadyMadeInput {
  readonly members: readonly Member[];
  /** What VMs shall be made from now; absent for listed domains. */
  readonly target?: Template;
  /** A refresh is replacing those not made from `target`. */
  readonly isUnderWay: boolean;
}

/**
 * Draining VMs that could go back into service, those with most time left first. Only those that go because the group was too
 * large, that nobody outside has been asked about, and that certainly run.
 */
export function returnable({ members, target, isUnderWay }: ReadyMadeInput): readonly VmRecord[] {
  return members
    .filter(({ view, hostUp }) => hostUp && couldReturn(view))
    .map(({ view }) => view.record)
    .filter((record) => !isUnderWay || target === undefined || madeFrom(record, target))
    .sort((a, b) => (b.deadlineAtMs ?? 0) - (a.deadlineAtMs ?? 0) || a.id - b.id);
}

function couldReturn({ domain, fresh, record, unhealthy }: VmView): boolean {
  const { hook, leaving, phase, step } = record;
  if (phase !== 'draining' || leaving !== 'size' || hook !== undefined || step === 'approved') return false;
  return fresh && unhealthy === undefined && domain?.state === 'running' && domain.paused !== true;
}

export interface Standby {
  readonly record: VmRecord;
  readonly kind: StandbyKind;
}

/** In the order in which they are woken. */
export const STANDBY_KINDS: readonly StandbyKind[] = ['paused', 'saved', 'stopped'];

/** Standbys that can be woken now (the quickest first, then the oldest), and why the others cannot. */
export function wakeable(
  { members, target }: ReadyMadeInput,
  rooms: Rooms,
): { readonly ready: readonly Standby[]; readonly choices: readonly Choice[] } {
  const ready: Standby[] = [];
  const choices: Choice[] = [];
  const freeMiB = new Map(rooms.all.map((room) => [room.host, room.memoryFreeMiB]));
  for (const kind of STANDBY_KINDS) {
    const waiting = members.filter(({ view: { record } }) => record.phase === 'standby' && record.standby === kind);
    for (const member of waiting.sort((a, b) => a.view.record.id - b.view.record.id)) {
      const { record } = member.view;
      const takesMiB = kind === 'paused' ? 0 : (record.flavor?.memoryMiB ?? 0);
      const leftMiB = (freeMiB.get(record.host) ?? 0) - takesMiB;
      const obstacle = obstacleOf(member, target, roomOf(rooms, record), takesMiB > 0 && leftMiB < 0);
      if (obstacle === undefined) {
        freeMiB.set(record.host, leftMiB);
        ready.push({ record, kind });
      } else choices.push({ name: record.name, chosen: false, text: `not woken: ${obstacle}` });
    }
  }
  return { ready, choices };
}

function obstacleOf(
  { view, hostUp }: Member,
  target: Template | undefined,
  room: Room | undefined,
  lacksMemory: boolean,
): string | undefined {
  const { domain, fresh, record, unhealthy } = view;
  if (!hostUp) return `its host ${record.host} does not answer`;
  if (!fresh) return 'it changed since its host was last asked';
  if (domain === undefined) return 'its domain is gone';
  if (unhealthy !== undefined) return unhealthy;
  if (target !== undefined && !madeFrom(record, target)) return 'made from another template';
  if (room?.closed !== undefined) return `host ${record.host} is ${room.closed}`;
  return lacksMemory ? `too little memory really free on host ${record.host}` : undefined;
}

function roomOf(rooms: Rooms, { host }: VmRecord): Room | undefined {
  return rooms.all[rooms.index.get(host) ?? -1];
}

/** The rooms after these standbys have been woken: what they take of the memory that is really free. */
export function roomsAfterWaking(rooms: Rooms, woken: readonly Standby[]): Rooms {
  const taken = new Map<string, number>();
  for (const { record, kind } of woken) {
    if (kind === 'paused') continue;
    taken.set(record.host, (taken.get(record.host) ?? 0) + (record.flavor?.memoryMiB ?? 0));
  }
  if (taken.size === 0) return rooms;
  const all = rooms.all.map((room) => {
    const takenMiB = taken.get(room.host);
    return takenMiB === undefined ? room : { ...room, memoryFreeMiB: room.memoryFreeMiB - takenMiB };
  });
  return { ...rooms, all };
}
