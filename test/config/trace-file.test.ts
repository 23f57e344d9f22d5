import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { problemText } from '../../src/config/file-problem.ts';
import { parseTrace } from '../../src/config/trace-file.ts';

function rows(text: string): (readonly [number, number])[] | string {
  const parsed = parseTrace(text, 'load.csv', 'load');
  if (!parsed.ok) return problemText(parsed.problem);
  const { t, rps } = parsed.trace;
  return [...t].map((at, row) => [at, rps[row] ?? Number.NaN] as const);
}

describe('a trace file', () => {
  test('seconds and requests per second', () => {
    expect(rows('t,rps\n0,1.5\n10,2\n')).toEqual([
      [0, 1.5],
      [10, 2],
    ]);
  });

  test.each([
    ['line ends of Windows, empty lines and a byte order mark', '\ufefft,rps\r\n\r\n0,1\r\n10,2\r\n\r\n'],
    ['other columns and another order', 'host,rps,note,t\na,1,,0\nb,2,x,10'],
    ['quoted names and spaces', '"t", rps\n 0 , 1\n10, 2'],
    ['exponents', 't,rps\n0,1e0\n1e1,2.0'],
  ])('%s', (_what, text) => {
    expect(rows(text)).toEqual([
      [0, 1],
      [10, 2],
    ]);
  });

  test.each([
    ['', 'load.csv:1:1: the file is empty: it holds no load'],
    ['0,1\n1,2', 'load.csv:1:1: the first line must name the columns t (seconds) and rps, such as "t,rps", not "0,1"'],
    ['t,rps\n0,1', 'load.csv:1:1: at least two rows are needed: the last one lasts as long as the one before it'],
    ['t,rps\n0,1\n5,x', 'load.csv:3:3: rps: rps must be a number, 0 or more, not "x"'],
    ['t,rps\n0,1\n5,-1', 'load.csv:3:3: rps: rps must be a number, 0 or more, not "-1"'],
    ['t,rps\n0,1\n5', 'load.csv:3:3: rps: rps must be a number, 0 or more, not nothing'],
    ['t,rps\n0,1\n5,NaN', 'load.csv:3:3: rps: rps must be a number, 0 or more, not "NaN"'],
    ['t,rps\n0,1\n5,0x10', 'load.csv:3:3: rps: rps must be a number, 0 or more, not "0x10"'],
    ['t,rps\n0,1\n,2', 'load.csv:3:1: t: t must be a number of seconds, not nothing'],
    ['t,rps\n0,1\n2026-01-01,2', 'load.csv:3:1: t: t must be a number of seconds, not "2026-01-01"'],
    ['t,rps\n0,1\n5,1\n\n5,1', 'load.csv:5:1: t: t must rise from row to row: 5 comes after 5'],
  ])('%j is refused with its line', (text, problem) => {
    expect(rows(text)).toBe(problem);
  });

  test('whatever it holds, it is a trace or a problem with a line', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('t', 'rps', ',', '\n', '0', '1', '-', '.', 'e', '"', ' ')), (parts) => {
        const parsed = parseTrace(`t,rps\n${parts.join('')}`, 'load.csv', 'load');
        if (!parsed.ok) expect(parsed.problem.line).toBeGreaterThan(0);
        else expect(parsed.trace.t.every((at, row) => row === 0 || at > (parsed.trace.t[row - 1] ?? 0))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
