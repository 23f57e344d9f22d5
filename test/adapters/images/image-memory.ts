// A process that takes in and reads back 300 MB and says on stdout by how much its memory grew meanwhile.
// Not a test: file-image-store.test.ts starts it.

import { FileImageStore } from '../../../src/adapters/images/file-image-store.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: image-memory.ts FOLDER');

const MIB = 1024 * 1024;
const { signal } = new AbortController();
const store = new FileImageStore(folder);

/** Each piece is memory of its own, as pieces from a socket are. */
async function* stream(mib: number): AsyncGenerator<Uint8Array> {
  for (let piece = 0; piece < mib * 16; piece += 1) {
    const bytes = Buffer.alloc(MIB / 16, 0xa5);
    bytes.writeUInt32LE(piece);
    yield bytes;
  }
}

async function growthMiB(work: () => Promise<void>): Promise<number> {
  globalThis.gc?.();
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 5);
  await work();
  clearInterval(watch);
  return Math.round((Math.max(most, process.memoryUsage.rss()) - before) / MIB);
}

// Once before, so that code, and buffers that wait for the collector, are not counted: those do not grow with the image.
const warm = await store.take(stream(60), { name: 'warm', signal });
for await (const _ of store.read(warm.content, signal)) {
}

let bytes = 0;
const takeGrowthMiB = await growthMiB(async () => {
  const { content } = await store.take(stream(300), { name: 'large', signal });
  bytes = content.fileBytes;
});
const large = (await store.list()).find((sha256) => sha256 !== warm.content.sha256) ?? '';
const readGrowthMiB = await growthMiB(async () => {
  for await (const _ of store.read({ sha256: large, fileBytes: bytes, virtualBytes: bytes }, signal)) {
  }
});
process.stdout.write(JSON.stringify({ bytes, takeGrowthMiB, readGrowthMiB }));
