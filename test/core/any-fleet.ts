// Fleets, requests and rules of every kind for fast-check: hosts that are down, full, cordoned or tell nothing among ordinary ones.
// Not here: expectations.

import fc from 'fast-check';
import type {
  Flavor,
  HostCapacity,
  HostTraits,
  HostView,
  Image,
  PlacementRules,
  Snapshot,
  VmPhase,
  VmStep,
  VmView,
} from '../../src/core/model.ts';
import { needOf, type PlaceRequest } from '../../src/core/placement/place.ts';
import { PLACEMENT_NAMES } from '../../src/core/placement/registry.ts';
import { domainOf, hostOf, NOW_MS, viewOf } from './builders.ts';
import type { Thing } from './placement-oracle.ts';

const GIB = 1024 ** 3;
const HOSTS = ['h0', 'h1', 'h2', 'h3', 'h4'];

const IMAGES: readonly (Image | undefined)[] = [
  undefined,
  { name: 'own', format: 'raw', path: '/own.raw' },
  { name: 'tiny', format: 'qcow2', content: { sha256: 'a', fileBytes: GIB / 2, virtualBytes: 3 * GIB } },
  { name: 'fat', format: 'qcow2', content: { sha256: 'b', fileBytes: 3 * GIB, virtualBytes: 1.3 * GIB } },
];

export const anyFlavor: fc.Arbitrary<Flavor> = fc
  .record({
    vcpus: fc.integer({ min: 1, max: 6 }),
    memoryMiB: fc.constantFrom(128, 500, 1024, 3000),
    diskGiB: fc.constantFrom(undefined, 1, 5, 20),
  })
  .map(({ diskGiB, ...rest }) => ({ name: 'any', ...rest, ...(diskGiB !== undefined && { diskGiB }) }));

const anyImage = fc.constantFrom(...IMAGES);

interface RawHost {
  readonly state: HostView['state'];
  readonly capacity: Omit<HostCapacity, 'cpuRatio'>;
  readonly cpuRatio: number | undefined;
  readonly overcommit: HostTraits['overcommit'];
  readonly reserved: HostTraits['reserved'];
  readonly zone: string | undefined;
  readonly cordoned: string | undefined;
  /** Others' domains on it that run. */
  readonly strangers: number;
}

const anyHost: fc.Arbitrary<RawHost> = fc.record({
  state: fc.constantFrom<HostView['state']>('up', 'up', 'up', 'up', 'up', 'stale', 'down'),
  capacity: fc.record({
    cpus: fc.constantFrom(0, 2, 4, 7),
    memoryMiB: fc.constantFrom(0, 2048, 4096, 9000),
    memoryFreeMiB: fc.constantFrom(100, 2000, 4000, 9000),
    diskGiB: fc.constantFrom(0, 10, 40.5, 100),
    diskFreeGiB: fc.constantFrom(0, 0.7, 4, 100),
  }),
  cpuRatio: fc.constantFrom(undefined, 0, 0.4, 0.8, 0.95),
  overcommit: fc.record({
    cpus: fc.constantFrom(1, 4, 1.1),
    memory: fc.constantFrom(1, 1.5),
    disk: fc.constantFrom(1, 0.7),
  }),
  reserved: fc.record({
    vcpus: fc.constantFrom(0, 0.5),
    memoryMiB: fc.constantFrom(0, 512),
    diskGiB: fc.constantFrom(0, 3),
  }),
  zone: fc.constantFrom('a', 'b', undefined),
  cordoned: fc.constantFrom(undefined, undefined, undefined, undefined, 'new disks'),
  strangers: fc.nat(2),
});

/** A host without any quirk, so that not everything is refused all the time. */
const plainHost: fc.Arbitrary<RawHost> = fc
  .record({ cpuRatio: fc.constantFrom(undefined, 0.1), zone: fc.constantFrom('a', 'b'), cpus: fc.constantFrom(2, 4) })
  .map(({ cpus, ...rest }) => ({
    state: 'up',
    capacity: { cpus, memoryMiB: 4096, memoryFreeMiB: 4000, diskGiB: 40, diskFreeGiB: 30 },
    overcommit: { cpus: 4, memory: 1, disk: 1 },
    reserved: { vcpus: 0, memoryMiB: 0, diskGiB: 0 },
    cordoned: undefined,
    strangers: 0,
    ...rest,
  }));

const anyVm = fc.record({
  host: fc.constantFrom(...HOSTS, 'gone'),
  phase: fc.constantFrom<VmPhase>('launching', 'in-service', 'in-service', 'draining', 'removing'),
  step: fc.constantFrom<VmStep>('intended', 'disk-made', 'started'),
  /** In which group or request; the first two are groups. */
  set: fc.constantFrom('web', 'db', 'op-1', 'op-2'),
  flavor: anyFlavor,
  image: anyImage,
});

/** One of the values, one time in six. */
function rarely<T>(...values: readonly T[]): fc.Arbitrary<T | undefined> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(...values) },
  );
}

const anyRules: fc.Arbitrary<PlacementRules> = fc
  .record({
    algorithm: fc.constantFrom(...PLACEMENT_NAMES),
    host: rarely('h1', 'h9'),
    labels: rarely({ zone: 'a' }),
    apart: rarely(true),
    withVms: rarely([1], [1, 2]),
    withoutVms: rarely([1], [2, 3]),
  })
  .map((raw) => {
    const given = Object.fromEntries(Object.entries(raw).filter(([, value]) => value !== undefined));
    return given satisfies PlacementRules;
  });

export const anyRequest: fc.Arbitrary<PlaceRequest> = fc
  .record({
    flavor: anyFlavor,
    image: anyImage,
    count: fc.nat(8),
    set: fc.constantFrom('web', 'op-1', 'op-9'),
    rules: anyRules,
    allOrNothing: fc.boolean(),
  })
  .map(({ flavor, image, ...rest }) => ({ need: needOf(flavor, image), ...rest }));

export interface Fleet {
  readonly snapshot: Snapshot;
  /** The same for the oracle. */
  readonly things: readonly Thing[];
}

export const anyFleet: fc.Arbitrary<Fleet> = fc
  .record({
    hosts: fc.array(fc.oneof(anyHost, plainHost, plainHost), { minLength: 1, maxLength: HOSTS.length }),
    vms: fc.array(anyVm, { maxLength: 10 }),
    lastHost: fc.constantFrom(undefined, 'h0', 'h2', 'gone'),
  })
  .map(({ hosts, vms, lastHost }) => {
    const things: Thing[] = [];
    const views = hosts.map(({ cpuRatio, zone, cordoned, strangers, ...raw }, index) => {
      const name = `h${index}`;
      const domains = Array.from({ length: strangers }, (_, i) =>
        domainOf(1000 + index * 10 + i, { vcpus: 2, memoryMiB: 300 }),
      );
      if (raw.state !== 'down') {
        for (const _ of domains) things.push({ host: name, vcpus: 2, memoryMiB: 300, diskGiB: 0 });
      }
      return hostOf(name, {
        state: raw.state,
        capacity: { ...raw.capacity, ...(cpuRatio !== undefined && { cpuRatio }) },
        traits: {
          index,
          overcommit: raw.overcommit,
          reserved: raw.reserved,
          labels: zone === undefined ? {} : { zone },
          ...(cordoned !== undefined && { cordoned }),
        },
        domains,
      });
    });
    const records = vms.map(({ set, image, ...over }, index): VmView => {
      const id = index + 1;
      const { vcpus, memoryMiB, diskGiB } = needOf(over.flavor, image);
      const content = image?.content === undefined ? {} : { image: image.content };
      const { host, phase, step } = over;
      // A VM on a host that is no more is on no host: nobody can be with it.
      if (views.some(({ name }) => name === host)) {
        things.push({ host, id, set, vcpus, memoryMiB, diskGiB, phase, step, ...content });
      }
      const { group: _group, image: _image, ...record } = viewOf(id, { record: over }).record;
      const member = set.startsWith('op-') ? { operation: set } : { operation: 'other', group: set };
      return { fresh: true, record: { ...record, ...member, ...(image !== undefined && { image }) } };
    });
    return {
      snapshot: { atMs: NOW_MS, hosts: views, vms: records, ...(lastHost !== undefined && { lastHost }) },
      things,
    };
  });
