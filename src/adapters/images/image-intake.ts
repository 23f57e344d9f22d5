// Takes a stream of any size into a file of its own with constant memory, within limits of size, space and time, and checks that
// it is an image. Not here: where it comes from (image-source.ts), what it is called and where it stays (file-image-store.ts).

import type { FileHandle } from 'node:fs/promises';
import { setImmediate as soon } from 'node:timers/promises';
import { Fault } from '../../ports/fault.ts';
import type { TakenImage, TakeOptions } from '../../ports/image-store.ts';
import { BLOCK_BYTES, BlockFile } from './block-file.ts';
import { ChunkReader } from './chunk-reader.ts';
import { foreignFormat } from './foreign-format.ts';
import { abortFault, noSpace, refusedImage } from './image-faults.ts';
import { inspectImage } from './image-header.ts';
import type { ImageRefusal } from './image-refusal.ts';
import { isQcow, readQcow2Header } from './qcow2-header.ts';

export interface IntakeLimits {
  /** A larger image is refused. */
  readonly maxBytes: number;
  /** So much of the disk stays free: the daemon's state lies there too, as a rule. */
  readonly keepFreeBytes: number;
  /** Free bytes on the disk of the folder. */
  readonly freeBytes: (folder: string) => Promise<number>;
  /** So long nothing may come. */
  readonly stallMs: number;
}

export interface Intake extends TakeOptions {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Said beforehand: fewer or more are a broken stream. */
  readonly totalBytes?: number | undefined;
  /** What it will take of the disk, where that is known to be less than `totalBytes`: a file with holes. */
  readonly diskBytes?: number | undefined;
  /** What it is when nothing comes for too long; absent: `aborted`, as somebody who sends and stops has given up. */
  readonly onStall?: () => Fault;
  /** What an error of the stream is; absent: `aborted`. `Fault`s stay what they are. */
  readonly onBroken?: (error: unknown, bytes: number) => Fault;
}

/** So often while it grows, free space is looked at again: others write to the disk too. */
const LOOK_EVERY_BYTES = 32 * 1024 * 1024;

/** `handle`: a new, empty file in `folder`, open for reading and writing; it stays open. Throws `Fault`s, or the file system's error. */
export async function takeIn(
  handle: FileHandle,
  folder: string,
  intake: Intake,
  limits: IntakeLimits,
): Promise<TakenImage> {
  await checkBeforehand(intake, folder, limits);
  const sha256 = await writeAll(handle, folder, intake, limits);
  const { name, signal, format, sha256: wanted } = intake;
  const inspection = await inspectImage(handle, { signal });
  if (!inspection.ok) throw refusedImage(name, inspection.refusal);
  const { image } = inspection;
  if (format !== undefined && format !== image.format) {
    throw new Fault('refused', `the image ${name} is ${image.format}, not ${format}`);
  }
  if (wanted !== undefined && wanted !== sha256) {
    throw new Fault('refused', `the image ${name} has the checksum ${sha256}, not ${wanted}`, {
      advice: 'Look for a newer checksum where the image comes from; if there is none, it was changed on its way.',
    });
  }
  return { format: image.format, content: { sha256, fileBytes: image.fileBytes, virtualBytes: image.virtualBytes } };
}

async function checkBeforehand(intake: Intake, folder: string, limits: IntakeLimits): Promise<void> {
  const { name, totalBytes, diskBytes = totalBytes } = intake;
  if (totalBytes === undefined) return;
  if (totalBytes > limits.maxBytes) throw tooLarge(name, limits);
  if ((diskBytes ?? 0) + limits.keepFreeBytes > (await limits.freeBytes(folder))) throw noSpace(name, folder);
}

function tooLarge(name: string, { maxBytes }: IntakeLimits): Fault {
  return new Fault('refused', `the image ${name} is larger than ${maxBytes} bytes, which is the most that is taken`);
}

/** Returns the checksum. */
async function writeAll(handle: FileHandle, folder: string, intake: Intake, limits: IntakeLimits): Promise<string> {
  const { name, signal, totalBytes, onBytes } = intake;
  let lookAt = LOOK_EVERY_BYTES;
  const file = new BlockFile(handle, async (block, endsAt) => {
    if (endsAt === block.length) checkHead(name, block);
    if (endsAt >= lookAt) {
      lookAt = endsAt + LOOK_EVERY_BYTES;
      if ((await limits.freeBytes(folder)) < limits.keepFreeBytes) throw noSpace(name, folder);
    }
    onBytes?.(endsAt, totalBytes);
  });
  const reader = new ChunkReader(intake.bytes, {
    signal,
    onAbort: () => abortFault(name, signal),
    stallMs: limits.stallMs,
    onStall: intake.onStall ?? (() => new Fault('aborted', `no more bytes came of the image ${name}`)),
  });
  try {
    for (let chunk = await next(reader, intake, file); chunk !== undefined; chunk = await next(reader, intake, file)) {
      if (file.bytes + chunk.length > limits.maxBytes) throw tooLarge(name, limits);
      // Nothing but empty pieces would leave no time for anything else.
      if (chunk.length === 0) await soon();
      else await file.append(chunk);
    }
    if (totalBytes !== undefined && file.bytes !== totalBytes) {
      throw broken(intake, new Error(`${file.bytes} of ${totalBytes} bytes came`), file.bytes);
    }
    return await file.finish();
  } catch (error) {
    reader.leave();
    throw error;
  }
}

async function next(reader: ChunkReader, intake: Intake, file: BlockFile): Promise<Uint8Array | undefined> {
  try {
    return await reader.next();
  } catch (error) {
    throw error instanceof Fault || error instanceof TypeError ? error : broken(intake, error, file.bytes);
  }
}

function broken({ name, onBroken }: Intake, error: unknown, bytes: number): Fault {
  if (onBroken !== undefined) return onBroken(error, bytes);
  const text = error instanceof Error ? error.message : String(error);
  return new Fault('aborted', `the image ${name} broke off after ${bytes} bytes: ${text}`, { cause: error });
}

/** What the first block tells already, so that not all of it has to come first. */
function checkHead(name: string, head: Buffer): void {
  if (head.length < BLOCK_BYTES) return;
  let refusal: ImageRefusal | undefined;
  if (isQcow(head)) {
    const header = readQcow2Header(head);
    if (!header.ok) refusal = header.refusal;
  } else refusal = foreignFormat(head, Buffer.alloc(0));
  if (refusal !== undefined) throw refusedImage(name, refusal);
}
