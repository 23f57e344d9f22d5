// The recorder on files of a folder: appends in the background, keeps below its share of the disk, finds evaluations again.
// Not here: the lines (core/recording), the files' layout (recording-files).

import { type FileHandle, mkdir, open, stat, unlink } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { type DatedDecision, decisionOn, type Evaluation } from '../../core/evaluation.ts';
import type { GroupName } from '../../core/model.ts';
import { DecisionDecoder, EvaluationEncoder, RecordingError } from '../../core/recording.ts';
import type { Recorder } from '../../ports/recorder.ts';
import { indexFile, type RecordingFile, readStretch, recordingFile, recordingFiles } from './recording-files.ts';

export interface FileRecorderOptions {
  /** Made when it is not there. Files in it that are none of a recording's are left alone. One recorder per folder. */
  readonly folder: string;
  /** All files together stay below it; the oldest go first. At least 1 MiB. */
  readonly keepBytes: number;
  /** Lines that wait for the disk, at the most; evaluations that come while there are more are lost. Default: 16 MiB. */
  readonly queueBytes?: number;
  /** Told in words for people, not more than once in 10 s: the recording goes on as soon as it can. */
  readonly onProblem?: (text: string) => void;
}

interface Waiting {
  readonly line: string;
  readonly bytes: number;
  readonly newFile: boolean;
  /** For the index; on whole frames. */
  readonly head?: { readonly atMs: number; readonly groups: readonly string[] };
}

const KEEP_BYTES_MIN = 1024 * 1024;
const QUEUE_BYTES = 16 * 1024 * 1024;
/** So many files make up the whole, about: pruning takes away one at a time. */
const FILES = 8;
const BATCH_BYTES = 1024 * 1024;
/** After a failed write. Meanwhile evaluations are lost. */
const PAUSE_MS = 10_000;
/** A look-up holds everything else up for so long, then turns go on. */
const AT_ONCE_MS = 5;

export class FileRecorder implements Recorder {
  readonly #folder: string;
  readonly #keepBytes: number;
  readonly #queueBytes: number;
  readonly #onProblem: (text: string) => void;
  readonly #encoder = new EvaluationEncoder();
  readonly #files: RecordingFile[];
  readonly #indexed: Promise<void>;
  #queue: Waiting[] = [];
  #waitingBytes = 0;
  /** Of the file being written, with what waits for it. */
  #plannedBytes = Number.POSITIVE_INFINITY;
  #groups = '';
  #lost = 0;
  #lostInAll = 0;
  #latest: Evaluation | undefined;
  #handle: FileHandle | undefined;
  #writing: Promise<void> | undefined;
  #pausedUntilMs = 0;
  #lastProblemMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  private constructor(options: FileRecorderOptions, files: RecordingFile[]) {
    this.#folder = options.folder;
    this.#keepBytes = Math.max(options.keepBytes, KEEP_BYTES_MIN);
    this.#queueBytes = options.queueBytes ?? QUEUE_BYTES;
    this.#onProblem = options.onProblem ?? (() => undefined);
    this.#files = files;
    this.#indexed = this.#index([...files]);
  }

  /** Rejects when the folder can be neither read nor made. What older files hold is looked through afterwards, in the background. */
  static async open(options: FileRecorderOptions): Promise<FileRecorder> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    return new FileRecorder(options, await recordingFiles(options.folder));
  }

  /** Evaluations that were lost since the start. */
  get lost(): number {
    return this.#lostInAll;
  }

  /** Of all files. */
  get bytes(): number {
    return this.#files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  record(evaluation: Evaluation): void {
    if (this.#closed) return;
    this.#latest = evaluation;
    if (this.#waitingBytes > this.#queueBytes || performance.now() < this.#pausedUntilMs) {
      this.#lose(1);
      return;
    }
    const groups = evaluation.decisions.map(({ group }) => group);
    const newFile = this.#plannedBytes > this.#keepBytes / FILES;
    // A look-up goes by the groups that stand at the head of a stretch.
    if (newFile || groups.join(' ') !== this.#groups) this.#encoder.restart();
    const { line, whole } = this.#encoder.encode(evaluation, this.#lost);
    const bytes = Buffer.byteLength(line) + 1;
    if (bytes > this.#keepBytes / 2) {
      this.#encoder.restart();
      this.#problem(`an evaluation has ${bytes} bytes as a record; of ${this.#keepBytes} in all that is too much`);
      this.#lose(1);
      return;
    }
    this.#groups = groups.join(' ');
    this.#lost = 0;
    this.#plannedBytes = (newFile ? 0 : this.#plannedBytes) + bytes;
    this.#waitingBytes += bytes;
    this.#queue.push({ line, bytes, newFile, ...(whole && { head: { atMs: Date.parse(evaluation.at), groups } }) });
    this.#write();
  }

  async find(group: GroupName, at: string): Promise<DatedDecision | undefined> {
    const atMs = Date.parse(at);
    if (Number.isNaN(atMs)) return undefined;
    if (this.#latest !== undefined && Date.parse(this.#latest.at) <= atMs) {
      const latest = decisionOn(group, this.#latest);
      if (latest !== undefined) return latest;
    }
    await this.#indexed;
    await this.#writing;
    for (const file of this.#files.toReversed()) {
      for (let index = file.stretches.length - 1; index >= 0; index -= 1) {
        const stretch = file.stretches[index];
        if (stretch === undefined || stretch.atMs > atMs || !stretch.groups.includes(group)) continue;
        const found = await this.#findWithin(file, index, group, atMs);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#indexed;
    await this.#writing;
    await this.#handle?.close().catch(() => undefined);
    this.#handle = undefined;
  }

  async #findWithin(
    file: RecordingFile,
    index: number,
    group: GroupName,
    atMs: number,
  ): Promise<DatedDecision | undefined> {
    let lines: readonly string[];
    try {
      lines = await readStretch(file, index);
    } catch {
      // Pruned meanwhile, or the disk is gone: what is left is looked through.
      return undefined;
    }
    const decoder = new DecisionDecoder();
    let found: DatedDecision | undefined;
    let sinceMs = performance.now();
    for (const line of lines) {
      try {
        const told = decoder.decode(line);
        if (Date.parse(told.at) > atMs) break;
        found = decisionOn(group, told) ?? found;
      } catch (error) {
        if (error instanceof RecordingError) break;
        throw error;
      }
      if (performance.now() - sinceMs < AT_ONCE_MS) continue;
      await setImmediate();
      sinceMs = performance.now();
    }
    return found;
  }

  async #index(files: readonly RecordingFile[]): Promise<void> {
    for (const file of files) {
      await indexFile(file).catch((error: NodeJS.ErrnoException) => {
        // Gone meanwhile, to make room.
        if (error.code !== 'ENOENT') this.#problem(`cannot read ${file.path}: ${error.message}`);
      });
    }
  }

  #write(): void {
    if (this.#writing !== undefined) return;
    this.#writing = this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#append(batch);
      } catch (error) {
        await this.#failed(batch, error);
        return;
      }
    }
  }

  /** What can be written at once: all for the same file. */
  #takeBatch(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count > 0 && (waiting.newFile || bytes + waiting.bytes > BATCH_BYTES)) break;
      bytes += waiting.bytes;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #append(batch: readonly Waiting[]): Promise<void> {
    const bytes = batch.reduce((sum, waiting) => sum + waiting.bytes, 0);
    if (batch[0]?.newFile || this.#handle === undefined) await this.#nextFile();
    await this.#prune(bytes);
    const file = this.#files.at(-1);
    if (file === undefined || this.#handle === undefined) throw new Error('no file to write to');
    await this.#handle.appendFile(batch.map(({ line }) => `${line}\n`).join(''));
    for (const waiting of batch) {
      if (waiting.head !== undefined) file.stretches.push({ ...waiting.head, offset: file.bytes });
      file.bytes += waiting.bytes;
    }
    this.#waitingBytes -= bytes;
  }

  async #nextFile(): Promise<void> {
    await this.#handle?.close().catch(() => undefined);
    this.#handle = undefined;
    const file = recordingFile(this.#folder, (this.#files.at(-1)?.number ?? 0) + 1);
    // Never one that is there: another recorder in the same folder is noticed.
    this.#handle = await open(file.path, 'ax', 0o600);
    this.#files.push(file);
  }

  async #prune(coming: number): Promise<void> {
    while (this.bytes + coming > this.#keepBytes && this.#files.length > 1) {
      const [oldest] = this.#files;
      if (oldest === undefined) return;
      await unlink(oldest.path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
      this.#files.shift();
    }
  }

  async #failed(batch: readonly Waiting[], error: unknown): Promise<void> {
    await this.#handle?.close().catch(() => undefined);
    this.#handle = undefined;
    // A part of it may be there.
    const file = this.#files.at(-1);
    if (file !== undefined)
      file.bytes = await stat(file.path).then(
        ({ size }) => size,
        () => file.bytes,
      );
    this.#lose(batch.length + this.#queue.length);
    this.#queue = [];
    this.#waitingBytes = 0;
    this.#plannedBytes = Number.POSITIVE_INFINITY;
    this.#encoder.restart();
    this.#pausedUntilMs = performance.now() + PAUSE_MS;
    this.#onProblem(`evaluations are not recorded for ${PAUSE_MS / 1000} s: ${messageOf(error)}`);
  }

  #problem(text: string): void {
    if (performance.now() - this.#lastProblemMs < PAUSE_MS) return;
    this.#lastProblemMs = performance.now();
    this.#onProblem(text);
  }

  #lose(count: number): void {
    this.#lost += count;
    this.#lostInAll += count;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
