// Images on their way to a real host, while things die: what is left is never taken for an image, and the next try succeeds.
// Not here: the contract (hypervisor-contract.test.ts).

import { createHash } from 'node:crypto';
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { LibvirtHypervisor } from '../../src/adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import { baseName, markerName } from '../../src/adapters/hypervisor/libvirt/volume-names.ts';
import { isFault } from '../../src/ports/fault.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { type ImageWithBytes, inPieces, randomImage } from '../contracts/hypervisor-images.ts';
import { type RealHypervisor, realFixture } from '../support/real-hypervisor.ts';

const never = new AbortController().signal;
const quiet = (): void => undefined;
const MIB = 1024 * 1024;
let real: RealHypervisor;

beforeAll(async () => {
  real = await realFixture();
  await real.hypervisor.listDisks(never);
});
afterAll(() => real?.dispose());
afterEach(async () => {
  for (const { sha256 } of await real.hypervisor.listImages(never)) await real.hypervisor.removeImage(sha256, never);
  expect(await files()).toEqual([]);
});

const pathOf = (name: string): string => join(real.testHost.host.poolDir, name);
const files = async (): Promise<string[]> =>
  (await readdir(real.testHost.host.poolDir)).filter((name) => name.startsWith('vs-image-')).sort();
const listed = async (by: LibvirtHypervisor = real.hypervisor): Promise<readonly string[]> =>
  (await by.listImages(never)).map(({ sha256 }) => sha256);

function overlayOf({ image }: ImageWithBytes): VmSpec {
  return {
    name: 'on-image',
    uuid: '00000000-0000-4000-8000-000000000099',
    image,
    flavor: { name: 'small', vcpus: 1, memoryMiB: 64 },
    metadata: { id: 99, owner: 'o', operation: 'd', image: image.name, flavor: 'small' },
  };
}

/** One volume with all the bytes, one marker, and nothing else. */
async function expectWhole({ bytes, image }: ReturnType<typeof randomImage>): Promise<void> {
  expect(await listed()).toEqual([image.content.sha256]);
  const [first, second, ...more] = await files();
  expect(more).toEqual([]);
  const base = [first, second].find((name) => name?.endsWith('.base')) ?? 'no base';
  expect(
    createHash('sha256')
      .update(await readFile(pathOf(base)))
      .digest('hex'),
  ).toBe(image.content.sha256);
  expect(bytes.length).toBe(image.content.fileBytes);
}

test('libvirtd killed at any moment: what is left is no image, and a later try brings it whole', async () => {
  const wanted = randomImage('killed', 24 * MIB);
  /** Slow enough that there is something to hit. */
  const slowly = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for (let at = 0; at < wanted.bytes.length; at += MIB) {
      yield wanted.bytes.subarray(at, at + MIB);
      await sleep(8);
    }
  };
  let failures = 0;
  // The embedded host gives up on a libvirtd that dies too often in too short a time.
  for (const killAfterMs of [0, 40, 150, 230]) {
    const placing = real.hypervisor.placeImage(wanted.image, slowly, quiet, AbortSignal.timeout(20_000)).then(
      () => 'placed',
      (error: unknown) => error,
    );
    await sleep(killAfterMs);
    await real.crashDaemon();
    const outcome = await placing;
    await untilAnswers();
    if (outcome === 'placed') break;
    expect(outcome).toMatchObject({ name: 'Fault', retryable: true });
    failures += 1;
    if ((await listed()).length > 0) break;
    await expect(real.hypervisor.createDisk(overlayOf(wanted), never)).rejects.toMatchObject({ kind: 'refused' });
  }
  expect(failures).toBeGreaterThan(2);
  await real.hypervisor.placeImage(wanted.image, wanted.read, quiet, never);
  await expectWhole(wanted);
});

test('our own end in the middle leaves bytes that nobody takes for an image; the next daemon brings it and tidies up', async () => {
  const wanted = randomImage('cut', 4 * MIB);
  const dying = real.open();
  const stuck = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield wanted.bytes.subarray(0, 2 * MIB);
    await new Promise(() => undefined);
  };
  const placing = dying.placeImage(wanted.image, stuck, quiet, never).catch((error: unknown) => error);
  await sleep(300);
  await dying.close();
  expect(await placing).toMatchObject({ name: 'Fault', kind: 'unreachable' });
  const next = real.open();
  expect(await listed(next)).toEqual([]);
  await next.placeImage(wanted.image, wanted.read, quiet, never);
  await expectWhole(wanted);
  await next.close();
});

test('a libvirtd that hangs in the middle: giving up takes no time, and afterwards the image can be brought', async () => {
  const wanted = randomImage('hangs', 64 * MIB);
  const givingUp = new AbortController();
  let sentBytes = 0;
  const placing = real.hypervisor
    .placeImage(wanted.image, wanted.read, (bytes) => (sentBytes = bytes), givingUp.signal)
    .catch((error: unknown) => error);
  while (sentBytes === 0) await sleep(1);
  const wake = await real.hang();
  await sleep(300);
  const beganMs = performance.now();
  givingUp.abort();
  expect(await placing).toMatchObject({ name: 'Fault', kind: 'aborted' });
  expect(performance.now() - beganMs).toBeLessThan(200);
  await wake();
  await untilAnswers();
  expect(await listed()).toEqual([]);
  await real.hypervisor.placeImage(wanted.image, wanted.read, quiet, never);
  await expectWhole(wanted);
});

describe('what a crash or a person can leave', () => {
  const id = '01234567';
  const left = randomImage('left', MIB);
  const { fileBytes, sha256 } = left.image.content;
  const base = baseName(sha256, id);
  const marker = markerName({ sha256, fileBytes, allocatedBytes: fileBytes, id });
  const put = (name: string, bytes: Uint8Array): Promise<void> => writeFile(pathOf(name), bytes, { mode: 0o666 });

  test.each<[string, () => Promise<void>]>([
    ['all bytes without a marker', () => put(base, left.bytes)],
    ['some bytes without a marker', () => put(base, left.bytes.subarray(0, 1000))],
    ['a marker without bytes', () => put(marker, Buffer.alloc(0))],
    [
      'a marker of bytes that are too few',
      async () => {
        await put(base, left.bytes.subarray(0, 1000));
        await put(marker, Buffer.alloc(0));
      },
    ],
    [
      'a marker of a file that lost its blocks with the power',
      async () => {
        await put(base, left.bytes.subarray(0, 1000));
        await truncate(pathOf(base), fileBytes);
        await put(marker, Buffer.alloc(0));
      },
    ],
  ])('%s is no image, and is replaced', async (_, leave) => {
    await leave();
    expect(await listed()).toEqual([]);
    await expect(real.hypervisor.createDisk(overlayOf(left), never)).rejects.toMatchObject({ kind: 'refused' });
    await real.hypervisor.placeImage(left.image, left.read, quiet, never);
    await expectWhole(left);
  });

  test('an image deleted behind our back is brought again', async () => {
    await real.hypervisor.placeImage(left.image, left.read, quiet, never);
    for (const name of await files()) await rm(pathOf(name));
    const reads = left.opened;
    await real.client.refreshPool(await real.client.lookupPoolByName('virtscale'));
    await real.hypervisor.placeImage(left.image, left.read, quiet, never);
    expect(left.opened).toBe(reads + 1);
    await expectWhole(left);
  });
});

test('one larger than the free space is refused before anything is read', async () => {
  const { image } = randomImage('huge');
  const content = { ...image.content, fileBytes: 2 ** 45 };
  const read = (): AsyncIterable<Uint8Array> => expect.unreachable('read');
  await expect(real.hypervisor.placeImage({ ...image, content }, read, quiet, never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('no space'),
  });
});

test('300 MiB go through in pieces: memory does not grow with the image', async () => {
  const piece = randomImage('piece', MIB).bytes;
  const pieces = 300;
  const hash = createHash('sha256');
  for (let n = 0; n < pieces; n += 1) hash.update(piece);
  const fileBytes = pieces * MIB;
  const content = { sha256: hash.digest('hex'), fileBytes, virtualBytes: fileBytes };
  const read = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for (let n = 0; n < pieces; n += 1) yield piece;
  };
  const beforeBytes = process.memoryUsage().rss;
  let mostBytes = 0;
  const watch = (): void => {
    mostBytes = Math.max(mostBytes, process.memoryUsage().rss);
  };
  await real.hypervisor.placeImage({ name: 'long', format: 'raw', content }, read, watch, never);
  expect((mostBytes - beforeBytes) / MIB).toBeLessThan(100);
  expect(await listed()).toEqual([content.sha256]);
});

test('an image that is being removed while a disk is made of it: either the disk is there with its image, or neither is', async () => {
  const raced = randomImage('raced');
  const spec = overlayOf(raced);
  const other = real.open();
  for (let round = 0; round < 10; round += 1) {
    await real.hypervisor.placeImage(raced.image, () => inPieces(raced.bytes), quiet, never);
    const made = real.hypervisor.createDisk(spec, never).then(
      () => true,
      (error: unknown) => !isFault(error, 'refused', 'busy'),
    );
    await sleep(round);
    const removed = other.removeImage(raced.image.content.sha256, never).then(
      () => true,
      (error: unknown) => !isFault(error, 'conflict'),
    );
    const [isMade, isRemoved] = await Promise.all([made, removed]);
    expect([isMade, isRemoved]).not.toEqual([true, true]);
    expect(await real.hypervisor.listDisks(never)).toEqual(isMade ? [spec.name] : []);
    if (isMade) expect(await listed()).toHaveLength(1);
    await real.hypervisor.deleteDisk(spec.name, never);
  }
  await other.close();
});

async function untilAnswers(): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (performance.now() < endMs) {
    try {
      await real.hypervisor.listImages(AbortSignal.timeout(2000));
      return;
    } catch {
      await sleep(20);
    }
  }
  throw new Error('the daemon did not come back');
}
