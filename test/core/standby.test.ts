// Standbys are made one at a time while nothing else goes on, and given up when there are too many. Waking: reconcile.test.ts.

import { describe, expect, it } from 'vitest';
import type { Policy } from '../../src/core/policy.ts';
import { wantedStandbys } from '../../src/core/standby.ts';
import { IMAGE, outRule, policyOf, READY, SMALL } from './builders.ts';
import { SmallWorld } from './small-world.ts';

const capacity = (paused: number, saved = 0, stopped = 0) => ({ fork: false, paused, saved, stopped });

function worldOf(desired: number, over: Partial<Policy> = {}): SmallWorld {
  return new SmallWorld(policyOf({ max: 6, rules: [], ...over }), { desired });
}

const kinds = (world: SmallWorld) => world.waiting().map(({ standby }) => standby);

describe('standbys wanted', () => {
  it.each<[string, number, readonly [number, number, number]]>([
    ['all while there is room', 1, [2, 1, 1]],
    ['the quickest when there is less', 4, [2, 1, 0]],
    ['fewer of the quickest', 6, [1, 0, 0]],
    ['none at the maximum', 7, [0, 0, 0]],
    ['none beyond it', 9, [0, 0, 0]],
  ])('are %s', (_name, active, [paused, saved, stopped]) => {
    expect(wantedStandbys(capacity(2, 1, 1), 7, active)).toEqual({ paused, saved, stopped });
  });
});

describe('standbys', () => {
  it('are made one after the other, the quickest first, once the group is complete', () => {
    const world = worldOf(2, { capacity: capacity(1, 1, 1) });
    const decisions = world.turns(15);
    const made = decisions.map(({ actions }) =>
      actions.map((action) => (action.kind === 'launch' ? (action.standby ?? 'serve') : action.kind)),
    );
    expect(made[0]).toEqual(['serve', 'serve']);
    expect(made.slice(1).filter((actions) => actions.length > 0)).toEqual([['paused'], ['saved'], ['stopped']]);
    expect(kinds(world)).toEqual(['paused', 'saved', 'stopped']);
    expect(decisions.find(({ cause }) => cause === 'standby')?.text).toBe(
      'Launching 1 VM to wait in standby (paused) on host h3.',
    );
    expect(decisions.at(-1)).toMatchObject({ cause: 'none', counts: { inService: 2, standby: 3, existing: 5 } });
  });

  it('are forked where that is possible', () => {
    const world = worldOf(1, { capacity: { ...capacity(1), fork: true } });
    world.group = { forkHosts: world.hosts };
    const launches = world.turns(10).flatMap(({ actions }) => actions);
    expect(launches).toMatchObject([{ way: 'fork' }, { way: 'fork', standby: 'paused' }]);
  });

  it('never fill the group beyond its maximum', () => {
    const world = worldOf(4, { max: 5, capacity: capacity(3) });
    world.turns(20);
    expect(world.records).toHaveLength(5);
    expect(kinds(world)).toEqual(['paused']);
  });

  it('are woken when the group grows, and filled up again', () => {
    const world = worldOf(1, { capacity: capacity(2) });
    world.turns(15);
    world.durable = { ...world.durable, desired: 3 };
    expect(world.turn().actions.map(({ kind }) => kind)).toEqual(['wake', 'wake']);
    world.turns(15);
    expect([world.serving().length, kinds(world)]).toEqual([3, ['paused', 'paused']]);
    world.durable = { ...world.durable, desired: 6 };
    world.turns(15);
    expect([world.serving().length, kinds(world)]).toEqual([6, []]);
  });

  it.each<[string, (world: SmallWorld) => void]>([
    [
      'launching is suspended',
      (world) => Object.assign(world, { durable: { ...world.durable, suspended: ['launch'] } }),
    ],
    ['the group is paused', (world) => Object.assign(world, { durable: { ...world.durable, paused: true } })],
    [
      'launches fail',
      (world) =>
        Object.assign(world, {
          durable: { ...world.durable, breaker: { failures: 3, retryAtMs: world.nowMs + 60_000 } },
        }),
    ],
  ])('are not made while %s', (_name, change) => {
    const world = worldOf(1);
    world.turns(5);
    world.policy = { ...world.policy, capacity: capacity(1) };
    change(world);
    expect(world.turns(5).flatMap(({ actions }) => actions)).toEqual([]);
  });

  it('are not made while a rule asks for more', () => {
    const hot = outRule({ forMs: 0, threshold: 50 });
    const world = worldOf(1, { rules: [hot], max: 2, capacity: capacity(1) });
    world.turns(4);
    const breaker = { failures: 0 };
    const [vm] = world.records;
    if (vm === undefined) throw new Error('no VM');
    const atMs = world.nowMs + 1000;
    const sample = {
      readAtMs: atMs,
      cpuTimeNs: 0,
      vcpus: 1,
      host: vm.host,
      percent: 90,
      percentFromMs: atMs - 1000,
      percentAtMs: atMs,
    };
    // Cooling down would not do: it must fire, and be stopped by something else.
    world.memory = {
      durable: { paused: false, breaker, desired: 1 },
      transient: { cpu: { [vm.uuid]: sample }, rules: { hot: { crossedAtMs: world.nowMs - 60_000 } } },
    };
    world.records = [vm];
    const { actions, verdicts } = world.turn();
    expect(verdicts[0]?.verdict).toBe('fires');
    expect(actions.filter((action) => action.kind === 'launch' && action.standby !== undefined)).toEqual([]);
  });

  it('are given up when there are too many, of another kind, or of another template', () => {
    const world = worldOf(1, { capacity: capacity(2, 1) });
    world.turns(20);
    expect(kinds(world)).toEqual(['paused', 'paused', 'saved']);
    world.policy = { ...world.policy, capacity: capacity(1) };
    const { actions } = world.turn();
    expect(actions).toEqual([
      { kind: 'discard', group: 'web', vmId: 3, reason: 'only 1 paused wanted now' },
      { kind: 'discard', group: 'web', vmId: 4, reason: 'no saved standby is wanted now' },
    ]);
    world.turns(10);
    const image = { ...IMAGE, path: '/images/next.qcow2' };
    world.policy = { ...world.policy, source: { kind: 'template', template: { image, flavor: SMALL, ready: READY } } };
    world.turns(10);
    expect(world.waiting().map((record) => record.image)).toEqual([image]);
    expect(world.serving().map((record) => record.image)).toEqual([IMAGE]);
  });

  it('of silent hosts and protected ones are left', () => {
    const world = worldOf(1, { capacity: capacity(2) });
    world.turns(20);
    const [first, second] = world.waiting();
    if (first === undefined || second === undefined) throw new Error('no standbys');
    world.silent.add(first.host);
    world.change(second.id, { isProtected: true });
    world.policy = { ...world.policy, capacity: capacity(0) };
    expect(world.turns(5).flatMap(({ actions }) => actions)).toEqual([]);
  });
});
