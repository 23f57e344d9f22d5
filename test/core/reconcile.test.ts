// VMs that are missing come from wherever it is quickest, and of those that are too many none goes that is needed.
// Not here: refreshes, standbys that are made, the unhealthy (files of their own), the rest of a decision (decide.test.ts).

import { describe, expect, it, test } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { DurableMemory } from '../../src/core/memory.ts';
import type { Snapshot, StandbyKind, VmRecord, VmView } from '../../src/core/model.ts';
import type { Capacity, Policy } from '../../src/core/policy.ts';
import { hostOf, IMAGE, listPolicyOf, memoryOf, NOW_MS, policyOf, snapshotOf, viewOf } from './builders.ts';

const launching = { phase: 'launching', step: 'started' } as const;

// Found by the simulation (seeds 48 and 73 of its first version).
describe('too many VMs while some of them only launch', () => {
  function drained(
    min: number,
    inService: number,
    fresh: boolean,
  ): { readonly ids: readonly number[]; readonly limits: readonly string[] } {
    const vms = Array.from({ length: inService }, (_, i) => viewOf(i + 1));
    vms.push(viewOf(9, { record: launching, fresh }));
    const policy = policyOf({ min, max: 4, rules: [] });
    const { decisions } = decide(snapshotOf({ vms }), [policy], { web: memoryOf({ desired: inService }) }, NOW_MS);
    const actions = decisions[0]?.actions ?? [];
    return {
      ids: actions.flatMap((action) => (action.kind === 'drain' ? [action.vmId] : [])),
      limits: decisions[0]?.limits.map(({ limit }) => limit) ?? [],
    };
  }

  test('a launching VM goes before one that serves', () => {
    expect(drained(2, 2, true)).toEqual({ ids: [9], limits: [] });
  });

  test('while the launching one must not be touched, none goes whose service min needs', () => {
    expect(drained(2, 2, false)).toEqual({ ids: [], limits: ['min'] });
  });

  test('one that serves may go when min does not need it', () => {
    expect(drained(1, 2, false)).toEqual({ ids: [2], limits: [] });
  });
});

const ALL_WAYS: Capacity = { fork: true, paused: 1, saved: 1, stopped: 1 };

function decideFor(
  vms: readonly VmView[],
  durable: Partial<DurableMemory>,
  over: { readonly policy?: Policy; readonly snapshot?: Partial<Snapshot> } = {},
): Decision {
  const policy = over.policy ?? policyOf({ max: 9, rules: [], capacity: ALL_WAYS });
  const snapshot = snapshotOf({ vms, ...over.snapshot });
  const [decision] = decide(snapshot, [policy], { web: memoryOf(durable) }, NOW_MS).decisions;
  if (decision === undefined) throw new Error('no decision');
  return decision;
}

const draining = (id: number, over: Partial<VmRecord> = {}, fresh = true) =>
  viewOf(id, { record: { phase: 'draining', leaving: 'size', deadlineAtMs: NOW_MS + 1000, ...over }, fresh });

const standby = (id: number, kind: StandbyKind, over: Partial<VmRecord> = {}) =>
  viewOf(id, {
    record: { phase: 'standby', step: 'parked', standby: kind, ...over },
    domain: { state: kind === 'paused' ? 'running' : 'stopped' },
  });

const done = ({ actions }: Decision) =>
  actions.map((action) => {
    if (action.kind === 'launch') return `${action.way ?? 'cold'} ${action.host}`;
    return action.kind === 'start' ? `start ${action.domain}` : `${action.kind} ${action.vmId}`;
  });

describe('missing VMs', () => {
  const forks = { groups: { web: { forkHosts: ['h1'] } } };

  it('are taken from the quickest source first', () => {
    const everything = [draining(1), standby(2, 'stopped'), standby(3, 'saved'), standby(4, 'paused')];
    const order = [1, 2, 3, 4, 5].map((desired) =>
      done(decideFor(everything, { desired }, { snapshot: forks })).filter((what) => !what.startsWith('discard')),
    );
    expect(order).toEqual([
      ['return 1'],
      ['return 1', 'wake 4'],
      ['return 1', 'wake 4', 'wake 3'],
      ['return 1', 'wake 4', 'wake 3', 'fork h1'],
      ['return 1', 'wake 4', 'wake 3', 'fork h1', 'fork h1'],
    ]);
  });

  it('are booted cold only when no stopped standby is left, and forked where that is possible', () => {
    const hosts = [hostOf('h1', { traits: { index: 0 } }), hostOf('h2', { traits: { index: 1 } })];
    const snapshot = { hosts, ...forks, placement: 'round-robin' };
    const stopped = [standby(2, 'stopped'), standby(3, 'stopped')];
    const capacity = { ...ALL_WAYS, stopped: 2 };
    const policy = policyOf({ max: 9, rules: [], capacity });
    expect(done(decideFor(stopped, { desired: 3 }, { policy, snapshot }))).toEqual(['wake 2', 'fork h1', 'fork h1']);
    expect(done(decideFor(stopped, { desired: 5 }, { policy, snapshot }))).toEqual([
      'wake 2',
      'wake 3',
      'fork h1',
      'fork h1',
      'fork h1',
    ]);
    expect(done(decideFor(stopped, { desired: 3 }, { policy, snapshot: { ...snapshot, groups: {} } }))).toEqual([
      'wake 2',
      'wake 3',
      'cold h1',
    ]);
    const noFork = policyOf({ max: 9, rules: [], capacity: { ...capacity, fork: false } });
    expect(done(decideFor([], { desired: 1 }, { policy: noFork, snapshot }))).toEqual(['cold h1']);
  });

  it('are woken when standbys fill the group up to its maximum', () => {
    const policy = policyOf({ max: 3, rules: [], capacity: { ...ALL_WAYS, stopped: 2 } });
    const decision = decideFor([viewOf(1), standby(2, 'stopped'), standby(3, 'stopped')], { desired: 3 }, { policy });
    expect(done(decision)).toEqual(['wake 2', 'wake 3']);
    expect(decision.limits).toEqual([]);
    expect(decision.text).toBe('2 VMs missing of 3 desired. Waking web-2, web-3 (stopped).');
  });

  it.each<[string, VmView]>([
    ['a person deleted', draining(1, { leaving: 'asked' })],
    ['is unhealthy', draining(1, { leaving: 'unhealthy' })],
    ['is refreshed away', draining(1, { leaving: 'refresh' })],
    ['nobody knows why it goes', viewOf(1, { record: { phase: 'draining' } })],
    ['changed since its host was asked', draining(1, {}, false)],
    ['is on a silent host', draining(1, { host: 'gone' }, false)],
    ['somebody outside was asked about', draining(1, { hook: { sinceMs: NOW_MS, tries: 1 } })],
    ['somebody outside has agreed about', draining(1, { step: 'approved' })],
    ['has stopped', viewOf(1, { record: { phase: 'draining', leaving: 'size' }, domain: { state: 'stopped' } })],
    ['is being removed', viewOf(1, { record: { phase: 'removing', leaving: 'size' } })],
  ])('are not taken back when %s', (_name, view) => {
    expect(done(decideFor([view], { desired: 1 }))).toEqual(['cold h1']);
  });

  it.each<[string, VmView, string]>([
    ['of another template', standby(2, 'saved', { image: { ...IMAGE, path: '/old' } }), 'made from another template'],
    ['of a silent host', standby(2, 'saved', { host: 'gone' }), 'its host gone does not answer'],
    ['of a cordoned host', standby(2, 'saved', { host: 'h2' }), 'host h2 is cordoned: new disks'],
    ['for which memory is missing', standby(2, 'saved', { host: 'h3' }), 'too little memory really free on host h3'],
    [
      'that changed a moment ago',
      { ...standby(2, 'paused'), fresh: false },
      'it changed since its host was last asked',
    ],
  ])('are not woken from a standby %s', (_name, view, why) => {
    const hosts = [
      hostOf('h1'),
      hostOf('h2', { traits: { index: 1, cordoned: 'new disks' } }),
      hostOf('h3', { traits: { index: 2 }, memoryFreeMiB: 100 }),
    ];
    const decision = decideFor([view], { desired: 1 }, { snapshot: { hosts } });
    expect(done(decision).filter((what) => !what.startsWith('discard'))).toEqual(['cold h1']);
    expect(decision.hosts).toContainEqual({ name: 'web-2', chosen: false, text: `not woken: ${why}` });
  });

  it('are all counted against an open breaker, except those that go on serving', () => {
    const breaker = { failures: 3, openedAtMs: NOW_MS - 1, retryAtMs: NOW_MS + 1 };
    const vms = [draining(1), standby(2, 'paused'), standby(3, 'paused')];
    const policy = policyOf({ max: 9, rules: [], capacity: { ...ALL_WAYS, paused: 2 } });
    expect(done(decideFor(vms, { desired: 4, breaker }, { policy }))).toEqual(['return 1']);
    const half = { ...breaker, retryAtMs: NOW_MS };
    expect(done(decideFor(vms, { desired: 4, breaker: half }, { policy }))).toEqual(['return 1', 'wake 2']);
  });

  it('are taken back in a group of listed domains', () => {
    const policy = listPolicyOf([{ name: 'web-1' }], { rules: [] });
    expect(done(decideFor([draining(1, { kind: 'existing' })], { desired: 1 }, { policy }))).toEqual(['return 1']);
  });
});

describe('what people have suspended', () => {
  it('launch: nothing is launched or woken, but what drains may stay', () => {
    const decision = decideFor([draining(1), standby(2, 'paused')], { desired: 3, suspended: ['launch'] });
    expect(done(decision)).toEqual(['return 1']);
    expect(decision.limits).toEqual([
      { limit: 'suspended', from: 3, to: 1, text: '2 VMs missing: launching is suspended.' },
    ]);
  });

  it('remove: nothing is drained or given up', () => {
    const vms = [viewOf(1), viewOf(2), standby(3, 'paused', { image: { ...IMAGE, path: '/old' } })];
    const decision = decideFor(vms, { desired: 1, suspended: ['remove'] });
    expect(decision.actions).toEqual([]);
    expect(decision.limits).toEqual([
      { limit: 'suspended', from: 1, to: 2, text: '1 VM too many: removing is suspended.' },
    ]);
  });
});

describe('protected VMs', () => {
  it('stay, and the trail says so', () => {
    const vms = [viewOf(1, { record: { isProtected: true } }), viewOf(2), viewOf(3, { record: { isProtected: true } })];
    const decision = decideFor(vms, { desired: 1 });
    expect(done(decision)).toEqual(['drain 2']);
    expect(decision.limits).toEqual([
      { limit: 'protected', from: 1, to: 2, text: '1 VM too many, but the rest are protected: they stay.' },
    ]);
    expect(decision.victims).toContainEqual({ name: 'web-1', chosen: false, text: 'stays: protected' });
  });
});
