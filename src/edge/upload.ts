// The body of a request as a stream of any size: taken piece by piece as fast as the reader takes it, and given up when nothing
// comes any more. Not here: what becomes of the bytes (engine).

import { ProblemError } from './problem.ts';

export interface UploadLimits {
  /** Nothing came for this long while it was waited for. */
  readonly stallMs: number;
  /** From the last byte to the engine's answer: checking, moving. */
  readonly finishMs: number;
}

export const UPLOAD_LIMITS: UploadLimits = { stallMs: 60_000, finishMs: 600_000 };

class BrokenOff extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'BrokenOff';
  }
}

export class Upload {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Aborts when the client has gone, stalls, or the engine takes too long after the last byte. */
  readonly signal: AbortSignal;
  readonly #given: AbortController = new AbortController();
  readonly #limits: UploadLimits;
  #broken: BrokenOff | undefined;
  #finish: NodeJS.Timeout | undefined;

  constructor(request: Request, limits: Partial<UploadLimits> = {}) {
    const coding = request.headers.get('content-encoding');
    if (coding !== null && coding.toLowerCase() !== 'identity') {
      throw new ProblemError(
        'unsupported-media-type',
        `send the image itself, not ${JSON.stringify(coding.slice(0, 50))}`,
        {
          errors: [{ where: 'header.content-encoding', what: 'must be absent or identity' }],
        },
      );
    }
    if (request.body === null || request.headers.get('content-length') === '0') {
      throw new ProblemError('invalid-request', 'the body is the image, and there is none', {
        errors: [{ where: 'body', what: 'is empty' }],
      });
    }
    this.#limits = { ...UPLOAD_LIMITS, ...limits };
    this.signal = AbortSignal.any([request.signal, this.#given.signal]);
    this.bytes = this.#pieces(request.body);
  }

  /** What the engine makes of it; a `ProblemError` when the stream broke off, whatever the engine made of that. */
  async takenBy<T>(work: Promise<T>): Promise<T> {
    try {
      const taken = await work;
      if (this.#broken === undefined) return taken;
    } catch (error) {
      if (this.#broken === undefined && !this.signal.aborted) throw error;
    } finally {
      clearTimeout(this.#finish);
    }
    if (this.#broken === undefined) {
      throw new ProblemError('timed-out', 'the upload was given up: the client went, or checking it took too long');
    }
    throw new ProblemError('invalid-request', `the image did not arrive whole: ${this.#broken.message}`, {
      errors: [{ where: 'body', what: this.#broken.message }],
    });
  }

  async *#pieces(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
    const reader = body.getReader();
    let isEmpty = true;
    try {
      for (;;) {
        const { done, value } = await this.#next(reader);
        if (done) break;
        if (value.byteLength === 0) continue;
        isEmpty = false;
        yield value;
      }
      if (isEmpty) throw this.#breakOff(new BrokenOff('there is nothing in it'));
      this.#finish = setTimeout(() => this.#given.abort(), this.#limits.finishMs);
    } finally {
      // Refused or broken off: what still comes is not wanted. After the end this does nothing.
      await reader.cancel().catch(() => undefined);
    }
  }

  #breakOff(broken: BrokenOff): BrokenOff {
    this.#broken = broken;
    this.#given.abort(broken);
    return broken;
  }

  async #next(reader: ReadableStreamDefaultReader<Uint8Array>): ReturnType<typeof reader.read> {
    const { stallMs } = this.#limits;
    const { promise: gone, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(new BrokenOff('the client went away'));
    const timer = setTimeout(() => reject(new BrokenOff(`nothing came for ${stallMs / 1000} s`)), stallMs);
    this.signal.addEventListener('abort', onAbort, { once: true });
    if (this.signal.aborted) onAbort();
    try {
      return await Promise.race([reader.read(), gone]);
    } catch (error) {
      throw this.#breakOff(error instanceof BrokenOff ? error : new BrokenOff('the connection broke', error));
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener('abort', onAbort);
    }
  }
}

/** Lower-case hex of `?sha256=` and `Repr-Digest` (RFC 9530); undefined: neither is there. Throws `ProblemError` when unusable. */
export function declaredSha256(asked: string | undefined, header: string | undefined): string | undefined {
  if (header === undefined) return asked;
  const wrong = (what: string): ProblemError =>
    new ProblemError('invalid-request', `header.repr-digest: ${what}`, {
      errors: [{ where: 'header.repr-digest', what }],
    });
  const text = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?=$|,|;)/.exec(header)?.[1];
  if (text === undefined) throw wrong('must have sha-256=:BASE64: (32 bytes)');
  const hex = Buffer.from(text, 'base64').toString('hex');
  if (asked !== undefined && asked !== hex) throw wrong('is not the checksum that ?sha256= names');
  return hex;
}
