import { describe, expect, test } from 'vitest';
import type { Bounds, Controller, Sight } from '../../../src/core/backtest/controller.ts';
import { play } from '../../../src/core/backtest/play.ts';
import { type SampledLoad, sampleLoad } from '../../../src/core/backtest/trace.ts';

const SIZING = { capacityRps: 10, targetPercent: 50 };
const BOUNDS: Bounds = { min: 0, max: 10, initial: 1, targetPercent: 50, bootMs: 2000 };

/** One row a second. */
function loadOf(...rps: readonly number[]): SampledLoad {
  return sampleLoad(
    { name: 'made', t: Float64Array.from(rps.keys()), rps: Float64Array.from(rps) },
    'steps',
    1000,
    SIZING,
  );
}

/** Wants these sizes at its looks, then goes on with the last; notes what it saw. */
function scripted(sizes: readonly number[], everyMs = 1000): Controller & { readonly seen: (number | undefined)[] } {
  const seen: (number | undefined)[] = [];
  return {
    name: 'scripted',
    everyMs,
    seen,
    desired: (sight) => {
      seen.push(sight.cpuPercent(everyMs));
      return sizes[seen.length - 1] ?? sizes.at(-1) ?? 1;
    },
  };
}

function supplyOf(load: SampledLoad, controller: Controller, bounds: Bounds = BOUNDS): number[] {
  return [...(play(load, controller, bounds, { supply: true }).supply ?? [])];
}

describe('the model of a VM', () => {
  const five = loadOf(5, 5, 5, 5, 5, 5, 5, 5);

  test('it serves a boot time after it was asked for, and leaves at once', () => {
    expect(supplyOf(five, scripted([3, 3, 3, 1, 2]))).toEqual([1, 1, 1, 3, 1, 1, 1, 2]);
  });

  test('boot times are rounded up to whole steps; none is at once', () => {
    expect(supplyOf(five, scripted([2]), { ...BOUNDS, bootMs: 1001 })).toEqual([1, 1, 1, 2, 2, 2, 2, 2]);
    expect(supplyOf(five, scripted([2]), { ...BOUNDS, bootMs: 0 })).toEqual([1, 2, 2, 2, 2, 2, 2, 2]);
  });

  test('those launching go first, the latest of them', () => {
    expect(supplyOf(five, scripted([3, 4, 2]))).toEqual([1, 1, 1, 2, 2, 2, 2, 2]);
  });

  test('nobody goes beyond the bounds', () => {
    expect(supplyOf(five, scripted([99, 99, 99, 0]), { ...BOUNDS, min: 1, max: 3, bootMs: 0 })).toEqual([
      1, 3, 3, 3, 1, 1, 1, 1,
    ]);
  });

  test('a look sees the steps that are over: the load over what served, 100 % at the most, nothing without VMs', () => {
    const controller = scripted([2, 2, 0, 0]);
    play(loadOf(5, 20, 5, 5, 5), controller, { ...BOUNDS, bootMs: 0 });
    expect(controller.seen).toEqual([50, 100, 25, undefined]);
  });

  test('a look may come less often, and sees the mean', () => {
    const controller = scripted([1], 3000);
    play(loadOf(1, 2, 3, 4, 5, 6, 7), controller, BOUNDS);
    expect(controller.seen.map((value) => value?.toFixed(6))).toEqual(['20.000000', '50.000000']);
  });

  test('VMs that have just come are not measured', () => {
    const measured: number[] = [];
    const look = (sight: Sight) => {
      measured.push(sight.measured(0));
      return 3;
    };
    play(five, { name: 'looks', everyMs: 1000, desired: look }, { ...BOUNDS, bootMs: 2000 });
    expect(measured).toEqual([1, 1, 1, 3, 3, 3, 3]);
  });
});

describe('elasticity, by hand', () => {
  test('θ, τ, υ, saturation, VM-hours and actions', () => {
    // Demand at 5 requests per VM: 1 1 4 4 2 2; supply: 1 1 1 1 3 3.
    const load = loadOf(5, 5, 20, 20, 10, 10);
    expect([...load.demand]).toEqual([1, 1, 4, 4, 2, 2]);
    const { elasticity, supply } = play(load, scripted([1, 3]), BOUNDS, { supply: true });
    expect([...(supply ?? [])]).toEqual([1, 1, 1, 1, 3, 3]);
    expect(elasticity.thetaU).toBeCloseTo((100 * (0.75 + 0.75)) / 6, 9);
    expect(elasticity.thetaO).toBeCloseTo((100 * (0.5 + 0.5)) / 6, 9);
    expect(elasticity.tauU).toBeCloseTo((100 * 2) / 6, 9);
    expect(elasticity.tauO).toBeCloseTo((100 * 2) / 6, 9);
    // Demand rises in step 2 and falls in step 4, supply rises in step 4: two of five unlike.
    expect(elasticity.instability).toBeCloseTo((100 * 2) / 5, 9);
    expect(elasticity.saturated).toBeCloseTo((100 * 2) / 6, 9);
    // Two are launching in steps 2 and 3: 1 1 3 3 3 3 against 14.
    expect(elasticity.extraVmHours).toBeCloseTo(0, 9);
    expect(elasticity.actionsPerDay).toBeCloseTo(86_400 / 6, 6);
  });

  test('a supply that always equals the demand is ideal in everything', () => {
    const load = loadOf(5, 5, 5, 5, 5);
    expect(play(load, scripted([1]), BOUNDS).elasticity).toEqual({
      thetaU: 0,
      thetaO: 0,
      tauU: 0,
      tauO: 0,
      instability: 0,
      saturated: 0,
      extraVmHours: 0,
      actionsPerDay: 0,
    });
  });

  test('less often a look, the same figures: stretches without a look count step by step', () => {
    const load = loadOf(5, 9, 20, 3, 10, 10, 4, 8, 30, 2, 2, 12);
    const often = { name: 'same', everyMs: 1000, desired: ({ nowMs }: Sight) => (nowMs >= 6000 ? 4 : 1) };
    const seldom = { ...often, everyMs: 6000 };
    expect(play(load, seldom, BOUNDS).elasticity).toEqual(play(load, often, BOUNDS).elasticity);
  });
});
