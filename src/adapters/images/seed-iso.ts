// Writes the disc that tells cloud-init about its guest (its NoCloud source): three files in one folder on an ISO 9660 volume named
// `cidata`, with Rock Ridge and Joliet so that the files have their right names. Not a general ISO writer: npm has no kept one
// (what exists reads, or writes neither of the two extensions), and a fixed layout of a few sectors needs none.
// The format: ECMA-119; Rock Ridge: SUSP and RRIP 1.10; Joliet: names and texts in UCS-2, big-endian.

import { Fault } from '../../ports/fault.ts';

export interface SeedFiles {
  readonly metaData: string;
  readonly userData: string;
  /** cloud-init's network configuration; absent: the guest asks DHCP. */
  readonly networkConfig?: string;
}

/** Of the whole image. */
export const MAX_SEED_ISO_BYTES = 1024 * 1024;

const SECTOR = 2048;
/** What lies in which sector. The first 16 belong to the system. */
const AT = {
  primary: 16,
  joliet: 17,
  end: 18,
  primaryPaths: { little: 19, big: 20 },
  jolietPaths: { little: 21, big: 22 },
  primaryRoot: 23,
  jolietRoot: 24,
  files: 25,
} as const;
const PATH_TABLE_BYTES = 10;

interface DiscFile {
  readonly name: string;
  /** Eight letters and a version: all that ISO 9660 alone can say. */
  readonly shortName: string;
  readonly content: Buffer;
  readonly sector: number;
}

/** The same bytes for the same texts, always. Throws `Fault` `refused` when they are too long. */
export function seedIso({ metaData, userData, networkConfig }: SeedFiles): Uint8Array {
  // In the order of both kinds of names, as folders must be.
  const contents = [
    { name: 'meta-data', shortName: 'META_DAT.;1', text: metaData },
    ...(networkConfig === undefined ? [] : [{ name: 'network-config', shortName: 'NETWORK_.;1', text: networkConfig }]),
    { name: 'user-data', shortName: 'USER_DAT.;1', text: userData },
  ];
  let sector: number = AT.files;
  const files = contents.map(({ text, ...names }): DiscFile => {
    const file = { ...names, content: Buffer.from(text), sector };
    sector += Math.ceil(file.content.length / SECTOR);
    return file;
  });
  if (sector * SECTOR > MAX_SEED_ISO_BYTES) {
    throw new Fault(
      'refused',
      `the seed image for cloud-init would have ${sector * SECTOR} bytes; at most ${MAX_SEED_ISO_BYTES} fit`,
      {
        advice: 'Let the user-data fetch what is large (#include URL, or a script that downloads it).',
      },
    );
  }
  const disc = Buffer.alloc(sector * SECTOR);
  const put = (part: Buffer, at: number) => part.copy(disc, at * SECTOR);
  put(volume('primary', sector), AT.primary);
  put(volume('joliet', sector), AT.joliet);
  put(Buffer.from('\xffCD001\x01', 'latin1'), AT.end);
  for (const [root, paths] of [[AT.primaryRoot, AT.primaryPaths] as const, [AT.jolietRoot, AT.jolietPaths] as const]) {
    put(pathTable(root, 'little'), paths.little);
    put(pathTable(root, 'big'), paths.big);
  }
  put(primaryFolder(files), AT.primaryRoot);
  put(jolietFolder(files), AT.jolietRoot);
  for (const { content, sector: at } of files) put(content, at);
  return disc;
}

function volume(kind: 'primary' | 'joliet', sectors: number): Buffer {
  const isPrimary = kind === 'primary';
  const root = isPrimary ? AT.primaryRoot : AT.jolietRoot;
  const paths = isPrimary ? AT.primaryPaths : AT.jolietPaths;
  const bytes = Buffer.alloc(SECTOR);
  const text = (value: string, at: number, length: number) => {
    // Joliet fills with two-byte spaces; a field of odd length ends with a zero.
    const field = isPrimary ? Buffer.from(value.padEnd(length), 'latin1') : ucs2(value.padEnd(Math.floor(length / 2)));
    field.copy(bytes, at);
  };
  bytes.write(`${isPrimary ? '\x01' : '\x02'}CD001\x01`, 'latin1');
  text('', 8, 32);
  text('cidata', 40, 32);
  both32(sectors).copy(bytes, 80);
  // Joliet level 3.
  if (!isPrimary) bytes.write('%/E', 88, 'latin1');
  both16(1).copy(bytes, 120);
  both16(1).copy(bytes, 124);
  both16(SECTOR).copy(bytes, 128);
  both32(PATH_TABLE_BYTES).copy(bytes, 132);
  bytes.writeUInt32LE(paths.little, 140);
  bytes.writeUInt32BE(paths.big, 148);
  record({ name: Buffer.of(0), sector: root, length: SECTOR, isFolder: true }).copy(bytes, 156);
  for (const [at, length] of [
    [190, 128],
    [318, 128],
    [446, 128],
    [702, 37],
    [739, 37],
    [776, 37],
  ] as const) {
    text('', at, length);
  }
  text('VIRTSCALE', 574, 128);
  // Made and changed on the first day of 2000, so that the bytes say nothing about when; it never expires.
  const day = '2000010100000000\0';
  bytes.write(`${day}${day}${'0'.repeat(16)}\0${'0'.repeat(16)}\0`, 813, 'latin1');
  bytes[881] = 1;
  return bytes;
}

/** One folder, the root, its own parent. */
function pathTable(root: number, order: 'little' | 'big'): Buffer {
  const bytes = Buffer.alloc(PATH_TABLE_BYTES);
  bytes[0] = 1;
  if (order === 'little') {
    bytes.writeUInt32LE(root, 2);
    bytes.writeUInt16LE(1, 6);
  } else {
    bytes.writeUInt32BE(root, 2);
    bytes.writeUInt16BE(1, 6);
  }
  return bytes;
}

const FOLDER_MODE = 0o40555;
/** User-data may hold secrets: nobody but root of the guest reads it. */
const FILE_MODE = 0o100400;

function primaryFolder(files: readonly DiscFile[]): Buffer {
  const folder = { sector: AT.primaryRoot, length: SECTOR, isFolder: true };
  // SP and ER say that what follows is Rock Ridge; ER's two texts for people are left empty.
  const introduction = [
    systemUse('SP', Buffer.of(0xbe, 0xef, 0)),
    posix(FOLDER_MODE, 2),
    systemUse('ER', Buffer.from('\x0a\x00\x00\x01RRIP_1991A', 'latin1')),
  ];
  return Buffer.concat([
    record({ ...folder, name: Buffer.of(0), extra: introduction }),
    record({ ...folder, name: Buffer.of(1), extra: [posix(FOLDER_MODE, 2)] }),
    ...files.map(({ name, shortName, content, sector }) =>
      record({
        name: Buffer.from(shortName, 'latin1'),
        sector,
        length: content.length,
        extra: [posix(FILE_MODE, 1), systemUse('NM', Buffer.from(`\0${name}`, 'latin1'))],
      }),
    ),
  ]);
}

function jolietFolder(files: readonly DiscFile[]): Buffer {
  const folder = { sector: AT.jolietRoot, length: SECTOR, isFolder: true };
  return Buffer.concat([
    record({ ...folder, name: Buffer.of(0) }),
    record({ ...folder, name: Buffer.of(1) }),
    ...files.map(({ name, content, sector }) => record({ name: ucs2(name), sector, length: content.length })),
  ]);
}

interface DirectoryRecord {
  /** One byte of 0 for the folder itself, of 1 for the one above. */
  readonly name: Buffer;
  readonly sector: number;
  readonly length: number;
  readonly isFolder?: boolean;
  /** System use entries. */
  readonly extra?: readonly Buffer[];
}

function record({ name, sector, length, isFolder = false, extra = [] }: DirectoryRecord): Buffer {
  const head = Buffer.alloc(33);
  both32(sector).copy(head, 2);
  both32(length).copy(head, 10);
  // The first of January 2000.
  Buffer.of(100, 1, 1, 0, 0, 0, 0).copy(head, 18);
  head[25] = isFolder ? 2 : 0;
  both16(1).copy(head, 28);
  head[32] = name.length;
  // Name and record both end on even places.
  const parts = [head, name, Buffer.alloc((name.length + 1) % 2), ...extra];
  const bytes = Buffer.concat(parts.length === 3 ? parts : [...parts, Buffer.alloc(Buffer.concat(extra).length % 2)]);
  bytes[0] = bytes.length;
  return bytes;
}

/** Two letters, the length, version 1, the data. */
function systemUse(signature: string, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from(signature, 'latin1'), Buffer.of(data.length + 4, 1), data]);
}

/** Mode, links, user 0, group 0. */
function posix(mode: number, links: number): Buffer {
  return systemUse('PX', Buffer.concat([both32(mode), both32(links), both32(0), both32(0)]));
}

/** Numbers stand there twice, in both byte orders. */
function both32(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

function ucs2(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}
