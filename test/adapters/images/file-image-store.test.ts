// FileImageStore: the contract, and what disks do: they fill up, keep what a crash left, and hold files with holes.
// Not here: where images come from (file-image-store-{path,url,ssh}.test.ts).

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { chmod, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileImageStore } from '../../../src/adapters/images/file-image-store.ts';
import { takeIn } from '../../../src/adapters/images/image-intake.ts';
import { Fault } from '../../../src/ports/fault.ts';
import { collect, expectImageFault, imageStoreContract, noise, pieces, sha256Of } from '../../contracts/image-store.ts';
import { qcow2 } from './qcow2-builder.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;

let folder = '';
const mounted: string[] = [];

beforeEach(() => {
  folder = path.join(mkdtempSync(path.join(tmpdir(), 'virtscale-images-')), 'images');
});
afterEach(() => {
  for (const mount of mounted.splice(0)) execFileSync('umount', [mount]);
  rmSync(path.dirname(folder), { recursive: true, force: true });
});

imageStoreContract('files', async (options) => {
  const entries = async (): Promise<readonly string[]> => readdir(folder);
  const fileOf = async (sha256: string): Promise<string> => {
    const entry = (await entries()).find((name) => name.startsWith(sha256));
    if (entry === undefined) throw new Error(`${sha256} is not kept`);
    return path.join(folder, entry);
  };
  return {
    store: new FileImageStore(folder, options),
    leftovers: async () => (await entries()).filter((name) => !/^[\da-f]{64}\.(qcow2|raw)$/.test(name)),
    async damage(sha256, change) {
      const file = await fileOf(sha256);
      await chmod(file, 0o600);
      await writeFile(file, change(await readFile(file)));
    },
    async afterCrash() {
      writeFileSync(path.join(folder, '.incoming-2f1c'), noise(4096));
      return new FileImageStore(folder, options);
    },
    dispose: async () => {},
  };
});

function store(options: ConstructorParameters<typeof FileImageStore>[1] = {}): FileImageStore {
  return new FileImageStore(folder, options);
}

function take(images: FileImageStore, bytes: AsyncIterable<Uint8Array>) {
  return images.take(bytes, { name: 'debian', signal: never });
}

test('only the user of the daemon can look into images, and nobody writes to a kept one', async () => {
  await take(store(), pieces(qcow2()));
  expect((statSync(folder).mode & 0o777).toString(8)).toBe('700');
  const file = path.join(folder, `${sha256Of(qcow2())}.qcow2`);
  expect((statSync(file).mode & 0o777).toString(8)).toBe('400');
});

test('other files in the folder are left alone and not listed', async () => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'notes.txt'), 'mine');
  writeFileSync(path.join(folder, `${'AB'.repeat(32)}.raw`), 'mine');
  const images = store();
  expect(await images.list()).toEqual([]);
  expect(readdirSync(folder)).toHaveLength(2);
});

test('what is kept under a checksum may be a folder by mistake: it is not had', async () => {
  const images = store();
  mkdirSync(path.join(folder, `${'ab'.repeat(32)}.raw`));
  const content = { sha256: 'ab'.repeat(32), fileBytes: 4096, virtualBytes: 4096 };
  expect(await images.has(content)).toBe(false);
});

test('a folder that cannot be made is refused with advice', () => {
  writeFileSync(path.join(path.dirname(folder), 'file'), '');
  folder = path.join(path.dirname(folder), 'file', 'images');
  expect(() => store()).toThrow(Fault);
  folder = path.dirname(folder);
});

test('a folder that was taken away refuses what comes', async () => {
  const images = store();
  rmSync(folder, { recursive: true });
  await expectImageFault(take(images, pieces(qcow2())), 'refused', /debian.*ENOENT/);
  await expectImageFault(images.list(), 'refused', /ENOENT/);
});

test('zeros are kept as holes', async () => {
  const bytes = Buffer.alloc(40 * MIB);
  bytes.set(noise(512), 0);
  const { content } = await take(store(), pieces(bytes, 70_000));
  const { size, blocks } = statSync(path.join(folder, `${content.sha256}.raw`));
  expect(size).toBe(bytes.length);
  expect(blocks * 512).toBeLessThan(2 * MIB);
});

/** A file system of 4 MiB where root may mount one; elsewhere the same is played by what the store is told is free. */
function smallDisk(): { readonly options: ConstructorParameters<typeof FileImageStore>[1] } {
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'ignore' });
    mounted.push(folder);
    return { options: { keepFreeBytes: 0 } };
  } catch {
    let left = 100 * MIB;
    const freeBytes = async (): Promise<number> => {
      left -= 32 * MIB;
      return left;
    };
    return { options: { keepFreeBytes: 0, freeBytes } };
  }
}

test('a disk that is full refuses the image and gets back what it took', async () => {
  const { options } = smallDisk();
  const images = store(options);
  await take(images, pieces(qcow2()));
  const large = (async function* () {
    for (let i = 0; i < 200; i += 1) yield noise(MIB, i + 1);
  })();
  await expectImageFault(take(images, large), 'refused', /no space left/);
  expect(readdirSync(folder)).toHaveLength(1);
  await take(images, pieces(noise(MIB)));
  expect(readdirSync(folder)).toHaveLength(2);
});

test('some of the disk stays free: it is looked at beforehand where the size is known, and while it grows', async () => {
  let looks = 0;
  const freeBytes = async (): Promise<number> => {
    looks += 1;
    return (looks < 3 ? 300 : 255) * MIB;
  };
  const images = store({ freeBytes });
  const growing = (async function* () {
    for (let i = 0; i < 200; i += 1) yield noise(MIB, i + 1);
  })();
  await expectImageFault(take(images, growing), 'refused', /no space left/);
  expect(looks).toBe(3);
  const file = path.join(path.dirname(folder), 'large.raw');
  writeFileSync(file, noise(50 * MIB));
  looks = 0;
  const options = { name: 'large', signal: never };
  await expectImageFault(images.fetch({ kind: 'path', path: file }, options), 'refused', /no space left/);
  expect(looks).toBe(1);
  expect(readdirSync(folder)).toEqual([]);
});

test.each([512, 2 * MIB])(
  'a stream that has %i bytes and not the MiB it was said to have is broken',
  async (length) => {
    mkdirSync(folder);
    const handle = await open(path.join(folder, 'new'), 'wx+');
    const limits = { maxBytes: 2 ** 30, keepFreeBytes: 0, freeBytes: async () => 2 ** 30, stallMs: 1000 };
    const intake = { name: 'debian', signal: never, bytes: pieces(noise(length)), totalBytes: MIB };
    await expectImageFault(takeIn(handle, folder, intake, limits), 'aborted', new RegExp(`${length} of 1048576 bytes`));
    await handle.close();
  },
);

test('somebody who sends and stops is given up', async () => {
  const bytes = (async function* () {
    yield noise(MIB);
    await new Promise(() => {});
  })();
  await expectImageFault(take(store({ stallMs: 50 }), bytes), 'aborted', /no more bytes came/);
  expect(readdirSync(folder)).toEqual([]);
});

test('a stream that gives no bytes but something else is a bug, and leaves nothing', async () => {
  const bytes = (async function* () {
    yield 'text';
  })() as AsyncIterable<unknown> as AsyncIterable<Uint8Array>;
  await expect(take(store(), bytes)).rejects.toThrow(TypeError);
  expect(readdirSync(folder)).toEqual([]);
});

test('300 MB go through with less than 50 MB of memory', () => {
  const program = fileURLToPath(new URL('./image-memory.ts', import.meta.url));
  const output = execFileSync(process.execPath, ['--expose-gc', program, folder], { encoding: 'utf8' });
  const { bytes, takeGrowthMiB, readGrowthMiB } = JSON.parse(output) as Record<string, number>;
  expect(bytes).toBe(300 * MIB);
  expect(takeGrowthMiB).toBeLessThan(50);
  expect(readGrowthMiB).toBeLessThan(50);
  expect(existsSync(path.join(folder, '.incoming'))).toBe(false);
}, 60_000);

test('a kept image is read while it is taken again and removed', async () => {
  const images = store();
  const bytes = noise(4 * MIB);
  const { content } = await take(images, pieces(bytes));
  const parts: Uint8Array[] = [];
  for await (const part of images.read(content, never)) {
    if (parts.length === 1) await take(images, pieces(bytes));
    if (parts.length === 2) await images.remove(content.sha256);
    parts.push(part);
  }
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
  await expectImageFault(collect(images.read(content, never)), 'refused', /not there/);
});
