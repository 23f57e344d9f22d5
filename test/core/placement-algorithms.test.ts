// What each placement algorithm chooses, by example. What always holds: placement.property.test.ts.

import { describe, expect, it } from 'vitest';
import type { HostView, VmView } from '../../src/core/model.ts';
import { explain, needOf, type PlaceRequest, place, type Rooms, roomsOf } from '../../src/core/placement/place.ts';
import { hostOf, SMALL, snapshotOf, viewOf } from './builders.ts';

function requestOf(over: Partial<PlaceRequest> = {}): PlaceRequest {
  return { need: needOf(SMALL), count: 1, set: 'op-1', rules: {}, allOrNothing: false, ...over };
}

function roomsWith(hosts: readonly HostView[], vms: readonly VmView[] = [], lastHost?: string): Rooms {
  return roomsOf(snapshotOf({ hosts, vms, ...(lastHost !== undefined && { lastHost }) }));
}

describe('algorithms', () => {
  const hosts = ['a', 'b', 'c'].map((name, index) => hostOf(name, { traits: { index } }));
  const on = (...names: readonly string[]) => names.map((host, i) => viewOf(i + 1, { record: { host, group: 'db' } }));
  const chosen = (algorithm: string, rooms: Rooms, count = 1, set = 'op-1') =>
    place(rooms, requestOf({ count, set, rules: { algorithm } })).hosts;

  it.each<[string, Rooms, number, readonly string[]]>([
    ['least-loaded', roomsWith(hosts, on('a', 'a', 'b')), 4, ['c', 'b', 'c', 'a']],
    ['first-fit', roomsWith(hosts, on('a', 'a', 'b')), 2, ['a', 'a']],
    ['first-fit', roomsWith([hostOf('a', { memoryFreeMiB: 130 }), hostOf('b')]), 3, ['a', 'b', 'b']],
    ['round-robin', roomsWith(hosts), 4, ['a', 'b', 'c', 'a']],
    ['round-robin', roomsWith(hosts, [], 'b'), 4, ['c', 'a', 'b', 'c']],
    ['round-robin', roomsWith(hosts, [], 'gone'), 2, ['a', 'b']],
    [
      'round-robin',
      roomsWith([...hosts.slice(0, 2), hostOf('c', { state: 'stale', traits: { index: 2 } })], [], 'c'),
      2,
      ['a', 'b'],
    ],
    ['fifo', roomsWith(hosts, on('a', 'b')), 2, ['c', 'a']],
    ['fifo', roomsWith(hosts, [], 'a'), 4, ['b', 'c', 'a', 'b']],
    ['fifo', roomsWith(hosts, on('b', 'b'), 'a'), 4, ['c', 'a', 'c', 'a']],
    ['spread', roomsWith(hosts, on('a', 'b', 'b')), 3, ['c', 'a', 'b']],
  ])('%s (example %#)', (algorithm, rooms, count, expected) => {
    expect(chosen(algorithm, rooms, count)).toEqual(expected);
  });

  it('least-loaded goes by memory that is not promised where the VMs are as many, and then by order', () => {
    const sized = [1000, 3000, 3000].map((memoryMiB, index) =>
      hostOf(`h${index}`, { memoryFreeMiB: 900, capacity: { memoryMiB }, traits: { index } }),
    );
    expect(chosen('least-loaded', roomsWith(sized), 3)).toEqual(['h1', 'h2', 'h0']);
  });

  it('first-fit follows the configuration, not the names or the order of the answers', () => {
    const turned = [hostOf('a', { traits: { index: 1 } }), hostOf('b', { traits: { index: 0 } })];
    expect(chosen('first-fit', roomsWith(turned))).toEqual(['b']);
    expect(chosen('first-fit', roomsWith([hostOf('b'), hostOf('a')]))).toEqual(['a']);
  });

  it('spread looks at the group first: a crowded host is better than one more of the same', () => {
    const vms = [
      ...on('a', 'a', 'a'),
      viewOf(8, { record: { host: 'b', group: 'web' } }),
      viewOf(9, { record: { host: 'c', group: 'web' } }),
    ];
    expect(chosen('spread', roomsWith(hosts, vms), 2, 'web')).toEqual(['a', 'b']);
    expect(chosen('least-loaded', roomsWith(hosts, vms), 2, 'web')).toEqual(['b', 'c']);
  });

  it('best-fit takes the host that has the least left over', () => {
    const sized = [64, 8, 16].map((gib, index) =>
      hostOf(`h${index}`, {
        memoryFreeMiB: 4096,
        capacity: { cpus: gib, memoryMiB: gib * 1024, diskGiB: gib * 10 },
        traits: { index },
      }),
    );
    const half = viewOf(1, {
      record: { host: 'h0', flavor: { name: 'x', vcpus: 250, memoryMiB: 64_000, diskGiB: 630 } },
    });
    expect(chosen('best-fit', roomsWith(sized))).toEqual(['h1']);
    expect(chosen('best-fit', roomsWith(sized, [half]))).toEqual(['h0']);
  });

  it('threshold leaves busy hosts alone, and refuses all with their load', () => {
    const at = (cpuRatio: number | undefined, index: number) =>
      hostOf(`h${index}`, { capacity: cpuRatio === undefined ? {} : { cpuRatio }, traits: { index } });
    const some = roomsWith([at(0.81, 0), at(0.8, 1), at(0.1, 2)], [viewOf(1, { record: { host: 'h2' } })]);
    expect(chosen('threshold', some, 3)).toEqual(['h1', 'h1', 'h2']);
    const full = { name: 'x', vcpus: 1, memoryMiB: 128, diskGiB: 90 };
    const busy = roomsWith([at(0.912, 0), at(undefined, 1)], [viewOf(1, { record: { host: 'h1', flavor: full } })]);
    const request = requestOf({ rules: { algorithm: 'threshold' } });
    const choices = explain(busy, request, place(busy, request));
    expect(Object.fromEntries(choices.map(({ name, text }) => [name, text]))).toEqual({
      h0: '91.2 % of its CPUs is in use, above the threshold of 80 %',
      h1: '90 % is promised, above the threshold of 80 %',
    });
  });

  it('are those of the request, else of the configuration', () => {
    const rooms = roomsOf(snapshotOf({ hosts, placement: 'first-fit' }));
    expect(place(rooms, requestOf({ count: 2 }))).toMatchObject({ hosts: ['a', 'a'], algorithm: 'first-fit' });
    const own = requestOf({ count: 2, rules: { algorithm: 'spread' } });
    expect(place(rooms, own)).toMatchObject({ hosts: ['a', 'b'], algorithm: 'spread' });
  });

  it('go on where the last request stopped', () => {
    const first = place(roomsWith(hosts), requestOf({ rules: { algorithm: 'round-robin' } }));
    expect(first.rooms.lastHost).toBe('a');
    expect(chosen('round-robin', first.rooms)).toEqual(['b']);
  });
});
