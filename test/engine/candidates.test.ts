// Stories of policies that only watch: they decide, and nothing comes of it.
// Not here: how a candidate sees the load (test/core).

import { afterEach, describe, expect, it } from 'vitest';
import type { Policy } from '../../src/core/policy.ts';
import { NO_CAPACITY } from '../../src/core/policy.ts';
import { outRule, policyOf, targetRule } from '../core/builders.ts';
import { Rig } from './rig.ts';

const live = policyOf({ max: 6, rules: [] });
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function candidate(name: string, over: Partial<Policy> = {}): Policy {
  return { ...live, rules: [targetRule()], ...over, mode: 'observe', candidate: name };
}

async function add(policy: Policy): Promise<void> {
  await rig.engine.setPolicy({ policy, file: `${policy.candidate ?? policy.group}.yaml` });
}

function desired(): Record<string, number | undefined> {
  const candidates = rig.engine.group('web')?.candidates ?? [];
  return Object.fromEntries(candidates.map((one) => [one.name, one.desired]));
}

describe('candidates', () => {
  it('say what each would have by now, beside the policy that acts, and do nothing', async () => {
    rig = await new Rig({ policies: [live] }).start();
    await rig.until('vm.launched');
    await add(candidate('low', { rules: [targetRule({ target: 30 })] }));
    await add(candidate('high', { rules: [targetRule({ target: 80 })] }));
    rig.load(0.9);
    const from = rig.types().length;
    await rig.run(20);
    expect(desired()).toEqual({ low: 3, high: 2 });
    expect(rig.types(from)).toEqual([]);
    expect(rig.running()).toEqual(['web-1']);
    expect(rig.engine.group('web')?.lastDecision?.desired).toBe(1);
    for (const one of rig.engine.group('web')?.candidates ?? []) {
      expect(one.lastDecision).toMatchObject({ observed: true, actions: [] });
    }
    await rig.stop();
  });

  it('one has no standbys, no templates and no balancer of its own', async () => {
    rig = await new Rig({ policies: [live] }).start();
    await add(candidate('rich', { capacity: { ...NO_CAPACITY, fork: true, paused: 2 }, balancer: 'front' }));
    await rig.run(60);
    expect(rig.disks()).toEqual(['web-1']);
    expect(rig.host().templates.list()).toEqual([]);
    expect(rig.balancer.servers).toEqual([]);
    await rig.stop();
  });

  it('one that is removed says nothing more; the policy that acts stays', async () => {
    rig = await new Rig({ policies: [live] }).start();
    await add(candidate('low'));
    await rig.run(5);
    await rig.engine.removePolicy('web', 'low');
    await rig.run(5);
    expect(rig.engine.group('web')?.candidates).toEqual([]);
    expect(rig.events.at(-1)).toMatchObject({ type: 'policy.removed', group: 'web', candidate: 'low' });
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched');
    await rig.stop();
  });

  it('one that is put in force acts, and begins from what there is', async () => {
    rig = await new Rig({ policies: [live] }).start();
    await rig.until('vm.launched');
    await add(candidate('low', { rules: [targetRule({ target: 30 })] }));
    rig.load(0.9);
    await rig.run(15);
    await rig.engine.setPolicy({ policy: { ...live, rules: [targetRule({ target: 30 })] }, file: 'web.yaml' });
    const made = await rig.until('decision.made', 10);
    expect(made).toMatchObject({ decision: { desiredBefore: 1, cause: 'rule' } });
    await rig.stop();
  });
});

describe('a policy that only observes', () => {
  it('launches nothing, removes nothing, and says what it would have done', async () => {
    const policy = policyOf({ min: 2, max: 4, rules: [outRule()], mode: 'observe' });
    rig = await new Rig({ policies: [policy] }).start();
    await rig.run(30);
    expect(rig.running()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    expect(rig.engine.group('web')?.lastDecision).toMatchObject({ observed: true, desired: 2, actions: [] });
    await rig.stop();
  });

  it('leaves the VMs of a policy that acted before as they are, and one that acts again takes them on', async () => {
    rig = await new Rig({ policies: [policyOf({ min: 2, max: 4, rules: [] })] }).start();
    await rig.run(10);
    await rig.engine.setPolicy({ policy: policyOf({ min: 4, max: 4, rules: [], mode: 'observe' }), file: 'web.yaml' });
    await rig.run(20);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.engine.setPolicy({ policy: policyOf({ min: 1, max: 4, rules: [] }), file: 'web.yaml' });
    await rig.run(20);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });
});
