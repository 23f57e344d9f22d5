// Stories of VMs on their way out: taken back when load returns, or not; never in the way of others.
// Not here: the balancer's part of it (balancing.test), whom to remove (test/core).

import { afterEach, describe, expect, it } from 'vitest';
import { policyOf, READY, targetRule } from '../core/builders.ts';
import { Rig } from './rig.ts';

const policy = policyOf({ max: 4, rules: [], drainGraceMs: 60_000 });
const behind = policyOf({ ...policy, balancer: 'front' });
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

async function withTwo(one = policy): Promise<void> {
  rig = await new Rig({ policies: [one] }).start();
  await rig.until('vm.launched');
  await rig.engine.setDesired('web', 2);
  await rig.until('vm.launched');
  await rig.run(3);
  for (const name of ['web-1', 'web-2']) rig.balancer.sessions.set(name, 5);
}

async function drainOne(): Promise<{ readonly id: number; readonly name: string }> {
  await rig.engine.setDesired('web', 1);
  const event = await rig.until('vm.draining');
  if (event.type !== 'vm.draining') throw new Error(event.type);
  await rig.run(5);
  return event.vm;
}

function launches(): number {
  return rig.types().filter((type) => type === 'vm.launching').length;
}

describe('load returns', () => {
  it('a draining VM goes back into service in place of a new one', async () => {
    await withTwo();
    const vm = await drainOne();
    const launched = launches();
    await rig.engine.setDesired('web', 2);
    expect(await rig.until('vm.returned', 3)).toMatchObject({ vm: { name: vm.name } });
    await rig.run(90);
    expect(launches()).toBe(launched);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    expect(rig.engine.vm(vm.id)?.record).toMatchObject({ phase: 'in-service' });
    expect(rig.engine.vm(vm.id)?.record).not.toHaveProperty('leaving');
    await rig.stop();
  });

  it('behind a balancer clients are routed to it again within 100 ms of the decision', async () => {
    await withTwo(behind);
    const vm = await drainOne();
    expect(rig.balancer.routed).not.toContain(vm.name);
    const launched = launches();
    await rig.engine.setDesired('web', 2);
    for (let waited = 0; waited < 300 && rig.types().at(-1) !== 'vm.returned'; waited += 1) await rig.run(0.01);
    expect(rig.types()).toContain('vm.returned');
    const decidedAtMs = rig.clock.nowMs();
    while (!rig.balancer.routed.includes(vm.name) && rig.clock.nowMs() - decidedAtMs < 5000) await rig.run(0.01);
    expect(rig.balancer.routed).toEqual(['web-1', 'web-2']);
    expect(rig.clock.nowMs() - decidedAtMs).toBeLessThanOrEqual(100);
    expect(launches()).toBe(launched);
    await rig.run(90);
    expect(rig.types()).not.toContain('vm.drained');
    await rig.stop();
  });

  it('a rule that asks for more gets the draining one back first and launches the rest', async () => {
    await withTwo();
    rig.load(0.6);
    await rig.run(5);
    await rig.engine.setPolicy({ policy: policyOf({ ...policy, rules: [targetRule()] }), file: 'web.yaml' });
    await rig.run(5);
    rig.load(0.05);
    const { vm } = (await rig.until('vm.draining')) as { vm: { name: string } };
    await rig.run(4);
    rig.load(0.95);
    const returned = await rig.until('vm.returned', 10);
    expect(returned).toMatchObject({ vm: { name: vm.name } });
    await rig.until('vm.launched', 20);
    expect(rig.running().length).toBeGreaterThan(2);
    await rig.stop();
  });

  it('one that a person deleted is not taken back: another is launched', async () => {
    await withTwo();
    const id = rig.engine.group('web')?.vms.at(-1)?.record.id ?? 0;
    await rig.engine.deleteVm(id, { owner: 'ann' });
    await rig.until('vm.launched', 20);
    await rig.run(60);
    expect(rig.types()).not.toContain('vm.returned');
    expect(rig.engine.vm(id)).toBeUndefined();
    expect(rig.running()).toHaveLength(2);
    await rig.stop();
  });

  it('one that drained for its size and that a person then deletes is not taken back either', async () => {
    await withTwo();
    const { id } = await drainOne();
    await rig.engine.deleteVm(id, { owner: 'ann' });
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched', 20);
    expect(rig.types()).not.toContain('vm.returned');
    await rig.stop();
  });

  it('one that became unhealthy is not taken back: another is launched', async () => {
    const health = { check: READY, intervalMs: 1000, timeoutMs: 500, failures: 2, graceMs: 0, budget: { vms: 1 } };
    await withTwo({ ...policy, health });
    await rig.engine.suspend('web', ['health']);
    const uuid = rig.engine.vm(2)?.record.uuid ?? '';
    rig.host().trouble({ kind: 'unready', uuid, fromMs: rig.clock.nowMs() });
    await rig.until('vm.unhealthy', 10);
    await rig.engine.setDesired('web', 1);
    await rig.until('vm.draining');
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched', 20);
    expect(rig.types()).not.toContain('vm.returned');
    expect(rig.engine.group('web')?.vms.map(({ record }) => record.name)).toContain('web-3');
    await rig.stop();
  });

  it('a restart of the daemon in the middle of a drain changes nothing of that', async () => {
    await withTwo(behind);
    const vm = await drainOne();
    rig.kill();
    await rig.run(3);
    await rig.start();
    await rig.run(4);
    expect(rig.engine.vm(vm.id)?.record).toMatchObject({ phase: 'draining', leaving: 'size' });
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.returned', 5);
    await rig.run(1);
    expect(rig.balancer.routed).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });
});

describe('a slow drain', () => {
  it('blocks no other decision: another VM is launched, becomes ready and goes beside it', async () => {
    await withTwo(policyOf({ ...behind, drainGraceMs: 600_000 }));
    const { id } = await drainOne();
    await rig.engine.deleteVm(id, { owner: 'ann' });
    await rig.engine.setDesired('web', 3);
    await rig.run(10);
    expect(rig.engine.group('web')?.vms.filter((vm) => vm.record.phase === 'in-service')).toHaveLength(3);
    expect(rig.engine.vm(id)?.record.phase).toBe('draining');
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.draining', 5);
    expect(rig.engine.vm(id)?.record.phase).toBe('draining');
    await rig.stop();
  });

  it('counts against max until it is gone', async () => {
    await withTwo(policyOf({ ...behind, max: 2, drainGraceMs: 30_000 }));
    const { id } = await drainOne();
    await rig.engine.deleteVm(id, { owner: 'ann' });
    await rig.engine.setDesired('web', 2);
    const launched = launches();
    await rig.run(20);
    expect(launches()).toBe(launched);
    expect(rig.engine.group('web')?.lastDecision?.limits).toContainEqual(expect.objectContaining({ limit: 'exists' }));
    await rig.until('vm.launched', 30);
    expect(rig.running()).toHaveLength(2);
    await rig.stop();
  });
});
