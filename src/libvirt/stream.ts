/**
 * Bytes in bulk over one session: upload and download with back-pressure, abort and a deadline on every wait.
 * libvirt's streams have no credit of their own, so back-pressure is the socket's: use a connection nobody else waits on.
 */
import { ConnectionError, StreamLengthError } from './errors.ts';
import { MAX_PAYLOAD_BYTES, PacketStatus } from './frame.ts';
import type { ArgsOf, StreamProcedureName } from './procedures.ts';
import { type CallOptions, DEFAULT_CALL_TIMEOUT_MS, type Session, type StreamId } from './session.ts';

/** Like {@link CallOptions}, but `timeoutMs` limits each wait for the daemon, not the whole transfer. */
export type TransferOptions = CallOptions;

/** What libvirt itself puts into one stream packet; larger ones are legal. */
export const STREAM_CHUNK_BYTES = 262_120;
if (STREAM_CHUNK_BYTES > MAX_PAYLOAD_BYTES) throw new RangeError('a stream chunk must fit into a packet');

/** Received bytes that may wait for a slow consumer before the socket is paused, and when it is resumed. */
const PAUSE_ABOVE_BYTES = 2 * 1_048_576;
const RESUME_BELOW_BYTES = 524_288;
/** What holding one received packet costs besides its bytes: keeps tiny packets from counting as nothing. */
const PACKET_OVERHEAD_BYTES = 256;
/** How long an abort waits for the daemon to confirm that it has let go of the object. */
const ABORT_TIMEOUT_MS = 5_000;

/** One open stream: what has arrived, whether it failed, and waits that end when it fails. */
class StreamChannel {
  readonly #session: Session;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #received: Buffer[] = [];
  #receivedCost = 0;
  #ended = false;
  #confirmed = false;
  #failure: { readonly error: unknown; readonly byPeer: boolean } | undefined;
  #id: StreamId | undefined;
  readonly #keepsData: boolean;
  #wake: (() => void) | undefined;
  readonly #onAbort = (): void => this.#fail(this.#signal?.reason, false);

  constructor(session: Session, keepsData: boolean, { timeoutMs, signal }: TransferOptions) {
    this.#session = session;
    this.#keepsData = keepsData;
    this.#timeoutMs = timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#signal = signal;
  }

  async open<N extends StreamProcedureName<'up' | 'down'>>(name: N, args: ArgsOf<N>): Promise<void> {
    const options = { timeoutMs: this.#timeoutMs, signal: this.#signal };
    this.#id = await this.#session.openStream(name, args, this, options);
    if (this.#signal?.aborted) this.#onAbort();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  // The session's side.

  onData(bytes: Buffer): void {
    if (!this.#keepsData || this.#ended || this.#failure !== undefined) return;
    if (bytes.length === 0) this.#ended = true;
    else {
      this.#received.push(bytes);
      this.#receivedCost += bytes.length + PACKET_OVERHEAD_BYTES;
      if (this.#receivedCost > PAUSE_ABOVE_BYTES) this.#session.pauseReading(this);
    }
    this.#wake?.();
  }

  onConfirmed(): void {
    this.#confirmed = true;
    this.#wake?.();
  }

  onFailed(error: Error): void {
    this.#fail(error, true);
  }

  #fail(error: unknown, byPeer: boolean): void {
    this.#failure ??= { error, byPeer };
    this.#wake?.();
  }

  // The user's side. One wait at a time.

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits for a promise of ours or the source's, but no longer than the stream lives. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.throwIfFailed();
    return await new Promise<T>((resolve, reject) => {
      this.#wake = () => {
        if (this.#failure !== undefined) reject(this.#failure.error);
      };
      promise.then(resolve, reject);
    }).finally(() => {
      this.#wake = undefined;
    });
  }

  /** Waits until `done()`, the stream's failure or the deadline. */
  async #until(done: () => boolean, what: string): Promise<void> {
    this.throwIfFailed();
    if (done()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        const message = `stream: ${what} within ${this.#timeoutMs} ms`;
        reject(new ConnectionError('timed-out', message, { outcomeUnknown: true }));
      }, this.#timeoutMs);
      this.#wake = () => {
        if (this.#failure !== undefined) reject(this.#failure.error);
        else if (done()) resolve();
        else return;
        clearTimeout(timer);
      };
    }).finally(() => {
      this.#wake = undefined;
    });
  }

  /** Sends a piece, and waits while the daemon does not take more. */
  async send(bytes: Uint8Array): Promise<void> {
    this.throwIfFailed();
    if (this.#id === undefined || this.#session.sendStream(this.#id, PacketStatus.continue, bytes)) return;
    let writable = false;
    const drained = this.#session.whenWritable().then(() => {
      writable = true;
      this.#wake?.();
    });
    drained.catch(() => undefined);
    await this.#until(() => writable, 'the daemon took no more data');
  }

  /** The next piece received; undefined at the end of the data. */
  async next(): Promise<Buffer | undefined> {
    await this.#until(() => this.#received.length > 0 || this.#ended || this.#confirmed, 'no data came');
    const bytes = this.#received.shift();
    if (bytes === undefined) {
      if (!this.#ended) throw new ConnectionError('protocol', 'the daemon ended a stream without ending its data');
      return undefined;
    }
    this.#receivedCost -= bytes.length + PACKET_OVERHEAD_BYTES;
    if (this.#receivedCost < RESUME_BELOW_BYTES) this.#session.resumeReading(this);
    return bytes;
  }

  /** Says that all is done and waits for the daemon's word for it. */
  async finish(): Promise<void> {
    this.throwIfFailed();
    if (this.#id !== undefined) this.#session.sendStream(this.#id, PacketStatus.ok);
    await this.#until(() => this.#confirmed, 'the daemon did not confirm the end');
    this.#close();
  }

  /** Breaks the stream off, and waits a little for the daemon to let go. Never throws. */
  async abort(): Promise<void> {
    if (this.#id === undefined) return;
    this.#received.length = 0;
    if (this.#failure?.byPeer !== true && !this.#confirmed) {
      this.#failure = { error: new Error('the stream was aborted'), byPeer: false };
      this.#session.resumeReading(this);
      this.#session.sendStream(this.#id, PacketStatus.error);
      await this.#confirmedWithin(ABORT_TIMEOUT_MS);
    }
    this.#close();
  }

  async #confirmedWithin(timeoutMs: number): Promise<void> {
    if (this.#session.ended !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, timeoutMs);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }

  #close(): void {
    this.#wake = undefined;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#session.resumeReading(this);
    if (this.#id !== undefined) this.#session.closeStream(this.#id);
  }
}

/** The source's chunks, each cut to what goes into one packet. */
function* pieces(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += STREAM_CHUNK_BYTES) yield chunk.subarray(at, at + STREAM_CHUNK_BYTES);
}

/**
 * Opens an upload stream by `name` and sends all of `source`. Resolves with the bytes sent, when the daemon has them.
 * `expectedBytes` of 0 means: as many as come.
 * @throws StreamLengthError when the source gives another number of bytes than expected (libvirt would not notice too
 *   few); LibvirtError what the daemon says, at any time; ConnectionError; what the source throws; the signal's reason.
 */
export const upload = async <N extends StreamProcedureName<'up'>>(
  session: Session,
  name: N,
  args: ArgsOf<N>,
  expectedBytes: number,
  source: AsyncIterable<Uint8Array>,
  options: TransferOptions = {},
): Promise<number> => {
  const channel = new StreamChannel(session, false, options);
  await channel.open(name, args);
  const iterator = source[Symbol.asyncIterator]();
  let sentBytes = 0;
  try {
    for (;;) {
      const { done, value } = await channel.during(iterator.next());
      if (done) break;
      if (expectedBytes > 0 && sentBytes + value.length > expectedBytes) {
        throw new StreamLengthError(expectedBytes, sentBytes + value.length);
      }
      for (const piece of pieces(value)) await channel.send(piece);
      sentBytes += value.length;
    }
    if (sentBytes < expectedBytes) throw new StreamLengthError(expectedBytes, sentBytes);
    await channel.finish();
    return sentBytes;
  } catch (error) {
    // A source that is stuck in next() would not return either: it is told, not waited for.
    Promise.resolve(iterator.return?.()).catch(() => undefined);
    await channel.abort();
    throw error;
  }
};

/**
 * Opens a download stream by `name` when iterated, and yields its bytes as they come. Leaving the loop early aborts it.
 * @throws LibvirtError, ConnectionError or the signal's reason, from the iteration.
 */
export async function* download<N extends StreamProcedureName<'down'>>(
  session: Session,
  name: N,
  args: ArgsOf<N>,
  options: TransferOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const channel = new StreamChannel(session, true, options);
  await channel.open(name, args);
  let finished = false;
  try {
    for (let bytes = await channel.next(); bytes !== undefined; bytes = await channel.next()) yield bytes;
    await channel.finish();
    finished = true;
  } finally {
    if (!finished) await channel.abort();
  }
}
