// Gives VMs to hosts that fit, one after the other, as the placement algorithm chooses among them; each claim counts for the next.
// Not here: whether a host fits (obstacles), which of those that fit is better (the algorithms), the words for people (explain).

import type { HostName, PlacementName } from '../model.ts';
import { ask } from './ask.ts';
import { leastLoaded } from './least-loaded.ts';
import { obstacleOf, siblingsIn, type Wanted, wantedOf } from './obstacles.ts';
import type { Candidate, Placement, PlacementContext } from './placement.ts';
import { BUILT_IN, DEFAULT_PLACEMENT, type Placements } from './registry.ts';
import type { Placed, PlaceRequest } from './request.ts';
import { type Need, type Room, type Rooms, withClaim } from './rooms.ts';

export { couldEverHold, explain } from './explain.ts';
// Callers find all they need here.
export type { Placed, PlaceRequest } from './request.ts';
export { needOf, type Rooms, roomsOf } from './rooms.ts';

/** An algorithm that is not there, throws or answers nonsense is replaced by `least-loaded`; `fallback` tells. Pure if `placements` are. */
export function place(rooms: Rooms, request: PlaceRequest, placements: Placements = BUILT_IN): Placed {
  const { need, count, set, allOrNothing } = request;
  const wanted = wantedOf(rooms, need, set, request.rules);
  const all = [...rooms.all];
  const candidates = all.filter((room) => obstacleOf(room, wanted) === undefined).map((room) => candidateOf(room, set));
  const hosts: HostName[] = [];
  let { algorithm, placement, fallback } = algorithmFor(rooms, request, placements);
  let refused: ReadonlyMap<HostName, string> | undefined;
  let { lastHost } = rooms;
  while (hosts.length < count && candidates.length > 0) {
    const answer = ask(placement, candidates, contextOf(rooms, need, lastHost), placement !== BUILT_IN.get(algorithm));
    if ('failed' in answer) {
      fallback = `placement algorithm ${algorithm} ${answer.failed}`;
      algorithm = DEFAULT_PLACEMENT;
      placement = leastLoaded;
      continue;
    }
    if ('refused' in answer) {
      refused = answer.refused;
      break;
    }
    const { host } = answer;
    hosts.push(host);
    lastHost = host;
    claim(all, candidates, rooms.index.get(host) ?? -1, wanted);
  }
  const used = { algorithm, ...(fallback !== undefined && { fallback }), ...(refused !== undefined && { refused }) };
  if (allOrNothing && hosts.length < count) return { hosts: [], rooms, tried: hosts, ...used };
  return { hosts, rooms: { ...rooms, all, ...(lastHost !== undefined && { lastHost }) }, ...used };
}

function algorithmFor(
  rooms: Rooms,
  { rules }: PlaceRequest,
  placements: Placements,
): { readonly algorithm: PlacementName; readonly placement: Placement; readonly fallback: string | undefined } {
  const name = rules.algorithm ?? rooms.placement ?? DEFAULT_PLACEMENT;
  const found = placements.get(name);
  if (found !== undefined) return { algorithm: name, placement: found, fallback: undefined };
  const fallback = `there is no placement algorithm ${name}`;
  return { algorithm: DEFAULT_PLACEMENT, placement: leastLoaded, fallback };
}

function contextOf({ index }: Rooms, need: Need, lastHost: HostName | undefined): PlacementContext {
  if (lastHost === undefined) return { need };
  const lastIndex = index.get(lastHost);
  return { need, lastHost, ...(lastIndex !== undefined && { lastIndex }) };
}

/** Takes the VM off the room, and the host off the candidates when the next one no longer fits there. */
function claim(all: Room[], candidates: Candidate[], index: number, wanted: Wanted): void {
  const room = all[index];
  const at = candidates.findIndex((candidate) => candidate.index === index);
  if (room === undefined || at < 0) throw new Error('a host was chosen that is not there');
  const after = withClaim(room, wanted.need, wanted.set);
  all[index] = after;
  if (obstacleOf(after, wanted) === undefined) candidates[at] = candidateOf(after, wanted.set);
  else candidates.splice(at, 1);
}

function candidateOf(room: Room, set: string): Candidate {
  const { host, index, vms, total, promised, cpuRatio } = room;
  return {
    host,
    index,
    vms: vms.length,
    siblings: siblingsIn(room, set),
    total,
    free: {
      vcpus: total.vcpus - promised.vcpus,
      memoryMiB: total.memoryMiB - promised.memoryMiB,
      diskGiB: total.diskGiB - promised.diskGiB,
    },
    ...(cpuRatio !== undefined && { cpuRatio }),
  };
}
