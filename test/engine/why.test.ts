// Stories of people who ask why, and who say things about VMs: now, at a moment, and what follows from it.
// Not here: the wording (test/core), files of recordings (test/adapters).

import { afterEach, describe, expect, it } from 'vitest';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

const ann = { owner: 'ann' };

describe('why', () => {
  it('answers with the latest evaluation, also one that did nothing', async () => {
    rig = await new Rig({ policies: [policyOf()] }).start();
    await rig.until('vm.launched');
    await rig.run(20);
    const why = await rig.engine.why('web');
    expect(why).toMatchObject({ ok: true, value: { decision: { desired: 1, cause: 'none', actions: [] } } });
    if (!why.ok) throw new Error(why.reason);
    expect(rig.clock.nowMs() - Date.parse(why.value.at)).toBeLessThan(1500);
    expect(why.value.text.length).toBeGreaterThan(20);
    expect(why.value.text).not.toContain('\n');
    await rig.stop();
  });

  it('answers for a moment with what was decided then', async () => {
    rig = await new Rig({ policies: [policyOf({ rules: [] })] }).start();
    await rig.until('vm.launched');
    await rig.run(10);
    const before = rig.clock.wall();
    await rig.run(2);
    await rig.engine.setDesired('web', 3);
    await rig.run(30);
    expect(await rig.engine.why('web', before)).toMatchObject({ ok: true, value: { decision: { desired: 1 } } });
    const now = await rig.engine.why('web', rig.clock.wall());
    expect(now).toMatchObject({ ok: true, value: { decision: { desired: 3 } } });
    expect(await rig.engine.why('web', '2100-01-01T00:00:00Z')).toEqual(now);
    await rig.stop();
  });

  it('what is no longer recorded is answered from the decisions that changed something', async () => {
    rig = new Rig({ policies: [policyOf({ rules: [] })] });
    const { recorder } = rig;
    recorder.find = async () => undefined;
    await rig.start();
    await rig.until('vm.launched');
    await rig.engine.setDesired('web', 2);
    await rig.run(20);
    const at = rig.clock.wall();
    await rig.run(60);
    expect(await rig.engine.why('web', at)).toMatchObject({ ok: true, value: { decision: { desired: 2 } } });
    await rig.stop();
  });

  it('not found: no such group, nothing from then, nothing yet', async () => {
    rig = new Rig({ policies: [policyOf()], hosts: ['h1'] });
    rig.host().trouble({ kind: 'hang', fromMs: rig.clock.nowMs() });
    await rig.start();
    expect(await rig.engine.why('web')).toMatchObject({ ok: false, refused: 'not-found' });
    expect(await rig.engine.why('nope')).toMatchObject({ ok: false, refused: 'not-found' });
    rig.host().heal(rig.clock.nowMs());
    await rig.run(20);
    expect(await rig.engine.why('web')).toMatchObject({ ok: true });
    expect(await rig.engine.why('web', '2001-01-01T00:00:00Z')).toMatchObject({
      ok: false,
      refused: 'not-found',
      where: 'at',
    });
    await rig.stop();
  });

  it('a group whose policy was removed still tells what was decided last', async () => {
    rig = await new Rig({ policies: [policyOf()] }).start();
    await rig.run(10);
    await rig.engine.removePolicy('web');
    await rig.run(5);
    expect(await rig.engine.why('web')).toMatchObject({ ok: true });
    await rig.stop();
  });
});

describe('what people say about VMs', () => {
  const label = policyOf({ max: 4, rules: [], drainGraceMs: 500, removal: { kind: 'label', label: 'rank' } });

  async function withThree(policy = label): Promise<void> {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    await rig.engine.setDesired('web', 3);
    await rig.run(10);
    expect(rig.running()).toEqual(['web-1', 'web-2', 'web-3']);
  }

  it('the smallest label goes first', async () => {
    await withThree();
    for (const [id, rank] of [
      [1, '7'],
      [2, '3'],
      [3, '5'],
    ] as const)
      expect(await rig.engine.setVm(id, { labels: { rank } }, ann)).toMatchObject({ ok: true });
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.removed');
    expect(rig.running()).toEqual(['web-1', 'web-3']);
    await rig.engine.setDesired('web', 1);
    await rig.until('vm.removed');
    expect(rig.running()).toEqual(['web-1']);
    await rig.stop();
  });

  it('protected ones stay, and why says so', async () => {
    await withThree();
    for (const id of [1, 2, 3]) await rig.engine.setVm(id, { isProtected: true }, ann);
    await rig.engine.setDesired('web', 2);
    await rig.run(20);
    expect(rig.running()).toHaveLength(3);
    const limits = rig.engine.group('web')?.lastDecision?.limits;
    expect(limits).toContainEqual(expect.objectContaining({ limit: 'protected' }));
    await rig.engine.setVm(2, { isProtected: false }, ann);
    await rig.until('vm.removed', 10);
    expect(rig.running()).toEqual(['web-1', 'web-3']);
    await rig.stop();
  });

  it('labels are replaced as a whole, protection is kept, and both survive a restart', async () => {
    await withThree();
    await rig.engine.setVm(1, { isProtected: true, labels: { rank: '1', zone: 'a' } }, ann);
    expect(await rig.engine.setVm(1, { labels: { rank: '2' } }, ann)).toMatchObject({
      value: { record: { isProtected: true, labels: { rank: '2' } } },
    });
    rig.kill();
    await rig.start();
    expect(rig.engine.vm(1)?.record).toMatchObject({ isProtected: true, labels: { rank: '2' } });
    const bare = await rig.engine.setVm(1, { isProtected: false, labels: {} }, ann);
    if (!bare.ok) throw new Error(bare.reason);
    expect(bare.value.record).not.toHaveProperty('labels');
    expect(bare.value.record).not.toHaveProperty('isProtected');
    expect(await rig.engine.setVm(99, { isProtected: true }, ann)).toMatchObject({ ok: false, refused: 'not-found' });
    await rig.stop();
  });

  it('what is said while a step is under way is not forgotten when it ends', async () => {
    const hook = { url: 'http://127.0.0.1/', deadlineMs: 30_000, onTimeout: 'abandon' } as const;
    rig = new Rig({ policies: [policyOf({ rules: [], balancer: 'front', hooks: { launch: hook } })] });
    let agree = (): void => {};
    rig.hooks.call = () =>
      new Promise((resolve) => {
        agree = () => resolve('agreed');
      });
    let admit = (): void => {};
    const apply = rig.balancer.apply.bind(rig.balancer);
    rig.balancer.apply = async (servers, signal) => {
      if (servers.length > 0) await new Promise<void>((resolve) => (admit = resolve));
      return apply(servers, signal);
    };
    await rig.start();
    await rig.run(4);
    await rig.engine.setVm(1, { labels: { rank: '1' } }, ann);
    agree();
    await rig.run(1);
    expect(rig.engine.vm(1)?.record).toMatchObject({ step: 'approved', labels: { rank: '1' } });
    await rig.engine.setVm(1, { isProtected: true }, ann);
    admit();
    await rig.until('vm.launched', 5);
    expect(rig.engine.vm(1)?.record).toMatchObject({ phase: 'in-service', isProtected: true, labels: { rank: '1' } });
    admit();
    await rig.stop();
  });
});
