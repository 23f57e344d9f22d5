// The simulation as a test: some seeds, always the same ones, and proof that a run can be repeated and that things do happen in it.
// Not here: long searches for new seeds (`npm run sim -- --seed N --runs M`).

import { expect, test } from 'vitest';
import { simulate } from './simulation.ts';

const SEEDS = Array.from({ length: 40 }, (_, i) => i + 1);
const totals = new Map<string, number>();

test.each(SEEDS)('seed %i: invariants hold through faults, and all comes right after them', async (seed) => {
  const result = await simulate(seed);
  for (const [what, count] of result.counts) totals.set(what, (totals.get(what) ?? 0) + count);
  // The trace is part of what a failure shows.
  if (result.violations.length > 0) expect.fail([`seed ${seed}`, ...result.violations, ...result.excerpt].join('\\n'));
  expect(result.convergedMs).toBeGreaterThanOrEqual(0);
});

test('the same seed is the same run', async () => {
  const seed = SEEDS[4] ?? 5;
  expect((await simulate(seed)).fingerprint).toBe((await simulate(seed)).fingerprint);
});

// A simulation in which nothing happens holds every invariant.
test.each([
  /^event vm.launched$/,
  /^event vm.draining$/,
  /^event vm.drained$/,
  /^event vm.removed$/,
  /^event vm.failed$/,
  /^event vm.lost$/,
  /^event vm.adopted$/,
  /^event host.unreachable$/,
  /^event breaker.opened$/,
  /^event breaker.closed$/,
  /^decision rule hot$/,
  /^decision rule idle$/,
  /^fault database-lost$/,
  /^commits refused: disk full$/,
  /^daemon died (before|after) commit$/,
  /^daemon died (before|after) (createDisk|define|start)$/,
  /^daemon died (before|after) (shutdown|destroy|undefine|deleteDisk)$/,
  /^daemon died at a moment of time$/,
  /^daemon died after it was asked to stop$/,
  /^call createDisk refused$/,
  /^call (createDisk|define|start) (unreachable|timed-out|busy|aborted)$/,
  /^call (shutdown|destroy|undefine|deleteDisk) (unreachable|timed-out|busy|aborted|conflict|refused)$/,
  /^step destroy ok$/,
])('in these runs it really happened: %s', (what) => {
  const count = [...totals].reduce((sum, [name, times]) => (what.test(name) ? sum + times : sum), 0);
  expect(count).toBeGreaterThan(0);
});
