// Port: the daemon's own copies of images, and the ways they come in. The contract on each method is what
// test/contracts/image-store.ts checks on every adapter. Not here: bringing them to hosts (hypervisor).

import type { ImageSource } from '../core/catalog.ts';
import type { Image, ImageContent } from '../core/model.ts';

export interface TakeOptions {
  readonly name: string;
  /** Said to be this; absent: found out. A wrong word is `refused`. */
  readonly format?: Image['format'];
  /** Lower-case hex; the bytes must have it, else `refused`. */
  readonly sha256?: string;
  readonly onBytes?: (bytes: number, totalBytes: number | undefined) => void;
  readonly signal: AbortSignal;
}

/** An image that was checked: header, size, checksum. */
export interface TakenImage {
  readonly format: Image['format'];
  readonly content: ImageContent;
}

export interface ImageStore {
  /**
   * Takes in a stream of any size with constant memory, checks it (not truncated, no backing file, no encryption, a format we know)
   * and keeps it under its checksum. Nothing is left of one that was refused, broken off or cut by a crash.
   * Throws `Fault`: `refused` (not an image we take, wrong checksum, no space, too large), `aborted`.
   */
  take(bytes: AsyncIterable<Uint8Array>, options: TakeOptions): Promise<TakenImage>;

  /**
   * The same from where it lies: a path is read (and copied, so that a later change of the file cannot hurt VMs), a URL or an ssh
   * source fetched. Throws `Fault`: also `unreachable`, `timed-out`.
   */
  fetch(source: Extract<ImageSource, { kind: 'path' | 'url' | 'ssh' }>, options: TakeOptions): Promise<TakenImage>;

  /** Bytes from the beginning, for a host. `refused` when it is not there or has been damaged since. */
  read(content: ImageContent, signal: AbortSignal): AsyncIterable<Uint8Array>;

  has(content: ImageContent): Promise<boolean>;

  /** Checksums of everything kept. */
  list(): Promise<readonly string[]>;

  /** An absent one is no error. */
  remove(sha256: string): Promise<void>;
}
