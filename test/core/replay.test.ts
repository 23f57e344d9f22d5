import { expect, it } from 'vitest';
import type { Evaluation } from '../../src/core/evaluation.ts';
import { EvaluationDecoder, EvaluationEncoder } from '../../src/core/recording.ts';
import { replay } from '../../src/core/replay.ts';
import { standIn, turnsOf } from './recorded-turns.ts';

const turns = [...turnsOf({ vms: 10, groups: 2, hosts: 2, turns: 20 })];

function recorded(): readonly Evaluation[] {
  const encoder = new EvaluationEncoder();
  const decoder = new EvaluationDecoder();
  return turns.map((evaluation) => decoder.decode(encoder.encode(evaluation).line));
}

it('gets the same bytes from what was recorded, and says how many', () => {
  let progress = 0;
  const result = replay(recorded(), standIn, { onProgress: (count) => (progress = count) });
  expect(result).toEqual({
    evaluations: 20,
    decisions: 40,
    different: 0,
    differences: [],
    notReplayable: 0,
    unknownPlacements: [],
  });
  expect(progress).toBe(20);
});

it('says where a decision first differs', () => {
  const result = replay(recorded(), (...[snapshot, policies, memory, nowMs]) => {
    const { decisions, memory: after } = standIn(snapshot, policies, memory, nowMs);
    return {
      memory: after,
      decisions: decisions.map((one) =>
        one.group === 'group-1' ? { ...one, counts: { ...one.counts, inService: 99 } } : one,
      ),
    };
  });
  expect(result.different).toBe(20);
  expect(result.differences[0]).toEqual({
    index: 0,
    at: '2026-03-01T00:00:00.000Z',
    group: 'group-1',
    what: 'decision',
    where: 'counts.inService',
    recorded: String(turns[0]?.decisions[1]?.counts.inService),
    replayed: '99',
  });
});

it('says where the memory differs, and takes another order of keys for another answer', () => {
  const forgetful = replay(recorded(), (...[snapshot, policies, memory, nowMs]) => ({
    ...standIn(snapshot, policies, memory, nowMs),
    memory: {},
  }));
  expect(forgetful.differences[0]).toMatchObject({ group: 'group-0', what: 'memory', where: '', replayed: 'nothing' });
  const reordered = replay(recorded(), (...[snapshot, policies, memory, nowMs]) => {
    const { decisions, memory: after } = standIn(snapshot, policies, memory, nowMs);
    return { memory: after, decisions: decisions.map(({ group, ...rest }) => ({ ...rest, group })) };
  });
  expect(reordered.different).toBe(20);
});

it('keeps a hundred differences at the most', () => {
  const many = Array.from({ length: 12 }, () => recorded()).flat();
  const result = replay(many, (...[snapshot, policies, memory, nowMs]) => ({
    ...standIn(snapshot, policies, memory, nowMs),
    memory: {},
  }));
  expect(result.different).toBe(240);
  expect(result.differences).toHaveLength(100);
});

it('leaves out what was placed by a module that is not known here, and says which', () => {
  const own = turns.map((one): Evaluation => ({ ...one, snapshot: { ...one.snapshot, placement: 'coldest-rack' } }));
  const result = replay(own, () => {
    throw new Error('not to be called');
  });
  expect(result).toMatchObject({
    evaluations: 20,
    decisions: 0,
    notReplayable: 20,
    unknownPlacements: ['coldest-rack'],
  });
  const known = replay(own, standIn, { placements: new Map([['coldest-rack', { choose: () => ({ host: '' }) }]]) });
  expect(known).toMatchObject({ decisions: 40, notReplayable: 0, different: 0 });
});
