// FileImageStore.fetch of a path: only whole images in plain files, and only those that hold still.
// Not here: every way a header can be bad (image-header.test.ts).

import { execFileSync } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileImageStore, type FileImageStoreOptions } from '../../../src/adapters/images/file-image-store.ts';
import type { TakenImage, TakeOptions } from '../../../src/ports/image-store.ts';
import { BACKED, collect, ERROR_PAGE, expectImageFault, noise, sha256Of } from '../../contracts/image-store.ts';
import { qcow2 } from './qcow2-builder.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'virtscale-images-'));
});
afterEach(() => {
  expect(readdirSync(path.join(folder, 'kept')).filter((entry) => entry.startsWith('.'))).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

function at(name: string): string {
  return path.join(folder, name);
}

async function fetched(
  file: string,
  options: Partial<TakeOptions> = {},
  settings: FileImageStoreOptions = {},
): Promise<TakenImage> {
  const store = new FileImageStore(at('kept'), settings);
  return store.fetch({ kind: 'path', path: file }, { name: 'debian', signal: never, ...options });
}

test.each<readonly [string, (file: string) => unknown, RegExp]>([
  ['is not there', () => {}, /ENOENT/],
  ['lies in what is no folder', (file) => writeFileSync(path.dirname(file), ''), /ENOTDIR/],
  ['is a link to nothing', (file) => symlinkSync('/nowhere', file), /ENOENT/],
  ['is a link to itself', (file) => symlinkSync(file, file), /ELOOP/],
  ['is a folder', (file) => symlinkSync('.', file), /is no file/],
  ['is a pipe', (file) => execFileSync('mkfifo', [file]), /is no file/],
  ['is a device', (file) => symlinkSync('/dev/zero', file), /is no file/],
  ['is empty', (file) => writeFileSync(file, ''), /is empty/],
  ['is made up by the kernel', (file) => symlinkSync('/proc/self/environ', file), /is empty/],
  ['is a text of the system', (file) => symlinkSync('/etc/passwd', file), /is text|multiple of 512/],
  ['is an error page', (file) => writeFileSync(file, ERROR_PAGE), /is a web page/],
  ['is a program', (file) => symlinkSync(process.execPath, file), /an ELF program/],
  ['has a backing file', (file) => writeFileSync(file, BACKED), /backing file/],
  ['is cut short', (file) => writeFileSync(file, qcow2().subarray(0, 6 * 4096)), /debian/],
])('a file that %s is refused and named', async (what, make, text) => {
  const file = what.includes('no folder') ? at('a/debian.img') : at('debian.img');
  make(file);
  await expectImageFault(fetched(file), 'refused', text);
  await expectImageFault(fetched(file), 'refused', new RegExp(file));
});

test('a socket is refused', async () => {
  const server = createServer().listen(at('socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  await expectImageFault(fetched(at('socket')), 'refused', /is no file/);
  await new Promise((resolve) => server.close(resolve));
});

test('a path that depends on where the daemon was started, or that no system knows, is refused', async () => {
  await expectImageFault(fetched('debian.img'), 'refused', /not a full path/);
  await expectImageFault(fetched(`${at('a')}\u0000b`), 'refused', /cannot read/);
});

test('symbolic links are followed: images often are some', async () => {
  writeFileSync(at('debian-12.qcow2'), qcow2());
  symlinkSync('debian-12.qcow2', at('debian.img'));
  expect((await fetched(at('debian.img'))).content.sha256).toBe(sha256Of(qcow2()));
});

test('a file whose name comes to mean another one is read as the one that was opened', async () => {
  const bytes = noise(4 * MIB);
  writeFileSync(at('debian.raw'), bytes);
  const swap = (): void => {
    rmSync(at('debian.raw'));
    symlinkSync('/etc/passwd', at('debian.raw'));
  };
  const { content } = await fetched(at('debian.raw'), { onBytes: once(swap) });
  expect(content.sha256).toBe(sha256Of(bytes));
});

test.each<readonly [string, (file: string) => void]>([
  ['written to', (file) => writeFileSync(file, noise(512, 9), { flag: 'r+' })],
  ['made longer', (file) => truncateSync(file, 5 * MIB)],
  ['made shorter', (file) => truncateSync(file, MIB)],
])('a file that is %s while it is read is refused', async (_, change) => {
  writeFileSync(at('debian.raw'), noise(4 * MIB));
  utimesSync(at('debian.raw'), 1000, 1000);
  const onBytes = once(() => change(at('debian.raw')));
  await expectImageFault(fetched(at('debian.raw'), { onBytes }), 'refused', /changed while it was read/);
});

test('a file with holes needs no more room than it takes where it lies', async () => {
  writeFileSync(at('debian.raw'), noise(MIB));
  truncateSync(at('debian.raw'), 400 * MIB);
  const { content } = await fetched(at('debian.raw'), {}, { keepFreeBytes: 0, freeBytes: async () => 8 * MIB });
  expect(content.fileBytes).toBe(400 * MIB);
  expect(statSync(at(`kept/${content.sha256}.raw`)).blocks * 512).toBeLessThan(8 * MIB);
});

test('one that is larger than is taken is refused before it is read', async () => {
  writeFileSync(at('debian.raw'), noise(MIB));
  let told = 0;
  const onBytes = (): void => {
    told += 1;
  };
  await expectImageFault(
    fetched(at('debian.raw'), { onBytes }, { maxBytes: 1000 }),
    'refused',
    /larger than 1000 bytes/,
  );
  expect(told).toBe(0);
});

test('an image that is kept can be imported from where it is kept', async () => {
  writeFileSync(at('debian.qcow2'), qcow2());
  const first = await fetched(at('debian.qcow2'));
  expect(await fetched(at(`kept/${first.content.sha256}.qcow2`))).toEqual(first);
  const store = new FileImageStore(at('kept'));
  expect((await collect(store.read(first.content, never))).equals(qcow2())).toBe(true);
});

test('cancelled while it is read, it is aborted', async () => {
  writeFileSync(at('debian.raw'), noise(4 * MIB));
  const stop = new AbortController();
  const options = { signal: stop.signal, onBytes: () => stop.abort() };
  await expectImageFault(fetched(at('debian.raw'), options), 'aborted', /cancelled/);
  await expectImageFault(fetched(at('debian.raw'), { signal: AbortSignal.abort() }), 'aborted', /cancelled/);
});

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}
