// What fits where, and the words for it, by example. Not here: the algorithms; what always holds (placement.property.test.ts).

import { describe, expect, it } from 'vitest';
import type { HostView, Image, PlacementRules, VmView } from '../../src/core/model.ts';
import {
  couldEverHold,
  explain,
  needOf,
  type PlaceRequest,
  place,
  type Rooms,
  roomsOf,
} from '../../src/core/placement/place.ts';
import type { Room } from '../../src/core/placement/rooms.ts';
import { domainOf, hostOf, IMAGE, NOW_MS, SMALL, snapshotOf, viewOf } from './builders.ts';

const GIB = 1024 ** 3;
const DEBIAN: Image = {
  name: 'debian',
  format: 'qcow2',
  content: { sha256: 'd'.repeat(64), fileBytes: 2 * GIB, virtualBytes: 8 * GIB },
};

function requestOf(over: Partial<PlaceRequest> = {}): PlaceRequest {
  return { need: needOf(SMALL), count: 1, set: 'op-1', rules: {}, allOrNothing: false, ...over };
}

function roomsWith(hosts: readonly HostView[], vms: readonly VmView[] = []): Rooms {
  return roomsOf(snapshotOf({ hosts, vms }));
}

/** The reason of each host, by name. */
function reasons(rooms: Rooms, over: Partial<PlaceRequest> = {}): Readonly<Record<string, string>> {
  const request = requestOf(over);
  return Object.fromEntries(explain(rooms, request, place(rooms, request)).map(({ name, text }) => [name, text]));
}

function onlyRoom(host: HostView, ...vms: readonly VmView[]): Room {
  const [room] = roomsWith([host], vms).all;
  if (room === undefined) throw new Error('no room');
  return room;
}

describe('what a VM needs', () => {
  it.each<[string, Parameters<typeof needOf>, number]>([
    ['the disk of its flavor', [{ ...SMALL, diskGiB: 10 }, DEBIAN], 10],
    ['else that of its image', [SMALL, DEBIAN], 8],
    ['nothing where nobody knows', [SMALL, IMAGE], 0],
    ['nothing without an image', [SMALL], 0],
  ])('is %s', (_name, [flavor, image], diskGiB) => {
    expect(needOf(flavor, image)).toMatchObject({ vcpus: 1, memoryMiB: 128, diskGiB });
  });

  it('is rounded up to whole MiB of disk, so that sums are exact', () => {
    const odd = { ...DEBIAN, content: { sha256: 'e', fileBytes: 1, virtualBytes: GIB + 1 } };
    expect(needOf(SMALL, odd).diskGiB).toBe(1 + 1 / 1024);
  });
});

describe('what a host may promise', () => {
  it('is its capacity less what is reserved, times overcommit: four for CPUs, one for the rest', () => {
    expect(onlyRoom(hostOf('h1')).total).toEqual({ vcpus: 32, memoryMiB: 16_384, diskGiB: 100 });
    const traits = {
      overcommit: { cpus: 2, memory: 1.5, disk: 3 },
      reserved: { vcpus: 1, memoryMiB: 384, diskGiB: 10 },
    };
    expect(onlyRoom(hostOf('h1', { traits })).total).toEqual({ vcpus: 14, memoryMiB: 24_000, diskGiB: 270 });
    const all = { reserved: { vcpus: 99, memoryMiB: 99_999, diskGiB: 999 } };
    expect(onlyRoom(hostOf('h1', { traits: all })).total).toEqual({ vcpus: 0, memoryMiB: 0, diskGiB: 0 });
  });

  it('is promised to our VMs from the intent until the record is gone, whatever they do', () => {
    const flavor = { ...SMALL, vcpus: 2, diskGiB: 5 };
    const vms = [
      viewOf(1, { record: { flavor, phase: 'launching' }, domain: null }),
      viewOf(2, { record: { flavor }, domain: { state: 'stopped', vcpus: 9, memoryMiB: 9999 } }),
      viewOf(3, { record: { flavor, phase: 'removing', step: 'undefined' }, domain: null }),
      viewOf(4, { record: { flavor, host: 'h2' } }),
    ];
    const room = onlyRoom(hostOf('h1'), ...vms);
    expect(room.promised).toEqual({ vcpus: 6, memoryMiB: 384, diskGiB: 15 });
    expect(room.vms.map(({ id }) => id)).toEqual([1, 2, 3]);
    const silent = roomsWith([hostOf('h1', { state: 'stale' })], vms).all[0];
    expect(silent?.promised).toEqual(room.promised);
  });

  it('is promised to what has no flavor as it was seen', () => {
    const { flavor: _none, ...record } = viewOf(1, { record: { kind: 'adopted' } }).record;
    const seen = domainOf(1, { vcpus: 3, memoryMiB: 700 });
    const off = { ...seen, state: 'stopped' as const };
    const promised = { vcpus: 3, memoryMiB: 700, diskGiB: 0 };
    expect(onlyRoom(hostOf('h1', { domains: [seen] }), { record, domain: seen, fresh: true }).promised).toEqual(
      promised,
    );
    expect(onlyRoom(hostOf('h1', { domains: [off] }), { record, domain: off, fresh: true }).promised).toEqual(promised);
    expect(onlyRoom(hostOf('h1'), { record, fresh: true }).promised).toEqual({ vcpus: 0, memoryMiB: 0, diskGiB: 0 });
  });

  it("is promised to others' domains while they run", () => {
    const domains = [
      domainOf(1),
      domainOf(7, { vcpus: 4, memoryMiB: 1000 }),
      domainOf(8, { vcpus: 5, memoryMiB: 2000, state: 'stopped' }),
      domainOf(9, { vcpus: 6, memoryMiB: 3000, state: 'unknown' }),
    ];
    const room = onlyRoom(hostOf('h1', { domains }), viewOf(1));
    expect(room.promised).toEqual({ vcpus: 11, memoryMiB: 4128, diskGiB: 0 });
    expect(room.vms).toHaveLength(1);
  });

  it('counts a domain twice whose VM is recorded on another host', () => {
    const vm = viewOf(1, { record: { host: 'h2' } });
    const rooms = roomsWith([hostOf('h1', { domains: [domainOf(1)] }), hostOf('h2')], [vm]);
    expect(rooms.all.map(({ promised }) => promised.vcpus)).toEqual([1, 1]);
  });
});

describe('a host refuses', () => {
  const large = { ...SMALL, vcpus: 4, memoryMiB: 4096, diskGiB: 20 };
  const need = needOf(large);
  const fill = (count: number, over = {}) => Array.from({ length: count }, (_, i) => viewOf(i + 1, { record: over }));
  const memoryFreeMiB = 16_000;

  it.each<[string, HostView, readonly VmView[], string]>([
    ['that is silent', hostOf('h1', { state: 'stale' }), [], 'not up: no answer'],
    ['that never answered', { name: 'h1', state: 'down' }, [], 'not up: it has not answered yet'],
    ['that is cordoned', hostOf('h1', { traits: { cordoned: 'new disks' } }), [], 'cordoned: new disks'],
    [
      'with too few vCPUs left',
      hostOf('h1', { memoryFreeMiB, capacity: { cpus: 1 } }),
      fill(2),
      'a VM needs 4 vCPUs, 2 of 4 are left',
    ],
    [
      'with too little memory left',
      hostOf('h1', { memoryFreeMiB }),
      fill(4, { flavor: { ...SMALL, memoryMiB: 4000 } }),
      'a VM needs 4096 MiB, 384 of 16384 MiB are left',
    ],
    [
      'with too little disk left',
      hostOf('h1', { memoryFreeMiB }),
      fill(9, { flavor: { ...SMALL, diskGiB: 10 } }),
      'a VM needs 20 GiB of disk, 10 of 100 GiB are left',
    ],
    [
      'that uses its memory otherwise',
      hostOf('h1', { memoryFreeMiB: 1000 }),
      [],
      "a VM needs 4096 MiB, 1000 MiB of the host's memory are really free",
    ],
    [
      'whose memory is about to be used',
      hostOf('h1', { memoryFreeMiB: 5000 }),
      [viewOf(1, { record: { phase: 'launching', flavor: { ...SMALL, memoryMiB: 1000 } } })],
      "a VM needs 4096 MiB, 4000 MiB of the host's memory are really free",
    ],
    [
      'whose pool is full',
      hostOf('h1', { capacity: { diskFreeGiB: 0 } }),
      [],
      'a disk needs some room, 0 GiB of the pool are really free',
    ],
    [
      'without a pool',
      hostOf('h1', { capacity: { diskGiB: 0, diskFreeGiB: 0 } }),
      [],
      'it does not tell a storage pool for the disks',
    ],
    [
      'that tells nothing',
      hostOf('h1', { capacity: { cpus: 0, memoryMiB: 0, diskGiB: 0 } }),
      [],
      'it does not tell how many CPUs it has, how much memory it has, a storage pool for the disks',
    ],
  ])('one %s', (_name, host, vms, reason) => {
    expect(reasons(roomsWith([host], vms), { need })).toEqual({ h1: reason });
  });

  it.each<[string, PlacementRules, string]>([
    ['another host', { host: 'h2' }, 'host h2 is asked for'],
    ['a label it has not', { labels: { rack: '7' } }, 'it has no label rack; 7 is asked for'],
    ['another value', { labels: { zone: 'b' } }, 'its label zone is a; b is asked for'],
    ['what every object has', { labels: { constructor: 'b' } }, 'it has no label constructor; b is asked for'],
    ['apart', { apart: true }, 'one of the same group or request is there, and they are to be apart'],
    ['with one elsewhere', { withVms: [1, 2] }, 'VM 2, which it shall be with, is on host h2'],
    ['without one here', { withoutVms: [2, 1] }, 'VM 1, which it shall not be with, is there'],
    ['with one that is not', { withVms: [1, 99] }, 'there is no VM 99, which the request names'],
    ['without one that is not', { withoutVms: [99] }, 'there is no VM 99, which the request names'],
  ])('for a rule: %s', (_name, rules, reason) => {
    const hosts = [hostOf('h1', { traits: { labels: { zone: 'a' } } }), hostOf('h2', { state: 'stale' })];
    const vms = [viewOf(1, { record: { group: 'web' } }), viewOf(2, { record: { host: 'h2' } })];
    const rooms = roomsWith(hosts, vms);
    expect(reasons(rooms, { rules, set: 'web' })['h1']).toBe(reason);
    expect(place(rooms, requestOf({ rules, set: 'web' })).hosts).toEqual([]);
  });

  it('and one that fits says what it has', () => {
    const rooms = roomsWith([hostOf('a'), hostOf('b')], [viewOf(1, { record: { host: 'b' } })]);
    expect(reasons(rooms)).toEqual({
      a: 'takes 1 VM (had 0 VMs; free 32 of 32 vCPUs, 16384 of 16384 MiB, 100 of 100 GiB)',
      b: 'fits (1 VM; free 31 of 32 vCPUs, 16256 of 16384 MiB, 100 of 100 GiB), but others come first',
    });
  });
});

describe('an image that is to be brought', () => {
  const need = needOf(SMALL, DEBIAN);
  const there = { image: DEBIAN, flavor: { ...SMALL, diskGiB: 1 } };
  const host = (diskFreeGiB: number) => hostOf('h1', { capacity: { diskFreeGiB } });

  it('needs free room, unless it is there or on its way', () => {
    expect(reasons(roomsWith([host(2)]), { need })['h1']).toBe(
      'its image needs 2 GiB, 2 GiB of the pool are really free',
    );
    expect(place(roomsWith([host(2.5)]), requestOf({ need })).hosts).toEqual(['h1']);
    expect(place(roomsWith([host(0.5)], [viewOf(1, { record: there })]), requestOf({ need })).hosts).toEqual(['h1']);
    const coming = viewOf(1, { record: { ...there, phase: 'launching', step: 'intended' } });
    expect(place(roomsWith([host(2)], [coming]), requestOf({ need })).hosts).toEqual([]);
    expect(place(roomsWith([host(2.5)], [coming, coming]), requestOf({ need })).hosts).toEqual(['h1']);
    const both = roomsWith(
      [host(0.5)],
      [viewOf(1, { record: there }), viewOf(2, { record: { ...there, phase: 'launching', step: 'intended' } })],
    );
    expect(place(both, requestOf({ need })).hosts).toEqual(['h1']);
    const failed = viewOf(1, { record: { ...there, phase: 'removing' } });
    expect(place(roomsWith([host(2)], [failed]), requestOf({ need })).hosts).toEqual([]);
  });

  it('is brought once for all VMs of a request, and of the next', () => {
    const placed = place(roomsWith([host(2.5)]), requestOf({ need, count: 3 }));
    expect(placed.hosts).toEqual(['h1', 'h1', 'h1']);
    expect(placed.rooms.all[0]?.diskFreeGiB).toBe(0.5);
    expect(place(placed.rooms, requestOf({ need, count: 2 })).hosts).toEqual(['h1', 'h1']);
  });
});

describe('several VMs of one request', () => {
  const hosts = [hostOf('a', { memoryFreeMiB: 300 }), hostOf('b', { memoryFreeMiB: 200 })];

  it('get as much as there is', () => {
    const placed = place(roomsWith(hosts), requestOf({ count: 9 }));
    expect(placed.hosts).toEqual(['a', 'b', 'a']);
    expect(placed.rooms.all.map(({ memoryFreeMiB }) => memoryFreeMiB)).toEqual([44, 72]);
  });

  it('or all, or nothing', () => {
    const rooms = roomsWith(hosts);
    const four = place(rooms, requestOf({ count: 4, allOrNothing: true }));
    expect(four).toMatchObject({ hosts: [], tried: ['a', 'b', 'a'] });
    expect(four.rooms).toBe(rooms);
    expect(reasons(rooms, { count: 4, allOrNothing: true })['a']).toMatch(
      /^could take 2 VMs of 4, but all or none are asked for \(0 VMs; free /,
    );
    expect(place(rooms, requestOf({ count: 3, allOrNothing: true })).hosts).toHaveLength(3);
  });

  it('are apart from each other, too', () => {
    const many = ['a', 'b', 'c'].map((name) => hostOf(name));
    const apart = requestOf({ count: 5, rules: { apart: true } });
    expect(place(roomsWith(many), apart).hosts).toEqual(['a', 'b', 'c']);
    expect(place(place(roomsWith(many), apart).rooms, { ...apart, set: 'op-2' }).hosts).toEqual(['a', 'b', 'c']);
  });

  it('none is none', () => {
    const rooms = roomsWith(hosts);
    expect(place(rooms, requestOf({ count: 0, allOrNothing: true }))).toMatchObject({
      hosts: [],
      algorithm: 'least-loaded',
    });
    expect(place(roomsWith([]), requestOf()).hosts).toEqual([]);
  });
});

describe('whether any host could ever hold it', () => {
  const huge = needOf({ ...SMALL, vcpus: 33 });
  const ask = (hosts: readonly HostView[], rules: PlacementRules = {}, need = huge) =>
    couldEverHold(hosts, { need, rules });

  it('looks at hosts as if they were empty, up and not cordoned', () => {
    const full = Array.from({ length: 40 }, (_, i) => domainOf(i + 1));
    expect(ask([hostOf('h1', { domains: full, memoryFreeMiB: 0 })], {}, needOf(SMALL))).toBeUndefined();
    expect(ask([hostOf('h1', { state: 'stale', traits: { cordoned: 'x' } })], {}, needOf(SMALL))).toBeUndefined();
  });

  it('says of each why not', () => {
    const hosts = [hostOf('h1'), hostOf('h2', { state: 'down', traits: { index: 1, labels: { zone: 'b' } } })];
    expect(ask(hosts, { labels: { zone: 'a' } })).toEqual([
      { name: 'h1', chosen: false, text: 'it has no label zone; a is asked for' },
      { name: 'h2', chosen: false, text: 'its label zone is b; a is asked for' },
    ]);
    expect(ask([hostOf('h1')])).toEqual([{ name: 'h1', chosen: false, text: 'a VM needs 33 vCPUs, 32 are left' }]);
    expect(ask([hostOf('h1')], { host: 'h7' })?.[0]?.text).toBe('host h7 is asked for');
    expect(ask([])).toEqual([]);
    expect(ask([hostOf('h1')], {}, needOf({ ...SMALL, memoryMiB: 16_385 }))).toHaveLength(1);
    expect(
      ask(
        [hostOf('h1')],
        {},
        needOf(SMALL, { ...DEBIAN, content: { sha256: 'f', fileBytes: 100 * GIB, virtualBytes: 1 } }),
      ),
    ).toHaveLength(1);
  });

  it('counts a host that never answered, or does not tell what it has, as possible', () => {
    expect(ask([hostOf('h1'), hostOf('h2', { state: 'down' })])).toBeUndefined();
    expect(ask([hostOf('h1'), hostOf('h2', { capacity: { cpus: 0 } })])).toBeUndefined();
  });

  it('tells no more than it is asked to', () => {
    const hosts = Array.from({ length: 60 }, (_, i) => hostOf(`h${i}`, { traits: { index: i } }));
    const told = couldEverHold(hosts, { need: huge, rules: {} }, 50);
    expect(told).toHaveLength(51);
    expect(told?.at(-1)).toEqual({ name: 'and 10 more', chosen: false, text: 'too few vCPUs left (10)' });
  });
});

describe('rooms', () => {
  it('are in the order of the configuration whatever order the hosts come in, and carry what the snapshot says', () => {
    const hosts = [hostOf('z', { traits: { index: 0 } }), hostOf('a', { traits: { index: 1 } })];
    const rooms = roomsOf(snapshotOf({ atMs: NOW_MS, hosts: hosts.toReversed(), placement: 'spread', lastHost: 'a' }));
    expect(rooms.all.map(({ host, index }) => [host, index])).toEqual([
      ['z', 0],
      ['a', 1],
    ]);
    expect(rooms).toMatchObject({ placement: 'spread', lastHost: 'a' });
  });
});
