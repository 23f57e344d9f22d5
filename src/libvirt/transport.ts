/**
 * The byte pipe a session runs on, and its making from any Node duplex stream. Bytes only: framing is frame.ts.
 */
import type { Duplex } from 'node:stream';
import { ConnectionError } from './errors.ts';

/** What a session needs of a pipe. Exactly one owner; handlers are set once, before data flows. */
export interface Transport {
  /** Sends the chunks as they are, in order. False: the peer is slower than we are; wait for `onDrain` before more. */
  write(...chunks: readonly Uint8Array[]): boolean;
  /** True while bytes wait that the peer has not taken. */
  readonly congested: boolean;
  /** Stops and restarts the flow of `onData`: back-pressure towards the peer. */
  pause(): void;
  resume(): void;
  /** Ends the pipe at once; no handler is called afterwards. Safe to call again. */
  destroy(): void;
  start(handlers: TransportHandlers): void;
  /**
   * Why a connection could not be opened over this pipe, when the pipe knows better than `error`; without it, it never
   * does.
   */
  explain?(error: ConnectionError): ConnectionError;
}

export interface TransportHandlers {
  onData(chunk: Buffer): void;
  onDrain(): void;
  /** Called once when the pipe ends by itself; without an error when the peer closed it in order. */
  onEnd(error?: Error): void;
}

/** How to open a pipe: within `timeoutMs`, unless `signal` aborts it first (then it rejects with the signal's reason). */
export interface ConnectTransportOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A transport over an open socket of any kind. */
export const duplexTransport = (stream: Duplex): Transport => {
  let handlers: TransportHandlers | undefined;
  let failure: Error | undefined;
  let ended = false;
  const end = (error?: Error): void => {
    failure ??= error;
    if (ended) return;
    ended = true;
    stream.destroy();
    handlers?.onEnd(failure);
  };
  stream.on('error', end);
  stream.on('end', () => end());
  stream.on('close', () => end());
  return {
    write(...chunks) {
      if (ended) return false;
      if (chunks.length === 1 && chunks[0] !== undefined) return stream.write(chunks[0]);
      stream.cork();
      let ready = true;
      for (const chunk of chunks) ready = stream.write(chunk);
      stream.uncork();
      return ready;
    },
    get congested() {
      return stream.writableNeedDrain;
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    destroy() {
      ended = true;
      handlers = undefined;
      stream.destroy();
    },
    start(given) {
      if (ended) {
        given.onEnd(failure);
        return;
      }
      handlers = given;
      stream.on('data', (chunk: Buffer) => handlers?.onData(chunk));
      stream.on('drain', () => handlers?.onDrain());
    },
  };
};

const refusedCodes = new Set(['ECONNREFUSED', 'EACCES', 'EPERM']);
const adviceOf: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; is the libvirt daemon running?',
  EACCES: 'no permission for this socket; add the user to the group libvirt, or use a session URI',
  EPERM: 'no permission for this socket; add the user to the group libvirt, or use a session URI',
  ENOENT: 'no such socket; is libvirt installed and its daemon running?',
  ENOTFOUND: 'no such host name',
  EHOSTUNREACH: 'no route to this host',
  ENETUNREACH: 'no route to this network',
};

/** The typed form of what Node reports when connecting fails. */
export const connectFault = (where: string, error: unknown): ConnectionError => {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  const kind = refusedCodes.has(code) ? 'refused' : code === 'ETIMEDOUT' ? 'timed-out' : 'unreachable';
  const why = adviceOf[code] ?? (error instanceof Error ? error.message : String(error));
  return new ConnectionError(kind, `cannot connect to ${where}: ${why}`, { cause: error });
};

/**
 * Runs `begin` until it calls one of its two arguments, no longer than the options allow. What it has opened is its own
 * to clear away: the function it returns is called when connecting failed, for whatever reason.
 * @throws ConnectionError timed-out; the signal's reason; what `fail` was called with.
 */
export const withinLimits = <T>(
  where: string,
  { timeoutMs, signal }: ConnectTransportOptions,
  begin: (done: (value: T) => void, fail: (error: unknown) => void) => () => void,
): Promise<T> => {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(
    () => reject(new ConnectionError('timed-out', `cannot connect to ${where}: no answer within ${timeoutMs} ms`)),
    timeoutMs,
  );
  const onAbort = (): void => reject(signal?.reason);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });
  let clearAway: (() => void) | undefined;
  try {
    clearAway = begin(resolve, reject);
  } catch (error) {
    reject(error);
  }
  return promise
    .catch((error: unknown) => {
      clearAway?.();
      throw error;
    })
    .finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    });
};

/**
 * Waits until `stream` is connected, no longer than the options allow, and makes it a transport.
 * @throws ConnectionError of kind refused, unreachable or timed-out; or the signal's reason.
 */
export const connectTransport = (stream: Duplex, where: string, options: ConnectTransportOptions): Promise<Transport> =>
  withinLimits(where, options, (done, fail) => {
    const onError = (error: Error): void => fail(connectFault(where, error));
    stream.once('connect', () => {
      stream.off('error', onError);
      done(duplexTransport(stream));
    });
    stream.on('error', onError);
    return () => {
      stream.on('error', () => undefined);
      stream.destroy();
    };
  });
