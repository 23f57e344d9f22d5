// Follows a qcow2 image's tables down to the data and compares every place they name with the file's size: so much of a
// cut-off download is found as can be. Reads no more bytes than the file has, in windows. Not here: the header (qcow2-header).

import { type OpenImage, readPart } from './file-part.ts';
import { type ImageRefusal, refusal } from './image-refusal.ts';
import type { Qcow2Header, Table } from './qcow2-header.ts';

const WINDOW_BYTES = 2 * 1024 * 1024;
/** Of all L1 tables together, the snapshots' included: QEMU's limit for one of them. */
const MAX_L1_ENTRIES = 4 * 1024 * 1024;
const SNAPSHOT_MAX_BYTES = 64 * 1024;
/** Bits 9 to 55 of an entry: where a cluster lies. In two halves, because a number holds 53 bits. */
const HIGH_MASK = 0x00ff_ffff;
const LOW_MASK = 0xffff_fe00;
const TWO_32 = 2 ** 32;

/** Undefined: everything they point to is in the file. Throws `Fault` `aborted`. */
export async function checkQcow2Tables(image: OpenImage, header: Qcow2Header): Promise<ImageRefusal | undefined> {
  return (
    (await checkRefcounts(image, header)) ??
    (await checkDisk(image, header)) ??
    (await checkSnapshots(image, header)) ??
    (await checkBitmaps(image, header))
  );
}

async function checkRefcounts(
  image: OpenImage,
  { refcounts, clusterBits }: Qcow2Header,
): Promise<ImageRefusal | undefined> {
  const blocks = await clustersIn(image, refcounts, 2 ** clusterBits);
  if (!blocks.ok) return blocks.refusal;
  const last = blocks.offsets.at(-1) ?? 0;
  return last + 2 ** clusterBits > image.fileBytes ? cut(last, image) : undefined;
}

async function checkDisk(image: OpenImage, header: Qcow2Header): Promise<ImageRefusal | undefined> {
  const clusterBytes = 2 ** header.clusterBits;
  const l2 = await clustersIn(image, header.l1, clusterBytes);
  if (!l2.ok) return l2.refusal;
  const twice = l2.offsets.findIndex((offset, index) => index > 0 && offset === l2.offsets[index - 1]);
  if (twice !== -1) return refusal('damaged', `uses the L2 table at byte ${l2.offsets[twice] ?? 0} twice`);
  return checkL2Tables(image, header, l2.offsets, await lastCluster(image, header));
}

/** VMs never see the snapshots inside an image, but a file that ends within them was cut all the same. */
async function checkSnapshots(image: OpenImage, header: Qcow2Header): Promise<ImageRefusal | undefined> {
  let at = header.snapshots.offset;
  let entries = 0;
  const offsets: number[] = [];
  for (let index = 0; index < header.snapshots.count; index += 1) {
    const entry = await readPart(image, at, 40);
    if (entry.length < 40) return cut(at, image);
    const length = 40 + entry.readUInt32BE(36) + entry.readUInt16BE(12) + entry.readUInt16BE(14);
    if (length > SNAPSHOT_MAX_BYTES * 3)
      return refusal('damaged', `has a snapshot with a description of ${length} bytes`);
    if (at + length > image.fileBytes) return cut(at, image);
    const l1 = { offset: Number(entry.readBigUInt64BE(0)), entries: entry.readUInt32BE(8) };
    entries += l1.entries;
    if (entries > MAX_L1_ENTRIES) return refusal('unsupported', 'has too much in its snapshots');
    const l2 = await clustersIn(image, l1, 2 ** header.clusterBits);
    if (!l2.ok) return l2.refusal;
    for (const offset of l2.offsets) offsets.push(offset);
    at += Math.ceil(length / 8) * 8;
  }
  return checkL2Tables(image, header, Float64Array.from(new Set(offsets)).sort(), 'any-byte');
}

/** QEMU does not open an image whose bitmaps it cannot read. */
async function checkBitmaps(
  image: OpenImage,
  { bitmaps, clusterBits }: Qcow2Header,
): Promise<ImageRefusal | undefined> {
  if (bitmaps === undefined) return undefined;
  const directory = await readPart(image, bitmaps.offset, bitmaps.bytes);
  if (directory.length < bitmaps.bytes) return cut(bitmaps.offset, image);
  let entries = 0;
  let at = 0;
  for (let index = 0; index < bitmaps.count; index += 1) {
    if (at + 24 > directory.length) return refusal('damaged', 'has a list of bitmaps that is too short');
    const table = { offset: Number(directory.readBigUInt64BE(at)), entries: directory.readUInt32BE(at + 8) };
    entries += table.entries;
    if (entries > MAX_L1_ENTRIES) return refusal('unsupported', 'has too much in its bitmaps');
    const clusters = await clustersIn(image, table, 2 ** clusterBits);
    if (!clusters.ok) return clusters.refusal;
    at += Math.ceil((24 + directory.readUInt16BE(at + 18) + directory.readUInt32BE(at + 20)) / 8) * 8;
  }
  return undefined;
}

type Clusters =
  | { readonly ok: true /** Ascending. */; readonly offsets: Float64Array }
  | { readonly ok: false; readonly refusal: ImageRefusal };

/** The places that a table names, each of which must be that of a cluster inside the file. */
async function clustersIn(image: OpenImage, table: Table, clusterBytes: number): Promise<Clusters> {
  const bytes = await readPart(image, table.offset, table.entries * 8);
  if (bytes.length < table.entries * 8) return { ok: false, refusal: cut(table.offset, image) };
  const offsets = new Float64Array(table.entries);
  let count = 0;
  for (let at = 0; at < bytes.length; at += 8) {
    const offset = placeIn(bytes, at);
    if (offset === 0) continue;
    if (offset % clusterBytes !== 0) return { ok: false, refusal: refusal('damaged', `has a table at byte ${offset}`) };
    if (offset + clusterBytes > image.fileBytes) return { ok: false, refusal: cut(offset, image) };
    offsets[count] = offset;
    count += 1;
  }
  return { ok: true, offsets: offsets.subarray(0, count).sort() };
}

function placeIn(bytes: Buffer, at: number): number {
  return (bytes.readUInt32BE(at) & HIGH_MASK) * TWO_32 + ((bytes.readUInt32BE(at + 4) & LOW_MASK) >>> 0);
}

/** Where the disk's last cluster is described, and how much of it a guest can read: QEMU need not have written more. */
interface LastCluster {
  /** Of the entry, from the beginning of the file. */
  readonly entryAt: number;
  readonly bytes: number;
}

async function lastCluster(image: OpenImage, header: Qcow2Header): Promise<LastCluster> {
  const clusterBytes = 2 ** header.clusterBits;
  const entryBytes = header.extendedL2 ? 16 : 8;
  const perTable = clusterBytes / entryBytes;
  const index = Math.ceil(header.virtualBytes / clusterBytes) - 1;
  const table = placeIn(await readPart(image, header.l1.offset + Math.floor(index / perTable) * 8, 8), 0);
  return { entryAt: table + (index % perTable) * entryBytes, bytes: header.virtualBytes - index * clusterBytes };
}

/**
 * `tables`: where the L2 tables lie, ascending and each once, so that no more is read than the file has.
 * `last` `any-byte`: disks of snapshots have sizes of their own, so a byte of each cluster must do.
 */
async function checkL2Tables(
  image: OpenImage,
  header: Qcow2Header,
  tables: Float64Array,
  last: LastCluster | 'any-byte',
): Promise<ImageRefusal | undefined> {
  const clusterBytes = 2 ** header.clusterBits;
  for (let next = 0; next < tables.length; ) {
    const from = tables[next] ?? 0;
    let end = next + 1;
    while (end < tables.length && (tables[end] ?? 0) + clusterBytes <= from + WINDOW_BYTES) end += 1;
    const window = await readPart(image, from, (tables[end - 1] ?? 0) + clusterBytes - from);
    for (; next < end; next += 1) {
      const at = (tables[next] ?? 0) - from;
      if (at + clusterBytes > window.length) return cut(from, image);
      const lastAt = last === 'any-byte' ? last : { ...last, entryAt: last.entryAt - from };
      const found = checkL2(window, at, image, header, lastAt);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** The table that begins at `start` of the window. Millions of entries pass here: the usual one must be quick. */
function checkL2(
  window: Buffer,
  start: number,
  image: OpenImage,
  header: Qcow2Header,
  last: LastCluster | 'any-byte',
): ImageRefusal | undefined {
  const clusterBytes = 2 ** header.clusterBits;
  const entryBytes = header.extendedL2 ? 16 : 8;
  const wholeUpTo = image.fileBytes - clusterBytes;
  for (let at = start; at < start + clusterBytes; at += entryBytes) {
    if ((window[at] ?? 0) & 0x40) {
      const end = compressedEnd(window, at, header.clusterBits);
      if (end > image.fileBytes) return cut(end, image);
      continue;
    }
    const offset = placeIn(window, at);
    if (offset === 0) continue;
    if (offset % clusterBytes !== 0) return refusal('damaged', `has data at byte ${offset}, where no cluster begins`);
    if (offset <= wholeUpTo) continue;
    const needed =
      last === 'any-byte' ? 1 : neededBytes(window, at, header, at === last.entryAt ? last.bytes : clusterBytes);
    if (offset + needed > image.fileBytes) return cut(offset, image);
  }
  return undefined;
}

/** How much of a cluster must be in the file. */
function neededBytes(window: Buffer, at: number, header: Qcow2Header, readable: number): number {
  if (header.extendedL2) {
    const allocated = window.readUInt32BE(at + 12);
    return Math.min(readable, ((32 - Math.clz32(allocated)) * 2 ** header.clusterBits) / 32);
  }
  // Bit 0: reads as zeros, whatever is in the file.
  return header.version === 3 && (window[at + 7] ?? 0) & 1 ? 0 : readable;
}

/** Compressed clusters are counted in sectors of 512 bytes, from the one they begin in; QEMU writes the last of them whole. */
function compressedEnd(window: Buffer, at: number, clusterBits: number): number {
  const high = window.readUInt32BE(at) & 0x3fff_ffff;
  const highOffsetBits = 62 - (clusterBits - 8) - 32;
  const offset = (high & (2 ** highOffsetBits - 1)) * TWO_32 + window.readUInt32BE(at + 4);
  return (Math.floor(offset / 512) + (high >>> highOffsetBits) + 1) * 512;
}

function cut(at: number, { fileBytes }: OpenImage): ImageRefusal {
  return refusal(
    'truncated',
    `ends too early: it has ${fileBytes} bytes, and something of it should be at byte ${at}`,
    'it was probably not copied or downloaded to its end; do that again',
  );
}
