// The image store in a folder: each image one file, called by its checksum and format. What is under that name was checked and is
// whole; what is being taken in has another name. Not here: taking in (image-intake.ts), sources (image-from-*.ts).

import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image, ImageContent } from '../../core/model.ts';
import { Fault } from '../../ports/fault.ts';
import type { ImageStore, TakenImage, TakeOptions } from '../../ports/image-store.ts';
import { PIECE_BYTES } from './block-file.ts';
import { abortFault, fileFault } from './image-faults.ts';
import { openImageFromPath } from './image-from-path.ts';
import { openImageFromSsh, type SshProgram, SYSTEM_SSH } from './image-from-ssh.ts';
import { openImageFromUrl } from './image-from-url.ts';
import { type Intake, type IntakeLimits, takeIn } from './image-intake.ts';
import type { OpenedImage, OpenImageOptions } from './image-source.ts';

export interface FileImageStoreOptions {
  /** Larger images are refused. Default 1 TiB. */
  readonly maxBytes?: number;
  /** So much of the disk stays free. Default 256 MiB. */
  readonly keepFreeBytes?: number;
  /** Default: what the file system says. */
  readonly freeBytes?: (folder: string) => Promise<number>;
  /** So long a source may keep us waiting for its next bytes. Default 30 s. */
  readonly stallMs?: number;
  /** So long a fetch may take altogether. Default 12 h. */
  readonly fetchMs?: number;
  /** Default: the system's. */
  readonly ssh?: SshProgram;
}

const TIB = 2 ** 40;
const MIB = 2 ** 20;
const FORMATS: readonly Image['format'][] = ['qcow2', 'raw'];
const KEPT = /^([\da-f]{64})\.(?:qcow2|raw)$/;
const INCOMING = '.incoming-';
/** Nobody but the daemon's user may look into images, and nobody writes to one that is kept. */
const INCOMING_MODE = 0o600;
const KEPT_MODE = 0o400;

type FetchedSource = Parameters<ImageStore['fetch']>[0];

export class FileImageStore implements ImageStore {
  readonly #folder: string;
  readonly #limits: IntakeLimits;
  readonly #fetchMs: number;
  readonly #ssh: SshProgram;

  /** Makes the folder and removes what a crash left half taken: one store at a time has a folder. Throws `Fault('refused')`. */
  constructor(folder: string, options: FileImageStoreOptions = {}) {
    this.#folder = folder;
    this.#limits = {
      maxBytes: options.maxBytes ?? TIB,
      keepFreeBytes: options.keepFreeBytes ?? 256 * MIB,
      freeBytes: options.freeBytes ?? freeBytes,
      stallMs: options.stallMs ?? 30_000,
    };
    this.#fetchMs = options.fetchMs ?? 12 * 60 * 60 * 1000;
    this.#ssh = options.ssh ?? SYSTEM_SSH;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const entry of readdirSync(folder)) if (entry.startsWith(INCOMING)) rmSync(join(folder, entry));
    } catch (cause) {
      throw new Fault('refused', `cannot use the folder for images ${folder}: ${String(cause)}`, {
        advice: 'Give a folder that can be written with --state-dir.',
        cause,
      });
    }
  }

  /** A stream that keeps us waiting longer than `stallMs` is `aborted`. */
  take(bytes: AsyncIterable<Uint8Array>, options: TakeOptions): Promise<TakenImage> {
    return this.#keep({ ...options, bytes });
  }

  async fetch(source: FetchedSource, options: TakeOptions): Promise<TakenImage> {
    const { name } = options;
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort(new Fault('timed-out', `the image ${name} did not come within ${this.#fetchMs / 1000} s`));
    }, this.#fetchMs);
    const signal = AbortSignal.any([options.signal, late.signal]);
    let opened: OpenedImage | undefined;
    try {
      opened = await this.#open(source, { name, signal, stallMs: this.#limits.stallMs }, options.sha256 !== undefined);
      return await this.#keep({
        ...options,
        ...opened,
        signal,
        onStall: () => new Fault('timed-out', `no more bytes came of the image ${name}: it stalled`),
        onBroken: (error, at) =>
          new Fault('unreachable', `the image ${name} broke off after ${at} bytes: ${String(error)}`, { cause: error }),
      });
    } finally {
      clearTimeout(timer);
      await opened?.close();
    }
  }

  /** The last bytes come only when all of them had the checksum. */
  async *read(content: ImageContent, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const name = content.sha256.slice(0, 12);
    const damaged = (text: string): Fault =>
      new Fault('refused', `the kept image ${name}… in ${this.#folder} ${text}`, {
        advice: 'Delete it and import it again.',
      });
    const path = await this.#find(content);
    if (path === undefined) throw damaged('is not there, or not of its size any more');
    let handle: FileHandle | undefined;
    try {
      handle = await open(path);
      const hash = createHash('sha256');
      for (let at = 0; at < content.fileBytes; ) {
        if (signal.aborted) throw abortFault(name, signal);
        const block = Buffer.allocUnsafe(Math.min(PIECE_BYTES, content.fileBytes - at));
        const { bytesRead } = await handle.read(block, 0, block.length, at);
        if (bytesRead === 0) throw damaged('is shorter than it was');
        at += bytesRead;
        const part = block.subarray(0, bytesRead);
        hash.update(part);
        if (at === content.fileBytes && hash.digest('hex') !== content.sha256) throw damaged('has been damaged');
        yield part;
      }
    } catch (error) {
      throw fileFault(error, name, this.#folder);
    } finally {
      await handle?.close();
    }
  }

  async has(content: ImageContent): Promise<boolean> {
    return (await this.#find(content)) !== undefined;
  }

  /** Ascending. */
  async list(): Promise<readonly string[]> {
    const entries = await readdir(this.#folder).catch((error: unknown) => {
      throw fileFault(error, 'list', this.#folder);
    });
    const kept = entries.flatMap((entry) => KEPT.exec(entry)?.[1] ?? []);
    return [...new Set(kept)].toSorted();
  }

  async remove(sha256: string): Promise<void> {
    for (const path of this.#paths(sha256)) {
      await rm(path, { force: true }).catch((error: unknown) => {
        throw fileFault(error, sha256, this.#folder);
      });
    }
  }

  /** Nothing for what is no checksum: it could lead out of the folder. */
  #paths(sha256: string): readonly string[] {
    return FORMATS.map((format) => `${sha256}.${format}`)
      .filter((entry) => KEPT.test(entry))
      .map((entry) => join(this.#folder, entry));
  }

  async #find({ sha256, fileBytes }: ImageContent): Promise<string | undefined> {
    for (const path of this.#paths(sha256)) {
      const stats = await stat(path).catch(() => undefined);
      if (stats?.isFile() && stats.size === fileBytes) return path;
    }
    return undefined;
  }

  #open(source: FetchedSource, options: OpenImageOptions, verified: boolean): Promise<OpenedImage> {
    switch (source.kind) {
      case 'path':
        return openImageFromPath(source.path, options);
      case 'url':
        return openImageFromUrl(source.url, { ...options, verified });
      case 'ssh':
        return openImageFromSsh(source, options, this.#ssh);
    }
  }

  async #keep(intake: Intake): Promise<TakenImage> {
    const incoming = join(this.#folder, `${INCOMING}${randomUUID()}`);
    let handle: FileHandle | undefined;
    try {
      if (intake.signal.aborted) throw abortFault(intake.name, intake.signal);
      handle = await open(incoming, 'wx+', INCOMING_MODE);
      const taken = await takeIn(handle, this.#folder, intake, this.#limits);
      await handle.chmod(KEPT_MODE);
      await handle.close();
      handle = undefined;
      if (intake.signal.aborted) throw abortFault(intake.name, intake.signal);
      // One that is there already has the same bytes, or had: it is replaced either way.
      await rename(incoming, join(this.#folder, `${taken.content.sha256}.${taken.format}`));
      await syncFolder(this.#folder);
      return taken;
    } catch (error) {
      await handle?.close().catch(() => {});
      await rm(incoming, { force: true }).catch(() => {});
      throw fileFault(error, intake.name, this.#folder);
    }
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** A name is on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
