// The contract of the ImageStore port, run against every store that looks into images, and the streams it is fed with.
// Not here: what is special about files, URLs and ssh (test/adapters/images), every way an image can be bad (image-header.test.ts).

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Fault, type FaultKind } from '../../src/ports/fault.ts';
import type { ImageStore, TakenImage, TakeOptions } from '../../src/ports/image-store.ts';
import { qcow2, VIRTUAL_BYTES } from '../adapters/images/qcow2-builder.ts';

export interface ImageStoreUnderTest {
  readonly store: ImageStore;
  /** Whatever lies about that is no finished image. */
  readonly leftovers: () => Promise<readonly string[]>;
  /** Changes what is kept, behind the store's back. */
  readonly damage: (sha256: string, change: (bytes: Buffer) => Buffer) => Promise<void>;
  /** The store of a daemon that starts after a crash in the middle of a `take`. */
  readonly afterCrash: () => Promise<ImageStore>;
  readonly dispose: () => Promise<void>;
}

export interface ImageStoreOptions {
  readonly maxBytes?: number;
}

const never = new AbortController().signal;

/** Bytes that are no text and no format anybody knows, the same for the same seed: a raw image when `length` is a multiple of 512. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let word = seed;
  for (let at = 0; at < length; at += 1) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = word >>> 24;
  }
  bytes[0] = 0xfa;
  return bytes;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function* pieces(bytes: Uint8Array, size = bytes.length): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(part);
  return Buffer.concat(parts);
}

export async function imageFault(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    (value: unknown) => new Error(`there was no fault, but ${JSON.stringify(value)}`),
    (caught: unknown) => caught,
  );
  if (error instanceof Fault) return error;
  throw error;
}

export async function expectImageFault(work: Promise<unknown>, kind: FaultKind, text: RegExp): Promise<void> {
  const { kind: found, message } = await imageFault(work);
  expect({ kind: found, message }).toEqual({ kind, message: expect.stringMatching(text) });
}

/** A page such as a proxy gives for a download that fails. */
export const ERROR_PAGE = Buffer.from(
  `<!DOCTYPE html>\n<html><body>${'<p>504 Gateway Time-out</p>\n'.repeat(400)}</body></html>`,
);

export const BACKED = qcow2((image) => {
  const name = '/etc/passwd';
  image.writeBigUInt64BE(512n, 8);
  image.writeUInt32BE(name.length, 16);
  image.write(name, 512);
});

const MIB = 1024 * 1024;
const RAW = noise(3 * MIB + 512);

export function imageStoreContract(
  label: string,
  make: (options: ImageStoreOptions) => Promise<ImageStoreUnderTest>,
): void {
  describe(`image store contract: ${label}`, () => {
    let under: ImageStoreUnderTest;
    let store: ImageStore;
    let folder: string;

    beforeEach(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'virtscale-images-'));
      under = await make({ maxBytes: 16 * MIB });
      ({ store } = under);
    });
    afterEach(async () => {
      await under.dispose();
      await rm(folder, { recursive: true, force: true });
    });

    const take = (bytes: AsyncIterable<Uint8Array>, options: Partial<TakeOptions> = {}): Promise<TakenImage> =>
      store.take(bytes, { name: 'debian', signal: never, ...options });
    const nothingIsLeft = async (): Promise<void> => {
      expect({ kept: await store.list(), leftovers: await under.leftovers() }).toEqual({ kept: [], leftovers: [] });
    };

    test.each([
      ['a raw image', RAW, 'raw', RAW.length],
      ['a qcow2 image', qcow2(), 'qcow2', VIRTUAL_BYTES],
    ] as const)(
      '%s is taken, in pieces of whatever size, and comes out as it went in',
      async (_, bytes, format, virtualBytes) => {
        const content = { sha256: sha256Of(bytes), fileBytes: bytes.length, virtualBytes };
        for (const size of [bytes.length, 65_536, 4099, 512]) {
          expect(await take(pieces(bytes, size))).toEqual({ format, content });
          expect(await store.has(content)).toBe(true);
          expect(await store.list()).toEqual([content.sha256]);
          expect((await collect(store.read(content, never))).equals(bytes)).toBe(true);
          await store.remove(content.sha256);
          await nothingIsLeft();
        }
      },
    );

    test('what was said beforehand and is true is no hindrance', async () => {
      const options = { format: 'qcow2', sha256: sha256Of(qcow2()) } as const;
      expect((await take(pieces(qcow2()), options)).format).toBe('qcow2');
    });

    test('an image that is mostly zeros comes out as it went in', async () => {
      const bytes = Buffer.alloc(5 * MIB);
      bytes.set(noise(1024), 0);
      bytes.set(noise(700, 2), 2 * MIB - 300);
      const { content } = await take(pieces(bytes, 100_000));
      expect(content).toEqual({ sha256: sha256Of(bytes), fileBytes: bytes.length, virtualBytes: bytes.length });
      expect((await collect(store.read(content, never))).equals(bytes)).toBe(true);
    });

    test('progress is told, never goes back and ends with all', async () => {
      const told: number[] = [];
      await take(pieces(RAW, 10_000), { onBytes: (bytes) => told.push(bytes) });
      expect(told.length).toBeGreaterThan(5);
      expect(told).toEqual(told.toSorted((a, b) => a - b));
      expect(told.at(-1)).toBe(RAW.length);
    });

    test('the same content twice, also at once, is kept once', async () => {
      const taken = await Promise.all([take(pieces(RAW, 60_000)), take(pieces(RAW, 7000), { name: 'other' })]);
      expect(taken[0]).toEqual(taken[1]);
      expect(await take(pieces(RAW))).toEqual(taken[0]);
      expect(await store.list()).toEqual([sha256Of(RAW)]);
      expect(await under.leftovers()).toEqual([]);
      expect((await collect(store.read(taken[0].content, never))).equals(RAW)).toBe(true);
    });

    test('two different ones at once do not mix', async () => {
      const other = noise(2 * MIB, 7);
      const [first, second] = await Promise.all([take(pieces(RAW, 5000)), take(pieces(other, 3000))]);
      expect((await collect(store.read(first.content, never))).equals(RAW)).toBe(true);
      expect((await collect(store.read(second.content, never))).equals(other)).toBe(true);
    });

    test.each<readonly [string, () => AsyncIterable<Uint8Array>, Partial<TakeOptions>, FaultKind, RegExp]>([
      ['an empty stream', () => pieces(Buffer.alloc(0)), {}, 'refused', /debian is empty/],
      ['a stream of empty pieces', () => emptyPieces(50), {}, 'refused', /debian is empty/],
      ['an error page', () => pieces(ERROR_PAGE, 900), {}, 'refused', /debian is a web page/],
      ['an error page without end', () => endless(ERROR_PAGE), {}, 'refused', /debian is a web page/],
      ['a packed image', () => pieces(Buffer.from('1f8b0800', 'hex')), {}, 'refused', /gzip/],
      ['a qcow2 image with a backing file', () => pieces(BACKED, 100), {}, 'refused', /backing file/],
      ['a qcow2 image without its end', () => pieces(qcow2().subarray(0, 6 * 4096), 999), {}, 'refused', /debian/],
      ['a qcow2 image without most of its header', () => pieces(qcow2().subarray(0, 50)), {}, 'refused', /header/],
      ['a raw image of half a sector', () => pieces(RAW.subarray(0, 700)), {}, 'refused', /multiple of 512/],
      ['another checksum than said', () => pieces(RAW), { sha256: '0'.repeat(64) }, 'refused', /has the checksum/],
      ['another format than said', () => pieces(qcow2()), { format: 'raw' }, 'refused', /is qcow2, not raw/],
      ['yet another format than said', () => pieces(RAW), { format: 'qcow2' }, 'refused', /is raw, not qcow2/],
      ['a stream without end', () => endless(noise(65_536)), {}, 'refused', /larger than 16777216 bytes/],
      ['a piece that is too large', () => pieces(noise(16 * MIB + 512)), {}, 'refused', /larger than 16777216 bytes/],
      ['a stream that breaks at once', () => breaking(RAW, 0), {}, 'aborted', /after 0 bytes: the cable/],
      [
        'a stream that breaks in the middle',
        () => breaking(RAW, 2 * MIB),
        {},
        'aborted',
        /after 2097152 bytes: the cable/,
      ],
    ])('%s is turned down, and nothing of it is left', async (_, bytes, options, kind, text) => {
      const source = watched(bytes());
      await expectImageFault(take(source.bytes, options), kind, text);
      await nothingIsLeft();
      // It was read to its end, broke by itself, or was told that nobody wants the rest.
      await source.over;
    });

    test('one that was turned down can be taken when it comes right', async () => {
      await imageFault(take(breaking(RAW, MIB)));
      expect((await take(pieces(RAW))).content.sha256).toBe(sha256Of(RAW));
    });

    test('cancelled at any point, it is aborted, leaves nothing, and the stream is told', async () => {
      const size = 128 * 1024;
      const count = Math.ceil(RAW.length / size);
      for (let point = 0; point <= count + 1; point += 1) {
        const stop = new AbortController();
        const source = watched(
          (async function* () {
            let given = 0;
            if (point === 0) stop.abort();
            for await (const piece of pieces(RAW, size)) {
              yield piece;
              given += 1;
              if (given === point) stop.abort();
            }
            // At the last point everything has come, and it is cancelled before it has been looked into.
            stop.abort();
          })(),
        );
        await expectImageFault(take(source.bytes, { signal: stop.signal }), 'aborted', /cancelled/);
        await nothingIsLeft();
        await source.over;
      }
    });

    test('cancelled before it begins, it is aborted and nothing is read', async () => {
      let asked = false;
      const bytes = (async function* () {
        asked = true;
        yield RAW;
      })();
      await expectImageFault(take(bytes, { signal: AbortSignal.abort() }), 'aborted', /cancelled/);
      expect(asked).toBe(false);
      await nothingIsLeft();
    });

    test('cancelled while the stream hangs, it is aborted at once', async () => {
      const stop = new AbortController();
      const bytes = (async function* () {
        yield RAW.subarray(0, 512 * 1024);
        stop.abort();
        await new Promise(() => {});
      })();
      await expectImageFault(take(bytes, { signal: stop.signal }), 'aborted', /cancelled/);
      await nothingIsLeft();
    });

    test('it waits for its disk, not the stream for it: pieces are asked for one at a time', async () => {
      let asked = 0;
      let inHand = 0;
      const bytes: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => ({
          async next() {
            inHand += 1;
            expect(inHand).toBe(1);
            await sleep(0);
            inHand -= 1;
            asked += 1;
            return asked > 40 ? { done: true, value: undefined } : { done: false, value: noise(64 * 1024, asked) };
          },
        }),
      };
      expect((await take(bytes)).content.fileBytes).toBe(40 * 64 * 1024);
    });

    test('a path is copied: what happens to the file later does not matter', async () => {
      const file = path.join(folder, 'debian.qcow2');
      await writeFile(file, qcow2());
      const told: (readonly [number, number | undefined])[] = [];
      const onBytes = (bytes: number, total: number | undefined) => told.push([bytes, total]);
      const taken = await store.fetch({ kind: 'path', path: file }, { name: 'debian', signal: never, onBytes });
      await writeFile(file, 'something else');
      expect(taken.format).toBe('qcow2');
      expect(told.at(-1)).toEqual([qcow2().length, qcow2().length]);
      expect((await collect(store.read(taken.content, never))).equals(qcow2())).toBe(true);
    });

    describe('what is kept', () => {
      test('what is not there is not had, and reading it is refused', async () => {
        const content = { sha256: 'ab'.repeat(32), fileBytes: 512, virtualBytes: 512 };
        expect(await store.has(content)).toBe(false);
        await expectImageFault(collect(store.read(content, never)), 'refused', /not there/);
        await store.remove(content.sha256);
      });

      test('a checksum that is a way out leads nowhere', async () => {
        const file = path.join(folder, 'precious.raw');
        await writeFile(file, RAW);
        const { content } = await take(pieces(RAW));
        const elsewhere = `${path.basename(folder)}/precious`;
        const ways = [`../${elsewhere}`, `../../${elsewhere}`, `${folder}/precious`, '', '..', `${content.sha256}/.`];
        for (const sha256 of ways) {
          expect(await store.has({ ...content, sha256 })).toBe(false);
          await expectImageFault(collect(store.read({ ...content, sha256 }, never)), 'refused', /not there/);
          await store.remove(sha256);
        }
        expect((await readFile(file)).equals(RAW)).toBe(true);
        expect((await collect(store.read(content, never))).equals(RAW)).toBe(true);
      });

      test('one with a changed byte is found out before all of it was given', async () => {
        const { content } = await take(pieces(RAW));
        for (const at of [0, MIB, RAW.length - 1]) {
          await under.damage(content.sha256, (bytes) => flipped(bytes, at));
          let given = 0;
          const reading = (async () => {
            for await (const part of store.read(content, never)) given += part.length;
          })();
          await expectImageFault(reading, 'refused', /damaged/);
          expect(given).toBeLessThan(content.fileBytes);
          await take(pieces(RAW));
          expect((await collect(store.read(content, never))).equals(RAW)).toBe(true);
        }
      });

      test.each([
        ['shorter', (bytes: Buffer) => bytes.subarray(0, -512)],
        ['longer', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(512)])],
        ['empty', () => Buffer.alloc(0)],
      ])('one that is %s than it was is not had any more, and comes back with the next take', async (_, change) => {
        const { content } = await take(pieces(RAW));
        await under.damage(content.sha256, change);
        expect(await store.has(content)).toBe(false);
        await expectImageFault(collect(store.read(content, never)), 'refused', /not of its size/);
        await take(pieces(RAW));
        expect(await store.has(content)).toBe(true);
      });

      test('reading is given up at once when it is cancelled, and may be given up half-way', async () => {
        const { content } = await take(pieces(RAW));
        await expectImageFault(collect(store.read(content, AbortSignal.abort())), 'aborted', /cancelled/);
        const stop = new AbortController();
        const reading = (async () => {
          for await (const _ of store.read(content, stop.signal)) stop.abort();
        })();
        await expectImageFault(reading, 'aborted', /cancelled/);
        for await (const _ of store.read(content, never)) break;
        const twice = await Promise.all([collect(store.read(content, never)), collect(store.read(content, never))]);
        expect(twice.map((bytes) => bytes.equals(RAW))).toEqual([true, true]);
      });

      test('after a crash, everything that was taken is there, and nothing that was half taken', async () => {
        const { content } = await take(pieces(RAW));
        const again = await under.afterCrash();
        expect(await under.leftovers()).toEqual([]);
        expect(await again.list()).toEqual([content.sha256]);
        expect((await collect(again.read(content, never))).equals(RAW)).toBe(true);
      });
    });
  });
}

/** Knows when a stream has ended, however it did. */
function watched(bytes: AsyncIterable<Uint8Array>): { bytes: AsyncIterable<Uint8Array>; over: Promise<void> } {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const iterator = bytes[Symbol.asyncIterator]();
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    const result = await iterator.next().catch((error: unknown) => {
      resolve();
      throw error;
    });
    if (result.done === true) resolve();
    return result;
  };
  const leave = async (): Promise<IteratorResult<Uint8Array>> => {
    resolve();
    return { done: true, value: undefined };
  };
  return { bytes: { [Symbol.asyncIterator]: () => ({ next, return: leave }) }, over };
}

async function* endless(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  for (;;) yield piece;
}

async function* emptyPieces(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i += 1) yield Buffer.alloc(0);
}

async function* breaking(bytes: Uint8Array, after: number): AsyncGenerator<Uint8Array> {
  yield* pieces(bytes.subarray(0, after), 100_000);
  throw new Error('the cable was cut');
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
