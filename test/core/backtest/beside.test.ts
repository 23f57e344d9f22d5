import { expect, test } from 'vitest';
import { besideModel } from '../../../src/core/backtest/beside.ts';
import { policyOf, targetRule } from '../builders.ts';
import { madeLoad } from './made-load.ts';

const policy = policyOf({ min: 1, max: 10, rules: [targetRule({ target: 50, tolerance: { up: 0.05, down: 0 } })] });
const model = { sizing: { capacityRps: 10, targetPercent: 50 }, bootMs: 2000, pollMs: 1000 };
const trace = madeLoad('run', 10, 1, (t) => (t < 4 ? 5 : 9));

test('a run that went as the model says is nowhere apart', () => {
  // The load rises at 4 s, is seen at 5 s, and the VM serves at 7 s.
  const serving = [
    { t: 0, vms: 1 },
    { t: 7, vms: 2 },
  ];
  const beside = besideModel({ trace, serving }, policy, model);
  expect([...beside.modelled]).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 2, 2]);
  expect(beside).toMatchObject({ apart: 0, farthest: 0, realFirstRise: 7, modelledFirstRise: 7, realVmSeconds: 13 });
});

test('one that went otherwise is told by how much and how long', () => {
  const beside = besideModel(
    {
      trace,
      serving: [
        { t: 0, vms: 1 },
        { t: 8.6, vms: 3 },
      ],
    },
    policy,
    model,
  );
  expect([...beside.real]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 3]);
  expect(beside).toMatchObject({ apart: 0.3, farthest: 1, realFirstRise: 9, modelledVmSeconds: 13, realVmSeconds: 12 });
});

test('a fall is told as a rise is, and neither where there is none', () => {
  const falling = madeLoad('run', 10, 1, (t) => (t < 4 ? 9 : 1));
  const quick = policyOf({
    min: 1,
    max: 10,
    rules: [targetRule({ target: 50, tolerance: { up: 0.05, down: 0 }, cooldownMs: { out: 0, in: 0 } })],
  });
  const serving = [
    { t: 0, vms: 2 },
    { t: 7, vms: 1 },
  ];
  const beside = besideModel({ trace: falling, serving }, quick, model);
  expect(beside).toMatchObject({ realFirstFall: 7, modelledFirstFall: 5 });
  expect(beside).not.toHaveProperty('realFirstRise');
  expect(beside).not.toHaveProperty('modelledFirstRise');
});
