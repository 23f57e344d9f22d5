// Stories of templates and the VMs forked from them: made when it is quiet, used, gone, made anew; identities; crashes on the way.
// Not here: real templates (test/real), which host gets a template's key (test/core).

import { afterEach, describe, expect, it } from 'vitest';
import { SqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts';
import { NO_CAPACITY } from '../../src/core/policy.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const policy = policyOf({ max: 6, rules: [], capacity: { ...NO_CAPACITY, fork: true } });
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

async function withTemplate(): Promise<void> {
  rig = await new Rig({ policies: [policy] }).start();
  await rig.until('template.ready');
}

function templates(): string[] {
  return rig
    .host()
    .templates.list()
    .map(({ key }) => key);
}

function domain(name: string) {
  return rig
    .host()
    .domains(rig.clock.nowMs())
    .find((one) => one.name === name);
}

function told(type: string): number {
  return rig.types().filter((one) => one === type).length;
}

async function grow(): Promise<{
  readonly way?: string;
  readonly launchMs: number;
  readonly vm: { readonly name: string };
}> {
  const desired = rig.engine.group('web')?.memory.desired ?? 0;
  await rig.engine.setDesired('web', desired + 1);
  return (await rig.until('vm.launched', 30)) as never;
}

describe('a template', () => {
  it('is made when the first VM serves and nothing is being launched; from then on VMs are forked', async () => {
    rig = await new Rig({ policies: [policy] }).start();
    expect(await rig.until('vm.launched')).toMatchObject({ way: 'cold' });
    expect(told('template.ready')).toBe(0);
    expect(templates()).toEqual([]);
    expect(await rig.until('template.ready')).toMatchObject({ group: 'web', host: 'h1', template: expect.any(String) });
    expect(rig.engine.group('web')?.templates).toEqual([
      { host: 'h1', state: 'ready', key: templates()[0], bytes: expect.any(Number) },
    ]);
    const event = await grow();
    expect(event.way).toBe('fork');
    expect(event.launchMs).toBeLessThan(500);
    await rig.stop();
  });

  it('waits while the group launches', async () => {
    rig = new Rig({ policies: [policyOf({ ...policy, launchDeadlineMs: 90_000 })] });
    rig.host().bootMs = 30_000;
    await rig.start();
    await rig.run(25);
    expect(rig.engine.group('web')?.templates).toEqual([
      expect.objectContaining({ state: 'waiting', reason: expect.stringContaining('launch') }),
    ]);
    await rig.until('template.ready', 90);
    await rig.stop();
  });

  it('is kept when nothing changes: over hours, and over a restart of the daemon', async () => {
    await withTemplate();
    const before = templates();
    await rig.run(1800);
    rig.kill();
    await rig.run(5);
    await rig.start();
    await rig.run(300);
    expect(templates()).toEqual(before);
    expect(told('template.ready')).toBe(1);
    expect(told('template.removed')).toBe(0);
    expect((await grow()).way).toBe('fork');
    await rig.stop();
  });

  it('is remade when QEMU has changed, and the old one removed when nobody has used it for 10 minutes', async () => {
    await withTemplate();
    const [old] = templates();
    rig.host().templates.version = '2';
    await rig.until('template.ready', 90);
    expect(templates()).toHaveLength(2);
    const changedAtMs = rig.clock.nowMs();
    expect(await rig.until('template.removed', 900)).toMatchObject({ host: 'h1', template: old });
    expect(rig.clock.nowMs() - changedAtMs).toBeGreaterThan(500_000);
    expect(templates()).toHaveLength(1);
    expect(templates()).not.toContain(old);
    expect((await grow()).way).toBe('fork');
    await rig.stop();
  });

  it('that no policy wants any more is removed after 10 minutes, also by a daemon that never saw it used', async () => {
    await withTemplate();
    rig.kill();
    rig.policies = [policyOf({ max: 6, rules: [] })];
    await rig.start();
    await rig.run(300);
    expect(templates()).toHaveLength(1);
    await rig.until('template.removed', 600);
    expect(templates()).toEqual([]);
    await rig.stop();
  });

  it('two groups with the same image share one', async () => {
    rig = await new Rig({ policies: [policy, { ...policy, group: 'api' }] }).start();
    await rig.run(60);
    expect(templates()).toHaveLength(1);
    await rig.engine.removePolicy('web');
    await rig.run(900);
    expect(templates()).toHaveLength(1);
    await rig.stop();
  });

  it('that cannot be made is told once and tried more and more seldom', async () => {
    rig = new Rig({ policies: [policy] });
    const refused = { kind: 'fail-call', call: 'makeTemplate', fault: 'refused', effect: 'before' } as const;
    rig.host().trouble({ ...refused, times: 1000, fromMs: 0 });
    await rig.start();
    await rig.until('template.failed');
    await rig.run(3);
    expect(rig.engine.group('web')?.templates).toEqual([expect.objectContaining({ state: 'impossible' })]);
    expect((await grow()).way).toBe('cold');
    const tries: number[] = [];
    const { templateMs } = rig.host();
    for (let waited = 0; waited < 1800; waited += 1) {
      await rig.run(1);
      if (rig.engine.group('web')?.templates[0]?.state === 'making') tries.push(waited);
    }
    expect(told('template.failed')).toBe(1);
    // 15 s, 30 s, 60 s … 10 min: seven in half an hour, each as long as a boot.
    expect(tries.length).toBeLessThan((8 * templateMs) / 1000 + 8);
    rig.host().heal(rig.clock.nowMs());
    await rig.until('template.ready', 700);
    await rig.stop();
  });

  it('is not made for a policy that only observes', async () => {
    rig = await new Rig({ policies: [{ ...policy, mode: 'observe' }] }).start();
    await rig.run(60);
    expect(templates()).toEqual([]);
    await rig.stop();
  });
});

describe('a fork', () => {
  it('is called by its own name before anybody is told of it', async () => {
    await withTemplate();
    const names: (string | undefined)[] = [];
    rig.engine.log.subscribe((event) => {
      if (event.type === 'vm.launched') names.push(domain(event.vm.name)?.hostname);
    });
    for (const _ of [1, 2, 3]) await grow();
    expect(names).toEqual(['web-2', 'web-3', 'web-4']);
    await rig.stop();
  });

  it('several at once are all forked', async () => {
    await withTemplate();
    await rig.engine.setDesired('web', 6);
    await rig.run(5);
    const vms = rig.engine.group('web')?.vms ?? [];
    expect(vms.filter(({ record }) => record.way === 'fork' && record.phase === 'in-service')).toHaveLength(5);
    expect(vms.map(({ record }) => domain(record.name)?.hostname)).toEqual(vms.map(({ record }) => record.name));
    await rig.stop();
  });

  it('whose template has vanished is booted, says so, and the template is made again', async () => {
    await withTemplate();
    rig.host().templates.remove(templates()[0] ?? '');
    const event = await grow();
    expect(event).toMatchObject({ way: 'cold', vm: { name: 'web-2' } });
    const fallback = rig.events.find(({ type }) => type === 'vm.fallback');
    expect(fallback).toMatchObject({
      from: 'fork',
      to: 'cold',
      vm: { name: 'web-2' },
      reason: expect.stringContaining('template'),
    });
    expect(told('vm.failed')).toBe(0);
    expect(domain('web-2')).toMatchObject({ hostname: 'web-2', serves: true });
    expect(rig.disks()).toEqual(['web-1', 'web-2']);
    await rig.until('template.ready', 60);
    expect((await grow()).way).toBe('fork');
    await rig.stop();
  });

  it.each(['define', 'fork'] as const)('that is refused at %s is booted from a clean start', async (call) => {
    await withTemplate();
    rig.host().trouble({ kind: 'fail-call', call, fault: 'refused', effect: 'before', fromMs: rig.clock.nowMs() });
    expect((await grow()).way).toBe('cold');
    expect(told('vm.fallback')).toBe(1);
    expect(rig.running()).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });

  it('whose agent never answers is not let serve as somebody else: it is booted', async () => {
    await withTemplate();
    const trouble = { kind: 'fail-call', call: 'personalise', fault: 'busy', effect: 'before' } as const;
    rig.host().trouble({ ...trouble, times: 1e6, fromMs: rig.clock.nowMs() });
    const event = await grow();
    expect(event.way).toBe('cold');
    expect(domain('web-2')?.hostname).toBe('web-2');
    expect(event.launchMs).toBeLessThan(20_000);
    await rig.stop();
  });

  it('whose host goes away before it is its own is left alone, and made its own when the host is back', async () => {
    await withTemplate();
    const trouble = { kind: 'fail-call', call: 'personalise', fault: 'busy', effect: 'before', times: 1e6 } as const;
    rig.host().trouble({ ...trouble, fromMs: rig.clock.nowMs(), untilMs: rig.clock.nowMs() + 19_000 });
    await rig.engine.setDesired('web', 2);
    await rig.run(5);
    rig.host().trouble({ kind: 'unreachable', fromMs: rig.clock.nowMs(), untilMs: rig.clock.nowMs() + 14_000 });
    expect(await rig.until('vm.launched', 60)).toMatchObject({ way: 'fork', vm: { name: 'web-2' } });
    expect(told('vm.fallback')).toBe(0);
    expect(domain('web-2')?.hostname).toBe('web-2');
    await rig.stop();
  });

  it('is made of no template but that of the policy as it is now', async () => {
    await withTemplate();
    if (policy.source.kind !== 'template') throw new Error('no template');
    const flavor = { name: 'small', vcpus: 2, memoryMiB: 256 };
    const source = { ...policy.source, template: { ...policy.source.template, flavor } };
    await rig.engine.setPolicy({ policy: { ...policy, source }, file: 'web.yaml' });
    expect((await grow()).way).toBe('cold');
    expect(domain('web-2')).toMatchObject({ vcpus: 2 });
    await rig.until('template.ready', 30);
    expect((await grow()).way).toBe('fork');
    expect(domain('web-3')).toMatchObject({ vcpus: 2, hostname: 'web-3' });
    await rig.stop();
  });

  it('can be what a standby is made from', async () => {
    rig = await new Rig({ policies: [{ ...policy, capacity: { ...policy.capacity, paused: 1, saved: 1 } }] }).start();
    await rig.run(60);
    await rig.engine.setDesired('web', 3);
    await rig.run(5);
    for (const name of ['web-2', 'web-3']) expect(domain(name)).toMatchObject({ serves: true, hostname: name });
    await rig.run(30);
    const vms = rig.engine.group('web')?.vms ?? [];
    expect(vms.filter(({ record }) => record.phase === 'standby' && record.way === 'fork')).toHaveLength(2);
    await rig.stop();
  });
});

describe('a daemon killed', () => {
  it.each([0.5, 1, 2, 2.2, 2.4])('%d s into making a template: it is made by the next', async (seconds) => {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    await rig.run(seconds);
    rig.kill();
    await rig.run(4);
    await rig.start();
    await rig.run(30);
    expect(templates()).toHaveLength(1);
    expect((await grow()).way).toBe('fork');
    await rig.stop();
  });

  it('anywhere between the decision and the service of a fork: it serves once, under its own name', async () => {
    for (let ms = 1; ms <= 400; ms += ms < 30 ? 1 : 37) {
      await withTemplate();
      await rig.run(3);
      await rig.engine.setDesired('web', 2);
      await rig.run(ms / 1000);
      rig.kill();
      await rig.run(2);
      await rig.start();
      await rig.run(15);
      expect({ ms, disks: rig.disks() }).toEqual({ ms, disks: ['web-1', 'web-2'] });
      expect({ ms, domain: domain('web-2') }).toMatchObject({ ms, domain: { serves: true, hostname: 'web-2' } });
      expect(rig.engine.vm(2)?.record.phase).toBe('in-service');
      await rig.stop();
    }
  });

  it('with the database lost as well: whoever finds it makes it its own before it serves', async () => {
    for (let ms = 5; ms <= 200; ms += 15) {
      await withTemplate();
      await rig.engine.setDesired('web', 2);
      await rig.run(ms / 1000);
      rig.kill();
      rig.store = new SqliteStore({ path: ':memory:' });
      await rig.run(2);
      await rig.start();
      await rig.run(15);
      for (const { record } of rig.engine.vms())
        expect({ ms, hostname: domain(record.name)?.hostname }).toEqual({ ms, hostname: record.name });
      await rig.stop();
    }
  });
});
