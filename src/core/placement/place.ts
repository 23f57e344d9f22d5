// Gives VMs to hosts: those that are up and have the memory, in the order of the placement algorithm, one VM after the other.
// Not here: which of two fitting hosts is better (least-loaded and its siblings).

import type { Choice } from '../decision.ts';
import type { HostName, Snapshot } from '../model.ts';
import { vmsText } from '../wording.ts';
import type { Placement, Room } from './placement.ts';

export interface HostRoom extends Room {
  /** Why it takes no VM now; absent when it is up. */
  readonly closed?: string;
}

/** What every host has left. Groups decided upon one after the other take from it one after the other. */
export type Rooms = ReadonlyMap<HostName, HostRoom>;

export function roomsOf(snapshot: Snapshot): Rooms {
  const promised = new Map<HostName, { vms: number; memoryMiB: number }>();
  for (const { record, domain } of snapshot.vms) {
    const sum = promised.get(record.host) ?? { vms: 0, memoryMiB: 0 };
    sum.vms += 1;
    // The host does not miss this memory before the guest has touched it.
    if (record.phase === 'launching') sum.memoryMiB += record.flavor?.memoryMiB ?? domain?.memoryMiB ?? 0;
    promised.set(record.host, sum);
  }
  return new Map(
    snapshot.hosts.map((host): [HostName, HostRoom] => {
      const { vms = 0, memoryMiB = 0 } = promised.get(host.name) ?? {};
      const memoryFreeMiB = (host.last?.capacity.memoryFreeMiB ?? 0) - memoryMiB;
      const closed = host.state === 'up' ? undefined : `not up: ${host.reason ?? 'it has not answered yet'}`;
      return [host.name, { host: host.name, vms, memoryFreeMiB, ...(closed !== undefined && { closed }) }];
    }),
  );
}

export interface Placed {
  /** One host per VM; fewer than asked for when no host fits any more. */
  readonly hosts: readonly HostName[];
  readonly choices: readonly Choice[];
  readonly rooms: Rooms;
}

export function place(rooms: Rooms, count: number, memoryMiB: number, placement: Placement): Placed {
  const left = new Map(rooms);
  const taken = new Map<HostName, number>();
  const hosts: HostName[] = [];
  while (hosts.length < count) {
    let best: HostRoom | undefined;
    for (const room of left.values()) {
      if (room.closed !== undefined || room.memoryFreeMiB < memoryMiB) continue;
      if (best === undefined || placement.compare(room, best) < 0) best = room;
    }
    if (best === undefined) break;
    hosts.push(best.host);
    taken.set(best.host, (taken.get(best.host) ?? 0) + 1);
    left.set(best.host, { ...best, vms: best.vms + 1, memoryFreeMiB: best.memoryFreeMiB - memoryMiB });
  }
  const choices = [...rooms.values()].map((room) => choiceOf(room, taken.get(room.host) ?? 0, memoryMiB));
  return { hosts, choices, rooms: left };
}

function choiceOf(room: HostRoom, taken: number, memoryMiB: number): Choice {
  const state = `${vmsText(room.vms)}, ${room.memoryFreeMiB} MiB free`;
  if (taken > 0) return { name: room.host, chosen: true, text: `takes ${vmsText(taken)} (had ${state})` };
  if (room.closed !== undefined) return { name: room.host, chosen: false, text: room.closed };
  if (room.memoryFreeMiB < memoryMiB) {
    const text = `a VM needs ${memoryMiB} MiB, ${Math.max(0, room.memoryFreeMiB)} MiB are left`;
    return { name: room.host, chosen: false, text };
  }
  return { name: room.host, chosen: false, text: `fits (${state}), but others come first` };
}
