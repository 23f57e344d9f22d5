// The files of a recording in one folder: their order, what stands where in them, and reading one stretch of one.
// Not here: writing them (file-recorder), what the lines mean (core/recording).

import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { headOf } from '../../core/recording.ts';

const NAME = /^(\d{9})\.jsonl$/;
/** A whole frame's head lies within so many bytes of its line's beginning. */
const HEAD_BYTES = 64 * 1024;
const CHUNK_BYTES = 1024 * 1024;
const LINE_BREAK = 10;

/** From one whole frame to the next. */
export interface Stretch {
  readonly atMs: number;
  readonly offset: number;
  readonly groups: readonly string[];
}

export interface RecordingFile {
  readonly number: number;
  readonly path: string;
  bytes: number;
  readonly stretches: Stretch[];
}

export function recordingFile(folder: string, number: number): RecordingFile {
  return { number, path: join(folder, `${String(number).padStart(9, '0')}.jsonl`), bytes: 0, stretches: [] };
}

/** The files of a recording in `folder`, oldest first, without their stretches. Others are not looked at. */
export async function recordingFiles(folder: string): Promise<RecordingFile[]> {
  const numbers = (await readdir(folder)).flatMap((name) => {
    const match = NAME.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
  const files = numbers.sort((a, b) => a - b).map((number) => recordingFile(folder, number));
  for (const file of files) file.bytes = (await stat(file.path)).size;
  return files;
}

/** Finds where the whole frames of a file begin. Reads all of it, in pieces. */
export async function indexFile(file: RecordingFile): Promise<void> {
  const handle = await open(file.path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let lineAt = 0;
    let position = 0;
    let atLineStart = true;
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position);
      if (bytesRead === 0) return;
      let from = 0;
      while (from < bytesRead) {
        if (atLineStart) {
          lineAt = position + from;
          atLineStart = false;
          // `["w…`: a change has another third character.
          await addStretch(file, handle, lineAt);
        }
        const end = chunk.subarray(0, bytesRead).indexOf(LINE_BREAK, from);
        if (end === -1) break;
        atLineStart = true;
        from = end + 1;
      }
      position += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

async function addStretch(file: RecordingFile, handle: FileHandle, offset: number): Promise<void> {
  const first = Buffer.alloc(3);
  const { bytesRead } = await handle.read(first, 0, 3, offset);
  if (bytesRead < 3 || first.toString('latin1') !== '["w') return;
  const beginning = Buffer.alloc(HEAD_BYTES);
  const read = await handle.read(beginning, 0, HEAD_BYTES, offset);
  const head = headOf(beginning.toString('utf8', 0, read.bytesRead));
  if (head !== undefined) file.stretches.push({ atMs: Date.parse(head.at), offset, groups: head.groups });
}

/** The lines of the `index`th stretch; a torn one at its end is left out. */
export async function readStretch(file: RecordingFile, index: number): Promise<readonly string[]> {
  const from = file.stretches[index]?.offset ?? 0;
  const to = file.stretches[index + 1]?.offset ?? file.bytes;
  const handle = await open(file.path, 'r');
  try {
    const bytes = Buffer.allocUnsafe(to - from);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
    const lines = bytes.toString('utf8', 0, bytesRead).split('\n');
    // Behind the last line break: nothing, or what a crash left of a line.
    return lines.slice(0, -1);
  } finally {
    await handle.close();
  }
}
