import { expect, it } from 'vitest';
import { recordInMemory } from '../../../src/adapters/recorder/memory-recorder.ts';
import { recorderContract } from '../../contracts/recorder.ts';
import { turnsOf } from '../../core/recorded-turns.ts';

recorderContract('in memory', async () => recordInMemory());

it('keeps the last ones only', () => {
  const recorder = recordInMemory(10);
  const turns = [...turnsOf({ vms: 2, groups: 1, hosts: 1, turns: 45 })];
  for (const turn of turns) recorder.record(turn);
  expect(recorder.evaluations.length).toBeLessThanOrEqual(11);
  expect(recorder.evaluations.length).toBeGreaterThanOrEqual(10);
  expect(recorder.evaluations.at(-1)).toBe(turns.at(-1));
});
