import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leastLoaded } from '../../src/core/placement/least-loaded.ts';
import { pickListed } from '../../src/core/placement/listed-domains.ts';
import { type HostRoom, place, type Rooms, roomsOf } from '../../src/core/placement/place.ts';
import { domainOf, hostOf, snapshotOf, uuidOf, viewOf } from './builders.ts';

function rooms(...all: readonly HostRoom[]): Rooms {
  return new Map(all.map((room) => [room.host, room]));
}

function room(host: string, vms: number, memoryFreeMiB: number, closed?: string): HostRoom {
  return { host, vms, memoryFreeMiB, ...(closed !== undefined && { closed }) };
}

describe('least-loaded placement', () => {
  it.each<[string, Rooms, number, readonly string[]]>([
    ['the fewest VMs', rooms(room('a', 3, 9000), room('b', 1, 1000)), 1, ['b']],
    ['then the most memory', rooms(room('a', 1, 1000), room('b', 1, 2000)), 1, ['b']],
    ['then the name', rooms(room('b', 1, 1000), room('a', 1, 1000)), 1, ['a']],
    ['spread', rooms(room('a', 0, 9000), room('b', 0, 8000), room('c', 2, 9000)), 5, ['a', 'b', 'a', 'b', 'c']],
    ['only while memory lasts', rooms(room('a', 0, 300), room('b', 0, 200)), 9, ['a', 'b', 'a']],
    ['never on one that is not up', rooms(room('a', 0, 9000, 'not up'), room('b', 9, 200)), 1, ['b']],
  ])('%s', (_name, available, count, hosts) => {
    expect(place(available, count, 128, leastLoaded).hosts).toEqual(hosts);
  });

  it('gives every host a reason', () => {
    const available = rooms(
      room('a', 0, 9000),
      room('b', 5, 9000),
      room('c', 0, 100),
      room('d', 0, 900, 'not up: hung'),
    );
    expect(place(available, 1, 128, leastLoaded).choices).toEqual([
      { name: 'a', chosen: true, text: 'takes 1 VM (had 0 VMs, 9000 MiB free)' },
      { name: 'b', chosen: false, text: 'fits (5 VMs, 9000 MiB free), but others come first' },
      { name: 'c', chosen: false, text: 'a VM needs 128 MiB, 100 MiB are left' },
      { name: 'd', chosen: false, text: 'not up: hung' },
    ]);
  });

  it('never promises more memory than there is, nor a host that is closed', () => {
    const anyRooms = fc.uniqueArray(
      fc.record({
        host: fc.string({ minLength: 1, maxLength: 4 }),
        vms: fc.nat(20),
        memoryFreeMiB: fc.integer({ min: -500, max: 5000 }),
        shut: fc.boolean(),
      }),
      { selector: ({ host }) => host, maxLength: 8 },
    );
    fc.assert(
      fc.property(anyRooms, fc.nat(30), fc.integer({ min: 1, max: 1000 }), (all, count, memoryMiB) => {
        const available = rooms(...all.map(({ shut, ...rest }) => ({ ...rest, ...(shut && { closed: 'x' }) })));
        const placed = place(available, count, memoryMiB, leastLoaded);
        const roomFor = all.map((host) => (host.shut ? 0 : Math.max(0, Math.floor(host.memoryFreeMiB / memoryMiB))));
        const possible = roomFor.reduce((sum, fits) => sum + fits, 0);
        expect(placed.hosts).toHaveLength(Math.min(count, possible));
        for (const [index, { host }] of all.entries()) {
          const given = placed.hosts.filter((name) => name === host).length;
          expect(given).toBeLessThanOrEqual(roomFor[index] ?? 0);
        }
      }),
    );
  });
});

describe('roomsOf', () => {
  it('takes off what VMs being launched will use, of all groups', () => {
    const snapshot = snapshotOf({
      hosts: [hostOf('h1', { memoryFreeMiB: 1000 }), hostOf('h2', { state: 'stale' }), hostOf('h3', { state: 'down' })],
      vms: [
        viewOf(1, { record: { phase: 'launching' } }),
        viewOf(2, { record: { phase: 'launching', group: 'other' } }),
        viewOf(3),
        viewOf(4, { record: { phase: 'removing' } }),
      ],
    });
    expect([...roomsOf(snapshot).values()]).toEqual([
      { host: 'h1', vms: 4, memoryFreeMiB: 1000 - 2 * 128 },
      { host: 'h2', vms: 0, memoryFreeMiB: 8192, closed: 'not up: no answer' },
      { host: 'h3', vms: 0, memoryFreeMiB: 0, closed: 'not up: no answer' },
    ]);
  });
});

describe('listed domains', () => {
  const stopped = (id: number, name: string) => domainOf(id, { name, state: 'stopped' });
  const hosts = [
    hostOf('h1', { domains: [stopped(1, 'vm1'), stopped(2, 'vm2'), domainOf(3, { name: 'vm3' })] }),
    hostOf('h2', { state: 'stale', domains: [stopped(4, 'vm4')] }),
  ];
  const listed = ['vm4', 'vm3', 'vm2', 'vm1', 'vm5'].map((name) => ({ name }));

  it('start in the order of the list, when stopped, free and on a host that is up', () => {
    const picked = pickListed(snapshotOf({ hosts }), listed, 5, new Set([uuidOf(1)]));
    expect(picked.domains).toEqual([{ host: 'h1', name: 'vm2', uuid: uuidOf(2) }]);
    expect(picked.choices).toEqual([
      { name: 'vm4', chosen: false, text: 'no host that answers has a domain of this name' },
      { name: 'vm3', chosen: false, text: 'runs already' },
      { name: 'vm2', chosen: true, text: 'started on host h1' },
      { name: 'vm1', chosen: false, text: 'in use already' },
      { name: 'vm5', chosen: false, text: 'no host that answers has a domain of this name' },
    ]);
  });

  it('are not looked at beyond what is needed', () => {
    const picked = pickListed(
      snapshotOf({ hosts }),
      [{ name: 'vm2', address: '10.0.0.2' }, { name: 'vm1' }],
      1,
      new Set(),
    );
    expect(picked.domains).toEqual([{ host: 'h1', name: 'vm2', uuid: uuidOf(2), address: '10.0.0.2' }]);
    expect(picked.choices).toHaveLength(1);
  });

  it('are never VMs that virtscale made, whatever their name', () => {
    const metadata = { id: 9, group: 'db', owner: 'policy', operation: 'op', image: 'backend', flavor: 'small' };
    const made = hostOf('h1', { domains: [{ ...stopped(1, 'vm1'), metadata }] });
    const picked = pickListed(snapshotOf({ hosts: [made] }), [{ name: 'vm1' }], 1, new Set());
    expect(picked.domains).toEqual([]);
    expect(picked.choices[0]?.text).toContain('group db');
  });

  it('with one name on two hosts: the first that can be started', () => {
    const both = [
      hostOf('h1', { domains: [domainOf(1, { name: 'vm1' })] }),
      hostOf('h2', { domains: [stopped(2, 'vm1')] }),
    ];
    expect(pickListed(snapshotOf({ hosts: both }), [{ name: 'vm1' }], 1, new Set()).domains).toEqual([
      { host: 'h2', name: 'vm1', uuid: uuidOf(2) },
    ]);
  });
});
