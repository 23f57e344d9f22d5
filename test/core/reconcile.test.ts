// Too many VMs while some of them only launch: those that serve are not given up for those that may yet fail.
// Found by the simulation (seeds 48 and 73 of its first version). Not here: the rest of a decision (decide.test.ts).

import { expect, test } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { memoryOf, NOW_MS, policyOf, snapshotOf, viewOf } from './builders.ts';

const launching = { phase: 'launching', step: 'started' } as const;

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
