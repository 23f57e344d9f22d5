// Reads a part of an open file, whole or not at all. Not here: what is in it.

import type { FileHandle } from 'node:fs/promises';
import { Fault } from '../../ports/fault.ts';

export interface OpenImage {
  readonly handle: FileHandle;
  /** Size of the file when it was opened. */
  readonly fileBytes: number;
  readonly signal: AbortSignal;
}

/** Fewer bytes than asked for where the file ends. Throws `Fault` `aborted`, or the system's error when the disk fails. */
export async function readPart(
  { handle, fileBytes, signal }: OpenImage,
  offset: number,
  length: number,
): Promise<Buffer> {
  // What a damaged image names may be further away than a file can be long.
  if (offset >= fileBytes) return Buffer.alloc(0);
  const buffer = Buffer.alloc(Math.min(length, fileBytes - offset));
  let filled = 0;
  while (filled < buffer.length) {
    if (signal.aborted) throw new Fault('aborted', 'looking into the image was cancelled', { cause: signal.reason });
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
