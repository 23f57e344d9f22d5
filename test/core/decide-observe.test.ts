// Policies that only observe: alone on a group, or as candidates beside the one that acts.

import { describe, expect, it } from 'vitest';
import { decide, decideCandidate } from '../../src/core/decide.ts';
import type { GroupMemory } from '../../src/core/memory.ts';
import { CPU, type Metric, metricKey } from '../../src/core/metric.ts';
import { measured, memoryOf, NOW_MS, policyOf, snapshotOf, targetRule, viewOf } from './builders.ts';

const rules = [targetRule({ target: 50, tolerance: { up: 0, down: 0 } })];
const shadow = policyOf({ mode: 'observe', min: 1, max: 20, rules });

/** Three VMs in service that carry so much of their CPU each; `desired` is what the candidate would have. */
function candidateOf(percent: number, desired: number) {
  const vms = [1, 2, 3].map((id) => viewOf(id));
  const cpu = measured({ 1: percent, 2: percent, 3: percent });
  return decideCandidate(snapshotOf({ vms }), shadow, memoryOf({ desired, transient: { cpu } }), NOW_MS);
}

describe('a candidate', () => {
  it.each<[string, number, number, number]>([
    ['finds its own size right', 50, 3, 3],
    ['would have more', 80, 3, 5],
    ['with more VMs sees less of the load on each', 80, 5, 5],
    ['with fewer VMs sees more of it, all that a VM can have at the most', 80, 2, 4],
    ['would have fewer', 20, 6, 2],
  ])('%s', (_name, percent, desired, wanted) => {
    const { decision, memory } = candidateOf(percent, desired);
    expect(decision).toMatchObject({ desiredBefore: desired, desired: wanted, actions: [], observed: true });
    expect(decision.counts).toMatchObject({ inService: 3 });
    expect(memory.durable).toMatchObject({ desired: wanted, observing: true });
    expect(decision.text).toMatch(/^Observed only: /);
  });

  it('comes to rest where the load of the live VMs would put it, whatever it began with', () => {
    for (const desired of [1, 3, 20]) {
      const vms = [1, 2, 3].map((id) => viewOf(id));
      let memory: GroupMemory = memoryOf({ desired, transient: { cpu: measured({ 1: 70, 2: 70, 3: 70 }) } });
      const sizes: number[] = [];
      for (let turn = 0; turn < 6; turn += 1) {
        const result = decideCandidate(snapshotOf({ vms }), shadow, memory, NOW_MS);
        memory = result.memory;
        sizes.push(result.decision.desired);
      }
      expect(sizes.slice(-2)).toEqual([5, 5]);
    }
  });

  it('takes numbers of the whole group as they are', () => {
    const metric: Metric = { ...CPU, source: { kind: 'posted', name: 'jobs' }, scope: 'total' };
    const policy = policyOf({ mode: 'observe', max: 20, rules: [targetRule({ metric, target: 10 })] });
    const outside = { [metricKey(metric)]: { value: 65, atMs: NOW_MS } };
    const snapshot = snapshotOf({ vms: [viewOf(1)], groups: { web: { outside } } });
    for (const desired of [1, 4]) {
      expect(decideCandidate(snapshot, policy, memoryOf({ desired }), NOW_MS).decision.desired).toBe(7);
    }
  });
});

describe('a policy that only observes', () => {
  it('decides and does nothing, beside others that act', () => {
    const vms = [viewOf(1)];
    const memory = { web: memoryOf({ desired: 1, transient: { cpu: measured({ 1: 90 }) } }) };
    const other = policyOf({ group: 'db', rules: [] });
    const { decisions, memory: after } = decide(snapshotOf({ vms }), [shadow, other], memory, NOW_MS);
    expect(decisions).toMatchObject([
      { group: 'web', desired: 2, cause: 'rule', observed: true, actions: [], hosts: [], victims: [] },
      { group: 'db', desired: 1 },
    ]);
    expect(decisions[1]).not.toHaveProperty('observed');
    expect(decisions[1]?.actions).toHaveLength(1);
    expect(after['web']?.durable).toMatchObject({ desired: 2, observing: true });
  });

  it('leaves no wishes behind when it acts from now on', () => {
    const vms = [viewOf(1), viewOf(2)];
    const memory = { web: memoryOf({ desired: 9, observing: true, lastOutAtMs: NOW_MS }) };
    const acting = policyOf({ max: 20, rules: [] });
    const { decisions, memory: after } = decide(snapshotOf({ vms }), [acting], memory, NOW_MS);
    expect(decisions[0]).toMatchObject({ desiredBefore: 2, desired: 2, actions: [] });
    expect(after['web']?.durable).toEqual({ ...memoryOf().durable, desired: 2 });
  });
});
