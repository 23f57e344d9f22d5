// Stories of VMs in service that stop serving: found out, replaced a few at a time, and left alone where nobody can know.
// Not here: the budget's reckoning (test/core).

import { afterEach, describe, expect, it } from 'vitest';
import type { HealthCheck } from '../../src/core/policy.ts';
import { policyOf, READY } from '../core/builders.ts';
import { Rig } from './rig.ts';

const health: HealthCheck = {
  check: READY,
  intervalMs: 2000,
  timeoutMs: 500,
  failures: 3,
  graceMs: 5000,
  budget: { vms: 1 },
};
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

async function rigOf(over: Partial<HealthCheck> = {}, min = 2, hosts = ['h1']): Promise<void> {
  const policy = policyOf({ min, max: min + 2, rules: [], health: { ...health, ...over } });
  rig = await new Rig({ policies: [policy], hosts }).start();
  await rig.run(15);
  expect(rig.running()).toHaveLength(min);
}

function uuidOf(name: string): string {
  return rig.hosts.flatMap((host) => host.domains(rig.clock.nowMs())).find((one) => one.name === name)?.uuid ?? '';
}

function sicken(name: string): void {
  rig.host().trouble({ kind: 'unready', uuid: uuidOf(name), fromMs: rig.clock.nowMs() });
}

function count(type: string): number {
  return rig.types().filter((one) => one === type).length;
}

describe('a VM that does not answer any more', () => {
  it('is unhealthy after so many failures in a row, told once, and replaced', async () => {
    await rigOf();
    sicken('web-1');
    const fromMs = rig.clock.nowMs();
    const told = await rig.until('vm.unhealthy', 20);
    expect(told).toMatchObject({ group: 'web', vm: { name: 'web-1' }, reason: expect.stringContaining('3 times') });
    const tookMs = rig.clock.nowMs() - fromMs;
    expect(tookMs).toBeGreaterThanOrEqual(4000);
    expect(tookMs).toBeLessThanOrEqual(8000);
    await rig.until('vm.launched', 20);
    await rig.run(10);
    expect(rig.running()).toEqual(['web-2', 'web-3']);
    expect(count('vm.unhealthy')).toBe(1);
    await rig.stop();
  });

  it('one failure less, and it is left', async () => {
    await rigOf();
    rig.host().trouble({
      kind: 'unready',
      uuid: uuidOf('web-1'),
      fromMs: rig.clock.nowMs(),
      untilMs: rig.clock.nowMs() + 3900,
    });
    await rig.run(30);
    expect(count('vm.unhealthy')).toBe(0);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });

  it('failures that are not in a row do not add up', async () => {
    await rigOf();
    const [from, uuid] = [rig.clock.nowMs(), uuidOf('web-1')];
    for (let at = 0; at < 60_000; at += 6000) {
      rig.host().trouble({ kind: 'unready', uuid, fromMs: from + at, untilMs: from + at + 3500 });
    }
    await rig.run(60);
    expect(count('vm.unhealthy')).toBe(0);
    await rig.stop();
  });

  it('nothing counts in its grace', async () => {
    const policy = policyOf({ min: 1, max: 3, rules: [], health: { ...health, graceMs: 30_000 } });
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    sicken('web-1');
    await rig.run(29);
    expect(count('vm.unhealthy')).toBe(0);
    await rig.until('vm.unhealthy', 10);
    await rig.stop();
  });

  it('an agent is asked where the check says so', async () => {
    await rigOf({ check: { agent: true } });
    sicken('web-2');
    expect(await rig.until('vm.unhealthy', 15)).toMatchObject({ vm: { name: 'web-2' } });
    await rig.stop();
  });
});

describe('replacing', () => {
  it('goes one after the other within the budget', async () => {
    await rigOf({}, 4);
    sicken('web-1');
    sicken('web-2');
    await rig.until('vm.unhealthy', 15);
    let least = 4;
    for (let waited = 0; waited < 400; waited += 1) {
      await rig.run(0.1);
      const serving = rig.engine.group('web')?.vms.filter((vm) => vm.record.phase === 'in-service').length ?? 0;
      least = Math.min(least, serving);
    }
    expect(count('vm.unhealthy')).toBe(2);
    expect(least).toBe(3);
    expect(rig.running()).toEqual(['web-3', 'web-4', 'web-5', 'web-6']);
    await rig.stop();
  });

  it('all at once is something else: nobody is replaced, and why says so', async () => {
    await rigOf({}, 3);
    rig.host().trouble({ kind: 'unready', fromMs: rig.clock.nowMs() });
    await rig.run(40);
    expect(count('vm.unhealthy')).toBe(3);
    expect(rig.running()).toEqual(['web-1', 'web-2', 'web-3']);
    const why = await rig.engine.why('web');
    expect(why).toMatchObject({ ok: true, value: { text: expect.stringContaining('something else must be wrong') } });
    rig.host().heal(rig.clock.nowMs());
    await rig.run(20);
    expect(rig.running()).toEqual(['web-1', 'web-2', 'web-3']);
    await rig.stop();
  });

  it('waits while health is suspended', async () => {
    await rigOf();
    await rig.engine.suspend('web', ['health']);
    sicken('web-1');
    await rig.until('vm.unhealthy', 15);
    await rig.run(20);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.engine.suspend('web', []);
    await rig.until('vm.launched', 10);
    await rig.run(3);
    expect(rig.running()).toEqual(['web-2', 'web-3']);
    await rig.stop();
  });

  it('leaves protected ones', async () => {
    await rigOf();
    await rig.engine.setVm(1, { isProtected: true }, { owner: 'ann' });
    sicken('web-1');
    await rig.until('vm.unhealthy', 15);
    await rig.run(20);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });
});

describe('a host that does not answer', () => {
  it.each(['unreachable', 'hang'] as const)('%s: its VMs are not unhealthy, also not when it is back', async (kind) => {
    await rigOf({ intervalMs: 20_000 }, 2, ['h1', 'h2']);
    const host = rig.host(rig.engine.vm(1)?.record.host);
    expect(host.domains(rig.clock.nowMs())).not.toEqual([]);
    const fromMs = rig.clock.nowMs();
    if (kind === 'unreachable') host.trouble({ kind, guests: true, fromMs });
    else {
      host.trouble({ kind, fromMs });
      host.trouble({ kind: 'unready', fromMs: fromMs + 4000 });
    }
    await rig.run(100);
    host.heal(rig.clock.nowMs());
    await rig.until('host.up', 30);
    await rig.run(30);
    expect(count('vm.launched')).toBe(2);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });
});
