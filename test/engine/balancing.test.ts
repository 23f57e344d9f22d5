// Stories of a group behind a balancer: who is routed to, when, and what a broken balancer costs.
// Not here: real balancers (test/adapters, test/real), the demo behind HAProxy.

import { afterEach, describe, expect, it } from 'vitest';
import { Fault } from '../../src/ports/fault.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const policy = policyOf({ balancer: 'front', max: 3, rules: [], drainGraceMs: 20_000 });
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

const down = new Fault('unreachable', 'connection refused');

describe('into service', () => {
  it('a VM serves only after the balancer routes to it', async () => {
    rig = new Rig({ policies: [policy] });
    const routedWhenTold: boolean[] = [];
    await rig.start();
    rig.engine.log.subscribe((event) => {
      if (event.type === 'vm.launched') routedWhenTold.push(rig.balancer.routed.includes(event.vm.name));
    });
    await rig.until('vm.launched');
    expect(routedWhenTold).toEqual([true]);
    expect(rig.balancer.servers).toEqual([{ name: 'web-1', address: '127.0.1.1', port: 8080, state: 'ready' }]);
    await rig.stop();
  });

  it('a VM is never routed to before it answers', async () => {
    rig = new Rig({ policies: [policy] });
    rig.host().bootMs = 10_000;
    await rig.start();
    await rig.run(9);
    expect(rig.running()).toEqual(['web-1']);
    expect(rig.balancer.routed).toEqual([]);
    await rig.until('vm.launched');
    expect(rig.balancer.routed).toEqual(['web-1']);
    await rig.stop();
  });

  it('a balancer that is down keeps a VM out for 10 s at the most, and gets it as soon as it is back', async () => {
    rig = new Rig({ policies: [policy] });
    rig.balancer.fault = down;
    await rig.start();
    await rig.run(2.5);
    const answeredAtMs = rig.clock.nowMs();
    expect(await rig.until('vm.launched', 15)).toMatchObject({ vm: { name: 'web-1' } });
    expect(rig.clock.nowMs() - answeredAtMs).toBeGreaterThan(8_000);
    expect(rig.clock.nowMs() - answeredAtMs).toBeLessThan(11_000);
    expect(rig.balancer.routed).toEqual([]);
    rig.balancer.fault = undefined;
    await rig.run(11);
    expect(rig.balancer.routed).toEqual(['web-1']);
    const told = rig.types().filter((type) => type.startsWith('balancer.'));
    expect(told).toEqual(['balancer.failed', 'balancer.recovered']);
    await rig.stop();
  });

  it('a balancer that is down is not asked without a pause, though VMs wait for it', async () => {
    rig = new Rig({ policies: [policy] });
    let calls = 0;
    const apply = rig.balancer.apply.bind(rig.balancer);
    rig.balancer.fault = down;
    rig.balancer.apply = (servers, signal) => {
      calls += 1;
      return apply(servers, signal);
    };
    await rig.start();
    await rig.run(14);
    expect(calls).toBeGreaterThan(3);
    expect(calls).toBeLessThan(30);
    await rig.stop();
  });

  it('one that answers nothing at all costs a VM no more than one that refuses', async () => {
    rig = new Rig({ policies: [policy] });
    rig.balancer.apply = () => new Promise(() => {});
    await rig.start();
    await rig.until('vm.launched', 16);
    await rig.run(20);
    expect(rig.types().filter((type) => type === 'balancer.failed')).toHaveLength(1);
    await rig.stop();
  });
});

describe('out of service', () => {
  const two = policyOf({ balancer: 'front', max: 3, rules: [], drainGraceMs: 20_000 });

  async function drainOne(): Promise<string> {
    rig = await new Rig({ policies: [two] }).start();
    await rig.until('vm.launched');
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched');
    await rig.run(6);
    for (const name of ['web-1', 'web-2']) rig.balancer.sessions.set(name, 3);
    await rig.engine.setDesired('web', 1);
    const event = await rig.until('vm.draining');
    if (event.type !== 'vm.draining') throw new Error(event.type);
    return event.vm.name;
  }

  it('a draining VM takes nothing new, and goes as soon as its last session has ended', async () => {
    const name = await drainOne();
    await rig.run(0.3);
    expect(rig.balancer.routed).toHaveLength(1);
    expect(rig.balancer.servers).toContainEqual(expect.objectContaining({ name, state: 'drain' }));
    await rig.run(8);
    expect(rig.types()).not.toContain('vm.drained');
    rig.balancer.sessions.set(name, 0);
    const endedAtMs = rig.clock.nowMs();
    await rig.until('vm.drained');
    expect(rig.clock.nowMs() - endedAtMs).toBeLessThanOrEqual(600);
    await rig.run(0.1);
    expect(rig.balancer.servers.map((server) => server.name)).not.toContain(name);
    await rig.until('vm.removed');
    await rig.stop();
  });

  it('sessions that never end hold it up no longer than the grace', async () => {
    await drainOne();
    const fromMs = rig.clock.nowMs();
    await rig.until('vm.drained', 30);
    expect(rig.clock.nowMs() - fromMs).toBeGreaterThan(19_000);
    expect(rig.clock.nowMs() - fromMs).toBeLessThan(21_500);
    await rig.until('vm.removed');
    await rig.stop();
  });

  it('while the balancer does not say how many there are, the grace is waited for', async () => {
    const name = await drainOne();
    await rig.run(1);
    rig.balancer.fault = down;
    rig.balancer.sessions.set(name, 0);
    await rig.run(15);
    expect(rig.types()).not.toContain('vm.drained');
    await rig.until('vm.drained', 10);
    rig.balancer.fault = undefined;
    await rig.until('vm.removed');
    await rig.run(11);
    expect(rig.balancer.servers).toHaveLength(1);
    await rig.stop();
  });

  it('a VM that is lost leaves it at once', async () => {
    rig = await new Rig({ policies: [two] }).start();
    await rig.until('vm.launched');
    const [domain] = rig.host().domains(rig.clock.nowMs());
    rig.host().strangerRemoves(domain?.uuid ?? '');
    await rig.until('vm.lost');
    await rig.clock.settle();
    expect(rig.balancer.servers).toEqual([]);
    await rig.stop();
  });
});

describe('in between', () => {
  it('what a restart of the balancer lost is there again within 5 s', async () => {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    await rig.run(7);
    rig.balancer.forget();
    await rig.run(5.1);
    expect(rig.balancer.routed).toEqual(['web-1']);
    await rig.stop();
  });

  it('a restart of the daemon takes nobody out of it', async () => {
    rig = await new Rig({ policies: [policyOf({ ...policy, min: 2 })] }).start();
    await rig.run(10);
    rig.kill();
    const before = rig.balancer.applied.length;
    await rig.start();
    await rig.run(20);
    const lists = rig.balancer.applied.slice(before).map((servers) => servers.map(({ name }) => name));
    expect(lists.length).toBeGreaterThan(0);
    for (const list of lists) expect(list).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });

  it('a lost database takes nobody out of it before those who serve are found again', async () => {
    rig = await new Rig({ policies: [policyOf({ ...policy, min: 2 })] }).start();
    await rig.run(10);
    rig.kill();
    rig.store = rig.freshStore();
    const before = rig.balancer.applied.length;
    await rig.start();
    await rig.run(20);
    const sizes = rig.balancer.applied.slice(before).map(({ length }) => length);
    expect(sizes.every((size) => size > 0)).toBe(true);
    expect(rig.balancer.routed).toEqual(['web-1', 'web-2']);
    await rig.stop();
  });

  it('a group that is empty is empty there, too', async () => {
    rig = new Rig({ policies: [policyOf({ ...policy, min: 0 })] });
    await rig.balancer.apply(
      [{ name: 'web-9', address: '127.0.1.9', port: 8080, state: 'ready' }],
      AbortSignal.any([]),
    );
    await rig.start();
    await rig.run(40);
    expect(rig.balancer.servers).toEqual([]);
    await rig.stop();
  });

  it('each failure and each recovery is told once, however often it is tried', async () => {
    rig = await new Rig({ policies: [policy] }).start();
    await rig.until('vm.launched');
    for (const _ of [1, 2]) {
      rig.balancer.fault = down;
      await rig.run(40);
      rig.balancer.fault = undefined;
      await rig.run(15);
    }
    const told = rig.events.flatMap((event) => (event.type.startsWith('balancer.') ? [event.type] : []));
    expect(told).toEqual(['balancer.failed', 'balancer.recovered', 'balancer.failed', 'balancer.recovered']);
    const failed = rig.events.find((event) => event.type === 'balancer.failed');
    expect(failed).toMatchObject({ balancer: 'front', reason: 'connection refused' });
    await rig.stop();
  });
});
