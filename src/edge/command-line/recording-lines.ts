// Recordings as commands read them: which files, and their evaluations one after the other with what cannot be read.
// Not here: what a line means (core/recording), keeping them (adapters/recorder).

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Evaluation } from '../../core/evaluation.ts';
import { EvaluationDecoder, headOf, RecordingError } from '../../core/recording.ts';
import { cannotRead } from './command-failure.ts';

/** One line: an evaluation, or why it is none. */
export type RecordedLine =
  | { readonly line: number; readonly evaluation: Evaluation; readonly lost: number }
  | { readonly line: number; readonly problem: string };

/** `path` itself, or the files `*.jsonl` of the folder that it is, oldest first. Throws `CommandFailure` (2) when it is not there. */
export async function recordingFiles(path: string): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = (await readdir(path)).filter((name) => name.endsWith('.jsonl')).sort();
    return names.map((name) => join(path, name));
  } catch (error) {
    throw cannotRead(path, error);
  }
}

/** In order; lines count from 1. One at a time is held, whatever the file's size. */
export async function* recordedLines(file: string): AsyncGenerator<RecordedLine> {
  const decoder = new EvaluationDecoder();
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  let line = 0;
  for await (const text of lines) {
    line += 1;
    try {
      yield { line, evaluation: decoder.decode(text), lost: headOf(text)?.lost ?? 0 };
    } catch (error) {
      if (!(error instanceof RecordingError)) throw error;
      yield { line, problem: error.message };
    }
  }
}
