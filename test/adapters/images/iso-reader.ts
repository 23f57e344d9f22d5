// Reads an ISO 9660 image through each of its three sets of names, from the format's description. Knows nothing of who wrote it.

export interface ReadFile {
  readonly name: string;
  readonly text: string;
  /** Of Rock Ridge. */
  readonly mode?: number;
}

export interface ReadIso {
  readonly label: string;
  readonly jolietLabel: string;
  readonly sectors: number;
  readonly plain: readonly ReadFile[];
  readonly rockRidge: readonly ReadFile[];
  readonly joliet: readonly ReadFile[];
}

const SECTOR = 2048;

export function readIso(bytes: Uint8Array): ReadIso {
  const disc = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const descriptors = new Map<number, Buffer>();
  for (let sector = 16; ; sector += 1) {
    const descriptor = disc.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    if (descriptor.toString('latin1', 1, 7) !== 'CD001\x01') throw new Error(`sector ${sector} is no descriptor`);
    if (descriptor[0] === 255) break;
    descriptors.set(descriptor[0] ?? -1, descriptor);
  }
  const [primary, joliet] = [descriptors.get(1), descriptors.get(2)];
  if (primary === undefined || joliet?.toString('latin1', 88, 91) !== '%/E') throw new Error('a descriptor is missing');
  for (const volume of [primary, joliet]) checkPathTables(disc, volume);
  const plain = folder(disc, primary.subarray(156));
  const self = systemUse(plain[0]?.extra);
  if (self.get('SP')?.subarray(0, 2).toString('hex') !== 'beef') throw new Error('no SUSP');
  const [extension, idLength] = [self.get('ER'), self.get('ER')?.[0] ?? 0];
  if (extension?.toString('latin1', 4, 4 + idLength) !== 'RRIP_1991A') throw new Error('no Rock Ridge');
  return {
    label: primary.toString('latin1', 40, 72).trimEnd(),
    jolietLabel: ucs2(joliet.subarray(40, 72)).trimEnd(),
    sectors: both32(primary, 80),
    plain: plain.slice(2).map(({ name, text }) => ({ name: name.toString('latin1'), text })),
    rockRidge: plain.slice(2).map(({ extra, text }) => {
      const fields = systemUse(extra);
      return {
        name: fields.get('NM')?.toString('latin1', 1) ?? '',
        text,
        mode: both32(fields.get('PX') ?? Buffer.alloc(8), 0),
      };
    }),
    joliet: folder(disc, joliet.subarray(156))
      .slice(2)
      .map(({ name, text }) => ({ name: ucs2(name), text })),
  };
}

interface Entry {
  readonly name: Buffer;
  readonly text: string;
  readonly extra: Buffer;
}

function folder(disc: Buffer, root: Buffer): readonly Entry[] {
  const start = both32(root, 2) * SECTOR;
  const bytes = disc.subarray(start, start + both32(root, 10));
  const entries: Entry[] = [];
  for (let at = 0; bytes[at]; at += bytes[at] ?? 0) {
    const entry = bytes.subarray(at, at + (bytes[at] ?? 0));
    const nameEnd = 33 + (entry[32] ?? 0);
    const [sector, length] = [both32(entry, 2), both32(entry, 10)];
    if (sector * SECTOR + length > disc.length) throw new Error('a file is not on the disc');
    entries.push({
      name: entry.subarray(33, nameEnd),
      text: disc.toString('utf8', sector * SECTOR, sector * SECTOR + length),
      extra: entry.subarray(nameEnd + (nameEnd % 2)),
    });
  }
  return entries;
}

function systemUse(extra: Buffer = Buffer.alloc(0)): ReadonlyMap<string, Buffer> {
  const fields = new Map<string, Buffer>();
  for (let at = 0; at + 4 <= extra.length && (extra[at + 2] ?? 0) >= 4; at += extra[at + 2] ?? 4) {
    fields.set(extra.toString('latin1', at, at + 2), extra.subarray(at + 4, at + (extra[at + 2] ?? 0)));
  }
  return fields;
}

function checkPathTables(disc: Buffer, volume: Buffer): void {
  const little = disc.subarray(volume.readUInt32LE(140) * SECTOR);
  const big = disc.subarray(volume.readUInt32BE(148) * SECTOR);
  const root = both32(volume, 156 + 2);
  const rightly = both32(volume, 132) === 10 && little[0] === 1 && big[0] === 1;
  if (!rightly || little.readUInt32LE(2) !== root || big.readUInt32BE(2) !== root)
    throw new Error('a wrong path table');
}

/** Both halves must agree. */
function both32(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at);
  if (bytes.readUInt32BE(at + 4) !== value) throw new Error(`the two halves at ${at} differ`);
  return value;
}

function ucs2(bytes: Buffer): string {
  return Buffer.from(bytes).swap16().toString('utf16le');
}
