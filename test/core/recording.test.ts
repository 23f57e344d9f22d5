import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Evaluation } from '../../src/core/evaluation.ts';
import { patchBetween, patched } from '../../src/core/patch.ts';
import {
  DecisionDecoder,
  EvaluationDecoder,
  EvaluationEncoder,
  headOf,
  RecordingError,
} from '../../src/core/recording.ts';
import { type TurnsOptions, turnsOf } from './recorded-turns.ts';

const SMALL: TurnsOptions = { vms: 12, groups: 2, hosts: 3, turns: 20, churn: 0.05 };
const json = (value: unknown): string => JSON.stringify(value);

function linesOf(evaluations: Iterable<Evaluation>): readonly string[] {
  const encoder = new EvaluationEncoder();
  return Array.from(evaluations, (evaluation) => encoder.encode(evaluation).line);
}

describe('a patch', () => {
  const value = fc.jsonValue({ maxDepth: 4 });

  it('brings about the value after, byte for byte, through JSON', () => {
    fc.assert(
      fc.property(value, value, (before, after) => {
        const patch = patchBetween(before, after);
        const read = patch === undefined ? before : patched(before, JSON.parse(json(patch)));
        expect(json(read)).toBe(json(after));
      }),
      { numRuns: 2000 },
    );
  });

  it('does so for tables whose rows come, go, move and change', () => {
    const row = fc.record(
      {
        uuid: fc.integer({ min: 0, max: 9 }),
        n: fc.oneof(fc.integer(), fc.double()),
        text: fc.string({ maxLength: 3 }),
      },
      { requiredKeys: ['uuid'] },
    );
    const table = fc.oneof(fc.array(row, { maxLength: 12 }), fc.dictionary(fc.string({ maxLength: 2 }), row));
    fc.assert(
      fc.property(table, table, (before, after) => {
        const patch = patchBetween(before, after);
        const read = patch === undefined ? before : patched(before, JSON.parse(json(patch)));
        expect(json(read)).toBe(json(after));
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps the order of new keys among alike rows', () => {
    const before = [{ id: 1 }, { id: 2 }, { id: 3 }];
    const after = [
      { id: 1, a: 1, b: 2 },
      { id: 2, b: 1, a: 2 },
      { id: 3, b: 1 },
    ];
    expect(json(patched(before, JSON.parse(json(patchBetween(before, after)))))).toBe(json(after));
  });

  it('does not reach for the prototype', () => {
    const before = JSON.parse('{"a":{"__proto__":{"x":1}}}');
    const after = JSON.parse('{"a":{"__proto__":{"x":2}}}');
    expect(json(patched(before, JSON.parse(json(patchBetween(before, after)))))).toBe(json(after));
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  it('is nothing for what is the same', () => {
    expect(patchBetween({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] })).toBeUndefined();
    expect(patchBetween({ a: 1, b: undefined }, { a: 1 })).toBeUndefined();
  });
});

describe('a recording', () => {
  it('gives back every evaluation byte for byte', () => {
    const decoder = new EvaluationDecoder();
    const evaluations = [...turnsOf(SMALL)];
    const lines = linesOf(evaluations);
    expect(lines.filter((line) => line.startsWith('["whole"'))).toHaveLength(1);
    lines.forEach((line, index) => {
      expect(line).not.toContain('\n');
      expect(json(decoder.decode(line))).toBe(json(evaluations[index]));
    });
  });

  it('gives back what was decided, alone', () => {
    const decoder = new DecisionDecoder();
    const evaluations = [...turnsOf({ ...SMALL, turns: 60 })];
    linesOf(evaluations).forEach((line, index) => {
      const { at, decisions } = evaluations[index] ?? {};
      expect(json(decoder.decode(line))).toBe(json({ at, decisions }));
    });
  });

  it('tells one and the same domain once: in the host and in the VM it is one object again', () => {
    const decoder = new EvaluationDecoder();
    for (const line of linesOf(turnsOf(SMALL))) {
      const { snapshot } = decoder.decode(line);
      const domains = new Set(snapshot.hosts.flatMap(({ last }) => last?.domains ?? []));
      for (const { domain } of snapshot.vms) if (domain !== undefined) expect(domains.has(domain)).toBe(true);
    }
  });

  it('tells little of what did not change', () => {
    const [first] = turnsOf({ ...SMALL, vms: 100, turns: 1 });
    if (first === undefined) throw new Error('no turn');
    const encoder = new EvaluationEncoder();
    encoder.encode(first);
    const again = { ...first, memory: first.memoryAfter, at: '2026-03-01T00:00:01.000Z', nowMs: first.nowMs + 1000 };
    const { line } = encoder.encode(again);
    expect(line.length).toBeLessThan(200);
    const wholeLine = new EvaluationEncoder().encode(again).line;
    expect(json(new EvaluationDecoder().decode(wholeLine))).toBe(json(again));
  });

  it('begins anew when changes have become long, after 600 frames, when asked, and after a loss', () => {
    const [first] = turnsOf({ ...SMALL, turns: 1 });
    if (first === undefined) throw new Error('no turn');
    const still = { ...first, memory: first.memoryAfter };
    const encoder = new EvaluationEncoder();
    const wholes = Array.from({ length: 1201 }, () => encoder.encode(still).whole);
    expect(wholes.flatMap((whole, index) => (whole ? [index] : []))).toEqual([0, 600, 1200]);
    expect(encoder.encode(still).whole).toBe(false);
    encoder.restart();
    expect(encoder.encode(still).whole).toBe(true);
    const { line, whole } = encoder.encode(still, 7);
    expect(whole).toBe(true);
    expect(headOf(line)).toEqual({ at: still.at, groups: ['group-0', 'group-1'], lost: 7 });

    const busy = [...turnsOf({ ...SMALL, vms: 300, turns: 30 })];
    expect(linesOf(busy).filter((one) => one.startsWith('["whole"')).length).toBeGreaterThan(2);
  });

  it.each([
    ['of evaluations', () => new EvaluationDecoder()],
    ['of decisions', () => new DecisionDecoder()],
  ])('says what is wrong with a line, and needs a whole one then: the decoder %s', (_, open) => {
    const [first = '', second = '', third = ''] = linesOf(turnsOf(SMALL));
    const decoder = open();
    const problems = [
      second,
      first.slice(0, 100),
      '{}',
      '["other"]',
      '["whole",1,{},{},{},{}]',
      '["whole",2,{},19,["s",[[0,9]],null],{},{}]',
    ];
    for (const line of problems) expect(() => decoder.decode(line)).toThrow(RecordingError);
    expect(() => new EvaluationDecoder().decode(first.slice(0, -5))).toThrow('torn');
    decoder.decode(first);
    expect(() => decoder.decode(third.replace(/\d+/, '[[]]'))).toThrow(RecordingError);
    expect(() => decoder.decode(second)).toThrow('does not begin with a whole frame');
    expect(decoder.decode(first).at).toBe('2026-03-01T00:00:00.000Z');
  });

  it('never throws anything else, whatever the bytes', () => {
    const lines = linesOf(turnsOf({ ...SMALL, turns: 4 }));
    fc.assert(
      fc.property(fc.nat(lines.length - 1), fc.nat(), fc.string({ maxLength: 4 }), (index, place, text) => {
        const decoders = [new EvaluationDecoder(), new DecisionDecoder()];
        lines.forEach((line, at) => {
          const cut = place % line.length;
          const read = at === index ? line.slice(0, cut) + text + line.slice(cut + text.length) : line;
          for (const decoder of decoders) {
            try {
              decoder.decode(read);
            } catch (error) {
              expect(error).toBeInstanceOf(RecordingError);
            }
          }
        });
      }),
      { numRuns: 300 },
    );
  });
});
