// The words for a placement: every host with the reason why it takes a VM or not. Not here: the placing; this costs, and is done
// only when somebody wants to know.

import type { Choice } from '../decision.ts';
import type { HostName, HostView, PlacementRules } from '../model.ts';
import { sizeText, vmsText } from '../wording.ts';
import {
  OBSTACLE_TEXT,
  OBSTACLES,
  type Obstacle,
  obstacleOf,
  obstacleText,
  ruledOut,
  tooSmall,
  type Wanted,
  wantedOf,
} from './obstacles.ts';
import { DEFAULT_PLACEMENT } from './registry.ts';
import type { Placed, PlaceRequest } from './request.ts';
import { DEFAULT_TRAITS, type Need, type Room, type Rooms, roomsOf, unknownOf } from './rooms.ts';

/** What became of a host: the chosen first, then what came nearest to being chosen. */
const FATES = ['takes', 'could-take', 'others-first', 'unwanted', ...OBSTACLES] as const;
type Fate = (typeof FATES)[number];

const FATE_TEXT: Readonly<Record<Fate, string>> = {
  takes: 'takes some',
  'could-take': 'could take some of them, not all fit',
  'others-first': 'others come first',
  unwanted: 'the algorithm does not want them now',
  ...OBSTACLE_TEXT,
};

interface Judged {
  readonly room: Room;
  readonly fate: Fate;
  readonly rank: number;
}

/**
 * `rooms` as they were before, `placed` what place() answered. Chosen hosts first, then the nearest refusals; beyond `max` hosts one
 * line for the rest. When another algorithm stood in, a line of its own says so, before all others.
 */
export function explain(
  rooms: Rooms,
  request: PlaceRequest,
  placed: Placed,
  max = Number.POSITIVE_INFINITY,
): readonly Choice[] {
  const wanted = wantedOf(rooms, request.need, request.set, request.rules);
  const [takes, couldTake] = [counted(placed.hosts), counted(placed.tried ?? [])];
  const judged = rooms.all
    .map((room): Judged => {
      const fate = fateOf(room, wanted, placed, takes, couldTake);
      return { room, fate, rank: FATES.indexOf(fate) };
    })
    .sort((a, b) => a.rank - b.rank || a.room.index - b.room.index);
  const choiceOf = ({ room, fate }: Judged): Choice => ({
    name: room.host,
    chosen: fate === 'takes',
    text: textOf(room, fate, wanted, request, placed, takes.get(room.host) ?? couldTake.get(room.host) ?? 0),
  });
  return [...fallbackLine(placed), ...told(judged, max, choiceOf)];
}

/**
 * Whether some host of the configuration could hold one such VM if it were empty, up and not cordoned: undefined when one could, else
 * every host with the reason. A host that never answered, or does not tell what it has, might.
 */
export function couldEverHold(
  hosts: readonly HostView[],
  { need, rules }: Pick<PlaceRequest, 'need' | 'rules'> & Partial<PlaceRequest>,
  max = Number.POSITIVE_INFINITY,
): readonly Choice[] | undefined {
  const judged: Judged[] = [];
  const { host, labels } = rules;
  const own: PlacementRules = { ...(host !== undefined && { host }), ...(labels !== undefined && { labels }) };
  const { all } = roomsOf({ atMs: 0, hosts: hosts.map(emptied), vms: [] });
  const views = new Map(hosts.map((view) => [view.name, view]));
  for (const room of all) {
    const fate = neverObstacle(room, views.get(room.host), own, need);
    if (fate === undefined) return undefined;
    judged.push({ room, fate, rank: FATES.indexOf(fate) });
  }
  judged.sort((a, b) => a.rank - b.rank || a.room.index - b.room.index);
  const wanted: Wanted = { need, set: '', rules: own, hostOfVm: new Map() };
  return told(judged, max, ({ room, fate }) => ({
    name: room.host,
    chosen: false,
    text: isObstacle(fate) ? obstacleText(fate, room, wanted) : FATE_TEXT[fate],
  }));
}

function neverObstacle(
  room: Room,
  view: HostView | undefined,
  rules: PlacementRules,
  need: Need,
): Obstacle | undefined {
  const known = view?.last !== undefined && unknownOf(view) === undefined;
  return ruledOut(room, rules) ?? (known ? tooSmall(room, need) : undefined);
}

/** The host as it would be with nothing on it. */
function emptied({ name, last, traits = DEFAULT_TRAITS }: HostView): HostView {
  if (last === undefined) return { name, state: 'up', traits };
  const { memoryMiB, diskGiB } = last.capacity;
  const capacity = { ...last.capacity, memoryFreeMiB: memoryMiB, diskFreeGiB: diskGiB };
  return { name, state: 'up', traits, last: { ...last, capacity, domains: [] } };
}

function fateOf(
  room: Room,
  wanted: Wanted,
  { refused }: Placed,
  takes: ReadonlyMap<HostName, number>,
  couldTake: ReadonlyMap<HostName, number>,
): Fate {
  if (takes.has(room.host)) return 'takes';
  if (couldTake.has(room.host)) return 'could-take';
  return obstacleOf(room, wanted) ?? (refused?.has(room.host) === true ? 'unwanted' : 'others-first');
}

function textOf(
  room: Room,
  fate: Fate,
  wanted: Wanted,
  request: PlaceRequest,
  { refused }: Placed,
  vms: number,
): string {
  switch (fate) {
    case 'takes':
      return `takes ${vmsText(vms)} (had ${stateText(room)})`;
    case 'could-take':
      return `could take ${vmsText(vms)} of ${request.count}, but all or none are asked for (${stateText(room)})`;
    case 'others-first':
      return `fits (${stateText(room)}), but others come first`;
    case 'unwanted':
      return refused?.get(room.host) ?? FATE_TEXT.unwanted;
    default:
      return obstacleText(fate, room, wanted);
  }
}

function stateText({ vms, total, promised }: Room): string {
  const free = (part: 'vcpus' | 'memoryMiB' | 'diskGiB') =>
    `${sizeText(Math.max(0, total[part] - promised[part]))} of ${sizeText(total[part])}`;
  return `${vmsText(vms.length)}; free ${free('vcpus')} vCPUs, ${free('memoryMiB')} MiB, ${free('diskGiB')} GiB`;
}

function fallbackLine({ fallback, algorithm }: Placed): readonly Choice[] {
  if (fallback === undefined) return [];
  return [{ name: algorithm, chosen: false, text: `${fallback}; ${DEFAULT_PLACEMENT} is used instead` }];
}

/** The first `max`, and one line for the others. */
function told(judged: readonly Judged[], max: number, choiceOf: (one: Judged) => Choice): readonly Choice[] {
  const shown = judged.slice(0, max).map(choiceOf);
  const rest = judged.slice(max);
  if (rest.length === 0) return shown;
  const counts = new Map<Fate, number>();
  for (const { fate } of rest) counts.set(fate, (counts.get(fate) ?? 0) + 1);
  const text = [...counts].map(([fate, count]) => `${FATE_TEXT[fate]} (${count})`).join(', ');
  return [...shown, { name: `and ${rest.length} more`, chosen: false, text }];
}

function counted(hosts: readonly HostName[]): ReadonlyMap<HostName, number> {
  const counts = new Map<HostName, number>();
  for (const host of hosts) counts.set(host, (counts.get(host) ?? 0) + 1);
  return counts;
}

function isObstacle(fate: Fate): fate is Obstacle {
  return OBSTACLES.some((obstacle) => obstacle === fate);
}
