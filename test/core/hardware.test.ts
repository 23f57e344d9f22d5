// The steps of a change of a VM's hardware, on a model of a VM that does as it is told: whatever is wanted comes about, by what is allowed
// and nothing else, and can be undone from any point. Not here: hypervisors (contracts), faults (test/engine/hardware).

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  definedFor,
  flavorAfter,
  flavorDuring,
  growthOf,
  type HardwareChange,
  type HardwareStep,
  type HardwareWish,
  impossible,
  nextHardwareStep,
  restartReasons,
  type Sizes,
  type VmHardware,
  wishText,
} from '../../src/core/hardware.ts';
import { growthProblem } from '../../src/core/hardware-room.ts';
import type { Flavor } from '../../src/core/model.ts';
import type { Room } from '../../src/core/placement/rooms.ts';

const GIB = 1024 ** 3;
const FLAVOR: Flavor = { name: 'f', vcpus: 2, memoryMiB: 512, diskGiB: 2, maxVcpus: 4, maxMemoryMiB: 1024 };
const SIZES: Sizes = { vcpus: 2, maxVcpus: 4, memoryMiB: 512, maxMemoryMiB: 1024 };
const NIC = '52:54:00:00:00:01';
const NEW_NIC = '52:54:00:00:00:02';

const vmOf = (changes: Partial<VmHardware> = {}): VmHardware => ({
  running: true,
  saved: false,
  next: SIZES,
  now: SIZES,
  onlineVcpus: 2,
  diskBytes: 2 * GIB,
  nics: [{ mac: NIC, kind: 'network', now: true, next: true }],
  freeSlots: 1,
  ...changes,
});
const stopped = (): VmHardware => {
  const { now: _now, onlineVcpus: _online, ...off } = vmOf({ running: false, freeSlots: 0 });
  return { ...off, nics: off.nics.map((nic) => ({ ...nic, now: false })) };
};
const changeOf = (wish: HardwareWish, before: VmHardware, fields: Partial<HardwareChange> = {}): HardwareChange => ({
  wish,
  restart: true,
  force: false,
  before: before.next,
  flavor: FLAVOR,
  ...fields,
});

/** What the VM and what is kept of the change become by a step. */
function after(step: HardwareStep, vm: VmHardware, change: HardwareChange): readonly [VmHardware, HardwareChange] {
  const { now } = vm;
  switch (step.do) {
    case 'grow-disk':
      return [{ ...vm, diskBytes: step.bytes }, change];
    case 'grow-file-system':
      return [vm, { ...change, fileSystem: 'grown' }];
    case 'define':
      return [{ ...vm, next: step.sizes }, change];
    case 'set-memory':
      return [{ ...vm, ...(now && { now: { ...now, memoryMiB: step.memoryMiB } }) }, change];
    case 'set-vcpus': {
      const plugged = now && { ...now, vcpus: Math.max(now.vcpus, step.vcpus) };
      return [{ ...vm, ...(plugged && { now: plugged }), onlineVcpus: step.vcpus }, change];
    }
    case 'attach-nic': {
      const others = vm.nics.filter(({ mac }) => mac !== step.mac);
      const has = vm.nics.some(({ mac, now: is }) => mac === step.mac && is);
      const nic = { mac: step.mac, kind: 'user', now: has || step.live, next: true } as const;
      return [{ ...vm, nics: [...others, nic], freeSlots: vm.freeSlots - (step.live && !has ? 1 : 0) }, change];
    }
    case 'detach-nic': {
      const nics = vm.nics.map((nic) =>
        nic.mac === step.mac ? { ...nic, next: false, now: nic.now && !step.live } : nic,
      );
      return [{ ...vm, nics: nics.filter((nic) => nic.now || nic.next) }, change];
    }
    case 'shutdown': {
      const { now: _now, onlineVcpus: _online, ...off } = vm;
      const nics = vm.nics.filter(({ next }) => next).map((nic) => ({ ...nic, now: false }));
      return [
        { ...off, running: false, nics },
        { ...change, restarting: true },
      ];
    }
    case 'start':
      return [
        {
          ...vm,
          running: true,
          now: vm.next,
          onlineVcpus: vm.next.vcpus,
          nics: vm.nics.map((nic) => ({ ...nic, now: nic.next })),
        },
        change,
      ];
  }
}

interface Ran {
  readonly vm: VmHardware;
  readonly change: HardwareChange;
  readonly steps: readonly HardwareStep['do'][];
}

/** To the end, or `most` steps. */
function run(begun: HardwareChange, from: VmHardware, most = 20): Ran {
  let [vm, change] = [from, begun];
  const steps: HardwareStep['do'][] = [];
  while (steps.length < most) {
    const step = nextHardwareStep(change, vm);
    if (step === undefined) return { vm, change, steps };
    steps.push(step.do);
    [vm, change] = after(step, vm, change);
  }
  return { vm, change, steps };
}

const wishes: fc.Arbitrary<HardwareWish> = fc
  .record(
    {
      vcpus: fc.integer({ min: 1, max: 8 }),
      memoryMiB: fc.constantFrom(128, 512, 900, 1024, 4096),
      diskGiB: fc.integer({ min: 2, max: 5 }),
      addNic: fc.constant(NEW_NIC),
    },
    { requiredKeys: [] },
  )
  .map((wish) => wish as HardwareWish);
const vms = fc.oneof(
  fc.constant(stopped()),
  fc.record({ freeSlots: fc.integer({ min: 0, max: 2 }), hasAgent: fc.boolean() }).map(({ freeSlots, hasAgent }) => {
    const { onlineVcpus: _, ...silent } = vmOf({ freeSlots });
    return hasAgent ? vmOf({ freeSlots }) : silent;
  }),
);

describe('the steps of a change', () => {
  it('bring about what is wanted, restarting only where there was a reason to', () => {
    fc.assert(
      fc.property(vms, wishes, (vm, wish) => {
        const done = run(changeOf(wish, vm), vm);
        expect(done.steps.length).toBeLessThan(12);
        const sizes = done.vm.now ?? done.vm.next;
        expect(done.vm.running).toBe(vm.running);
        if (wish.memoryMiB !== undefined)
          expect([sizes.memoryMiB, done.vm.next.memoryMiB]).toEqual([wish.memoryMiB, wish.memoryMiB]);
        if (wish.vcpus !== undefined) {
          expect(done.vm.next.vcpus).toBe(wish.vcpus);
          if (done.vm.running) expect(done.vm.onlineVcpus ?? done.vm.now?.vcpus).toBe(wish.vcpus);
        }
        if (wish.diskGiB !== undefined) expect(done.vm.diskBytes).toBe(wish.diskGiB * GIB);
        if (wish.addNic !== undefined) expect(done.vm.nics.some(({ mac, next }) => mac === NEW_NIC && next)).toBe(true);
        expect(done.steps.includes('shutdown')).toBe(restartReasons(wish, vm).length > 0);
        const { addNic: _, ...amounts } = wish;
        expect(flavorAfter(FLAVOR, wish, done.vm)).toEqual({ ...FLAVOR, ...amounts });
      }),
    );
  });

  it('never take a vCPU from what runs', () => {
    fc.assert(
      fc.property(vms, wishes, (vm, wish) => {
        let [at, change] = [vm, changeOf(wish, vm)];
        for (let step = nextHardwareStep(change, at); step !== undefined; step = nextHardwareStep(change, at)) {
          const before = at.now?.vcpus ?? 0;
          [at, change] = after(step, at, change);
          if (step.do !== 'start' && at.now !== undefined) expect(at.now.vcpus).toBeGreaterThanOrEqual(before);
        }
      }),
    );
  });

  it('can be undone from any point: all but a disk that has grown is as before, and what ran runs', () => {
    fc.assert(
      fc.property(vms, wishes, fc.nat(10), (vm, wish, most) => {
        const half = run(changeOf(wish, vm), vm, most);
        const undone = run({ ...half.change, undoing: 'it failed' }, half.vm);
        expect(undone.steps.length).toBeLessThan(12);
        expect(undone.steps).not.toContain('shutdown');
        expect(undone.vm.next).toEqual(vm.next);
        expect(undone.vm.running).toBe(vm.running);
        expect(undone.vm.nics.some(({ mac, next }) => mac === NEW_NIC && next)).toBe(false);
        if (undone.vm.now !== undefined) expect(undone.vm.now.memoryMiB).toBe(SIZES.memoryMiB);
      }),
    );
  });

  it('leave the headroom of the flavor above what is wanted', () => {
    expect(definedFor({ vcpus: 3 }, SIZES, FLAVOR)).toEqual({ ...SIZES, vcpus: 3 });
    expect(definedFor({ vcpus: 8, memoryMiB: 4096 }, SIZES, FLAVOR)).toEqual({
      vcpus: 8,
      maxVcpus: 8,
      memoryMiB: 4096,
      maxMemoryMiB: 4096,
    });
    expect(definedFor({ memoryMiB: 256 }, SIZES, undefined)).toEqual({ ...SIZES, memoryMiB: 256, maxMemoryMiB: 256 });
  });

  it('take a card away where it can be unplugged, else with a restart', () => {
    expect(run(changeOf({ removeNic: NIC }, vmOf()), vmOf()).steps).toEqual(['detach-nic']);
    const fixed = vmOf({ nics: [{ mac: NIC, kind: 'network', now: true, next: true, fixed: true }] });
    const done = run(changeOf({ removeNic: NIC }, fixed), fixed);
    expect(done.steps).toEqual(['detach-nic', 'shutdown', 'start']);
    expect(done.vm.nics).toEqual([]);
  });
});

describe('what can never be', () => {
  it.each<[HardwareWish, Partial<VmHardware>, RegExp]>([
    [{ vcpus: 1 }, { saved: true, running: false }, /start it first/],
    [{ diskGiB: 1 }, {}, /2 GiB, and a disk is never made smaller/],
    [{ diskGiB: 3 }, { diskBytes: undefined as never }, /no disk/],
    [{ removeNic: NEW_NIC }, {}, /no network card/],
    [{ removeNic: NIC }, { nics: [{ mac: NIC, kind: 'forward', now: true, next: true }] }, /reached by/],
    [{ removeNic: NIC }, { nics: [{ mac: NIC, kind: 'cluster', now: true, next: true }] }, /cluster/],
  ])('%j', (wish, changes, why) => {
    expect(impossible(wish, vmOf(changes))).toMatch(why);
    expect(impossible({ vcpus: 3, diskGiB: 2 }, vmOf())).toBeUndefined();
  });
});

describe('what is promised', () => {
  const room = {
    host: 'h1',
    total: { vcpus: 8, memoryMiB: 4096, diskGiB: 100 },
    promised: { vcpus: 7, memoryMiB: 3072, diskGiB: 10 },
    memoryFreeMiB: 500,
    diskFreeGiB: 50,
  } as Room;

  it('is of each part the larger while it is under way, and what it takes more is what it grows', () => {
    expect(flavorDuring(FLAVOR, { vcpus: 1, memoryMiB: 900 })).toEqual({ ...FLAVOR, memoryMiB: 900 });
    expect(growthOf({ vcpus: 2, memoryMiB: 512, diskGiB: 2 }, { vcpus: 1, memoryMiB: 900, diskGiB: 2 })).toEqual({
      vcpus: 0,
      memoryMiB: 388,
      diskGiB: 0,
    });
  });

  it('must be there, part by part; what does not grow is not looked at', () => {
    const none = { vcpus: 0, memoryMiB: 0, diskGiB: 0 };
    expect(
      growthProblem({ ...room, promised: { vcpus: 9, memoryMiB: 9999, diskGiB: 999 } }, none, true),
    ).toBeUndefined();
    expect(growthProblem(room, { ...none, vcpus: 1 }, true)).toBeUndefined();
    expect(growthProblem(room, { ...none, vcpus: 2 }, true)).toContain('1 of 8 left');
    expect(growthProblem(room, { ...none, memoryMiB: 800 }, true)).toContain('really free');
    expect(growthProblem(room, { ...none, memoryMiB: 800 }, false)).toBeUndefined();
    expect(growthProblem(room, { ...none, diskGiB: 91 }, false)).toContain('GiB of disk');
    expect(growthProblem({ ...room, diskFreeGiB: 0 }, { ...none, diskGiB: 1 }, false)).toContain('full');
  });

  it('is told in words', () => {
    expect(wishText({ vcpus: 1 })).toBe('1 vCPU');
    expect(wishText({ vcpus: 2, memoryMiB: 512, diskGiB: 4 })).toBe('2 vCPUs, 512 MiB of memory and 4 GiB of disk');
  });
});
