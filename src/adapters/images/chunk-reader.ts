// Asks a stream for its next bytes, and gives up when it is told to or when nothing comes. Not here: what is done with the bytes.

export interface ChunkReaderOptions {
  readonly signal: AbortSignal;
  /** What it rejects with when `signal` aborts. */
  readonly onAbort: () => unknown;
  /** So long the stream may keep us waiting for its next bytes. The time that we take with them does not count. */
  readonly stallMs: number;
  /** What it rejects with when it kept us waiting too long. */
  readonly onStall: () => unknown;
}

/** A stream that hangs cannot be ended by waiting for it: `next` rejects all the same, and the stream is told without waiting. */
export class ChunkReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #options: ChunkReaderOptions;

  constructor(bytes: AsyncIterable<Uint8Array>, options: ChunkReaderOptions) {
    this.#iterator = bytes[Symbol.asyncIterator]();
    this.#options = options;
  }

  /** Undefined at the end. Rejects as the stream does. */
  next(): Promise<Uint8Array | undefined> {
    const { signal, onAbort, stallMs, onStall } = this.#options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(onAbort());
        return;
      }
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        end();
        reject(onAbort());
      };
      const timer = setTimeout(() => {
        end();
        reject(onStall());
      }, stallMs);
      signal.addEventListener('abort', abort);
      this.#pull().finally(end).then(resolve, reject);
    });
  }

  /** Tells the stream that nobody wants the rest. */
  leave(): void {
    const told = async (): Promise<unknown> => this.#iterator.return?.();
    told().catch(() => {});
  }

  async #pull(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#iterator.next();
    return done === true ? undefined : checked(value);
  }
}

function checked(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError(`an image's stream gave a ${typeof chunk}, not bytes`);
}
