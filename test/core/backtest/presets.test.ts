import { describe, expect, test } from 'vitest';
import type { Bounds, Controller, Sight } from '../../../src/core/backtest/controller.ts';
import { PRESETS } from '../../../src/core/backtest/presets/registry.ts';

const BOUNDS: Bounds = { min: 1, max: 100, initial: 10, targetPercent: 60, bootMs: 1000 };

function preset(name: string): Controller {
  const make = PRESETS.get(name);
  if (make === undefined) throw new Error(`no preset ${name}`);
  return make(BOUNDS);
}

/** A fleet without boot time that has the CPU told at each look; gives the sizes wanted. */
function sizes(
  controller: Controller,
  serving: number,
  cpus: readonly (number | undefined)[],
  launching = 0,
): number[] {
  let size = serving;
  return cpus.map((cpu, at) => {
    const nowMs = (at + 1) * controller.everyMs;
    const sight: Sight = { nowMs, serving: size, launching, cpuPercent: () => cpu, measured: () => size };
    size = controller.desired(sight) - launching;
    return size;
  });
}

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

test('all eight are there', () => {
  expect([...PRESETS.keys()]).toEqual([
    'hpa',
    'aws-target',
    'gce',
    'azure',
    'oneflow',
    'cloudstack',
    'nomad',
    'seed-75',
  ]);
});

test.each([...PRESETS.keys()])('%s leaves a group at its target alone, and one without data', (name) => {
  const calm = name === 'seed-75' ? 74.9 : 60;
  expect(sizes(preset(name), 10, [...times(40, calm), undefined])).toEqual(times(41, 10));
});

describe('hpa', () => {
  test('tolerates 10 %, then the ratio rounded up', () => {
    expect(sizes(preset('hpa'), 10, [65.9])).toEqual([10]);
    expect(sizes(preset('hpa'), 10, [66.1])).toEqual([12]);
  });

  test('up by the larger of 4 and 100 % per 15 s', () => {
    expect(sizes(preset('hpa'), 1, [100])).toEqual([2]);
    const tenfold: Bounds = { ...BOUNDS, targetPercent: 10 };
    const controller = PRESETS.get('hpa')?.(tenfold);
    expect(controller && sizes(controller, 2, [100, 100])).toEqual([6, 12]);
  });

  test('down to the largest recommendation of 300 s', () => {
    const wanted = sizes(preset('hpa'), 10, [60, ...times(25, 30)]);
    // At 15 s: 10. What is older than 300 s is forgotten.
    expect(wanted.slice(0, 21)).toEqual(times(21, 10));
    expect(wanted[21]).toBe(5);
  });

  test('pods that are not ready count as idle when it grows', () => {
    expect(sizes(preset('hpa'), 10, [90], 5)).toEqual([10]);
    expect(sizes(preset('hpa'), 10, [90], 1)).toEqual([14]);
  });
});

test('aws-target: out after three minutes, in after fifteen below 90 % of the target, not while it warms up', () => {
  expect(sizes(preset('aws-target'), 10, times(3, 90))).toEqual([10, 10, 15]);
  expect(sizes(preset('aws-target'), 10, times(15, 53.9))).toEqual([...times(14, 10), 9]);
  expect(sizes(preset('aws-target'), 10, times(20, 54.1))).toEqual(times(20, 10));
});

test('gce: the size for the peak of ten minutes', () => {
  const wanted = sizes(preset('gce'), 10, [90, ...times(12, 30)]);
  expect(wanted[0]).toBe(15);
  expect(wanted.slice(1, 11)).toEqual(times(10, 15));
  expect(wanted[11]).toBeLessThan(15);
});

test('azure: by one, five minutes apart, and not where it would flap', () => {
  expect(sizes(preset('azure'), 10, times(7, 80))).toEqual([11, 11, 11, 11, 11, 12, 12]);
  expect(sizes(preset('azure'), 2, [29])).toEqual([1]);
  expect(sizes(preset('azure'), 1, [29])).toEqual([1]);
});

test.each(['oneflow', 'cloudstack'])('%s: by one, with 300 s between', (name) => {
  const looks = 300_000 / preset(name).everyMs;
  const wanted = sizes(preset(name), 10, times(Math.ceil(looks) + 1, 76));
  expect(wanted.slice(0, Math.ceil(looks))).toEqual(times(Math.ceil(looks), 11));
  expect(wanted.at(-1)).toBe(12);
  expect(sizes(preset(name), 10, [29])).toEqual([9]);
  expect(sizes(preset(name), 1, [1])).toEqual([1]);
});

test('nomad: the ratio at once within 1 %, then five minutes of cooldown', () => {
  expect(sizes(preset('nomad'), 10, [60.5])).toEqual([10]);
  expect(sizes(preset('nomad'), 10, [75, ...times(29, 90), 90])).toEqual([...times(30, 13), 20]);
});

test('seed-75: three samples in a row above 75 % add one', () => {
  expect(sizes(preset('seed-75'), 1, [76, 76, 75, 76, 76, 76, 76])).toEqual([1, 1, 1, 1, 1, 2, 2]);
  expect(sizes(preset('seed-75'), 2, [37, 37, 37])).toEqual([2, 2, 1]);
});
