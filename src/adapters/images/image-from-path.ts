// Reads an image from a file of this machine. Not here: files of other machines (image-from-ssh.ts).

import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { Fault } from '../../ports/fault.ts';
import { PIECE_BYTES } from './block-file.ts';
import { abortFault, refusedImage } from './image-faults.ts';
import { inspectImage } from './image-header.ts';
import type { OpenedImage, OpenImageOptions } from './image-source.ts';

/** Of what `st_blocks` counts. */
const DISK_PIECE_BYTES = 512;

/**
 * Symbolic links are followed: images often are some. What was opened is what is checked and read: the name is not looked at again,
 * and a file that changes meanwhile is found out. Throws `Fault('refused')`.
 */
export async function openImageFromPath(path: string, { name, signal }: OpenImageOptions): Promise<OpenedImage> {
  const handle = await openFile(path, name);
  try {
    const inspection = await inspectImage(handle, { signal });
    if (!inspection.ok) throw refusedImage(`${name} (${path})`, inspection.refusal);
    const { size, blocks } = await handle.stat();
    return {
      bytes: read(handle, size, `${name} (${path})`, signal),
      totalBytes: size,
      diskBytes: Math.min(size, blocks * DISK_PIECE_BYTES),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw unreadable(name, error);
  }
}

async function openFile(path: string, name: string): Promise<FileHandle> {
  if (!isAbsolute(path)) throw new Fault('refused', `cannot read the image ${name}: ${path} is not a full path`);
  try {
    // Opening some devices does something to them.
    if ((await stat(path)).isFile()) {
      // It may have become a pipe since: opening one waits for somebody to write into it.
      return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    }
  } catch (error) {
    throw unreadable(name, error);
  }
  throw new Fault('refused', `cannot read the image ${name}: ${path} is no file`, {
    advice: 'Name the image file: no folder, pipe or device. One on a device is copied out by qemu-img convert.',
  });
}

/** The error itself when the file system is not to blame for it. */
function unreadable(name: string, error: unknown): unknown {
  if (error instanceof Fault || !(error instanceof Error) || !('code' in error)) return error;
  return new Fault('refused', `cannot read the image ${name}: ${error.message}`, {
    advice: "The file must be there, and the daemon's user must have the right to read it.",
    cause: error,
  });
}

async function* read(handle: FileHandle, size: number, name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const before = await handle.stat({ bigint: true });
  for (let at = 0; at < size; ) {
    if (signal.aborted) throw abortFault(name, signal);
    const block = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size - at));
    const { bytesRead } = await handle.read(block, 0, block.length, at).catch((error: unknown) => {
      throw unreadable(name, error);
    });
    if (bytesRead === 0) break;
    at += bytesRead;
    yield block.subarray(0, bytesRead);
  }
  const after = await handle.stat({ bigint: true });
  if (after.size === BigInt(size) && after.size === before.size && after.mtimeNs === before.mtimeNs) return;
  throw new Fault('refused', `the image ${name} changed while it was read`, {
    advice: 'Import it again when nothing writes to it: no VM may be using it as its disk.',
  });
}
