// Stories of somebody outside who is asked before a VM serves or goes: agreement, refusal, silence, and restarts in the middle.
// Not here: the call itself (test/adapters).

import { afterEach, describe, expect, it } from 'vitest';
import type { Hook } from '../../src/core/policy.ts';
import { Fault } from '../../src/ports/fault.ts';
import { policyOf } from '../core/builders.ts';
import { Rig } from './rig.ts';

const hook: Hook = { url: 'http://127.0.0.1/hook', deadlineMs: 30_000, onTimeout: 'abandon' };
const silent = new Fault('unreachable', 'connection refused');
let rig: Rig;

afterEach(() => {
  expect(rig.violations()).toEqual([]);
});

function rigWith(hooks: { readonly launch?: Hook; readonly remove?: Hook }, over = {}): Rig {
  rig = new Rig({ policies: [policyOf({ max: 3, rules: [], drainGraceMs: 2000, hooks, ...over })] });
  return rig;
}

function ended(): object[] {
  return rig.events.flatMap((event) =>
    event.type === 'hook.ended' ? [{ hook: event.hook, outcome: event.outcome, tries: event.tries }] : [],
  );
}

describe('before a VM serves', () => {
  it('it is asked when the VM answers, and the VM serves when it agrees', async () => {
    rigWith({ launch: hook });
    const askedAt: (string | undefined)[] = [];
    rig.hooks.answer = () => {
      askedAt.push(rig.engine.group('web')?.vms[0]?.record.step);
      return 'agreed';
    };
    await rig.start();
    await rig.until('vm.launched');
    expect(askedAt).toEqual(['ready']);
    expect(rig.hooks.requests).toEqual([
      expect.objectContaining({
        hook: 'launch',
        group: 'web',
        attempt: 1,
        vm: expect.objectContaining({ name: 'web-1' }),
      }),
    ]);
    expect(rig.hooks.requests[0]?.vm.endpoint).toEqual({ address: '127.0.1.1', port: 8080 });
    expect(ended()).toEqual([{ hook: 'launch', outcome: 'agreed', tries: 1 }]);
    await rig.stop();
  });

  it('behind a balancer nobody is routed to it before', async () => {
    rigWith({ launch: hook }, { balancer: 'front' });
    rig.hooks.answer = () => {
      expect(rig.balancer.servers).toEqual([]);
      return rig.hooks.requests.length < 4 ? silent : 'agreed';
    };
    await rig.start();
    await rig.until('vm.launched');
    expect(rig.balancer.routed).toEqual(['web-1']);
    await rig.stop();
  });

  it('one that refuses ends the launch, and three of them open the breaker', async () => {
    rigWith({ launch: hook });
    rig.hooks.answer = () => 'refused';
    await rig.start();
    expect(await rig.until('vm.failed')).toMatchObject({ reason: expect.stringContaining('refused'), step: 'ready' });
    expect(await rig.until('breaker.opened', 60)).toMatchObject({ failures: 3 });
    await rig.run(5);
    expect(rig.types()).not.toContain('vm.launched');
    expect(rig.running()).toEqual([]);
    expect(rig.disks()).toEqual([]);
    expect(ended()).toEqual(Array(3).fill({ hook: 'launch', outcome: 'refused', tries: 1 }));
    await rig.stop();
  });

  it.each([
    ['continue', 'vm.launched'],
    ['abandon', 'vm.failed'],
  ] as const)('nobody answers until the deadline: %s', async (onTimeout, told) => {
    rigWith({ launch: { ...hook, onTimeout } });
    rig.hooks.answer = () => silent;
    await rig.start();
    await rig.run(2.5);
    const askedAtMs = rig.clock.nowMs();
    await rig.until(told, 40);
    expect(rig.clock.nowMs() - askedAtMs).toBeGreaterThan(28_000);
    expect(rig.clock.nowMs() - askedAtMs).toBeLessThan(32_000);
    const { requests } = rig.hooks;
    expect(requests.length).toBeGreaterThan(4);
    expect(new Set(requests.map(({ id }) => id)).size).toBe(1);
    expect(requests.map(({ attempt }) => attempt)).toEqual(requests.map((_, index) => index + 1));
    expect(new Set(requests.map(({ deadlineAt }) => deadlineAt)).size).toBe(1);
    expect(ended()[0]).toEqual({ hook: 'launch', outcome: 'timed-out', tries: requests.length });
    await rig.stop();
  });

  it('one that takes a call and never answers is asked again after 10 s', async () => {
    rigWith({ launch: hook });
    rig.hooks.call = async (_hook, request) => {
      rig.hooks.requests.push(request);
      return request.attempt < 2 ? new Promise(() => {}) : 'agreed';
    };
    await rig.start();
    await rig.until('vm.launched', 20);
    expect(rig.hooks.requests.map(({ attempt }) => attempt)).toEqual([1, 2]);
    await rig.stop();
  });

  it('a daemon killed between two tries goes on asking: same id, next attempt, same deadline', async () => {
    rigWith({ launch: hook });
    rig.hooks.answer = () => silent;
    await rig.start();
    await rig.run(7);
    const before = rig.hooks.requests.length;
    expect(before).toBeGreaterThan(1);
    rig.kill();
    await rig.run(2);
    rig.hooks.answer = ({ attempt }) => (attempt >= before + 2 ? 'agreed' : silent);
    await rig.start();
    await rig.until('vm.launched', 25);
    const { requests } = rig.hooks;
    expect(new Set(requests.map(({ id }) => id)).size).toBe(1);
    expect(new Set(requests.map(({ deadlineAt }) => deadlineAt)).size).toBe(1);
    expect(requests.map(({ attempt }) => attempt)).toEqual(requests.map((_, index) => index + 1));
    await rig.stop();
  });

  it('a daemon killed during the very first try asks under the same id', async () => {
    rigWith({ launch: hook });
    rig.hooks.call = async (_hook, request) => {
      rig.hooks.requests.push(request);
      return new Promise(() => {});
    };
    await rig.start();
    await rig.run(4);
    rig.kill();
    await rig.run(5);
    rig.hooks.call = async (_hook, request) => {
      rig.hooks.requests.push(request);
      return 'agreed';
    };
    await rig.start();
    await rig.until('vm.launched');
    expect(rig.hooks.requests.length).toBeGreaterThan(1);
    expect(new Set(rig.hooks.requests.map(({ id }) => id)).size).toBe(1);
    await rig.stop();
  });
});

describe('before a VM goes', () => {
  async function withOneTooMany(over = {}): Promise<void> {
    await rigWith({ remove: hook }, over).start();
    await rig.until('vm.launched');
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched');
    await rig.run(3);
    for (const name of ['web-1', 'web-2']) rig.balancer.sessions.set(name, 0);
    await rig.engine.setDesired('web', 1);
  }

  it('it is asked after the drain and before the guest is told anything', async () => {
    const seen: (readonly string[])[] = [];
    rigWith({ remove: hook });
    rig.hooks.answer = () => {
      seen.push(rig.running());
      return rig.hooks.requests.length < 3 ? silent : 'agreed';
    };
    await rig.start();
    await rig.until('vm.launched');
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched');
    await rig.run(3);
    await rig.engine.setDesired('web', 1);
    await rig.until('hook.ended', 20);
    expect(seen).toEqual(Array(3).fill(['web-1', 'web-2']));
    await rig.until('vm.removed');
    const order = rig
      .types()
      .filter((type) => ['vm.draining', 'hook.ended', 'vm.drained', 'vm.removed'].includes(type));
    expect(order).toEqual(['vm.draining', 'hook.ended', 'vm.drained', 'vm.removed']);
    expect(rig.hooks.requests.every((request) => request.hook === 'remove' && request.reason !== undefined)).toBe(true);
    await rig.stop();
  });

  it.each(['refused', 'silent'] as const)('%s: it goes all the same', async (how) => {
    await withOneTooMany();
    rig.hooks.answer = () => (how === 'refused' ? 'refused' : silent);
    await rig.until('vm.removed', 50);
    expect(ended()).toEqual([
      expect.objectContaining({ hook: 'remove', outcome: how === 'refused' ? 'refused' : 'timed-out' }),
    ]);
    await rig.stop();
  });

  it('it is not taken back once somebody was asked: a new one is launched', async () => {
    await withOneTooMany({ balancer: 'front' });
    rig.hooks.answer = () => silent;
    await rig.until('vm.draining');
    await rig.run(6);
    expect(rig.hooks.requests.length).toBeGreaterThan(0);
    await rig.engine.setDesired('web', 2);
    await rig.until('vm.launched', 10);
    expect(rig.types()).not.toContain('vm.returned');
    await rig.until('vm.removed', 60);
    await rig.stop();
  });

  it('a daemon killed in the middle goes on asking, and the VM goes once', async () => {
    await withOneTooMany();
    rig.hooks.answer = () => silent;
    await rig.until('vm.draining');
    await rig.run(6);
    const before = rig.hooks.requests.length;
    expect(before).toBeGreaterThan(1);
    rig.kill();
    await rig.run(3);
    rig.hooks.answer = () => 'agreed';
    await rig.start();
    await rig.until('vm.removed', 20);
    expect(rig.hooks.requests.map(({ attempt }) => attempt)).toEqual(rig.hooks.requests.map((_, index) => index + 1));
    expect(new Set(rig.hooks.requests.map(({ id }) => id)).size).toBe(1);
    await rig.run(3);
    expect(rig.running()).toHaveLength(1);
    await rig.stop();
  });
});
