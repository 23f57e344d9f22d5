// The part of the Hypervisor port's contract that is about templates, forks, saved memory, agents and what else is measured of a guest.
// Not here: what makes each fork its own, and what is left when something dies in the middle (test/real/fork.test.ts).

import { describe, expect } from 'vitest';
import type { DomainObservation, Endpoint } from '../../src/core/model.ts';
import type { Fault, FaultKind } from '../../src/ports/fault.ts';
import type { GuestIdentity, TemplateSpec, VmSpec } from '../../src/ports/hypervisor.ts';
import type { HypervisorFixture } from './hypervisor.ts';

export interface ForkChecks {
  readonly check: (name: string, work: () => Promise<void>) => void;
  readonly fixture: () => HypervisorFixture;
  readonly aSpec: (changes?: Partial<VmSpec>) => VmSpec;
  readonly domainOf: (uuid: string) => Promise<DomainObservation | undefined>;
  readonly until: (what: string, condition: () => Promise<boolean>) => Promise<void>;
  readonly untilServes: (spec: VmSpec) => Promise<void>;
  readonly expectFault: (kind: FaultKind, work: Promise<unknown>) => Promise<Fault>;
  readonly unmake: (spec: VmSpec) => Promise<void>;
}

const never = new AbortController().signal;
const READY = { http: { port: 80, path: '/' } };

export function identityOf({ name, uuid }: VmSpec, after: GuestIdentity['after'] = 'fork'): GuestIdentity {
  return { hostname: name, machineId: uuid.replaceAll('-', ''), after };
}

export function describeHypervisorForks(checks: ForkChecks): void {
  const { aSpec, check, domainOf, expectFault, fixture, unmake, until, untilServes } = checks;
  const templateOf = (memoryMiB = fixture().memoryMiB): TemplateSpec => ({
    image: fixture().images.good,
    flavor: { name: 'small', vcpus: 1, memoryMiB },
    ready: READY,
  });
  const isReady = async (endpoint: Endpoint | undefined, signal: AbortSignal): Promise<boolean> =>
    endpoint === undefined ? !fixture().bootsTemplates : fixture().prober.probe(endpoint, READY, 500, signal);
  const isNeverAsked = async (): Promise<boolean> => expect.unreachable('it is there already');
  const launch = async (spec: VmSpec): Promise<void> => {
    const { hypervisor } = fixture();
    await hypervisor.createDisk(spec, never);
    await hypervisor.define(spec, never);
    await (spec.template === undefined ? hypervisor.start(spec.uuid, never) : hypervisor.fork(spec, never));
  };
  /** As the engine does: again, while nobody answers yet. */
  const personalise = (spec: VmSpec, after: GuestIdentity['after'] = 'fork'): Promise<void> =>
    until(`${spec.name} is its own`, async () => {
      try {
        await fixture().hypervisor.personalise(spec.uuid, identityOf(spec, after), never);
        return true;
      } catch (error) {
        if (error instanceof Error && 'kind' in error && error.kind === 'busy') return false;
        throw error;
      }
    });

  describe('templates and forks', () => {
    check('the key is of image, flavor and setup, the same for each adapter, and not of names', async () => {
      const { hypervisor, images, memoryMiB, open } = fixture();
      const spec = templateOf();
      const key = await hypervisor.templateKey(spec, never);
      expect(key).toMatch(/^[0-9a-f]{8,64}$/);
      const other = open();
      expect(await other.templateKey(spec, never)).toBe(key);
      await other.close();
      const cloudInit = { hostname: 'a', sshKeys: [], userData: '#cloud-config\n{}\n' };
      const changed = [
        templateOf(memoryMiB + 16),
        { ...spec, flavor: { ...spec.flavor, vcpus: 2 } },
        { ...spec, image: images.large },
        { ...spec, cloudInit },
      ];
      const keys = await Promise.all(changed.map((each) => hypervisor.templateKey(each, never)));
      expect(new Set([key, ...keys]).size).toBe(1 + changed.length);
    });

    check('without its template a fork is refused, before it has a disk', async () => {
      const spec = aSpec({ template: '0123456789abcdef' });
      await expectFault('refused', fixture().hypervisor.createDisk(spec, never));
      expect(await fixture().hypervisor.listDisks(never)).not.toContain(spec.name);
      await fixture().hypervisor.removeTemplate('0123456789abcdef', never);
    });

    check('a template that is given up while it is made leaves nothing', async () => {
      const { clock, hypervisor } = fixture();
      const giveUp = new AbortController();
      const before = (await hypervisor.observe(never)).domains.length;
      const making = expectFault(
        'aborted',
        hypervisor.makeTemplate(templateOf(), async () => false, giveUp.signal),
      );
      await clock.sleep(1500);
      giveUp.abort();
      await making;
      expect(await hypervisor.listTemplates(never)).toEqual([]);
      await until('its domain is gone', async () => (await hypervisor.observe(never)).domains.length === before);
    });

    check('a template is made once and kept; forks of it are VMs of their own, and it goes last', async () => {
      const { forwards, hypervisor, open } = fixture();
      const ours = async (): Promise<number> =>
        (await hypervisor.observe(never)).domains.filter(({ metadata }) => metadata !== undefined).length;
      const before = await ours();
      const disks = await hypervisor.listDisks(never);
      let most = 0;
      const made = await hypervisor.makeTemplate(
        templateOf(),
        async (endpoint, signal) => {
          most = Math.max(most, await ours());
          return isReady(endpoint, signal);
        },
        never,
      );
      expect(most).toBeLessThanOrEqual(before);
      expect(made.key).toBe(await hypervisor.templateKey(templateOf(), never));
      expect(made.bytes).toBeGreaterThan(0);
      expect((await hypervisor.makeTemplate(templateOf(), isNeverAsked, never)).key).toBe(made.key);
      const other = open();
      expect((await other.listTemplates(never)).map(({ key }) => key)).toEqual([made.key]);
      await other.close();
      expect(await hypervisor.listDisks(never)).toEqual(disks);

      const forks = [aSpec({ template: made.key }), aSpec({ template: made.key })];
      for (const spec of forks) {
        await launch(spec);
        await hypervisor.fork(spec, never);
        const seen = await domainOf(spec.uuid);
        expect(seen).toMatchObject({ name: spec.name, state: 'running', metadata: spec.metadata });
        expect(seen?.metadata?.endpoint !== undefined).toBe(forwards);
        await personalise(spec);
        await personalise(spec);
        await untilServes(spec);
      }
      const addresses = await Promise.all(forks.map(({ uuid }) => hypervisor.endpoint(uuid, 80, never)));
      expect(new Set(addresses.map((each) => each?.address)).size).toBe(forks.length);

      // A VM like any other from here on.
      const [first, second] = forks as [VmSpec, VmSpec];
      await hypervisor.shutdown(first.uuid, never);
      await until('it is off', async () => (await domainOf(first.uuid))?.state === 'stopped');
      await hypervisor.start(first.uuid, never);
      await untilServes(first);
      await unmake(first);

      await expectFault('conflict', hypervisor.removeTemplate(made.key, never));
      expect(await hypervisor.listTemplates(never)).toEqual([]);
      expect((await domainOf(second.uuid))?.state).toBe('running');
      await untilServes(second);
      await unmake(second);
      await hypervisor.removeTemplate(made.key, never);
      await expectFault('refused', hypervisor.createDisk(aSpec({ template: made.key }), never));
    });
  });

  describe('saved memory, agents and other counters', () => {
    check('saved it is off, and its next start goes on from there; what is off is not saved', async () => {
      const { hypervisor } = fixture();
      const spec = aSpec();
      await expectFault('conflict', hypervisor.save(spec.uuid, never));
      expect(await hypervisor.agentAnswers(spec.uuid, 500, never)).toBe(false);
      await launch(spec);
      await untilServes(spec);
      await until('its agent answers', () => hypervisor.agentAnswers(spec.uuid, 1000, never));
      await hypervisor.save(spec.uuid, never);
      expect((await domainOf(spec.uuid))?.state).toBe('stopped');
      await hypervisor.save(spec.uuid, never);
      expect(await hypervisor.agentAnswers(spec.uuid, 500, never)).toBe(false);
      await hypervisor.start(spec.uuid, never);
      await personalise(spec, 'woken');
      await untilServes(spec);
      await hypervisor.pause(spec.uuid, never);
      await hypervisor.save(spec.uuid, never);
      await unmake(spec);
      expect(await domainOf(spec.uuid)).toBeUndefined();

      const off = aSpec();
      await hypervisor.define(off, never);
      await expectFault('conflict', hypervisor.save(off.uuid, never));
      await unmake(off);
    });

    check(
      'other counters come with a later poll for those that somebody wants them of, and for nobody else',
      async () => {
        const { hypervisor } = fixture();
        const [wanted, other] = [aSpec(), aSpec()];
        for (const spec of [wanted, other]) {
          await launch(spec);
          await untilServes(spec);
        }
        const poll = async (): Promise<readonly DomainObservation[]> =>
          (await hypervisor.observe(never, { wantsStats: (uuid) => uuid === wanted.uuid })).domains;
        const statsOf = async (uuid: string) => (await poll()).find((one) => one.uuid === uuid)?.stats;
        await until('memory is told', async () => (await statsOf(wanted.uuid))?.memoryPercent !== undefined);
        const stats = await statsOf(wanted.uuid);
        expect(stats?.memoryPercent).toBeGreaterThan(0);
        expect(stats?.memoryPercent).toBeLessThanOrEqual(100);
        expect(stats?.diskBytes).toBeGreaterThan(0);
        expect(stats?.delayNs).toBeGreaterThanOrEqual(0);
        expect(stats?.readAtMs).toBeLessThanOrEqual(fixture().clock.nowMs());
        const first = stats?.readAtMs ?? 0;
        await until('they are read again', async () => ((await statsOf(wanted.uuid))?.readAtMs ?? 0) > first);
        expect(await statsOf(other.uuid)).toBeUndefined();
        expect(await domainOf(wanted.uuid)).not.toHaveProperty('stats');
        await unmake(wanted);
        await unmake(other);
      },
    );
  });
}
