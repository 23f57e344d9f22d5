// Recorded load as text, CSV with the columns `t` (seconds) and `rps`, to a trace that a backtest can trust, or what is wrong with it and
// in which line. Not here: reading files, and what happens between the rows (core/backtest).

import type { Trace } from '../core/backtest/trace.ts';
import type { FileProblem } from './file-problem.ts';

/** A year in steps of 10 s has 40 MB. */
export const MAX_TRACE_BYTES = 128 * 1024 * 1024;
const MAX_ROWS = 4_000_000;

export type TraceResult =
  | { readonly ok: true; readonly trace: Trace }
  | { readonly ok: false; readonly problem: FileProblem };

/** Further columns are left alone, whatever their order; empty lines are, too. Times rise; a row holds until the next one. */
export function parseTrace(text: string, file: string, name: string): TraceResult {
  const lines = text.split('\n', MAX_ROWS + 2);
  const wrong = (line: number, reason: string, column = 1, path = ''): TraceResult => {
    return { ok: false, problem: { file, line, column, path, reason } };
  };
  const head = lines.findIndex((line) => line.trim() !== '');
  if (head === -1) return wrong(1, 'the file is empty: it holds no load');
  const names = (lines[head] ?? '')
    .replace(/^\ufeff/, '')
    .split(',')
    .map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'));
  const [timeAt, rpsAt] = [names.indexOf('t'), names.indexOf('rps')];
  if (timeAt === -1 || rpsAt === -1) {
    return wrong(
      head + 1,
      `the first line must name the columns t (seconds) and rps, such as "t,rps", not ${shown(lines[head])}`,
    );
  }
  if (lines.length > MAX_ROWS + 1) return wrong(MAX_ROWS + 2, `more than ${MAX_ROWS} rows`);
  const t = new Float64Array(lines.length);
  const rps = new Float64Array(lines.length);
  let rows = 0;
  for (let i = head + 1; i < lines.length; i += 1) {
    const line = lines[i] ?? '';
    if (line === '' || line.trim() === '') continue;
    const cells = line.split(',');
    const [time, load] = [numberOf(cells[timeAt]), numberOf(cells[rpsAt])];
    if (time === undefined)
      return wrong(i + 1, `t must be a number of seconds, not ${shown(cells[timeAt])}`, columnOf(cells, timeAt), 't');
    if (load === undefined || load < 0) {
      return wrong(i + 1, `rps must be a number, 0 or more, not ${shown(cells[rpsAt])}`, columnOf(cells, rpsAt), 'rps');
    }
    const before = t[rows - 1];
    if (before !== undefined && time <= before) {
      return wrong(i + 1, `t must rise from row to row: ${time} comes after ${before}`, columnOf(cells, timeAt), 't');
    }
    t[rows] = time;
    rps[rows] = load;
    rows += 1;
  }
  if (rows < 2) return wrong(head + 1, 'at least two rows are needed: the last one lasts as long as the one before it');
  return { ok: true, trace: { name, t: t.slice(0, rows), rps: rps.slice(0, rows) } };
}

/** Decimal notation only: what Number() takes besides, nobody means. */
function numberOf(cell: string | undefined): number | undefined {
  if (cell === undefined) return undefined;
  const text = cell.trim();
  if (!/^-?\d*\.?\d+(e[+-]?\d{1,3})?$/i.test(text) && !/^-?\d+\.$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function columnOf(cells: readonly string[], at: number): number {
  return cells.slice(0, at).reduce((sum, cell) => sum + cell.length + 1, 1);
}

function shown(text: string | undefined): string {
  if (text === undefined) return 'nothing';
  const clean = text.trim();
  return clean === '' ? 'nothing' : `"${clean.length > 40 ? `${clean.slice(0, 40)}…` : clean}"`;
}
