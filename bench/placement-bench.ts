// placement: where one VM goes among 1,000 hosts with 10,000 VMs, and what the picture of their room costs. The baseline is a plain
// loop over the same hosts with the three comparisons that cannot be left out, in the same run.

import type { DomainObservation, HostView, Snapshot, VmView } from '../src/core/model.ts';
import { needOf, type PlaceRequest, place, type Rooms, roomsOf } from '../src/core/placement/place.ts';
import { PLACEMENT_NAMES } from '../src/core/placement/registry.ts';
import { DEFAULT_TRAITS } from '../src/core/placement/rooms.ts';
import { domainOf, recordOf } from '../test/core/builders.ts';
import { median, type Row, rowOf } from './row.ts';

const HOSTS = 1000;
const VMS = 10_000;
const GROUPS = 50;
const WARM_UP = 300;
const ROUNDS = 2000;
const ROOMS_ROUNDS = 200;
const START_MS = Date.UTC(2026, 0, 1);
const NEED = needOf({ name: 'medium', vcpus: 2, memoryMiB: 2048, diskGiB: 10 });

export function placementBench(): readonly Row[] {
  const snapshot = picture();
  const rooms = roomsOf(snapshot);
  return [placeRow(rooms), roomsRow(snapshot)];
}

/** One VM after the other, by each algorithm in turn; each claim is seen by the next, as in the engine's queue. */
function placeRow(rooms: Rooms): Row {
  const [values, baseline]: [number[], number[]] = [[], []];
  let left = rooms;
  for (let round = 0; round < WARM_UP + ROUNDS; round += 1) {
    const request = requestOf(round);
    const loopMs = timed(() => plainLoop(left));
    const tookMs = timed(() => {
      const placed = place(left, request);
      if (placed.hosts.length !== 1) throw new Error('the fleet of the benchmark is full');
      left = placed.rooms;
    });
    if (round < WARM_UP) continue;
    values.push(tookMs);
    baseline.push(loopMs);
  }
  return rowOf({
    name: 'place-1000-hosts',
    unit: 'ms',
    values,
    baseline: median(baseline),
    goal: { of: 'p99', atMost: 1 },
    note: `place() of one VM among ${HOSTS} hosts with ${VMS} VMs, all algorithms in turn; baseline: a plain loop over the hosts`,
  });
}

function roomsRow(snapshot: Snapshot): Row {
  const values: number[] = [];
  for (let round = 0; round < ROOMS_ROUNDS * 1.25; round += 1) {
    const tookMs = timed(() => roomsOf(snapshot));
    if (round >= ROOMS_ROUNDS / 4) values.push(tookMs);
  }
  return rowOf({
    name: 'rooms-1000-hosts',
    unit: 'ms',
    values,
    goal: { of: 'p50', atMost: 5 },
    note: `roomsOf() for ${HOSTS} hosts with ${VMS} VMs: once a turn in which something is placed`,
  });
}

function requestOf(round: number): PlaceRequest {
  const algorithm = PLACEMENT_NAMES[round % PLACEMENT_NAMES.length] ?? 'least-loaded';
  const set = round % 2 === 0 ? `group-${round % GROUPS}` : `operation-${round}`;
  return { need: NEED, count: 1, set, rules: { algorithm }, allOrNothing: false };
}

/** The host with the fewest VMs that has the room, and nothing else. */
function plainLoop({ all }: Rooms): string | undefined {
  let best: { readonly host: string; readonly vms: number } | undefined;
  for (const { host, total, promised, vms } of all) {
    if (promised.vcpus + NEED.vcpus > total.vcpus) continue;
    if (promised.memoryMiB + NEED.memoryMiB > total.memoryMiB) continue;
    if (promised.diskGiB + NEED.diskGiB > total.diskGiB) continue;
    if (best === undefined || vms.length < best.vms) best = { host, vms: vms.length };
  }
  return best?.host;
}

function timed(work: () => unknown): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}

function picture(): Snapshot {
  const vms: VmView[] = [];
  const hosts = Array.from({ length: HOSTS }, (_, index): HostView => {
    const name = `host-${index}`;
    const domains: DomainObservation[] = [];
    for (let id = index + 1; id <= VMS; id += HOSTS) {
      const domain = domainOf(id, { vcpus: 2, memoryMiB: 2048 });
      const flavor = { name: 'medium', vcpus: 2, memoryMiB: 2048, diskGiB: 10 };
      domains.push(domain);
      vms.push({ fresh: true, domain, record: recordOf(id, { group: `group-${id % GROUPS}`, host: name, flavor }) });
    }
    // One domain of somebody else's on each.
    domains.push(domainOf(VMS + index + 1));
    const capacity = {
      cpus: 64,
      memoryMiB: 262_144,
      memoryFreeMiB: 200_000,
      diskGiB: 2000,
      diskFreeGiB: 1500,
      cpuRatio: (index % 100) / 125,
    };
    const last = { host: name, startedAtMs: START_MS - 20, endedAtMs: START_MS - 10, capacity, domains };
    return { name, state: 'up', last, traits: { ...DEFAULT_TRAITS, index } };
  });
  return { atMs: START_MS, hosts, vms };
}
