// What holds for every fleet, request and algorithm, however odd; and the comparison with an oracle written differently.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostView } from '../../src/core/model.ts';
import { couldEverHold, explain, needOf, type PlaceRequest, place, roomsOf } from '../../src/core/placement/place.ts';
import type { Placement } from '../../src/core/placement/placement.ts';
import { BUILT_IN, PLACEMENT_NAMES, type Placements } from '../../src/core/placement/registry.ts';
import type { Rooms } from '../../src/core/placement/rooms.ts';
import { anyFlavor, anyFleet, anyRequest, type Fleet } from './any-fleet.ts';
import { hostOf } from './builders.ts';
import { oracle } from './placement-oracle.ts';

function always(check: (fleet: Fleet, rooms: Rooms, request: PlaceRequest) => void, numRuns = 1000): void {
  fc.assert(
    fc.property(anyFleet, anyRequest, (fleet, request) => check(fleet, roomsOf(fleet.snapshot), request)),
    { numRuns },
  );
}

/** What no placement may ever do to a host. */
function expectSound(before: Rooms, after: Rooms): void {
  for (const [index, room] of after.all.entries()) {
    const old = before.all[index];
    const taken = room.vms.length - (old?.vms.length ?? 0);
    if (taken === 0) {
      expect(room).toEqual(old);
      continue;
    }
    expect(room.closed).toBeUndefined();
    expect(room.unknown).toBeUndefined();
    expect(room.promised.vcpus).toBeLessThanOrEqual(room.total.vcpus);
    expect(room.promised.memoryMiB).toBeLessThanOrEqual(room.total.memoryMiB);
    expect(room.promised.diskGiB).toBeLessThanOrEqual(room.total.diskGiB);
    expect(room.memoryFreeMiB).toBeGreaterThanOrEqual(0);
    expect(room.diskFreeGiB).toBeGreaterThan(0);
  }
}

describe('placing', () => {
  it('does what the oracle does', () => {
    let placedAny = 0;
    always(({ snapshot, things }, rooms, request) => {
      const { hosts } = place(rooms, request);
      placedAny += hosts.length > 0 ? 1 : 0;
      expect(hosts).toEqual(oracle(snapshot.hosts, things, request, snapshot.lastHost));
    }, 4000);
    // Were everything refused, the comparison would prove nothing.
    expect(placedAny).toBeGreaterThan(1000);
  });

  it('never promises more than there is, nor anything of a host that is closed', () => {
    always((_fleet, rooms, request) => expectSound(rooms, place(rooms, request).rooms));
  });

  it('takes exactly what it gives', () => {
    always((_fleet, rooms, request) => {
      const { hosts, rooms: after } = place(rooms, request);
      for (const { host, index, promised, vms } of after.all) {
        const taken = hosts.filter((name) => name === host).length;
        const before = rooms.all[index];
        expect(vms.length - (before?.vms.length ?? 0)).toBe(taken);
        for (const part of ['vcpus', 'memoryMiB', 'diskGiB'] as const) {
          expect(promised[part]).toBe((before?.promised[part] ?? 0) + taken * request.need[part]);
        }
      }
      expect(after.lastHost).toBe(hosts.at(-1) ?? rooms.lastHost);
    });
  });

  it('holds to the rules', () => {
    always(({ things }, rooms, request) => {
      const { host: only, labels, apart, withVms = [], withoutVms = [] } = request.rules;
      const { hosts } = place(rooms, request);
      for (const host of hosts) {
        if (only !== undefined) expect(host).toBe(only);
        if (labels !== undefined) expect(rooms.all.find((room) => room.host === host)?.labels).toMatchObject(labels);
        const ids = things.flatMap((thing) => (thing.host === host ? [thing.id] : []));
        expect(withVms.filter((id) => !ids.includes(id))).toEqual([]);
        expect(withoutVms.filter((id) => ids.includes(id))).toEqual([]);
        if (apart === true)
          expect(things.some((thing) => thing.host === host && thing.set === request.set)).toBe(false);
      }
      if (apart === true) expect(new Set(hosts).size).toBe(hosts.length);
    });
  });

  it('is all or nothing when that is asked for, and else as many as possible', () => {
    always((_fleet, rooms, request) => {
      const many = place(rooms, { ...request, allOrNothing: false });
      const all = place(rooms, { ...request, allOrNothing: true });
      if (many.hosts.length === request.count) expect(all).toEqual(many);
      else {
        expect(all).toMatchObject({ hosts: [], tried: many.hosts });
        expect(all.rooms).toBe(rooms);
      }
      if (many.hosts.length < request.count && many.refused === undefined) {
        expect(place(many.rooms, { ...request, count: 1 }).hosts).toEqual([]);
      }
    });
  });

  it('is the same for several at once and one after the other', () => {
    always((_fleet, rooms, request) => {
      const atOnce = place(rooms, { ...request, allOrNothing: false });
      const hosts: string[] = [];
      let left = rooms;
      for (let i = 0; i < request.count; i += 1) {
        const placed = place(left, { ...request, count: 1 });
        hosts.push(...placed.hosts);
        left = placed.rooms;
      }
      expect(hosts).toEqual(atOnce.hosts);
      expect(left).toEqual(atOnce.rooms);
    });
  });

  it('is the same for the same, whatever order hosts and VMs come in, and changes nothing', () => {
    always(({ snapshot }, rooms, request) => {
      const before = structuredClone({ rooms, request });
      const placed = place(rooms, request);
      expect({ rooms, request }).toEqual(before);
      expect(place(rooms, request)).toEqual(placed);
      const turned = { ...snapshot, hosts: snapshot.hosts.toReversed(), vms: snapshot.vms.toReversed() };
      expect(place(roomsOf(turned), request).hosts).toEqual(placed.hosts);
    });
  });
});

describe('claims', () => {
  it('of whoever comes first add up to the same', () => {
    fc.assert(
      fc.property(anyFleet, fc.array(anyRequest, { maxLength: 4 }), ({ snapshot }, requests) => {
        // Each request on a host of its own choosing fits whatever came before: then the order cannot matter.
        const roomy = snapshot.hosts.map(({ name, traits }) =>
          hostOf(name, {
            ...(traits && { traits: { index: traits.index } }),
            memoryFreeMiB: 1e9,
            capacity: { cpus: 1e6, memoryMiB: 1e9, diskGiB: 1e6, diskFreeGiB: 1e6 },
          }),
        );
        const rooms = roomsOf({ ...snapshot, hosts: roomy });
        const pinned = requests.map((request, index) => ({ ...request, rules: { host: `h${index % 5}` } }));
        const outcome = (order: readonly PlaceRequest[]) =>
          order
            .reduce((left, request) => place(left, request).rooms, rooms)
            .all.map(({ promised, memoryFreeMiB, diskFreeGiB, vms }) => ({
              promised,
              memoryFreeMiB,
              diskFreeGiB,
              vms: vms.length,
            }));
        expect(outcome(pinned.toReversed())).toEqual(outcome(pinned));
      }),
    );
  });

  it('of a hundred creates in a row never overbook a host', () => {
    fc.assert(
      fc.property(anyFleet, fc.array(anyRequest, { minLength: 100, maxLength: 100 }), ({ snapshot }, requests) => {
        const rooms = roomsOf(snapshot);
        const after = requests.reduce((left, request) => place(left, request).rooms, rooms);
        expectSound(rooms, after);
      }),
      { numRuns: 100 },
    );
  });

  it('fill a fleet to the last VM and no further', () => {
    fc.assert(
      fc.property(fc.constantFrom(...PLACEMENT_NAMES), anyFleet, anyFlavor, (algorithm, { snapshot }, flavor) => {
        const rooms = roomsOf(snapshot);
        const request = { need: needOf(flavor), count: 1000, set: 'op-9', rules: { algorithm }, allOrNothing: false };
        const { hosts, rooms: after, refused } = place(rooms, request);
        expectSound(rooms, after);
        expect(hosts.length).toBeLessThan(1000);
        if (refused === undefined) expect(place(after, { ...request, rules: {} }).hosts).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

describe('every algorithm', () => {
  it('answers one of the candidates, or refuses them all', () => {
    const asked = new Map([...BUILT_IN].map(([name, placement]) => [name, watched(placement)]));
    always((_fleet, rooms, request) => {
      expect(place(rooms, request, asked)).toEqual(place(rooms, request));
    });
  });

  it('of a user, however wild, overbooks nothing', () => {
    const wild: Placement = {
      choose: (candidates, { need }) => {
        const at = (need.memoryMiB + candidates.length * 7) % (candidates.length + 2);
        return { host: candidates[at]?.host ?? 'nowhere' };
      },
    };
    const placements: Placements = new Map([['wild', wild]]);
    always((_fleet, rooms, request) => {
      const placed = place(rooms, { ...request, rules: { ...request.rules, algorithm: 'wild' } }, placements);
      expectSound(rooms, placed.rooms);
      expect(placed.algorithm).toBe(placed.fallback === undefined ? 'wild' : 'least-loaded');
    });
  });

  /** Checks what the contract asks of both sides. */
  function watched(placement: Placement): Placement {
    return {
      choose(candidates, context) {
        expect(candidates.length).toBeGreaterThan(0);
        expect(candidates.map(({ index }) => index)).toEqual(
          candidates.map(({ index }) => index).sort((a, b) => a - b),
        );
        const chosen = placement.choose(candidates, context);
        const names = candidates.map(({ host }) => host);
        if ('host' in chosen) expect(names).toContain(chosen.host);
        else expect([...chosen.refused.keys()]).toEqual(names);
        return chosen;
      },
    };
  }
});

describe('the explanation', () => {
  it('has every host once, with a reason, those that take VMs first', () => {
    always((_fleet, rooms, request) => {
      const placed = place(rooms, request);
      const choices = explain(rooms, request, placed);
      expect(choices.map(({ name }) => name).sort()).toEqual(rooms.all.map(({ host }) => host).sort());
      const chosen = choices.filter((choice) => choice.chosen).map(({ name }) => name);
      expect(new Set(chosen)).toEqual(new Set(placed.hosts));
      expect(choices.slice(0, chosen.length).map(({ name }) => name)).toEqual(chosen);
      for (const { text } of choices) {
        expect(text).toMatch(/^\S.*\S$/);
        expect(text).not.toMatch(/undefined|NaN|Infinity|null|\d\.\d\d/);
      }
      // Only what fits may come second.
      if (placed.hosts.length < request.count && placed.refused === undefined) {
        expect(choices.filter(({ text }) => text.includes('others come first'))).toEqual([]);
      }
    });
  });

  it('is as long as it may be, and counts the rest', () => {
    always((_fleet, rooms, request) => {
      const placed = place(rooms, request);
      const [all, some] = [explain(rooms, request, placed), explain(rooms, request, placed, 2)];
      expect(some.slice(0, 2)).toEqual(all.slice(0, 2));
      if (all.length > 2) expect(some[2]?.name).toBe(`and ${all.length - 2} more`);
      expect(some).toHaveLength(Math.min(all.length, 3));
    }, 200);
  });
});

describe('whether any host could ever hold it', () => {
  it('is never denied of what can be placed', () => {
    always(({ snapshot }, rooms, request) => {
      const never = couldEverHold(snapshot.hosts, request);
      if (place(rooms, { ...request, count: 1 }).hosts.length > 0) expect(never).toBeUndefined();
      if (never !== undefined) expect(never).toHaveLength(snapshot.hosts.length);
    });
  });

  it('is what placing on the empty fleet says', () => {
    always(({ snapshot }, _rooms, request) => {
      const empty = snapshot.hosts.map(({ name, last, traits }): HostView => {
        const { cordoned: _cordoned, ...kept } = traits ?? {};
        const capacity = {
          ...last?.capacity,
          memoryFreeMiB: last?.capacity.memoryMiB,
          diskFreeGiB: last?.capacity.diskGiB,
        };
        return hostOf(name, { capacity: Object.fromEntries(Object.entries(capacity)), traits: kept });
      });
      const asked = snapshot.hosts.map(({ last, traits, name }) =>
        last === undefined || unknown(last.capacity) ? { name, traits } : undefined,
      );
      const { host, labels } = request.rules;
      const rules = { ...(host !== undefined && { host }), ...(labels !== undefined && { labels }) };
      const mayBe = asked.some(
        (one) =>
          one !== undefined &&
          (host === undefined || host === one.name) &&
          Object.entries(labels ?? {}).every(([key, value]) => one.traits?.labels[key] === value),
      );
      const fits = place(roomsOf({ atMs: 0, hosts: empty, vms: [] }), { ...request, count: 1, rules }).hosts.length > 0;
      const known = couldEverHold(snapshot.hosts, request) === undefined;
      if (mayBe) expect(known).toBe(true);
      else expect(known).toBe(fits);
    });
  });

  function unknown({ cpus, memoryMiB, diskGiB }: { cpus: number; memoryMiB: number; diskGiB: number }): boolean {
    return cpus === 0 || memoryMiB === 0 || diskGiB === 0;
  }
});
