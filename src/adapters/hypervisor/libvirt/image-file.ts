// A look at an image file on this very machine, before libvirt is asked: is it there, is it what it is said to be, how large a disk is it.
// Not here: images that virtscale brings itself, which were checked when they came in (adapters/images).

import { open } from 'node:fs/promises';
import type { Image } from '../../../core/model.ts';

/** Why the image cannot be used, and what to do about it. */
export interface ImageProblem {
  readonly problem: string;
  readonly advice: string;
}

/** `virtualBytes` absent: it cannot be told from here. */
export interface ImageLook {
  readonly virtualBytes?: number;
}

const QCOW2_MAGIC = Buffer.from([0x51, 0x46, 0x49, 0xfb]);
const HEAD_BYTES = 32;
/** Of the size of the disk in a qcow2 header, 64 bits. */
const SIZE_AT = 24;

export async function lookAtImage(path: string, format: Image['format']): Promise<ImageLook | ImageProblem> {
  const head = Buffer.alloc(HEAD_BYTES);
  let length: number;
  let fileBytes: number;
  try {
    await using file = await open(path, 'r');
    length = (await file.read(head, 0, head.length, 0)).bytesRead;
    fileBytes = (await file.stat()).size;
  } catch (error) {
    return problemOf(error, path) ?? {};
  }
  const isQcow2 = head.subarray(0, QCOW2_MAGIC.length).equals(QCOW2_MAGIC);
  if (length === 0) return { problem: `${path} is empty`, advice: 'Build or download it again.' };
  if (format === 'raw') {
    if (isQcow2) return { problem: `${path} is said to be raw and is qcow2`, advice: 'Set its format to qcow2.' };
    return { virtualBytes: fileBytes };
  }
  if (!isQcow2 || length < HEAD_BYTES) {
    return { problem: `${path} is not qcow2`, advice: 'Correct its format, or build or download it again.' };
  }
  return { virtualBytes: Number(head.readBigUInt64BE(SIZE_AT)) };
}

/** Undefined for what we may not read: libvirt may, and its answer counts. */
function problemOf(error: unknown, path: string): ImageProblem | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return { problem: `there is no file ${path}`, advice: 'Put the image there, or correct its path.' };
  }
  if (code === 'EISDIR') return { problem: `${path} is a folder`, advice: 'Correct the path of the image.' };
  return undefined;
}
