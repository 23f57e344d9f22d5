// Unhealthy VMs are replaced a few at a time, and not at all when something else must be wrong.

import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { DurableMemory } from '../../src/core/memory.ts';
import type { VmView } from '../../src/core/model.ts';
import type { Change, HealthCheck } from '../../src/core/policy.ts';
import { memoryOf, NOW_MS, policyOf, READY, snapshotOf, viewOf } from './builders.ts';
import { SmallWorld } from './small-world.ts';

function healthOf(budget: Change): HealthCheck {
  return { check: READY, intervalMs: 5000, timeoutMs: 1000, failures: 3, graceMs: 0, budget };
}

const sick = (id: number, over: Parameters<typeof viewOf>[1] = {}): VmView => ({
  ...viewOf(id, over),
  unhealthy: 'it does not answer',
});

function decideFor(
  vms: readonly VmView[],
  over: { readonly budget?: Change; readonly durable?: Partial<DurableMemory>; readonly max?: number } = {},
): Decision {
  const { budget = { vms: 1 }, durable = {}, max = 20 } = over;
  const policy = policyOf({ max, rules: [], health: healthOf(budget) });
  const active = vms.filter(({ record }) => record.phase === 'in-service' || record.phase === 'launching');
  const memory = { web: memoryOf({ desired: active.length, ...durable }) };
  const [decision] = decide(snapshotOf({ vms }), [policy], memory, NOW_MS).decisions;
  if (decision === undefined) throw new Error('no decision');
  return decision;
}

const gone = ({ actions }: Decision) => actions.flatMap((action) => (action.kind === 'drain' ? [action.vmId] : []));
const limitsOf = ({ limits }: Decision) => limits.map(({ limit }) => limit);
const well = (...ids: readonly number[]) => ids.map((id) => viewOf(id));

describe('an unhealthy VM', () => {
  it('goes at once, and another is launched in the same turn', () => {
    const decision = decideFor([...well(1, 2), sick(3)]);
    expect(decision).toMatchObject({ desired: 3, cause: 'replace' });
    expect(decision.actions).toEqual([
      {
        kind: 'drain',
        group: 'web',
        vmId: 3,
        reason: 'unhealthy: it does not answer',
        because: 'unhealthy',
        atOnce: true,
      },
      { kind: 'launch', group: 'web', host: 'h1' },
    ]);
    expect(decision.text).toContain('Replacing web-3: unhealthy.');
  });

  it('goes first when the group is too large anyway, without another in its place', () => {
    const decision = decideFor([...well(1, 2), sick(3)], { durable: { desired: 2 } });
    expect(decision.actions.map(({ kind }) => kind)).toEqual(['drain']);
    expect(gone(decision)).toEqual([3]);
  });

  it.each<[string, VmView]>([
    ['is protected', sick(3, { record: { isProtected: true } })],
    ['changed since its host was asked', sick(3, { fresh: false })],
    ['is on a silent host', sick(3, { record: { host: 'gone' }, fresh: false })],
  ])('stays when it %s', (_name, view) => {
    expect(decideFor([...well(1, 2), view]).actions).toEqual([]);
  });

  it.each<[string, Partial<DurableMemory>, string]>([
    ['health is suspended', { suspended: ['health'] }, 'suspended'],
    ['removing is suspended', { suspended: ['remove'] }, 'suspended'],
    ['launching is suspended', { suspended: ['launch'] }, 'suspended'],
    ['launches fail', { breaker: { failures: 3, retryAtMs: NOW_MS + 1 } }, 'breaker'],
    ['the group is paused', { paused: true, desired: 4 }, 'paused'],
  ])('stays while %s', (_name, durable, limit) => {
    const decision = decideFor([...well(1, 2), sick(3)], { durable });
    expect(decision.actions).toEqual([]);
    expect(limitsOf(decision)).toEqual([limit]);
  });

  it('means nothing where the policy asks for no health check', () => {
    const memory = { web: memoryOf({ desired: 3 }) };
    const snapshot = snapshotOf({ vms: [...well(1, 2), sick(3)] });
    expect(decide(snapshot, [policyOf({ rules: [] })], memory, NOW_MS).decisions[0]?.actions).toEqual([]);
  });
});

describe('the budget', () => {
  const many = [...well(1, 2, 3, 4, 5, 6), sick(7), sick(8), sick(9)];

  it.each<[string, Change, readonly number[]]>([
    ['a number', { vms: 2 }, [7, 8]],
    ['a share, rounded down', { percent: 30 }, [7, 8]],
    ['a share of at least one', { percent: 1 }, [7]],
    ['more than there are', { vms: 9 }, [7, 8, 9]],
  ])('is %s', (_name, budget, ids) => {
    const decision = decideFor(many, { budget });
    expect(gone(decision)).toEqual(ids);
    expect(limitsOf(decision)).toEqual(ids.length < 3 ? ['budget'] : []);
  });

  it('counts those on their way out as unhealthy, and all that launch', () => {
    const leaving = viewOf(10, { record: { phase: 'removing', leaving: 'unhealthy' } });
    expect(gone(decideFor([...many, leaving], { budget: { vms: 2 } }))).toEqual([7]);
    const coming = viewOf(10, { record: { phase: 'launching' } });
    expect(gone(decideFor([...many, coming], { budget: { vms: 2 } }))).toEqual([7]);
    expect(
      gone(decideFor([...many, leaving, { ...coming, record: { ...coming.record, id: 11 } }], { budget: { vms: 2 } })),
    ).toEqual([]);
  });

  it('is not used up by one that cannot be removed because its host is silent', () => {
    const stuck = viewOf(10, { record: { phase: 'removing', leaving: 'unhealthy', host: 'gone' }, fresh: false });
    expect(gone(decideFor([...many, stuck]))).toEqual([7]);
  });

  it('is void when more than half are unhealthy at the same time', () => {
    const half = decideFor([...well(1, 2), sick(3), sick(4)]);
    expect(gone(half)).toEqual([3]);
    const most = decideFor([viewOf(1), sick(2), sick(3)], { budget: { vms: 3 } });
    expect(most.actions).toEqual([]);
    expect(most.limits[0]?.text).toBe(
      '2 of 3 VMs are unhealthy at the same time: something else must be wrong, nothing is replaced.',
    );
    // Two VMs prove nothing.
    expect(gone(decideFor([viewOf(1), sick(2)]))).toEqual([2]);
    expect(gone(decideFor([sick(1)]))).toEqual([1]);
  });

  it('holds all the time until all are replaced', () => {
    const world = new SmallWorld(policyOf({ max: 12, rules: [], health: healthOf({ vms: 2 }) }), { desired: 9 });
    world.turns(5);
    for (const { id } of world.serving().slice(0, 4)) world.sick.add(id);
    let least = 9;
    world.turns(60, () => {
      const ill = world.serving().filter(({ id }) => world.sick.has(id)).length;
      least = Math.min(least, world.serving().length);
      return ill === 0 && world.serving().length === 9;
    });
    expect(world.serving().filter(({ id }) => world.sick.has(id))).toEqual([]);
    expect(least).toBe(7);
  });
});
