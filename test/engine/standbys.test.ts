// Stories of VMs that wait: made, parked, taken in order, filled up again, kept over restarts and given up.
// Not here: how many there shall be (test/core), forks (forks.test).

import { afterEach, describe, expect, it } from 'vitest';
import type { StandbyKind } from '../../src/core/model.ts';
import { NO_CAPACITY } from '../../src/core/policy.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function policyWith(capacity: Partial<Record<StandbyKind, number>>, over = {}) {
  return policyOf({ max: 6, rules: [], capacity: { ...NO_CAPACITY, ...capacity }, ...over });
}

async function start(capacity: Partial<Record<StandbyKind, number>>, over = {}): Promise<void> {
  rig = await new Rig({ policies: [policyWith(capacity, over)] }).start();
}

/** Names of standbys that wait, with their kinds. */
function waiting(): Record<string, StandbyKind | undefined> {
  const vms = rig.engine.group('web')?.vms ?? [];
  const parked = vms.filter(({ record }) => record.phase === 'standby');
  return Object.fromEntries(parked.map(({ record }) => [record.name, record.standby]));
}

function domain(name: string) {
  return rig.hosts.flatMap((host) => host.domains(rig.clock.nowMs())).find((one) => one.name === name);
}

function launched(from = 0): object[] {
  return rig.events
    .slice(from)
    .flatMap((event) => (event.type === 'vm.launched' ? [{ name: event.vm.name, way: event.way }] : []));
}

describe('making them', () => {
  it('one of each is made, one after the other, when the group has what it needs, and each waits as its kind does', async () => {
    await start({ paused: 1, saved: 1, stopped: 1 });
    await rig.until('vm.launched');
    expect(waiting()).toEqual({});
    await rig.run(40);
    expect(waiting()).toEqual({ 'web-2': 'paused', 'web-3': 'saved', 'web-4': 'stopped' });
    expect(domain('web-2')).toMatchObject({ running: true, paused: true });
    expect(domain('web-3')).toMatchObject({ running: false });
    expect(domain('web-4')).toMatchObject({ running: false });
    expect(rig.disks()).toEqual(['web-1', 'web-2', 'web-3', 'web-4']);
    expect(rig.types().filter((type) => type === 'vm.launched')).toHaveLength(1);
    expect(rig.types().filter((type) => type === 'vm.standby')).toHaveLength(3);
    const before = rig.types().length;
    await rig.run(60);
    expect(rig.types(before)).toEqual([]);
    await rig.stop();
  });

  it('nobody is routed to one, and no hook is asked, before it is taken', async () => {
    const hook = { url: 'http://127.0.0.1/', deadlineMs: 5000, onTimeout: 'abandon' } as const;
    await start({ paused: 1 }, { balancer: 'front', hooks: { launch: hook } });
    await rig.until('vm.standby');
    await rig.run(3);
    expect(rig.balancer.routed).toEqual(['web-1']);
    expect(rig.hooks.requests.map(({ vm }) => vm.name)).toEqual(['web-1']);
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched', 5);
    expect(rig.balancer.routed).toEqual(['web-1', 'web-2']);
    expect(rig.hooks.requests.map(({ vm }) => vm.name)).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });

  it('they and those in service are never more than max', async () => {
    await start({ paused: 2, saved: 2 }, { max: 3 });
    await rig.run(60);
    expect(waiting()).toEqual({ 'web-2': 'paused', 'web-3': 'paused' });
    await rig.engine.setDesired('web', 3);
    for (let waited = 0; waited < 300; waited += 1) {
      await rig.run(0.2);
      expect(rig.hosts[0]?.domains(rig.clock.nowMs()).length).toBeLessThanOrEqual(3);
    }
    expect(waiting()).toEqual({});
    expect(rig.running()).toEqual(['web-1', 'web-2', 'web-3']);
    await rig.stop();
  });

  it('one that never answers is a failed launch, and the group goes on', async () => {
    rig = new Rig({ policies: [policyWith({ paused: 1 }, { launchDeadlineMs: 10_000 })] });
    await rig.start();
    await rig.until('vm.launched');
    rig.host().trouble({ kind: 'never-ready', fromMs: rig.clock.nowMs() });
    await rig.until('vm.failed', 30);
    rig.host().heal(rig.clock.nowMs());
    await rig.until('vm.standby', 60);
    await rig.stop();
  });
});

describe('taking them', () => {
  it('paused first, then saved, then stopped, then a new one, and they are filled up again afterwards', async () => {
    await start({ paused: 1, saved: 1, stopped: 1 }, { max: 9 });
    await rig.run(40);
    const from = rig.events.length;
    await rig.engine.setDesired('web', 5);
    await rig.run(15);
    expect(launched(from)).toEqual([
      { name: 'web-2', way: 'paused' },
      { name: 'web-3', way: 'saved' },
      expect.anything(),
      expect.anything(),
    ]);
    expect(launched(from)).toEqual(
      expect.arrayContaining([
        { name: 'web-4', way: 'stopped' },
        { name: 'web-5', way: 'cold' },
      ]),
    );
    await rig.run(60);
    expect(Object.values(waiting()).sort()).toEqual(['paused', 'saved', 'stopped']);
    await rig.stop();
  });

  it('a paused one serves within 100 ms, a saved one within half a second', async () => {
    await start({ paused: 1, saved: 1 });
    await rig.run(30);
    for (const [desired, ms] of [
      [2, 100],
      [3, 500],
    ] as const) {
      await rig.engine.setDesired('web', desired);
      const event = await rig.until('vm.launched', 5);
      expect((event as { launchMs: number }).launchMs).toBeLessThanOrEqual(ms);
    }
    await rig.stop();
  });

  it('one that was woken is no standby any more: it drains and goes like any other', async () => {
    await start({ paused: 1 }, { drainGraceMs: 1000 });
    await rig.run(15);
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched');
    expect(rig.engine.vm(2)?.record).not.toHaveProperty('standby');
    await rig.engine.deleteVm(2, { owner: 'ann' });
    await rig.until('vm.removed', 20);
    expect(domain('web-2')).toBeUndefined();
    await rig.stop();
  });

  it.each(['paused', 'saved'] as const)(
    'a %s one without an agent is put to sleep all the same, and not asked for it when it wakes',
    async (kind) => {
      rig = new Rig({ policies: [policyWith({ [kind]: 1 })] });
      rig.host().trouble({ kind: 'agentless', fromMs: rig.clock.nowMs() });
      await rig.start();
      await rig.until('vm.standby', 60);
      await rig.run(5);
      const from = rig.events.length;
      const askedMs = rig.clock.nowMs();
      await rig.engine.setDesired('web', 2);
      await rig.until('vm.launched', 5);
      expect(launched(from)).toEqual([{ name: 'web-2', way: kind }]);
      expect(rig.clock.nowMs() - askedMs).toBeLessThan(kind === 'paused' ? 150 : 700);
      await rig.stop();
    },
  );

  it('a woken guest whose agent says nothing serves all the same after 3 s', async () => {
    await start({ paused: 1 });
    await rig.run(15);
    rig
      .host()
      .trouble({ kind: 'fail-call', call: 'personalise', fault: 'busy', effect: 'before', times: 1e6, fromMs: 0 });
    await rig.engine.setDesired('web', 2);
    expect(await rig.until('vm.launched', 6)).toMatchObject({ way: 'paused' });
    await rig.stop();
  });
});

describe('restarts', () => {
  it.each(['paused', 'saved', 'stopped'] as const)(
    'a %s one is there after a restart of the daemon, and serves',
    async (kind) => {
      await start({ [kind]: 1 });
      await rig.until('vm.standby');
      rig.kill();
      await rig.run(5);
      await rig.start();
      await rig.run(5);
      expect(waiting()).toEqual({ 'web-2': kind });
      const from = rig.events.length;
      await rig.engine.setDesired('web', 2);
      await rig.until('vm.launched', 10);
      expect(launched(from)).toEqual([{ name: 'web-2', way: kind }]);
      await rig.stop();
    },
  );

  it.each(['paused', 'saved', 'stopped'] as const)(
    '%s: a daemon killed while it is parked makes no second one, fails no launch and leaves nothing',
    async (kind) => {
      for (const ms of [0, 1, 2, 3, 4, 5, 100, 500, 504, 1000]) {
        await start({ [kind]: 1 });
        await rig.until('vm.launched');
        for (let waited = 0; waited < 10_000; waited += 1) {
          if (rig.engine.vm(2)?.record.step === 'ready') break;
          await rig.run(0.001);
        }
        expect(rig.engine.vm(2)?.record).toMatchObject({ phase: 'launching', step: 'ready' });
        await rig.run(ms / 1000);
        rig.kill();
        await rig.run(3);
        await rig.start();
        await rig.run(40);
        expect({ ms, failed: rig.types().includes('vm.failed') }).toEqual({ ms, failed: false });
        expect({ ms, ...waiting() }).toEqual({ ms, 'web-2': kind });
        expect(rig.disks()).toEqual(['web-1', 'web-2']);
        await rig.stop();
      }
    },
  );

  it.each(['paused', 'saved', 'stopped'] as const)(
    '%s: a daemon killed while it is woken lets it serve',
    async (kind) => {
      for (const seconds of [0.001, 0.003, 0.005, 0.05, 0.2, 0.31, 0.4]) {
        await start({ [kind]: 1 });
        await rig.until('vm.standby');
        await rig.run(3);
        await rig.engine.setDesired('web', 2);
        await rig.run(seconds);
        rig.kill();
        await rig.run(2);
        await rig.start();
        await rig.run(10);
        expect(rig.engine.vm(2)?.record).toMatchObject({ phase: 'in-service', way: kind });
        expect(rig.types()).not.toContain('vm.failed');
        await rig.stop();
      }
    },
  );

  it('the database is lost: a paused one is found again as standby', async () => {
    await start({ paused: 1 });
    await rig.until('vm.standby');
    rig.kill();
    rig.store = rig.freshStore();
    await rig.start();
    await rig.run(15);
    expect(waiting()).toEqual({ 'web-2': 'paused' });
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    const from = rig.events.length;
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched', 5);
    expect(launched(from)).toEqual([{ name: 'web-2', way: 'paused' }]);
    await rig.stop();
  });

  it.each(['saved', 'stopped'] as const)('the database is lost: a %s one serves, and another is made', async (kind) => {
    await start({ [kind]: 1 });
    await rig.until('vm.standby');
    rig.kill();
    rig.store = rig.freshStore();
    await rig.start();
    await rig.run(60);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    expect(waiting()).toEqual({ 'web-3': kind });
    expect(rig.disks()).toEqual(['web-1', 'web-2', 'web-3']);
    await rig.stop();
  });
});

describe('giving them up', () => {
  it('lost ones are replaced', async () => {
    await start({ paused: 1, saved: 1 });
    await rig.run(30);
    rig.host().kill(domain('web-2')?.uuid ?? '');
    rig.host().strangerRemoves(domain('web-3')?.uuid ?? '');
    await rig.run(40);
    expect(waiting()).toEqual({ 'web-4': 'paused', 'web-5': 'saved' });
    expect(rig.disks()).toEqual(['web-1', 'web-4', 'web-5']);
    expect(rig.types().filter((type) => type === 'vm.lost')).toHaveLength(2);
    await rig.stop();
  });

  it('a policy that wants none any more has none', async () => {
    await start({ paused: 1, saved: 1, stopped: 1 });
    await rig.run(40);
    await rig.engine.setPolicy({ policy: policyWith({}), file: 'web.yaml' });
    await rig.run(20);
    expect(waiting()).toEqual({});
    expect(rig.disks()).toEqual(['web-1']);
    expect(rig.types()).not.toContain('vm.draining');
    await rig.stop();
  });

  it('those of another flavor are made anew', async () => {
    const policy = policyWith({ saved: 1 });
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.standby');
    if (policy.source.kind !== 'template') throw new Error('no template');
    const flavor = { name: 'small', vcpus: 2, memoryMiB: 256 };
    const source = { ...policy.source, template: { ...policy.source.template, flavor } };
    await rig.engine.setPolicy({ policy: { ...policy, source }, file: 'web.yaml' });
    await rig.run(30);
    expect(waiting()).toEqual({ 'web-3': 'saved' });
    expect(domain('web-3')).toMatchObject({ vcpus: 2 });
    await rig.stop();
  });

  it('a person deletes one: it goes without a word to clients, and is replaced', async () => {
    await start({ paused: 1 });
    await rig.until('vm.standby');
    await rig.engine.deleteVm(2, { owner: 'ann' });
    await rig.run(30);
    expect(waiting()).toEqual({ 'web-3': 'paused' });
    expect(rig.types()).not.toContain('vm.draining');
    await rig.stop();
  });
});
