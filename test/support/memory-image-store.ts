// An image store in memory: as strict as the real one about checksums and sizes, for tests on a virtual clock.
// Not here: looking into images; what it takes is taken for raw, with a first byte of 0xff for a broken one.

import { createHash } from 'node:crypto';
import type { ImageContent } from '../../src/core/model.ts';
import { Fault } from '../../src/ports/fault.ts';
import type { ImageStore, TakenImage, TakeOptions } from '../../src/ports/image-store.ts';

export class MemoryImageStore implements ImageStore {
  readonly #kept = new Map<string, Buffer>();
  /** What `fetch` finds, by path, URL or host:path. */
  readonly sources = new Map<string, Buffer | Fault>();
  /** Bytes are handed on in pieces of this size. */
  pieceBytes = 1024;

  async take(bytes: AsyncIterable<Uint8Array>, options: TakeOptions): Promise<TakenImage> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of bytes) {
      if (options.signal.aborted) throw new Fault('aborted', 'the image was given up');
      chunks.push(chunk);
      length += chunk.length;
      options.onBytes?.(length, undefined);
    }
    const all = Buffer.concat(chunks);
    if (all.length === 0) throw new Fault('refused', `image ${options.name} is empty`);
    if (all[0] === 0xff) throw new Fault('refused', `image ${options.name} is broken`);
    const sha256 = createHash('sha256').update(all).digest('hex');
    if (options.sha256 !== undefined && options.sha256 !== sha256) {
      throw new Fault('refused', `image ${options.name} has the checksum ${sha256}, not ${options.sha256}`);
    }
    this.#kept.set(sha256, all);
    const content = { sha256, fileBytes: all.length, virtualBytes: all.length };
    return { format: options.format ?? 'raw', content };
  }

  async fetch(source: Parameters<ImageStore['fetch']>[0], options: TakeOptions): Promise<TakenImage> {
    const where =
      source.kind === 'url' ? source.url : source.kind === 'ssh' ? `${source.host}:${source.path}` : source.path;
    const found = this.sources.get(where);
    if (found instanceof Fault) throw found;
    if (found === undefined) throw new Fault('refused', `there is no ${where}`);
    return this.take(this.#pieces(found), options);
  }

  async *read(content: ImageContent): AsyncIterable<Uint8Array> {
    const found = this.#kept.get(content.sha256);
    if (found === undefined) throw new Fault('refused', `image ${content.sha256} is not there`);
    yield* this.#pieces(found);
  }

  async *#pieces(all: Buffer): AsyncIterable<Uint8Array> {
    for (let at = 0; at < all.length; at += this.pieceBytes) yield all.subarray(at, at + this.pieceBytes);
  }

  async has({ sha256 }: ImageContent): Promise<boolean> {
    return this.#kept.has(sha256);
  }

  async list(): Promise<readonly string[]> {
    return [...this.#kept.keys()];
  }

  async remove(sha256: string): Promise<void> {
    this.#kept.delete(sha256);
  }
}
