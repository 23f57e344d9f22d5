// The header of a qcow2 image and its extensions, judged by QEMU's description of the format (docs/interop/qcow2.txt).
// Not here: the tables it points to (qcow2-tables).

import { type ImageRefusal, refusal } from './image-refusal.ts';

/** Bytes from the beginning that hold the header, its extensions and the backing file's name: the largest cluster would be 2 MiB. */
export const QCOW2_HEAD_BYTES = 64 * 1024;
/** 64 TiB. */
export const MAX_VIRTUAL_BYTES = 2 ** 46;
/** QEMU's own limits. */
const MAX_L1_BYTES = 32 * 1024 * 1024;
const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;
const MAX_SNAPSHOTS = 1000;
const MAX_BITMAP_DIRECTORY_BYTES = 1024 * 1024;

export interface Table {
  /** Bytes from the beginning of the file. */
  readonly offset: number;
  /** Of eight bytes each. */
  readonly entries: number;
}

export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly virtualBytes: number;
  readonly clusterBits: number;
  /** Entries of an L2 table have 16 bytes, not 8: clusters are allocated in 32 parts. */
  readonly extendedL2: boolean;
  readonly l1: Table;
  readonly refcounts: Table;
  readonly snapshots: { readonly offset: number; readonly count: number };
  /** Where the dirty bitmaps of backup programs are listed; absent when there are none that count. */
  readonly bitmaps?: { readonly offset: number; readonly bytes: number; readonly count: number };
}

export type HeaderResult =
  | { readonly ok: true; readonly header: Qcow2Header }
  | { readonly ok: false; readonly refusal: ImageRefusal };

export function isQcow(head: Buffer): boolean {
  return head.length >= 4 && head.readUInt32BE(0) === 0x514649fb;
}

/** `head`: the first `QCOW2_HEAD_BYTES` of the file, or as many as there are. */
export function readQcow2Header(head: Buffer): HeaderResult {
  const refused = (...[kind, reason, advice]: Parameters<typeof refusal>): HeaderResult => ({
    ok: false,
    refusal: refusal(kind, reason, advice),
  });
  if (head.length < 72) return refused('truncated', 'ends within its qcow2 header');
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) {
    const advice = 'convert it: qemu-img convert -O qcow2 FILE IMAGE.qcow2';
    return refused('unsupported', `is qcow version ${version}; versions 2 and 3 are taken`, advice);
  }
  if (version === 3 && head.length < 104) return refused('truncated', 'ends within its qcow2 header');
  const headerBytes = version === 2 ? 72 : head.readUInt32BE(100);
  if (headerBytes < (version === 2 ? 72 : 104) || headerBytes % 8 !== 0 || headerBytes > 4096) {
    return refused('damaged', `has a qcow2 header of ${headerBytes} bytes`);
  }
  if (head.length < headerBytes) return refused('truncated', 'ends within its qcow2 header');
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) return refused('damaged', `has clusters of 2^${clusterBits} bytes`);
  const foreign =
    otherFiles(head) ??
    features(head, version, headerBytes, clusterBits) ??
    extensions(head, headerBytes, 2 ** clusterBits);
  if (foreign !== undefined) return { ok: false, refusal: foreign };
  return sizes(head, version, clusterBits, headerBytes);
}

/** Other files it would make QEMU open, and keys it needs. */
function otherFiles(head: Buffer): ImageRefusal | undefined {
  const at = Number(head.readBigUInt64BE(8));
  if (at !== 0) {
    const length = Math.min(head.readUInt32BE(16), 1023);
    const path = at < head.length ? head.subarray(at, at + length).toString('utf8') : '';
    const which = path === '' ? 'a backing file' : `the backing file ${JSON.stringify(path)}`;
    const advice = 'make it stand alone: qemu-img convert -O qcow2 FILE IMAGE.qcow2, on the machine that has both';
    return refusal('backing-file', `needs ${which}: a VM made from it would read that file of its host`, advice);
  }
  const method = head.readUInt32BE(32);
  if (method === 0) return undefined;
  const cipher =
    new Map([
      [1, 'AES'],
      [2, 'LUKS'],
    ]).get(method) ?? `method ${method}`;
  return refusal('encrypted', `is encrypted (${cipher})`, 'use an image that is not encrypted');
}

const DIRTY = 1;
const CORRUPT = 2;
const DATA_FILE = 4;
const COMPRESSION = 8;
const EXTENDED_L2 = 16;

function features(head: Buffer, version: 2 | 3, headerBytes: number, clusterBits: number): ImageRefusal | undefined {
  if (version === 2) return undefined;
  const bits = head.readUInt32BE(76);
  if (bits & CORRUPT) return refusal('damaged', 'is marked corrupt', 'qemu-img check -r all FILE may repair it');
  if (bits & DIRTY) {
    return refusal('damaged', 'was not closed properly (dirty)', 'if no VM has it open: qemu-img check -r all FILE');
  }
  if (bits & DATA_FILE) return dataFile();
  const unknown = bits & ~(COMPRESSION | EXTENDED_L2);
  if (unknown !== 0 || head.readUInt32BE(72) !== 0) {
    return refusal(
      'unsupported',
      'uses a feature of qcow2 that virtscale does not know',
      'convert it with qemu-img convert',
    );
  }
  const compression = headerBytes > 104 ? head.readUInt8(104) : 0;
  if (compression > 1 || (compression !== 0) !== ((bits & COMPRESSION) !== 0)) {
    return refusal('damaged', `says ${compression} for its kind of compression`);
  }
  if (bits & EXTENDED_L2 && clusterBits < 14)
    return refusal('damaged', 'has extended L2 entries with too small clusters');
  const refcountOrder = head.readUInt32BE(96);
  return refcountOrder > 6 ? refusal('damaged', `has reference counts of 2^${refcountOrder} bits`) : undefined;
}

function dataFile(): ImageRefusal {
  const advice = 'make it stand alone: qemu-img convert -O qcow2 FILE IMAGE.qcow2, on the machine that has both';
  return refusal('data-file', 'has its data in another file (data-file)', advice);
}

/** In the first cluster, each with its type, length and data; they end with type 0. Undefined: they do not end. */
function extensionsOf(head: Buffer, headerBytes: number): ReadonlyMap<number, Buffer> | undefined {
  const found = new Map<number, Buffer>();
  for (let at = headerBytes; at + 8 <= head.length; ) {
    const [type, length] = [head.readUInt32BE(at), head.readUInt32BE(at + 4)];
    if (type === 0) return found;
    found.set(type, head.subarray(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return undefined;
}

function extensions(head: Buffer, headerBytes: number, clusterBytes: number): ImageRefusal | undefined {
  const found = extensionsOf(head, headerBytes);
  if (found === undefined) {
    const whole = head.length >= Math.min(clusterBytes, QCOW2_HEAD_BYTES);
    if (!whole) return refusal('truncated', 'ends within its qcow2 header');
    return refusal('damaged', 'has header extensions that do not end');
  }
  if (found.has(0x44415441)) return dataFile();
  if (found.has(0x0537be77)) return refusal('encrypted', 'is encrypted (LUKS)', 'use an image that is not encrypted');
  return undefined;
}

/** They count only while a bit says that whoever wrote last knew of them. */
function bitmapsOf(head: Buffer, headerBytes: number): Qcow2Header['bitmaps'] {
  const bitmaps = extensionsOf(head, headerBytes)?.get(0x23852875);
  if (bitmaps === undefined || bitmaps.length < 24 || ((head[95] ?? 0) & 1) === 0) return undefined;
  return {
    count: bitmaps.readUInt32BE(0),
    bytes: Number(bitmaps.readBigUInt64BE(8)),
    offset: Number(bitmaps.readBigUInt64BE(16)),
  };
}

function sizes(head: Buffer, version: 2 | 3, clusterBits: number, headerBytes: number): HeaderResult {
  const refused = (kind: 'damaged' | 'bad-size' | 'unsupported', reason: string): HeaderResult => ({
    ok: false,
    refusal: refusal(kind, reason),
  });
  const clusterBytes = 2 ** clusterBits;
  const virtualBytes = Number(head.readBigUInt64BE(24));
  if (virtualBytes === 0) return refused('bad-size', 'is a disk of 0 bytes');
  if (virtualBytes > MAX_VIRTUAL_BYTES)
    return refused('bad-size', `is a disk of ${virtualBytes} bytes; at most 64 TiB are taken`);
  if (virtualBytes % 512 !== 0)
    return refused('bad-size', `is a disk of ${virtualBytes} bytes, which is no multiple of 512`);
  const extendedL2 = version === 3 && (head.readUInt32BE(76) & EXTENDED_L2) !== 0;
  const l1 = { offset: Number(head.readBigUInt64BE(40)), entries: head.readUInt32BE(36) };
  const bytesPerL2 = clusterBytes * (clusterBytes / (extendedL2 ? 16 : 8));
  if (l1.entries < Math.ceil(virtualBytes / bytesPerL2))
    return refused('damaged', 'has an L1 table too small for its disk');
  if (l1.entries * 8 > MAX_L1_BYTES) return refused('damaged', `has an L1 table of ${l1.entries} entries`);
  const refcounts = {
    offset: Number(head.readBigUInt64BE(48)),
    entries: (head.readUInt32BE(56) * clusterBytes) / 8,
  };
  if (refcounts.entries === 0) return refused('damaged', 'has no reference counts');
  if (refcounts.entries * 8 > MAX_REFCOUNT_TABLE_BYTES)
    return refused('damaged', 'has a reference count table that is too large');
  const snapshots = { offset: Number(head.readBigUInt64BE(64)), count: head.readUInt32BE(60) };
  if (snapshots.count > MAX_SNAPSHOTS)
    return refused('unsupported', `has ${snapshots.count} snapshots in it; at most ${MAX_SNAPSHOTS} are taken`);
  const tables = snapshots.count === 0 ? [l1, refcounts] : [l1, refcounts, snapshots];
  for (const { offset } of tables) {
    if (offset % clusterBytes !== 0 || offset < headerBytes) return refused('damaged', `has a table at byte ${offset}`);
  }
  const bitmaps = version === 3 ? bitmapsOf(head, headerBytes) : undefined;
  if (bitmaps !== undefined && bitmaps.bytes > MAX_BITMAP_DIRECTORY_BYTES)
    return refused('unsupported', 'has too many bitmaps');
  return {
    ok: true,
    header: {
      version,
      virtualBytes,
      clusterBits,
      extendedL2,
      l1,
      refcounts,
      snapshots,
      ...(bitmaps !== undefined && { bitmaps }),
    },
  };
}
