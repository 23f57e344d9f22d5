import { describe, expect, it } from 'vitest';
import type { VmPhase } from '../../src/core/model.ts';
import { type Candidate, chooseVictims } from '../../src/core/victims.ts';
import { viewOf } from './builders.ts';

function candidate(
  id: number,
  percent: number | undefined,
  over: { readonly phase?: VmPhase; readonly fresh?: boolean; readonly hostUp?: boolean } = {},
): Candidate {
  const { phase = 'in-service', fresh = true, hostUp = true } = over;
  return { view: viewOf(id, { record: { phase }, fresh }), hostUp, ...(percent !== undefined && { percent }) };
}

function chosenIds(candidates: readonly Candidate[], count: number): readonly number[] {
  return chooseVictims(candidates, count).chosen.map(({ record }) => record.id);
}

describe('chooseVictims', () => {
  it.each<[string, readonly Candidate[], number, readonly number[]]>([
    ['the idlest', [candidate(1, 50), candidate(2, 5), candidate(3, 30)], 1, [2]],
    ['the two idlest', [candidate(1, 50), candidate(2, 5), candidate(3, 30)], 2, [2, 3]],
    ['unmeasured ones last', [candidate(1, undefined), candidate(2, 90)], 1, [2]],
    ['launching ones before all others', [candidate(1, 0), candidate(2, undefined, { phase: 'launching' })], 1, [2]],
    ['among equals the newest', [candidate(1, 10), candidate(3, 10), candidate(2, 10)], 2, [3, 2]],
    ['none on a host that does not answer', [candidate(1, 0, { hostUp: false }), candidate(2, 90)], 2, [2]],
    ['none that changed since it was looked at', [candidate(1, 0, { fresh: false }), candidate(2, 90)], 2, [2]],
    ['none', [candidate(1, 0)], 0, []],
  ])('takes %s', (_name, candidates, count, ids) => {
    expect(chosenIds(candidates, count)).toEqual(ids);
    expect(chosenIds(candidates.toReversed(), count)).toEqual(ids);
  });

  it('says of every VM why it was or was not taken', () => {
    const { choices } = chooseVictims(
      [
        candidate(1, 7.25),
        candidate(2, 40),
        candidate(3, undefined),
        candidate(4, 1, { hostUp: false }),
        candidate(5, 1, { fresh: false }),
        candidate(6, undefined, { phase: 'launching' }),
      ],
      2,
    );
    expect(choices).toEqual([
      { name: 'web-6', chosen: true, text: 'still launching: nobody uses it yet' },
      { name: 'web-1', chosen: true, text: 'idlest: 7.3 % CPU' },
      { name: 'web-2', chosen: false, text: 'stays: 40 % CPU' },
      { name: 'web-3', chosen: false, text: 'stays: CPU not measured' },
      { name: 'web-4', chosen: false, text: 'stays: its host h1 does not answer' },
      { name: 'web-5', chosen: false, text: 'stays: it changed since its host was last asked' },
    ]);
  });
});
