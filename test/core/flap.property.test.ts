import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lintPolicy } from '../../src/core/lint-policy.ts';
import { metricText } from '../../src/core/metric.ts';
import { anyPolicy, play, type Turn } from './closed-loop.ts';

/** A scale-out by rules at a turn that comes after a scale-in. */
function backAndForth(turns: readonly Turn[]): number | undefined {
  let wasIn = false;
  return turns.findIndex(({ sized }) => {
    if (sized.desired < sized.bounded) wasIn = true;
    return wasIn && sized.desired > sized.bounded;
  });
}

const anyLoad = fc.record({
  cpu: fc.integer({ min: 0, max: 1500 }),
  memory: fc.integer({ min: 0, max: 1500 }),
  network: fc.integer({ min: 0, max: 1500 }),
  jobs: fc.integer({ min: 0, max: 200 }),
  latency: fc.integer({ min: 0, max: 1500 }),
});

function loadsOf(loads: Readonly<Record<string, number>>) {
  return (metric: Parameters<typeof metricText>[0]) => loads[metricText(metric).split(' ').at(-1) ?? ''] ?? 0;
}

describe('a policy that passes the lint', () => {
  it('cannot be made to flap at a constant load, however long VMs take to boot', () => {
    let judged = 0;
    fc.assert(
      fc.property(
        anyPolicy,
        anyLoad,
        fc.constantFrom(0, 900, 3500, 20_000),
        fc.integer({ min: 0, max: 20 }),
        (policy, loads, bootMs, start) => {
          fc.pre(!lintPolicy(policy).some(({ severity }) => severity === 'error'));
          const startSize = Math.min(Math.max(start, policy.min), policy.max);
          const turns = play({ policy, bootMs, turns: 90, startSize, loadOf: loadsOf(loads) });
          judged += 1;
          expect(backAndForth(turns)).toBe(-1);
        },
      ),
      { numRuns: 2500, maxSkipsPerRun: 20 },
    );
    expect(judged).toBeGreaterThan(2000);
  }, 120_000);
});
