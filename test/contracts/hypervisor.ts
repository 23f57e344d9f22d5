// The contract of the Hypervisor port, run against every adapter: what src/ports/hypervisor.ts says, sentence by sentence.
// Not here: how an adapter does it (test/adapters), what the engine makes of it (test/engine, test/sim).

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DomainObservation, Endpoint, Image } from '../../src/core/model.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { Fault, type FaultKind } from '../../src/ports/fault.ts';
import type { Hypervisor, VmSpec } from '../../src/ports/hypervisor.ts';
import type { Prober } from '../../src/ports/prober.ts';
import { describeHypervisorForks, identityOf } from './hypervisor-forks.ts';
import { describeGuestCommands } from './hypervisor-guest-commands.ts';
import { describeHypervisorImages, type ImageWithBytes } from './hypervisor-images.ts';

export interface HypervisorFixture {
  readonly hypervisor: Hypervisor;
  /** Another adapter on the same host, as a daemon has that was started again. */
  open(): Hypervisor;
  readonly prober: Prober;
  readonly clock: Clock;
  /** Runs a test while the fixture's time passes. */
  drive(work: () => Promise<void>): Promise<void>;
  /** They lie on the host: good, absent, not what its format says, and good with a disk of 2 GiB. */
  readonly images: {
    readonly good: Image;
    readonly absent: Image;
    readonly corrupt: Image;
    readonly large: Image;
  };
  /** The bytes of one that guests boot from, to be brought. */
  readonly bootable: ImageWithBytes;
  readonly memoryMiB: number;
  /** Longest a guest may take until it serves, or is off after it was asked to. */
  readonly patienceMs: number;
  /** Forwarded: the endpoint is known from `define` on. */
  readonly forwards: boolean;
  /** A template's guest can be asked while it is being made. */
  readonly bootsTemplates: boolean;
  /** Leaves under that VM's name what an interrupted creation leaves. */
  leaveHalfMadeDisk(vmName: string): Promise<void>;
  /** A stranger's domain, off; with the disk of that VM name when one is given. */
  strangerDefines(domain: { uuid: string; name: string; diskOf?: string }): Promise<void>;
  strangerUndefines(uuid: string): Promise<void>;
  /** The hypervisor takes calls and answers none until the returned function is called. */
  hang(): Promise<() => Promise<void>>;
  /** The hypervisor's daemon dies at once and comes back by itself; VMs go on. */
  crashDaemon(): Promise<void>;
  dispose(): Promise<void>;
}

/** Answers come soon, even if they are faults. */
const SOON_MS = 3000;
const READY = { http: { port: 80, path: '/' } };
const never = new AbortController().signal;

export function describeHypervisorContract(adapter: string, makeFixture: () => Promise<HypervisorFixture>): void {
  describe(`hypervisor contract: ${adapter}`, () => {
    let fixture: HypervisorFixture;
    let hypervisor: Hypervisor;
    let count = 0;

    beforeAll(async () => {
      fixture = await makeFixture();
      hypervisor = fixture.hypervisor;
    });
    afterAll(() => fixture?.dispose());

    const check = (name: string, work: () => Promise<void>): void => {
      test(name, () => fixture.drive(work));
    };
    /** A new VM's spec; its name and uuid were never used before. */
    const aSpec = (changes: Partial<VmSpec> = {}): VmSpec => {
      count += 1;
      return {
        name: `web-${count}`,
        uuid: `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`,
        image: fixture.images.good,
        flavor: { name: 'small', vcpus: 1, memoryMiB: fixture.memoryMiB },
        ready: READY,
        metadata: { id: count, group: 'web', owner: 'o', operation: `d-${count}`, image: 'backend', flavor: 'small' },
        ...changes,
      };
    };
    const domainOf = async (uuid: string, by = hypervisor): Promise<DomainObservation | undefined> =>
      (await by.observe(never)).domains.find((domain) => domain.uuid === uuid);
    const make = async (spec: VmSpec): Promise<void> => {
      await hypervisor.createDisk(spec, never);
      await hypervisor.define(spec, never);
    };
    const unmake = async (spec: VmSpec): Promise<void> => {
      await hypervisor.destroy(spec.uuid, never);
      await hypervisor.undefine(spec.uuid, never);
      await hypervisor.deleteDisk(spec.name, never);
    };
    const until = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
      const endMs = fixture.clock.nowMs() + fixture.patienceMs;
      while (!(await condition())) {
        if (fixture.clock.nowMs() > endMs) throw new Error(`not within ${fixture.patienceMs} ms: ${what}`);
        await fixture.clock.sleep(50);
      }
    };
    const serves = (endpoint: Endpoint): Promise<boolean> => fixture.prober.probe(endpoint, READY, 500, never);
    const untilServes = (spec: VmSpec): Promise<void> =>
      until(`${spec.name} serves`, async () => {
        const endpoint = await hypervisor.endpoint(spec.uuid, READY.http.port, never);
        return endpoint !== undefined && (await serves(endpoint));
      });
    const faultOf = async (work: Promise<unknown>): Promise<Fault> => {
      const outcome = await work.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      if (!('error' in outcome)) throw new Error(`no fault, but ${JSON.stringify(outcome.value)}`);
      expect(outcome.error).toBeInstanceOf(Fault);
      return outcome.error as Fault;
    };
    const expectFault = async (kind: FaultKind, work: Promise<unknown>): Promise<Fault> => {
      const fault = await faultOf(work);
      expect(`${fault.kind}: ${fault.message}`).toMatch(new RegExp(`^${kind}: `));
      return fault;
    };

    describe('looking', () => {
      check('info tells versions and the accelerator, with the reason', async () => {
        const info = await hypervisor.info(never);
        expect(info.libvirt).toMatch(/^\d+\.\d+\.\d+$/);
        expect(info.qemu).toMatch(/^\d+\.\d+\.\d+$/);
        expect(['kvm', 'qemu']).toContain(info.accel);
        expect(info.accelReason).not.toBe('');
        for (const text of [info.arch, info.cpuModel]) expect(text ?? 'not told').toMatch(/^\S/);
      });

      check('observe tells the host, when it looked, and a plausible capacity', async () => {
        const beforeMs = fixture.clock.nowMs();
        const seen = await hypervisor.observe(never);
        expect(seen.host).toBe(hypervisor.host);
        expect(seen.startedAtMs).toBeGreaterThanOrEqual(beforeMs);
        expect(seen.endedAtMs).toBeGreaterThanOrEqual(seen.startedAtMs);
        expect(seen.endedAtMs).toBeLessThanOrEqual(fixture.clock.nowMs());
        const { cpus, diskFreeGiB, diskGiB, memoryFreeMiB, memoryMiB } = seen.capacity;
        expect(cpus).toBeGreaterThanOrEqual(1);
        expect(memoryMiB).toBeGreaterThan(64);
        expect(memoryFreeMiB).toBeGreaterThan(0);
        expect(memoryFreeMiB).toBeLessThanOrEqual(memoryMiB);
        expect(diskGiB).toBeGreaterThan(0);
        expect(diskFreeGiB).toBeGreaterThan(0);
        expect(diskFreeGiB).toBeLessThanOrEqual(diskGiB);
      });

      check('how busy the host is, follows from two readings: absent first, then from 0 to 1', async () => {
        const other = fixture.open();
        expect((await other.observe(never)).capacity).not.toHaveProperty('cpuRatio');
        await fixture.clock.sleep(300);
        const { cpuRatio } = (await other.observe(never)).capacity;
        expect(cpuRatio).toBeGreaterThanOrEqual(0);
        expect(cpuRatio).toBeLessThanOrEqual(1);
        await other.close();
      });

      check("a stranger's domain is listed without metadata, and neither destroyed nor undefined", async () => {
        const { name, uuid } = aSpec();
        await fixture.strangerDefines({ uuid, name });
        expect(await domainOf(uuid)).toMatchObject({ uuid, name, state: 'stopped' });
        expect(await domainOf(uuid)).not.toHaveProperty('metadata');
        await expectFault('conflict', hypervisor.undefine(uuid, never));
        expect(await domainOf(uuid)).toMatchObject({ name });
        await fixture.strangerUndefines(uuid);
        expect(await domainOf(uuid)).toBeUndefined();
      });

      check('changes yields when something changed, and ends with its signal', async () => {
        const ending = new AbortController();
        let changes = 0;
        const listening = (async () => {
          for await (const _ of hypervisor.changes(ending.signal)) changes += 1;
        })();
        await until('listening has begun', async () => {
          await fixture.clock.sleep(200);
          return true;
        });
        const before = changes;
        const spec = aSpec();
        await make(spec);
        await until('a change is told', async () => changes > before);
        await unmake(spec);
        ending.abort();
        await listening;
      });
    });

    describe('disks', () => {
      check('a disk that was made is listed by its VM, and deleted once; an absent one is no error', async () => {
        const spec = aSpec();
        expect(await hypervisor.listDisks(never)).not.toContain(spec.name);
        await hypervisor.createDisk(spec, never);
        expect(await hypervisor.listDisks(never)).toContain(spec.name);
        await hypervisor.deleteDisk(spec.name, never);
        expect(await hypervisor.listDisks(never)).not.toContain(spec.name);
        await hypervisor.deleteDisk(spec.name, never);
      });

      check('one left by an interrupted try is replaced and boots; making it again is no error', async () => {
        const spec = aSpec();
        await fixture.leaveHalfMadeDisk(spec.name);
        expect(await hypervisor.listDisks(never)).toContain(spec.name);
        await hypervisor.createDisk(spec, never);
        await hypervisor.createDisk(spec, never);
        await hypervisor.define(spec, never);
        await hypervisor.start(spec.uuid, never);
        await untilServes(spec);
        await unmake(spec);
      });

      check('an absent or corrupt image is refused, in words that name it, and leaves nothing', async () => {
        for (const image of [fixture.images.absent, fixture.images.corrupt]) {
          const spec = aSpec({ image });
          const fault = await expectFault('refused', hypervisor.createDisk(spec, never));
          expect(fault.message).toContain(image.path);
          expect(await hypervisor.listDisks(never)).not.toContain(spec.name);
        }
      });

      check('without an image it is empty and of the flavor’s size; a flavor without one is refused', async () => {
        const { image: _, ...blank } = aSpec({
          flavor: { name: 'wide', vcpus: 1, memoryMiB: fixture.memoryMiB, diskGiB: 1 },
        });
        await make(blank);
        expect(await hypervisor.listDisks(never)).toContain(blank.name);
        await hypervisor.start(blank.uuid, never);
        expect(await domainOf(blank.uuid)).toMatchObject({ state: 'running' });
        await unmake(blank);
        const { image: __, ...sizeless } = aSpec();
        await expectFault('refused', hypervisor.createDisk(sizeless, never));
        expect(await hypervisor.listDisks(never)).not.toContain(sizeless.name);
      });

      check('one smaller than its image is refused, with both sizes; one as large is made', async () => {
        const flavor = { name: 'narrow', vcpus: 1, memoryMiB: fixture.memoryMiB, diskGiB: 1 };
        const narrow = aSpec({ image: fixture.images.large, flavor });
        const fault = await expectFault('refused', hypervisor.createDisk(narrow, never));
        expect(fault.message).toMatch(/\b1 GiB\b.*\b2 GiB\b/);
        expect(await hypervisor.listDisks(never)).not.toContain(narrow.name);
        for (const diskGiB of [2, 3]) {
          const wide = aSpec({ image: fixture.images.large, flavor: { ...flavor, diskGiB } });
          await hypervisor.createDisk(wide, never);
          await hypervisor.deleteDisk(wide.name, never);
        }
      });

      check('with cloud-init it has a seed image beside it, which goes with it', async () => {
        const cloudInit = { hostname: 'web', sshKeys: [], userData: '#cloud-config\n{}\n' };
        const spec = aSpec({ cloudInit });
        const before = await hypervisor.listDisks(never);
        await hypervisor.createDisk(spec, never);
        await hypervisor.createDisk(spec, never);
        expect(await hypervisor.listDisks(never)).toEqual([...before, spec.name].sort());
        await hypervisor.define(spec, never);
        await hypervisor.start(spec.uuid, never);
        await untilServes(spec);
        await unmake(spec);
        expect(await hypervisor.listDisks(never)).toEqual(before);
      });

      check("one that a domain refers to, ours or a stranger's, is neither replaced nor deleted", async () => {
        const ours = aSpec();
        await make(ours);
        await expectFault('conflict', hypervisor.createDisk(ours, never));
        await expectFault('conflict', hypervisor.deleteDisk(ours.name, never));
        expect(await hypervisor.listDisks(never)).toContain(ours.name);
        await unmake(ours);

        const theirs = aSpec();
        await hypervisor.createDisk(theirs, never);
        await fixture.strangerDefines({ uuid: theirs.uuid, name: 'a-stranger', diskOf: theirs.name });
        await expectFault('conflict', hypervisor.createDisk(theirs, never));
        await expectFault('conflict', hypervisor.deleteDisk(theirs.name, never));
        await fixture.strangerUndefines(theirs.uuid);
        await hypervisor.deleteDisk(theirs.name, never);
      });
    });

    describeHypervisorImages({
      check,
      fixture: () => fixture,
      aSpec,
      untilServes,
      expectFault,
      unmake,
    });

    describeGuestCommands({ fixture: () => fixture, aSpec, unmake, check });

    describeHypervisorForks({
      check,
      fixture: () => fixture,
      aSpec,
      domainOf,
      until,
      untilServes,
      expectFault,
      unmake,
    });

    describe('definitions', () => {
      check('a defined domain is off, has its size and its metadata, whatever is written in them', async () => {
        const plain = aSpec();
        const spec = {
          ...plain,
          metadata: { ...plain.metadata, owner: `a<b>&'"\u00e9\u{1F600}`, operation: ' d\t1\n' },
        };
        await hypervisor.createDisk(spec, never);
        const { endpoint } = await hypervisor.define(spec, never);
        expect(endpoint !== undefined).toBe(fixture.forwards);
        const seen = await domainOf(spec.uuid);
        expect(seen).toMatchObject({ name: spec.name, state: 'stopped', vcpus: 1, memoryMiB: fixture.memoryMiB });
        expect(seen).not.toHaveProperty('cpuTimeNs');
        expect(seen?.metadata).toEqual({ ...spec.metadata, ...(endpoint && { endpoint }) });
        await unmake(spec);
      });

      check('a VM of no group, and one that nobody waits for, are defined and seen as such', async () => {
        const { ready: _, ...spec } = aSpec();
        const { group: __, ...metadata } = spec.metadata;
        const { endpoint } = await hypervisor.define({ ...spec, metadata }, never);
        const other = fixture.open();
        expect((await domainOf(spec.uuid, other))?.metadata).toEqual({ ...metadata, ...(endpoint && { endpoint }) });
        await other.close();
        await unmake(spec);
      });

      check("somebody else's domain is adopted, belongs to one VM at a time, and is let go again", async () => {
        const { name, uuid, metadata: plain } = aSpec();
        const metadata = { ...plain, owner: `a<b>&'"`, adopted: true };
        await fixture.strangerDefines({ uuid, name });
        expect(await domainOf(uuid)).not.toHaveProperty('metadata');
        await hypervisor.adopt(uuid, metadata, never);
        await hypervisor.adopt(uuid, metadata, never);
        expect((await domainOf(uuid))?.metadata).toEqual(metadata);
        const other = fixture.open();
        expect((await domainOf(uuid, other))?.metadata).toEqual(metadata);
        await expectFault('conflict', other.adopt(uuid, { ...metadata, id: metadata.id + 1000 }, never));
        expect((await domainOf(uuid, other))?.metadata).toEqual(metadata);
        await expectFault('refused', hypervisor.console(uuid, 100, never));
        await expectFault('conflict', hypervisor.undefine(uuid, never));
        await other.release(uuid, never);
        await other.release(uuid, never);
        expect(await domainOf(uuid, other)).not.toHaveProperty('metadata');
        await other.close();
        await fixture.strangerUndefines(uuid);
        await hypervisor.release(uuid, never);
        await expectFault('refused', hypervisor.adopt(uuid, metadata, never));
      });

      check('defining twice makes one domain, with the same endpoint', async () => {
        const spec = aSpec();
        await hypervisor.createDisk(spec, never);
        const first = await hypervisor.define(spec, never);
        const again = await hypervisor.define(spec, never);
        expect(again).toEqual(first);
        const { domains } = await hypervisor.observe(never);
        expect(domains.filter(({ name }) => name === spec.name)).toHaveLength(1);
        expect(domains.filter(({ uuid }) => uuid === spec.uuid)).toHaveLength(1);
        await unmake(spec);
      });

      check('a name that belongs to another uuid is a conflict, and changes nothing', async () => {
        const stranger = aSpec();
        await fixture.strangerDefines({ uuid: stranger.uuid, name: stranger.name });
        const spec = { ...aSpec(), name: stranger.name };
        await expectFault('conflict', hypervisor.define(spec, never));
        await expectFault('conflict', hypervisor.define({ ...spec, uuid: stranger.uuid }, never));
        expect(await domainOf(spec.uuid)).toBeUndefined();
        expect(await domainOf(stranger.uuid)).not.toHaveProperty('metadata');
        await fixture.strangerUndefines(stranger.uuid);
      });

      check('VMs defined at the same time get endpoints of their own, known to another adapter too', async () => {
        const specs = [aSpec(), aSpec(), aSpec()];
        const defined = await Promise.all(specs.map((spec) => hypervisor.define(spec, never)));
        const other = fixture.open();
        for (const [index, spec] of specs.entries()) {
          const endpoint = defined[index]?.endpoint;
          expect((await domainOf(spec.uuid, other))?.metadata).toEqual({
            ...spec.metadata,
            ...(endpoint && { endpoint }),
          });
          if (endpoint) expect(await other.endpoint(spec.uuid, 80, never)).toEqual(endpoint);
        }
        await other.close();
        const addresses = defined.flatMap(({ endpoint }) => (endpoint ? [`${endpoint.address}:${endpoint.port}`] : []));
        expect(new Set(addresses).size).toBe(fixture.forwards ? specs.length : 0);
        await Promise.all(specs.map(unmake));
      });

      check(
        'absent domains: shutdown, destroy and undefine are no errors, start is one, an endpoint is unknown',
        async () => {
          const { uuid } = aSpec();
          await hypervisor.shutdown(uuid, never);
          await hypervisor.destroy(uuid, never);
          await hypervisor.undefine(uuid, never);
          await expectFault('refused', hypervisor.start(uuid, never));
          expect(await hypervisor.endpoint(uuid, 80, never)).toBeUndefined();
          expect(await hypervisor.addresses(uuid, never)).toEqual([]);
          await expectFault('refused', hypervisor.console(uuid, 100, never));
        },
      );

      check('what does not run, or is not there, is neither paused, resumed, rebooted nor reset', async () => {
        const spec = aSpec();
        await hypervisor.define(spec, never);
        for (const uuid of [spec.uuid, aSpec().uuid]) {
          await expectFault('conflict', hypervisor.pause(uuid, never));
          await expectFault('conflict', hypervisor.resume(uuid, never));
          await expectFault('conflict', hypervisor.reboot(uuid, never));
          await expectFault('conflict', hypervisor.reset(uuid, never));
        }
        expect(await hypervisor.console(spec.uuid, 100, never)).toHaveLength(0);
        await unmake(spec);
      });
    });

    describe('a life', () => {
      check(
        'started once or twice it runs, serves and counts; what runs is not undefined, its disk not deleted',
        async () => {
          const spec = aSpec();
          await make(spec);
          await hypervisor.start(spec.uuid, never);
          await hypervisor.start(spec.uuid, never);
          const booting = await domainOf(spec.uuid);
          expect(booting?.state).toBe('running');
          await untilServes(spec);
          const serving = await domainOf(spec.uuid);
          expect(serving?.cpuTimeNs).toBeGreaterThan(booting?.cpuTimeNs ?? Number.POSITIVE_INFINITY);
          expect(serving?.readAtMs).toBeGreaterThan(booting?.readAtMs ?? Number.POSITIVE_INFINITY);
          await expectFault('conflict', hypervisor.undefine(spec.uuid, never));
          await expectFault('conflict', hypervisor.deleteDisk(spec.name, never));
          expect((await domainOf(spec.uuid))?.state).toBe('running');

          // Another adapter, as after a restart of the daemon: the VM goes on, and is known.
          const other = fixture.open();
          expect((await domainOf(spec.uuid, other))?.metadata).toMatchObject(spec.metadata);
          await other.close();
          expect((await domainOf(spec.uuid))?.state).toBe('running');

          await hypervisor.shutdown(spec.uuid, never);
          await until('it is off', async () => (await domainOf(spec.uuid))?.state === 'stopped');
          await hypervisor.shutdown(spec.uuid, never);
          expect(await domainOf(spec.uuid)).not.toHaveProperty('cpuTimeNs');
          await hypervisor.undefine(spec.uuid, never);
          expect(await domainOf(spec.uuid)).toBeUndefined();
          await hypervisor.undefine(spec.uuid, never);
          await hypervisor.deleteDisk(spec.name, never);
        },
      );

      check('paused it stands still, resumed it goes on; each may be asked twice', async () => {
        const spec = aSpec();
        await make(spec);
        await hypervisor.start(spec.uuid, never);
        expect(await domainOf(spec.uuid)).not.toHaveProperty('paused');
        await hypervisor.pause(spec.uuid, never);
        await hypervisor.pause(spec.uuid, never);
        const stood = await domainOf(spec.uuid);
        expect(stood).toMatchObject({ state: 'running', paused: true });
        await fixture.clock.sleep(500);
        const still = await domainOf(spec.uuid);
        // Some ticks of QEMU itself; a guest that boots uses all it gets.
        expect((still?.cpuTimeNs ?? 0) - (stood?.cpuTimeNs ?? 0)).toBeLessThan(1e8);
        await hypervisor.resume(spec.uuid, never);
        await hypervisor.resume(spec.uuid, never);
        expect(await domainOf(spec.uuid)).not.toHaveProperty('paused');
        await untilServes(spec);
        await unmake(spec);
      });

      check(
        'its addresses and its console are known; rebooted or reset it serves again, and never was off',
        async () => {
          const spec = aSpec();
          await make(spec);
          await hypervisor.start(spec.uuid, never);
          await untilServes(spec);
          const endpoint = await hypervisor.endpoint(spec.uuid, 80, never);
          const addresses = await hypervisor.addresses(spec.uuid, never);
          expect(addresses.map(({ address }) => address)).toContain(endpoint?.address);
          expect(addresses.find(({ address }) => address === endpoint?.address)?.source).toBe(
            fixture.forwards ? 'forward' : 'lease',
          );
          const log = await hypervisor.console(spec.uuid, 100_000, never);
          expect(log.length).toBeGreaterThan(0);
          const tail = await hypervisor.console(spec.uuid, 5, never);
          expect(tail.length).toBe(5);
          const before = (await domainOf(spec.uuid))?.cpuTimeNs ?? 0;
          for (const again of ['reset', 'reboot'] as const) {
            await hypervisor[again](spec.uuid, never);
            await until(
              `it no longer serves after ${again}`,
              async () => endpoint === undefined || !(await serves(endpoint)),
            );
            await untilServes(spec);
          }
          expect((await domainOf(spec.uuid))?.cpuTimeNs).toBeGreaterThan(before);
          await unmake(spec);
        },
      );

      check('with the plug pulled it is off at once, and its counter starts anew with the next start', async () => {
        const spec = aSpec();
        await make(spec);
        await hypervisor.start(spec.uuid, never);
        await until('it has used CPU', async () => ((await domainOf(spec.uuid))?.cpuTimeNs ?? 0) > 1.2e9);
        const before = (await domainOf(spec.uuid))?.cpuTimeNs ?? 0;
        await hypervisor.destroy(spec.uuid, never);
        expect((await domainOf(spec.uuid))?.state).toBe('stopped');
        await hypervisor.destroy(spec.uuid, never);
        await hypervisor.start(spec.uuid, never);
        expect((await domainOf(spec.uuid))?.cpuTimeNs).toBeLessThan(before);
        await unmake(spec);
      });
    });

    describe('bad days', () => {
      check('a call whose signal has aborted does nothing and says so', async () => {
        const spec = aSpec();
        const aborted = AbortSignal.abort();
        const template = { image: fixture.images.good, flavor: spec.flavor, ready: READY };
        const calls = [
          hypervisor.info(aborted),
          hypervisor.observe(aborted),
          hypervisor.placeImage(fixture.bootable.image, fixture.bootable.read, () => undefined, aborted),
          hypervisor.listImages(aborted),
          hypervisor.removeImage(fixture.bootable.image.content.sha256, aborted),
          hypervisor.createDisk(spec, aborted),
          hypervisor.define(spec, aborted),
          hypervisor.start(spec.uuid, aborted),
          hypervisor.templateKey(template, aborted),
          hypervisor.makeTemplate(template, async () => true, aborted),
          hypervisor.listTemplates(aborted),
          hypervisor.removeTemplate('0123456789abcdef', aborted),
          hypervisor.fork({ ...spec, template: '0123456789abcdef' }, aborted),
          hypervisor.personalise(spec.uuid, identityOf(spec), aborted),
          hypervisor.save(spec.uuid, aborted),
          hypervisor.agentAnswers(spec.uuid, 1000, aborted),
          hypervisor.pause(spec.uuid, aborted),
          hypervisor.resume(spec.uuid, aborted),
          hypervisor.reboot(spec.uuid, aborted),
          hypervisor.reset(spec.uuid, aborted),
          hypervisor.addresses(spec.uuid, aborted),
          hypervisor.console(spec.uuid, 100, aborted),
          hypervisor.adopt(spec.uuid, spec.metadata, aborted),
          hypervisor.release(spec.uuid, aborted),
          hypervisor.endpoint(spec.uuid, 80, aborted),
          hypervisor.shutdown(spec.uuid, aborted),
          hypervisor.destroy(spec.uuid, aborted),
          hypervisor.undefine(spec.uuid, aborted),
          hypervisor.deleteDisk(spec.name, aborted),
          hypervisor.listDisks(aborted),
        ];
        for (const call of calls) await expectFault('aborted', call);
        expect(await hypervisor.listDisks(never)).not.toContain(spec.name);
        expect(await domainOf(spec.uuid)).toBeUndefined();
        for await (const _ of hypervisor.changes(aborted)) expect.unreachable('an aborted signal ends it at once');
      });

      check('while the host hangs every call can be cancelled at once, and afterwards it goes on', async () => {
        const spec = aSpec();
        await make(spec);
        const cancelled = aSpec();
        const wake = await fixture.hang();
        const startedMs = fixture.clock.nowMs();
        const giveUp = new AbortController();
        const calls = [
          hypervisor.observe(giveUp.signal),
          hypervisor.createDisk(cancelled, giveUp.signal),
          hypervisor.define(spec, giveUp.signal),
          hypervisor.define(spec, giveUp.signal),
          hypervisor.destroy(spec.uuid, giveUp.signal),
          hypervisor.listDisks(giveUp.signal),
          hypervisor.placeImage(fixture.bootable.image, fixture.bootable.read, () => undefined, giveUp.signal),
          hypervisor.listTemplates(giveUp.signal),
          hypervisor.removeTemplate('0123456789abcdef', giveUp.signal),
          hypervisor.personalise(spec.uuid, identityOf(spec), giveUp.signal),
          hypervisor.save(spec.uuid, giveUp.signal),
          hypervisor.agentAnswers(spec.uuid, 60_000, giveUp.signal),
          hypervisor.pause(spec.uuid, giveUp.signal),
          hypervisor.addresses(spec.uuid, giveUp.signal),
          hypervisor.console(spec.uuid, 100, giveUp.signal),
        ].map((call) => expectFault('aborted', call));
        await fixture.clock.sleep(200);
        giveUp.abort();
        await Promise.all(calls);
        expect(fixture.clock.nowMs() - startedMs).toBeLessThan(SOON_MS);
        await wake();
        await until('it answers again', async () => (await domainOf(spec.uuid)) !== undefined);
        await unmake(spec);
        // What was cancelled may have happened all the same.
        await hypervisor.deleteDisk(cancelled.name, never);
      });

      check('when the daemon of the host dies, calls meanwhile are faults to retry, and VMs go on', async () => {
        const spec = aSpec();
        await make(spec);
        await hypervisor.start(spec.uuid, never);
        const before = await domainOf(spec.uuid);
        await fixture.crashDaemon();
        let after: DomainObservation | undefined;
        await until('it answers again', async () => {
          try {
            after = await domainOf(spec.uuid);
            return true;
          } catch (error) {
            expect(error).toBeInstanceOf(Fault);
            expect((error as Fault).retryable, String(error)).toBe(true);
            return false;
          }
        });
        expect(after).toMatchObject({ state: 'running', metadata: spec.metadata });
        expect(after?.cpuTimeNs).toBeGreaterThanOrEqual(before?.cpuTimeNs ?? Number.POSITIVE_INFINITY);
        await unmake(spec);
      });

      check('after close it is unreachable', async () => {
        const other = fixture.open();
        await other.observe(never);
        await other.close();
        await expectFault('unreachable', other.observe(never));
      });
    });
  });
}
