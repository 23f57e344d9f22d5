// Stories of numbers and times from outside: posted, asked of a monitoring system, by the calendar; and of parts that people suspend.
// Not here: what rules reckon (test/core), HTTP (test/edge).

import { afterEach, describe, expect, it } from 'vitest';
import type { Metric } from '../../src/core/metric.ts';
import type { ScheduleRule } from '../../src/core/policy.ts';
import { POSTED_NAMES_MAX } from '../../src/engine/outside.ts';
import { outRule, policyOf, targetRule } from '../core/builders.ts';
import { Rig } from './rig.ts';

const jobs: Metric = { source: { kind: 'posted', name: 'jobs' }, aggregate: 'mean', overMs: 0, scope: 'total' };
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function running(): number {
  return rig.running().length;
}

async function post(value: number, vmId?: number): Promise<void> {
  const posted = { name: 'jobs', value, ...(vmId !== undefined && { vmId }) };
  expect(await rig.engine.postMetric('web', posted)).toMatchObject({ ok: true });
}

/** Says it every second. */
async function keepPosting(value: number, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await post(value);
    await rig.run(1);
  }
}

describe('posted numbers', () => {
  const queue = policyOf({
    min: 0,
    max: 5,
    drainGraceMs: 500,
    rules: [targetRule({ name: 'queue', metric: jobs, target: 10 })],
  });

  it('of the group: from none to as many as they ask for, and back to none', async () => {
    rig = await new Rig({ policies: [queue] }).start();
    await keepPosting(0, 5);
    expect(running()).toBe(0);
    await keepPosting(35, 10);
    expect(running()).toBe(4);
    await keepPosting(0, 15);
    expect(running()).toBe(0);
    expect(rig.disks()).toEqual([]);
    await rig.stop();
  });

  it('that stop coming change nothing', async () => {
    rig = await new Rig({ policies: [queue] }).start();
    await keepPosting(35, 10);
    await rig.run(300);
    expect(running()).toBe(4);
    const [verdict] = rig.engine.group('web')?.lastDecision?.verdicts ?? [];
    expect(verdict).toMatchObject({ verdict: 'no-data', text: expect.stringContaining('old') });
    await rig.stop();
  });

  it('of VMs are made one, and those of a VM that is gone count no more', async () => {
    const metric: Metric = { ...jobs, scope: 'mean' };
    const policy = policyOf({ max: 5, rules: [targetRule({ name: 'each', metric, target: 10 })] });
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    await post(25, 1);
    await rig.run(6);
    expect(running()).toBe(3);
    for (const [id, value] of [
      [1, 10],
      [2, 10],
      [3, 10],
    ] as const)
      await post(value, id);
    await rig.run(5);
    expect(running()).toBe(3);
    await rig.stop();
  });

  it('are refused for groups and VMs that are not there, for what is no number, and for too many names', async () => {
    rig = await new Rig({ policies: [policyOf({ max: 2, rules: [] })] }).start();
    await rig.until('vm.launched');
    const { engine } = rig;
    expect(await engine.postMetric('nope', { name: 'a', value: 1 })).toMatchObject({ refused: 'not-found' });
    expect(await engine.postMetric('web', { name: 'a', value: Number.NaN })).toMatchObject({ refused: 'invalid' });
    expect(await engine.postMetric('web', { name: 'a', value: 1, vmId: 77 })).toMatchObject({ refused: 'not-found' });
    for (let count = 0; count < POSTED_NAMES_MAX; count += 1) {
      expect(await engine.postMetric('web', { name: `n${count}`, value: 1 })).toMatchObject({ ok: true });
    }
    expect(await engine.postMetric('web', { name: 'more', value: 1 })).toMatchObject({ refused: 'too-many' });
    expect(await engine.postMetric('web', { name: 'n7', value: 2 })).toMatchObject({ ok: true });
    await rig.stop();
  });
});

describe('a query', () => {
  const metric: Metric = { source: { kind: 'query', query: 'up' }, aggregate: 'mean', overMs: 0, scope: 'total' };
  const policy = policyOf({ max: 5, rules: [targetRule({ name: 'asked', metric, target: 10 })] });

  it('is asked and followed', async () => {
    rig = new Rig({ policies: [policy] });
    rig.queries.set('up', 28);
    await rig.start();
    await rig.run(15);
    expect(running()).toBe(3);
    rig.queries.set('up', 12);
    await rig.run(30);
    expect(running()).toBe(2);
    await rig.stop();
  });

  it('that fails is missing data, and says why', async () => {
    rig = new Rig({ policies: [policy] });
    await rig.start();
    await rig.run(15);
    expect(running()).toBe(1);
    const [verdict] = rig.engine.group('web')?.lastDecision?.verdicts ?? [];
    expect(verdict).toMatchObject({ verdict: 'no-data', text: expect.stringContaining('does not answer') });
    rig.queries.set('up', 45);
    await rig.run(15);
    expect(running()).toBe(5);
    rig.queries.delete('up');
    await rig.run(120);
    expect(running()).toBe(5);
    await rig.stop();
  });
});

describe('schedules', () => {
  const office: ScheduleRule = {
    name: 'office',
    type: 'schedule',
    cron: '0 8 * * *',
    timezone: 'Europe/Berlin',
    forMs: 3_600_000,
    min: 3,
  };
  /** 08:00 in Berlin is 07:00 UTC in winter; the clock begins at midnight UTC. */
  const BEGINS_S = 7 * 3600;

  it('hold from their beginning to their end, by the clock on the wall of their zone', async () => {
    rig = new Rig({ policies: [policyOf({ max: 4, rules: [office], drainGraceMs: 500 })] });
    rig.clock.stepWall((BEGINS_S - 20) * 1000);
    await rig.start();
    await rig.run(19);
    expect(running()).toBe(1);
    await rig.run(10);
    expect(running()).toBe(3);
    // Its end lets the group be smaller, and makes it so no more than any other min.
    rig.clock.stepWall(3_600_000);
    await rig.engine.setDesired('web', 1);
    await rig.run(10);
    expect(running()).toBe(1);
    await rig.stop();
  });

  it('while it holds nobody gets below its min', async () => {
    rig = new Rig({ policies: [policyOf({ max: 4, rules: [office], drainGraceMs: 500 })] });
    rig.clock.stepWall((BEGINS_S + 60) * 1000);
    await rig.start();
    await rig.run(10);
    await rig.engine.setDesired('web', 1);
    await rig.run(20);
    expect(running()).toBe(3);
    await rig.stop();
  });

  it('one that began while no daemon ran holds for the rest of its time', async () => {
    rig = new Rig({ policies: [policyOf({ max: 4, rules: [office] })] });
    rig.clock.stepWall((BEGINS_S + 1800) * 1000);
    await rig.start();
    await rig.run(10);
    expect(running()).toBe(3);
    await rig.stop();
  });

  it('one that ended meanwhile does not', async () => {
    rig = new Rig({ policies: [policyOf({ max: 4, rules: [office] })] });
    rig.clock.stepWall((BEGINS_S + 3700) * 1000);
    await rig.start();
    await rig.run(10);
    expect(running()).toBe(1);
    await rig.stop();
  });

  it('a size is set once: who changes it afterwards is not overruled, also not after a restart', async () => {
    const { min: _min, ...once } = { ...office, desired: 3 };
    rig = new Rig({ policies: [policyOf({ max: 4, rules: [once], drainGraceMs: 500 })] });
    rig.clock.stepWall((BEGINS_S + 60) * 1000);
    await rig.start();
    await rig.run(10);
    expect(running()).toBe(3);
    await rig.engine.setDesired('web', 2);
    await rig.run(30);
    expect(running()).toBe(2);
    rig.kill();
    await rig.start();
    await rig.run(30);
    expect(running()).toBe(2);
    await rig.stop();
  });

  it('a candidate with a schedule of the same name moves nothing', async () => {
    const later = { ...office, cron: '0 20 * * *' };
    const live = policyOf({ max: 4, rules: [later] });
    rig = new Rig({ policies: [live] });
    rig.clock.stepWall((BEGINS_S + 60) * 1000);
    await rig.start();
    await rig.engine.setPolicy({
      policy: { ...live, mode: 'observe', candidate: 'early', rules: [office] },
      file: 'early.yaml',
    });
    await rig.run(20);
    expect(running()).toBe(1);
    expect(rig.engine.group('web')?.candidates).toEqual([expect.objectContaining({ name: 'early', desired: 3 })]);
    await rig.stop();
  });
});

describe('suspended', () => {
  const rules = [outRule({ forMs: 1000, cooldownMs: 1000 })];

  it('launch: none is launched, whatever is asked; afterwards they are', async () => {
    rig = await new Rig({ policies: [policyOf({ max: 4, rules })] }).start();
    await rig.until('vm.launched');
    await rig.engine.suspend('web', ['launch']);
    rig.load(0.95);
    await rig.run(20);
    expect(running()).toBe(1);
    await rig.engine.suspend('web', []);
    await rig.run(10);
    expect(running()).toBeGreaterThan(1);
    const told = rig.events.filter((event) => event.type === 'group.changed' && event.change.what === 'suspended');
    expect(told).toHaveLength(2);
    await rig.stop();
  });

  it('remove: none is removed, and one that was asked for is', async () => {
    rig = await new Rig({ policies: [policyOf({ max: 4, rules: [], drainGraceMs: 500 })] }).start();
    await rig.until('vm.launched');
    await rig.engine.setDesired('web', 3);
    await rig.run(10);
    await rig.engine.suspend('web', ['remove']);
    await rig.engine.setDesired('web', 1);
    await rig.run(20);
    expect(running()).toBe(3);
    await rig.engine.suspend('web', []);
    await rig.run(10);
    expect(running()).toBe(1);
    await rig.stop();
  });

  it('schedule: the calendar moves nothing', async () => {
    const always = {
      name: 'always',
      type: 'schedule',
      cron: '* * * * *',
      timezone: 'UTC',
      forMs: 60_000,
      min: 3,
    } as const;
    const policy = policyOf({ max: 4, rules: [always], drainGraceMs: 500 });
    rig = await new Rig({ policies: [{ ...policy, rules: [] }] }).start();
    await rig.engine.suspend('web', ['schedule']);
    await rig.engine.setPolicy({ policy, file: 'web.yaml' });
    await rig.run(20);
    expect(running()).toBe(1);
    await rig.engine.suspend('web', []);
    await rig.run(10);
    expect(running()).toBe(3);
    await rig.stop();
  });

  it('survives a restart of the daemon', async () => {
    rig = await new Rig({ policies: [policyOf({ max: 4, rules: [] })] }).start();
    await rig.until('vm.launched');
    await rig.engine.suspend('web', ['launch']);
    rig.kill();
    await rig.start();
    await rig.engine.setDesired('web', 3);
    await rig.run(10);
    expect(running()).toBe(1);
    expect(rig.engine.group('web')?.memory.suspended).toEqual(['launch']);
    await rig.stop();
  });
});
