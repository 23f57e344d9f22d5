import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectImage } from '../../../src/adapters/images/image-header.ts';
import { isFault } from '../../../src/ports/fault.ts';
import { AT, CLUSTER, qcow2, VIRTUAL_BYTES } from './qcow2-builder.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'virtscale-images-'));
});
afterAll(() => rm(folder, { recursive: true }));

const { signal } = new AbortController();
let files = 0;

/** A file of these bytes, followed by a hole up to `size`. */
async function fileOf(bytes: Buffer | string, size?: number): Promise<string> {
  files += 1;
  const path = join(folder, `${files}.img`);
  await writeFile(path, bytes);
  if (size !== undefined) await truncate(path, size);
  return path;
}

async function inspect(bytes: Buffer | string, size?: number) {
  return inspectImage(await fileOf(bytes, size), { signal });
}

/** `kind: reason` */
async function refusalOf(bytes: Buffer | string, size?: number): Promise<string> {
  const result = await inspect(bytes, size);
  return result.ok ? 'taken' : `${result.refusal.kind}: ${result.refusal.reason}`;
}

const MIB = 1024 * 1024;

describe('a raw image', () => {
  it('is a file of whole sectors', async () => {
    const sector = Buffer.alloc(512);
    sector.writeUInt16BE(0x55aa, 510);
    expect(await inspect(sector, 3 * MIB)).toEqual({
      ok: true,
      image: { format: 'raw', virtualBytes: 3 * MIB, fileBytes: 3 * MIB },
    });
    expect(await inspect(Buffer.alloc(512))).toMatchObject({ ok: true, image: { virtualBytes: 512 } });
  });

  it('may be given as an open file, which stays open', async () => {
    const handle = await open(await fileOf(Buffer.alloc(1024)));
    try {
      expect(await inspectImage(handle, { signal })).toMatchObject({ ok: true, image: { format: 'raw' } });
      expect((await handle.stat()).size).toBe(1024);
    } finally {
      await handle.close();
    }
  });

  it.each([
    ['nothing', Buffer.alloc(0), 'bad-size: is empty'],
    ['a part of a sector', Buffer.alloc(1000), 'bad-size: has 1000 bytes'],
    ['gzip', gzipSync(Buffer.alloc(100_000)), 'foreign: is gzip-compressed'],
    ['xz', Buffer.from('fd377a585a000004', 'hex'), 'foreign: is xz-compressed'],
    ['bzip2', Buffer.from('BZh91AY&SY'), 'foreign: is bzip2-compressed'],
    ['zstd', Buffer.from('28b52ffd0458', 'hex'), 'foreign: is zstd-compressed'],
    ['zip', Buffer.from('504b030414000000', 'hex'), 'foreign: is a ZIP archive'],
    ['7z', Buffer.from('377abcaf271c0004', 'hex'), 'foreign: is a 7z archive'],
    ['VMDK', Buffer.from('4b444d5601000000', 'hex'), 'foreign: is a VMDK image'],
    ['VHDX', Buffer.from('vhdxfile\0\0'), 'foreign: is a VHDX image'],
    ['a dynamic VHD', Buffer.from('conectix\0\0\0\x02'), 'foreign: is a VHD image'],
    ['an ELF program', Buffer.from('7f454c4602010100', 'hex'), 'foreign: is an ELF program'],
    ['LUKS', Buffer.from('4c554b53babe0001', 'hex'), 'encrypted: is encrypted (LUKS)'],
    ['an error page', '\r\n<!DOCTYPE html><html><title>404 Not Found</title>', 'foreign: is a web page'],
    ['an XML error', '<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', 'foreign: is a web page'],
    ['text', 'Too many requests, try again later.\n', 'foreign: is text'],
    ['text that is cut within a letter', `${'x'.repeat(511)}é`, 'foreign: is text'],
    ['a description of a VMDK', '# Disk DescriptorFile\nversion=1\n', 'foreign: is the description of a VMDK'],
  ])('is not %s', async (_what, bytes, refusal) => {
    expect(await refusalOf(bytes)).toContain(refusal);
    // Of a good size, too, for what does not say its own size.
    if (bytes.length > 0 && refusal.startsWith('foreign') && typeof bytes !== 'string') {
      expect(await refusalOf(bytes, MIB)).toContain(refusal);
    }
  });

  it('is not what shows itself further on in the file', async () => {
    const at = (offset: number, sign: Buffer | string, size = MIB) => {
      const bytes = Buffer.alloc(size);
      Buffer.from(sign).copy(bytes, offset);
      return bytes;
    };
    expect(await refusalOf(at(0x40, Buffer.from('7f10dabe', 'hex')))).toContain('VDI');
    expect(await refusalOf(at(257, 'ustar'))).toContain('tar archive');
    expect(await refusalOf(at(0x202, 'HdrS'))).toContain('Linux kernel');
    expect(await refusalOf(at(MIB - 512, 'conectix'))).toContain('VHD image of fixed size');
    const iso = at(0x8001, 'CD001');
    expect(await refusalOf(iso)).toContain('ISO 9660');
    // With a partition table in front it is a disk as well.
    iso.writeUInt16BE(0x55aa, 510);
    expect(await refusalOf(iso)).toBe('taken');
  });

  it('is refused with advice', async () => {
    const result = await inspect(gzipSync('x'));
    expect(result).toMatchObject({ ok: false, refusal: { advice: 'unpack it and use the image that is in it' } });
  });
});

describe('what is no file', () => {
  it.each([
    ['a folder', () => folder, 'is a folder'],
    ['a device', () => '/dev/zero', 'is a device'],
    ['nothing at all', () => join(folder, 'none.img'), 'does not exist'],
    ['below a file', () => '/etc/passwd/x.img', 'does not exist'],
    ['a name with a zero in it', () => '/x\0y', 'cannot be opened'],
    ['a name that is too long', () => `/${'x'.repeat(300)}`, 'cannot be opened'],
  ])('is refused: %s', async (_what, path, reason) => {
    const result = await inspectImage(path(), { signal });
    expect(result).toMatchObject({ ok: false, refusal: { reason: expect.stringContaining(reason) } });
  });

  it('is refused and not waited for: a pipe and a socket', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(await inspectImage(pipe, { signal })).toMatchObject({
      ok: false,
      refusal: { reason: 'is a pipe, not a file' },
    });
    const server = createServer();
    const socket = join(folder, 'socket');
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      expect(await inspectImage(socket, { signal })).toMatchObject({
        ok: false,
        refusal: { reason: 'is a socket, not a file' },
      });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('is refused: links that go round', async () => {
    const loop = join(folder, 'loop');
    await symlink(loop, loop);
    expect(await inspectImage(loop, { signal })).toMatchObject({ ok: false, refusal: { kind: 'unreadable' } });
  });
});

describe('a qcow2 image', () => {
  const u32 = (value: number, at: number) => (image: Buffer) => void image.writeUInt32BE(value, at);
  const u64 = (value: number | bigint, at: number) => (image: Buffer) => void image.writeBigUInt64BE(BigInt(value), at);

  const all =
    (...changes: readonly ((image: Buffer) => void)[]) =>
    (image: Buffer) => {
      for (const change of changes) change(image);
    };

  it('is taken when all of it is there', async () => {
    expect(await inspect(qcow2())).toEqual({
      ok: true,
      image: {
        format: 'qcow2',
        virtualBytes: VIRTUAL_BYTES,
        fileBytes: 8 * CLUSTER,
        qcow2: { version: 3, clusterBytes: CLUSTER, snapshots: 0 },
      },
    });
    const old = qcow2((image) => {
      u32(2, 4)(image);
      image.fill(0, 72, 104);
    });
    expect(await inspect(old)).toMatchObject({ ok: true, image: { qcow2: { version: 2 } } });
  });

  it.each([
    ['a password file behind it', '/etc/passwd'],
    ['a file on the network behind it', 'nbd://10.0.0.1:10809/disk'],
    ['a description of a file behind it', 'json:{"driver":"file","filename":"/etc/shadow"}'],
  ])('is refused with %s, which is named', async (_what, path) => {
    const image = qcow2((bytes) => {
      u64(1024, 8)(bytes);
      u32(path.length, 16)(bytes);
      bytes.write(path, 1024);
    });
    expect(await refusalOf(image)).toContain(`backing-file: needs the backing file ${JSON.stringify(path)}`);
  });

  it('is refused with a backing file whose name is out of reach', async () => {
    expect(await refusalOf(qcow2(u64(2n ** 60n, 8)))).toContain('backing-file: needs a backing file');
  });

  it.each([
    ['AES', u32(1, 32), 'encrypted: is encrypted (AES)'],
    ['LUKS', u32(2, 32), 'encrypted: is encrypted (LUKS)'],
    ['a LUKS header', u32(0x0537be77, 104), 'encrypted'],
    ['dirty', u32(1, 76), 'damaged: was not closed properly'],
    ['corrupt', u32(2, 76), 'damaged: is marked corrupt'],
    ['a data file by its bit', u32(4, 76), 'data-file'],
    ['a data file by its name alone', u32(0x44415441, 104), 'data-file'],
    ['an unknown feature', u32(32, 76), 'unsupported'],
    ['an unknown feature of the upper half', u32(1, 72), 'unsupported'],
    ['version 1', u32(1, 4), 'unsupported: is qcow version 1'],
    ['version 4', u32(4, 4), 'unsupported'],
    ['tiny clusters', u32(8, 20), 'damaged: has clusters'],
    ['huge clusters', u32(22, 20), 'damaged: has clusters'],
    ['a disk of nothing', u64(0, 24), 'bad-size'],
    ['a disk of more than 64 TiB', u64(2n ** 46n + 512n, 24), 'bad-size'],
    ['a disk of half sectors', u64(1000, 24), 'bad-size'],
    ['a negative size', u64(2n ** 63n, 24), 'bad-size'],
    ['an L1 table too small', u32(1, 36), 'damaged: has an L1 table too small'],
    ['an L1 table too large', u32(0xffff_ffff, 36), 'damaged: has an L1 table of'],
    ['an L1 table behind the end', u64(2n ** 40n, 40), 'truncated'],
    ['an L1 table nowhere', u64(2n ** 63n, 40), 'truncated'],
    ['an L1 table between clusters', u64(AT.l1 + 8, 40), 'damaged'],
    ['an L1 table in the header', u64(0, 40), 'damaged'],
    ['reference counts behind the end', u64(CLUSTER * 1000, 48), 'truncated'],
    ['no reference counts', u32(0, 56), 'damaged'],
    ['too many reference counts', u32(0xffff_ffff, 56), 'damaged'],
    ['reference counts of strange size', u32(7, 96), 'damaged'],
    ['a block of reference counts behind the end', u64(CLUSTER * 8, AT.refcountTable), 'truncated'],
    ['a header of odd length', u32(105, 100), 'damaged'],
    ['a header of huge length', u32(0xffff_fff8, 100), 'damaged'],
    ['an extension without end', (image: Buffer) => void image.fill(1, 104, CLUSTER), 'damaged'],
    ['a strange compression', all(u32(112, 100), u32(8, 76), (image) => void image.writeUInt8(2, 104)), 'damaged'],
    ['an L2 table behind the end', u64(CLUSTER * 8, AT.l1 + 8), 'truncated'],
    ['an L2 table between clusters', u64(AT.l2 + 512, AT.l1), 'damaged'],
    ['one L2 table twice', u64(AT.l2, AT.l1 + 8), 'damaged: uses the L2 table'],
    ['data behind the end', u64(CLUSTER * 8, AT.l2 + 16), 'truncated'],
    ['data far behind the end', u64(2n ** 55n, AT.l2 + 16), 'truncated'],
    ['data between clusters', u64(AT.data + 512, AT.l2 + 16), 'damaged'],
    ['compressed data behind the end', u64(2n ** 62n + BigInt(CLUSTER * 8), AT.l2 + 16), 'truncated'],
    [
      'compressed data that goes on behind it',
      u64(2n ** 62n + 2n ** 58n + BigInt(CLUSTER * 8 - 512), AT.l2 + 16),
      'truncated',
    ],
    ['too many snapshots', u32(1001, 60), 'unsupported'],
    ['snapshots behind the end', all(u32(1, 60), u64(CLUSTER * 9, 64)), 'truncated'],
  ])('is refused: %s', async (_what, change, refusal) => {
    expect(await refusalOf(qcow2(change))).toContain(refusal);
  });

  it('may have compressed clusters up to its last sector, and clusters of zeros behind its end', async () => {
    expect(await refusalOf(qcow2(u64(2n ** 62n + BigInt(CLUSTER * 8 - 512), AT.l2 + 16)))).toBe('taken');
    expect(await refusalOf(qcow2(u64(CLUSTER * 8 + 1, AT.l2 + 16)))).toBe('taken');
  });

  it('is refused however short it was cut', async () => {
    const whole = qcow2();
    for (const size of [71, 103, 104, 4095, CLUSTER, AT.l1, AT.l2, AT.data, AT.data + CLUSTER, whole.length - 1]) {
      expect(await refusalOf(whole.subarray(0, size)), `${size} bytes`).toContain('truncated');
    }
  });

  it("needs of the disk's last cluster only what a guest can read", async () => {
    // The disk ends 512 bytes into cluster 511, whose data is the file's last cluster.
    const image = qcow2(u64(511 * CLUSTER + 512, 24));
    expect(await refusalOf(image.subarray(0, 7 * CLUSTER + 512))).toBe('taken');
    expect(await refusalOf(image.subarray(0, 7 * CLUSTER + 511))).toContain('truncated');
  });

  it('finds what its snapshots have behind the end', async () => {
    const withSnapshot = (entry: number) =>
      qcow2((image) => {
        u32(1, 60)(image);
        u64(AT.data, 64)(image);
        u64(AT.data + CLUSTER, AT.data)(image);
        image.fill(0, AT.data + 8, AT.data + 3 * CLUSTER);
        u32(1, AT.data + 8)(image);
        u64(entry, AT.data + CLUSTER)(image);
      });
    expect(await refusalOf(withSnapshot(AT.l2))).toBe('taken');
    expect(await refusalOf(withSnapshot(CLUSTER * 8))).toContain('truncated');
  });

  it('stops when told to', async () => {
    const path = await fileOf(qcow2());
    const failure: unknown = await inspectImage(path, { signal: AbortSignal.abort() }).catch((error: unknown) => error);
    expect(isFault(failure, 'aborted')).toBe(true);
  });

  it('never throws and never opens anything, whatever bytes were changed', async () => {
    const change = fc.tuple(fc.oneof(fc.nat({ max: 127 }), fc.nat({ max: 6 * CLUSTER })), fc.nat({ max: 255 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 6 }),
        fc.nat({ max: 8 * CLUSTER }),
        async (changes, size) => {
          const image = qcow2((bytes) => {
            for (const [at, value] of changes) bytes[at] = value;
          });
          const path = join(folder, 'any.img');
          await writeFile(path, size % 3 === 0 ? image.subarray(0, size) : image);
          const result = await inspectImage(path, { signal });
          expect(result.ok || result.refusal.reason.length > 0).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});
