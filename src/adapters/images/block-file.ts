// A file that is written from its beginning to its end in blocks, with its checksum made on the way and zeros left as holes.
// Not here: where the bytes come from and when they are too many (image-intake.ts).

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

/** Small enough that hashing one holds up nobody (about half a millisecond), large enough that a file is not thousands of writes a second. */
export const BLOCK_BYTES = 256 * 1024;

/** What is read of a file at once, into memory of its own each time: larger pieces would pile up before they are collected. */
export const PIECE_BYTES = 64 * 1024;

const ZEROS = Buffer.alloc(BLOCK_BYTES);

export class BlockFile {
  readonly #handle: FileHandle;
  readonly #onBlock: (block: Buffer, endsAt: number) => Promise<void>;
  readonly #hash = createHash('sha256');
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);
  #filled = 0;
  /** Bytes of the blocks before this one. */
  #before = 0;

  /** `onBlock` is told of each block before it is written, the last one may be shorter; what it throws ends the writing. */
  constructor(handle: FileHandle, onBlock: (block: Buffer, endsAt: number) => Promise<void>) {
    this.#handle = handle;
    this.#onBlock = onBlock;
  }

  /** Appended so far. */
  get bytes(): number {
    return this.#before + this.#filled;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + BLOCK_BYTES - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === BLOCK_BYTES) await this.#flush();
    }
  }

  /** Everything is on the disk when it resolves, with the checksum in lower-case hex. */
  async finish(): Promise<string> {
    if (this.#filled > 0) await this.#flush();
    // A hole at the end is no part of the file until it is told how long it is.
    await this.#handle.truncate(this.#before);
    await this.#handle.sync();
    return this.#hash.digest('hex');
  }

  async #flush(): Promise<void> {
    const block = this.#block.subarray(0, this.#filled);
    await this.#onBlock(block, this.#before + block.length);
    this.#hash.update(block);
    if (!block.equals(ZEROS.subarray(0, block.length))) {
      for (let done = 0; done < block.length; ) {
        const { bytesWritten } = await this.#handle.write(block, done, block.length - done, this.#before + done);
        done += bytesWritten;
      }
    }
    this.#before += block.length;
    this.#filled = 0;
  }
}
