// Looks into a file before it is taken for a disk image: what it is, how large its disk is, and whether all of it is there.
// Reads only, opens nothing that the file names. Not here: checksums, and what is done with the image.

import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type OpenImage, readPart } from './file-part.ts';
import { foreignFormat, HEAD_BYTES, TAIL_BYTES } from './foreign-format.ts';
import { type ImageRefusal, refusal } from './image-refusal.ts';
import { isQcow, MAX_VIRTUAL_BYTES, QCOW2_HEAD_BYTES, readQcow2Header } from './qcow2-header.ts';
import { checkQcow2Tables } from './qcow2-tables.ts';

export interface InspectedImage {
  readonly format: 'qcow2' | 'raw';
  /** Size of the disk that a guest sees. */
  readonly virtualBytes: number;
  /** Size of the file. */
  readonly fileBytes: number;
  /** Present for qcow2. `snapshots`: how many are in it. */
  readonly qcow2?: { readonly version: 2 | 3; readonly clusterBytes: number; readonly snapshots: number };
}

export type ImageInspection =
  | { readonly ok: true; readonly image: InspectedImage }
  | { readonly ok: false; readonly refusal: ImageRefusal };

/**
 * A path is opened (symbolic links are followed) and closed again; a handle is only read, at places of its own, and stays open.
 * Takes as long as reading the file once at most: of a qcow2 image its tables are read, of a raw one its first and last bytes.
 * Throws `Fault` `aborted`, or the system's error when reading fails.
 */
export async function inspectImage(
  source: string | FileHandle,
  { signal }: { readonly signal: AbortSignal },
): Promise<ImageInspection> {
  if (typeof source !== 'string') return inspectHandle(source, signal);
  const opened = await openFile(source);
  if ('kind' in opened) return { ok: false, refusal: opened };
  try {
    return await inspectHandle(opened, signal);
  } finally {
    await opened.close();
  }
}

async function openFile(path: string): Promise<FileHandle | ImageRefusal> {
  try {
    // Opening some devices does something to them.
    const found = notAFile(await stat(path));
    if (found !== undefined) return found;
    // It may have become a pipe since: opening one waits for somebody to write into it.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return refusal('absent', 'does not exist');
    if (code === 'EACCES' || code === 'EPERM') {
      return refusal(
        'unreadable',
        'may not be read by virtscale',
        'make it readable for the user that virtscale runs as',
      );
    }
    if (code === 'ELOOP' || code === 'ENAMETOOLONG' || code === 'ERR_INVALID_ARG_VALUE') {
      return refusal('unreadable', `cannot be opened (${code})`);
    }
    throw error;
  }
}

/** Of `fs.Stats`. */
export interface FileKind {
  isFile(): boolean;
  isDirectory(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

/** Why what `stat` found is nothing to read an image from; undefined for a file. */
export function notAFile(kind: FileKind): ImageRefusal | undefined {
  if (kind.isFile()) return undefined;
  if (kind.isDirectory()) return refusal('not-a-file', 'is a folder', 'name the image file in it');
  if (kind.isFIFO()) return refusal('not-a-file', 'is a pipe, not a file');
  if (kind.isSocket()) return refusal('not-a-file', 'is a socket, not a file');
  return refusal(
    'not-a-file',
    'is a device, not a file',
    'copy it into a file: qemu-img convert -O qcow2 DEVICE IMAGE.qcow2',
  );
}

async function inspectHandle(handle: FileHandle, signal: AbortSignal): Promise<ImageInspection> {
  const refused = (why: ImageRefusal): ImageInspection => ({ ok: false, refusal: why });
  const stats = await handle.stat();
  const other = notAFile(stats);
  if (other !== undefined) return refused(other);
  const file: OpenImage = { handle, fileBytes: stats.size, signal };
  if (file.fileBytes === 0) return refused(refusal('bad-size', 'is empty'));
  const head = await readPart(file, 0, Math.min(Math.max(HEAD_BYTES, QCOW2_HEAD_BYTES), file.fileBytes));
  return isQcow(head) ? inspectQcow2(file, head) : inspectRaw(file, head);
}

async function inspectQcow2(file: OpenImage, head: Buffer): Promise<ImageInspection> {
  const read = readQcow2Header(head);
  if (!read.ok) return read;
  const { version, virtualBytes, clusterBits, snapshots } = read.header;
  const wrong = await checkQcow2Tables(file, read.header);
  if (wrong !== undefined) return { ok: false, refusal: wrong };
  const qcow2 = { version, clusterBytes: 2 ** clusterBits, snapshots: snapshots.count };
  return { ok: true, image: { format: 'qcow2', virtualBytes, fileBytes: file.fileBytes, qcow2 } };
}

async function inspectRaw(file: OpenImage, head: Buffer): Promise<ImageInspection> {
  const { fileBytes } = file;
  const tail = await readPart(file, Math.max(0, fileBytes - TAIL_BYTES), Math.min(TAIL_BYTES, fileBytes));
  const foreign = foreignFormat(head, tail);
  if (foreign !== undefined) return { ok: false, refusal: foreign };
  if (fileBytes % 512 !== 0) {
    const reason = `has ${fileBytes} bytes; a raw image has a multiple of 512`;
    return { ok: false, refusal: refusal('bad-size', reason, 'it is no disk image, or was not copied to its end') };
  }
  if (fileBytes > MAX_VIRTUAL_BYTES) {
    return { ok: false, refusal: refusal('bad-size', `has ${fileBytes} bytes; at most 64 TiB are taken`) };
  }
  return { ok: true, image: { format: 'raw', virtualBytes: fileBytes, fileBytes } };
}
