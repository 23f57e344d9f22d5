// Stories of a group whose template changes: rolled over a few at a time, paused, stopped, taken back.
// Not here: the plan's rules (test/core).

import { afterEach, describe, expect, it } from 'vitest';
import type { Policy, Refresh } from '../../src/core/policy.ts';
import { IMAGE, policyOf, READY, SMALL } from '../core/builders.ts';
import { Rig } from './rig.ts';

const refresh: Refresh = { surge: 1, unavailable: 0, checkpoints: [], pauseMs: 0, failures: 2, onFailure: 'rollback' };
const LARGER = { ...SMALL, vcpus: 2 };
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function policyWith(
  over: Partial<Refresh> = {},
  changed: { image?: typeof IMAGE; flavor?: typeof SMALL } = {},
): Policy {
  const template = { image: IMAGE, flavor: SMALL, ready: READY, ...changed };
  return policyOf({
    min: 3,
    max: 3,
    rules: [],
    drainGraceMs: 1000,
    launchDeadlineMs: 10_000,
    source: { kind: 'template', template },
    refresh: { ...refresh, ...over },
  });
}

/** Three VMs of the small flavor serve; then the policy asks for the larger one. */
async function begin(over: Partial<Refresh> = {}, before: () => void = () => {}): Promise<void> {
  rig = await new Rig({ policies: [policyWith(over)] }).start();
  await rig.run(10);
  expect(vcpus()).toEqual([1, 1, 1]);
  before();
  await rig.engine.setPolicy({ policy: policyWith(over, { flavor: LARGER }), file: 'web.yaml' });
}

function vcpus(): number[] {
  const domains = rig.host().domains(rig.clock.nowMs());
  return domains.filter(({ running }) => running).map((domain) => domain.vcpus);
}

function serving(): number {
  return rig.engine.group('web')?.vms.filter(({ record }) => record.phase === 'in-service').length ?? 0;
}

function states(): string[] {
  return rig.events.flatMap((event) => (event.type === 'refresh.changed' ? [event.state] : []));
}

/** Lets time pass, and says how many VMs there were at the most and how many served at the least. */
async function watch(seconds: number): Promise<{ readonly most: number; readonly least: number }> {
  let [most, least] = [0, Number.POSITIVE_INFINITY];
  for (let waited = 0; waited < seconds * 5; waited += 1) {
    await rig.run(0.2);
    most = Math.max(most, rig.host().domains(rig.clock.nowMs()).length);
    least = Math.min(least, serving());
  }
  return { most, least };
}

describe('rolling over', () => {
  it.each([
    ['one more at a time', { surge: 1, unavailable: 0 }, { most: 4, least: 3 }],
    ['one fewer at a time', { surge: 0, unavailable: 1 }, { most: 3, least: 2 }],
    ['all at once', { surge: 3, unavailable: 0 }, { most: 6, least: 3 }],
  ] as const)('%s: never more, never fewer, and all are new in the end', async (_name, over, bounds) => {
    await begin(over);
    expect(await watch(60)).toEqual(bounds);
    expect(vcpus()).toEqual([2, 2, 2]);
    expect(states()).toEqual(['started', 'finished']);
    expect(rig.disks()).toHaveLength(3);
    const why = rig.events.find(({ type }) => type === 'vm.draining');
    expect(why).toMatchObject({ reason: expect.stringContaining('refresh') });
    await rig.stop();
  });

  it('another image is as good a reason as another flavor', async () => {
    rig = await new Rig({ policies: [policyWith()] }).start();
    await rig.run(10);
    const image = { ...IMAGE, name: 'backend2', path: '/images/backend2.qcow2' };
    await rig.engine.setPolicy({ policy: policyWith({}, { image }), file: 'web.yaml' });
    await rig.run(60);
    expect(rig.engine.group('web')?.vms.map(({ record }) => record.image?.name)).toEqual(Array(3).fill('backend2'));
    expect(states()).toEqual(['started', 'finished']);
    await rig.stop();
  });

  it('a policy that says nothing of it leaves the VMs as they are', async () => {
    const { refresh: _refresh, ...still } = policyWith({}, { flavor: LARGER });
    rig = await new Rig({ policies: [policyWith()] }).start();
    await rig.run(10);
    await rig.engine.setPolicy({ policy: still, file: 'web.yaml' });
    await rig.run(60);
    expect(vcpus()).toEqual([1, 1, 1]);
    await rig.stop();
  });

  it('protected VMs stay', async () => {
    rig = await new Rig({ policies: [policyWith()] }).start();
    await rig.run(10);
    await rig.engine.setVm(2, { isProtected: true }, { owner: 'ann' });
    await rig.engine.setPolicy({ policy: policyWith({}, { flavor: LARGER }), file: 'web.yaml' });
    await rig.run(60);
    expect(vcpus().sort()).toEqual([1, 2, 2]);
    expect(rig.engine.vm(2)?.record.phase).toBe('in-service');
    expect(states()).toEqual(['started', 'finished']);
    await rig.stop();
  });

  it('behind a balancer there is always somebody to route to', async () => {
    const balanced = (over = {}) => ({ ...policyWith({}, over), balancer: 'front' });
    rig = await new Rig({ policies: [balanced()] }).start();
    await rig.run(10);
    const before = rig.balancer.applied.length;
    await rig.engine.setPolicy({ policy: balanced({ flavor: LARGER }), file: 'web.yaml' });
    await rig.run(60);
    expect(vcpus()).toEqual([2, 2, 2]);
    for (const servers of rig.balancer.applied.slice(before)) {
      expect(servers.filter(({ state }) => state === 'ready').length).toBeGreaterThanOrEqual(3);
    }
    await rig.stop();
  });

  it.each([1, 2.5, 4, 7, 11])('a daemon killed %d s into it goes on', async (seconds) => {
    await begin();
    await rig.run(seconds);
    rig.kill();
    rig.policies = [policyWith({}, { flavor: LARGER })];
    await rig.start();
    expect((await watch(60)).most).toBeLessThanOrEqual(4);
    expect(vcpus()).toEqual([2, 2, 2]);
    expect(states()).toEqual(['started', 'finished']);
    await rig.stop();
  });
});

describe('checkpoints', () => {
  it('it waits at each and goes on by itself', async () => {
    await begin({ checkpoints: [0.3, 0.6], pauseMs: 20_000 });
    const paused = await rig.until('refresh.changed').then(() => rig.until('refresh.changed'));
    expect(paused).toMatchObject({ state: 'paused', done: 1, total: 3 });
    const fromMs = rig.clock.nowMs();
    await rig.run(18);
    expect(states()).toEqual(['started', 'paused']);
    expect(vcpus().filter((count) => count === 2)).toHaveLength(1);
    await rig.until('refresh.changed', 5);
    expect(rig.clock.nowMs() - fromMs).toBeGreaterThan(19_000);
    await rig.run(60);
    expect(states()).toEqual(['started', 'paused', 'resumed', 'paused', 'resumed', 'finished']);
    expect(vcpus()).toEqual([2, 2, 2]);
    await rig.stop();
  });

  it('a person need not wait for it', async () => {
    await begin({ checkpoints: [0.3], pauseMs: 600_000 });
    await rig.run(15);
    expect(states()).toEqual(['started', 'paused']);
    expect(await rig.engine.refresh('web', 'resume')).toMatchObject({ ok: true });
    await rig.run(60);
    expect(vcpus()).toEqual([2, 2, 2]);
    await rig.stop();
  });
});

describe('failures', () => {
  const never = (): void => {
    rig.host().trouble({ kind: 'never-ready', fromMs: rig.clock.nowMs() });
  };

  it('so many failed launches of the new template turn it back, and nobody who served went', async () => {
    await begin({}, never);
    expect((await watch(120)).least).toBe(3);
    expect(states().slice(0, 2)).toEqual(['started', 'rolling-back']);
    expect(vcpus()).toEqual([1, 1, 1]);
    rig.host().heal(rig.clock.nowMs());
    await rig.run(30);
    expect(states()).toEqual(['started', 'rolling-back', 'stopped']);
    rig.host().kill(rig.host().domains(rig.clock.nowMs())[0]?.uuid ?? '');
    await rig.run(15);
    // What is lost afterwards is made anew from the template before.
    expect(vcpus()).toEqual([1, 1, 1]);
    await rig.stop();
  });

  it('half way it brings back those it has replaced', async () => {
    await begin({ checkpoints: [0.3], pauseMs: 15_000 });
    await rig.run(12);
    expect(states()).toEqual(['started', 'paused']);
    expect(vcpus().filter((count) => count === 2)).toHaveLength(1);
    never();
    await rig.run(60);
    expect(states()).toContain('rolling-back');
    rig.host().heal(rig.clock.nowMs());
    await rig.run(120);
    expect(vcpus()).toEqual([1, 1, 1]);
    expect(states().at(-1)).toBe('stopped');
    await rig.stop();
  });

  it('so do VMs of the new template that serve at first and then turn unhealthy', async () => {
    const health = { check: READY, intervalMs: 1000, timeoutMs: 500, failures: 2, graceMs: 3000, budget: { vms: 1 } };
    const withHealth = (flavor = SMALL) => ({ ...policyWith({}, { flavor }), health });
    rig = await new Rig({ policies: [withHealth()] }).start();
    await rig.run(10);
    await rig.engine.setPolicy({ policy: withHealth(LARGER), file: 'web.yaml' });
    for (let waited = 0; waited < 240 && !states().includes('rolling-back'); waited += 1) {
      for (const { running, uuid, vcpus: count } of rig.host().domains(rig.clock.nowMs()))
        if (running && count === 2) rig.host().trouble({ kind: 'unready', uuid, fromMs: rig.clock.nowMs() + 4000 });
      await rig.run(0.5);
    }
    expect(states()).toEqual(['started', 'rolling-back']);
    expect(rig.types().filter((type) => type === 'vm.unhealthy').length).toBeGreaterThanOrEqual(2);
    expect(rig.engine.group('web')?.lastDecision?.refresh?.text).toContain('2 VMs of the new template failed');
    await rig.run(30);
    expect(vcpus()).toEqual([1, 1, 1]);
    await rig.stop();
  });

  it('stop leaves it where it is', async () => {
    await begin({ onFailure: 'stop' }, never);
    await rig.run(120);
    expect(states()).toEqual(['started', 'stopped']);
    expect(vcpus()).toEqual([1, 1, 1]);
    expect(rig.engine.group('web')?.lastDecision?.refresh?.text).toContain('failed');
    await rig.stop();
  });
});

describe('verbs', () => {
  it('pause holds it until resume', async () => {
    await begin();
    await rig.run(1);
    expect(await rig.engine.refresh('web', 'pause')).toMatchObject({ ok: true });
    await rig.run(60);
    const halted = vcpus();
    await rig.run(60);
    expect(vcpus()).toEqual(halted);
    expect(halted).toContain(1);
    expect(await rig.engine.refresh('web', 'resume')).toMatchObject({ ok: true });
    await rig.run(60);
    expect(vcpus()).toEqual([2, 2, 2]);
    await rig.stop();
  });

  it('rollback brings everything back', async () => {
    await begin();
    await rig.run(7);
    expect(vcpus()).toContain(2);
    expect(await rig.engine.refresh('web', 'rollback')).toMatchObject({ ok: true });
    await rig.run(90);
    expect(vcpus()).toEqual([1, 1, 1]);
    await rig.stop();
  });

  it('cancel leaves both kinds', async () => {
    await begin();
    await rig.run(7);
    expect(await rig.engine.refresh('web', 'cancel')).toMatchObject({ ok: true });
    await rig.run(90);
    expect(vcpus()).toHaveLength(3);
    expect(new Set(vcpus())).toEqual(new Set([1, 2]));
    await rig.stop();
  });

  it('are refused where there is nothing to steer', async () => {
    rig = await new Rig({ policies: [policyWith()] }).start();
    await rig.run(10);
    for (const verb of ['pause', 'resume', 'rollback', 'cancel'] as const) {
      expect(await rig.engine.refresh('web', verb)).toMatchObject({ ok: false, refused: 'conflict' });
    }
    expect(await rig.engine.refresh('nope', 'pause')).toMatchObject({ ok: false, refused: 'not-found' });
    await rig.stop();
  });

  it('each is told, in order', async () => {
    await begin();
    await rig.run(1);
    await rig.engine.refresh('web', 'pause');
    await rig.run(5);
    await rig.engine.refresh('web', 'resume');
    await rig.run(5);
    await rig.engine.refresh('web', 'rollback');
    await rig.run(60);
    expect(states()).toEqual(['started', 'paused', 'resumed', 'rolling-back', 'stopped']);
    await rig.stop();
  });

  it('what the surge brought stays while launching is suspended, and it goes on afterwards', async () => {
    await begin();
    await rig.run(1);
    await rig.engine.suspend('web', ['launch']);
    await rig.run(60);
    expect(vcpus()).toContain(1);
    await rig.engine.suspend('web', []);
    await rig.run(60);
    expect(vcpus()).toEqual([2, 2, 2]);
    await rig.stop();
  });
});
