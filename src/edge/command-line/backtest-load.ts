// Where a backtest's load comes from: a file with a trace, our own recorded decisions, or a range query. Not here: what is played on it.

import { readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { problemText } from '../../config/file-problem.ts';
import { MAX_TRACE_BYTES, parseTrace } from '../../config/trace-file.ts';
import { RECORDED_CAPACITY, RecordedLoad } from '../../core/backtest/recorded-load.ts';
import type { Trace } from '../../core/backtest/trace.ts';
import type { GroupName } from '../../core/model.ts';
import { CommandFailure, cannotRead } from './command-failure.ts';
import { type RangeQuery, rangeTrace } from './prometheus-range.ts';
import { recordedLines, recordingFiles } from './recording-lines.ts';

export interface LoadSource {
  readonly trace?: string;
  readonly prometheus?: string;
  readonly query?: string;
  readonly from?: string;
  readonly to?: string;
  readonly step: number;
  readonly capacity?: number;
}

export interface FoundLoad {
  readonly trace: Trace;
  /** It is in percent of one VM's CPU, not in requests per second: what one VM carries is known then. */
  readonly capacityPercent?: number;
}

const GROUPS_SHOWN = 10;
const PAUSE_EVERY_LINES = 50;

/** `group`: whose decisions are looked for in a recording. Throws `CommandFailure` (2) for what was said wrong or cannot be read. */
export async function loadFrom(source: LoadSource, group: GroupName, signal?: AbortSignal): Promise<FoundLoad> {
  const { trace: path, prometheus, capacity } = source;
  if ((path === undefined) === (prometheus === undefined)) {
    throw new CommandFailure(2, 'say where the load comes from: either --trace FILE or --prometheus URL');
  }
  if (prometheus !== undefined) return { trace: await rangeTrace(rangeOf(source, prometheus), signal) };
  const file = path ?? '';
  const name = basename(file, extname(file));
  if (await isRecording(file)) {
    const trace = await recordedTrace(file, group, name, capacity);
    return { trace, ...(capacity === undefined && { capacityPercent: RECORDED_CAPACITY }) };
  }
  const parsed = parseTrace(await readFile(file, 'utf8'), file, name);
  if (!parsed.ok) throw new CommandFailure(2, problemText(parsed.problem));
  return { trace: parsed.trace };
}

/** A folder or a file `*.jsonl`; else it is a trace, small enough to be read at once. */
async function isRecording(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    throw cannotRead(`the trace ${path}`, error);
  });
  if (found.isDirectory() || (found.isFile() && extname(path) === '.jsonl')) return true;
  if (!found.isFile()) throw new CommandFailure(2, `the trace ${path} is not a file`);
  if (found.size > MAX_TRACE_BYTES) {
    throw new CommandFailure(2, `the trace ${path} has ${found.size} bytes; at most ${MAX_TRACE_BYTES} are read`);
  }
  return false;
}

async function recordedTrace(path: string, group: GroupName, name: string, capacity?: number): Promise<Trace> {
  const load = new RecordedLoad(group);
  const files = await recordingFiles(path);
  if (files.length === 0) throw new CommandFailure(2, `${path} holds no recording: it has no files *.jsonl`);
  let torn: string | undefined;
  for (const file of files) torn = (await addEvaluations(load, file)) ?? torn;
  if (load.rows >= 2) return load.trace(name, capacity);
  if (torn !== undefined) throw new CommandFailure(2, torn);
  const others = load.others.slice(0, GROUPS_SHOWN).join(', ');
  const there = others === '' ? '' : `; it has decisions of: ${others}`;
  const what = load.rows === 0 ? `holds no decision of group ${group}` : `holds one decision of group ${group} alone`;
  throw new CommandFailure(2, `${path} ${what}${there}`);
}

/**
 * What a crash, or a daemon that is still writing, has left at a file's end is passed over and returned; anywhere else a line that is wrong
 * is an error.
 */
async function addEvaluations(load: RecordedLoad, file: string): Promise<string | undefined> {
  let problem: string | undefined;
  for await (const read of recordedLines(file)) {
    if (problem !== undefined) throw new CommandFailure(2, problem);
    if ('problem' in read) {
      problem = `${file}:${read.line}: ${read.problem}`;
      continue;
    }
    try {
      load.add(read.evaluation);
    } catch (error) {
      if (error instanceof RangeError) throw new CommandFailure(2, `${file}:${read.line}: ${error.message}`, error);
      throw error;
    }
    // Ctrl-C comes through.
    if (read.line % PAUSE_EVERY_LINES === 0) await setImmediate();
  }
  return problem;
}

function rangeOf({ query, from, to, step }: LoadSource, url: string): RangeQuery {
  if (query === undefined || from === undefined) throw new CommandFailure(2, '--prometheus needs --query and --from');
  const [fromMs, toMs] = [Date.parse(from), to === undefined ? Date.now() : Date.parse(to)];
  if (Number.isNaN(fromMs)) throw new CommandFailure(2, `--from is no time: ${from}; write 2026-01-31T00:00:00Z`);
  if (Number.isNaN(toMs)) throw new CommandFailure(2, `--to is no time: ${to}; write 2026-01-31T00:00:00Z`);
  if (toMs <= fromMs) throw new CommandFailure(2, '--from must be before --to');
  return { url, query, fromMs, toMs, stepMs: step };
}
