/**
 * One open connection to a libvirt daemon: opening it, and everything that can be done while it lasts.
 * It is never reopened: {@link LibvirtClient} keeps one alive.
 */
import { ConnectionError, isLibvirtError } from './errors.ts';
import { EventQueue } from './event-queue.ts';
import {
  type DomainEvent,
  type DomainEventType,
  domainEventTypes,
  type EventListener,
  type Resync,
  SessionEvents,
} from './events.ts';
import type { ArgsOf, ProcedureName, RetOf, StreamProcedureName } from './procedures.ts';
import { type CallOptions, Session, type SessionOptions } from './session.ts';
import { download, type TransferOptions, upload } from './stream.ts';
import type { ConnectTransportOptions, Transport } from './transport.ts';
import { connectSsh } from './transport-ssh.ts';
import { connectTcp } from './transport-tcp.ts';
import { connectTls } from './transport-tls.ts';
import { connectUnix } from './transport-unix.ts';
import { parseUri, type Target } from './uri.ts';

export interface ConnectOptions {
  /** Such as `qemu:///system`, `qemu+ssh://USER@HOST/system`, `qemu+tls://HOST/system`; see {@link parseUri}. */
  readonly uri: string;
  /** From connecting the socket to the opened hypervisor. Default 10 000. */
  readonly connectTimeoutMs?: number | undefined;
  /** A silent daemon is pinged this often. Default 5 000; 0 turns pinging off. */
  readonly keepaliveIntervalMs?: number | undefined;
  /** Unanswered pings after which the connection is given up. Default 5. */
  readonly keepaliveCount?: number | undefined;
  /** Opens the connection read-only: every change is refused by the daemon. */
  readonly readOnly?: boolean | undefined;
  /** Limits of the session; the defaults suit libvirtd's own. */
  readonly limits?: SessionOptions | undefined;
}

const AuthType = { none: 0, sasl: 1, polkit: 2 } as const;
const FEATURE_KEEPALIVE = 10;
const OPEN_READ_ONLY = 1;

const connectTarget = (target: Target, options: ConnectTransportOptions): Promise<Transport> => {
  switch (target.transport) {
    case 'unix':
      return connectUnix(target.socketPaths, options);
    case 'tcp':
      return connectTcp(target.host, target.port, options);
    case 'tls':
      return connectTls(target, options);
    case 'ssh':
      return connectSsh(target, options);
  }
};

/** AUTH_LIST comes first even where no authentication is needed: on a polkit socket it lets root in. */
const authenticate = async (session: Session, options: () => CallOptions): Promise<void> => {
  const { types } = await session.call('AUTH_LIST', {}, options());
  if (types.length === 0 || types.includes(AuthType.none)) return;
  if (!types.includes(AuthType.polkit)) {
    const message = types.includes(AuthType.sasl)
      ? 'the daemon asks for SASL, which is not supported yet; set auth_unix_rw or auth_tcp to "none" in libvirtd.conf, or use another socket'
      : `the daemon asks for an unknown authentication (${types.join(', ')})`;
    throw new ConnectionError('auth', message);
  }
  try {
    await session.call('AUTH_POLKIT', {}, options());
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    const message = `polkit refused: ${error.message}; add the user to the group libvirt, or allow org.libvirt.unix.manage by a rule`;
    throw new ConnectionError('auth', message, { cause: error });
  }
};

/** The daemon pings only those who ask for the feature, and answers pings of those alone. */
const startKeepalive = async (session: Session, options: ConnectOptions, call: () => CallOptions): Promise<void> => {
  const intervalMs = options.keepaliveIntervalMs ?? 5_000;
  if (intervalMs <= 0) return;
  try {
    const { supported } = await session.call('CONNECT_SUPPORTS_FEATURE', { feature: FEATURE_KEEPALIVE }, call());
    if (supported === 1) session.startKeepalive(intervalMs, options.keepaliveCount ?? 5);
  } catch (error) {
    // A daemon that does not even know the question does not know keepalive.
    if (!isLibvirtError(error)) throw error;
  }
};

/** What happened while opening, told as a failure of the connection; a call that waited for it was never sent. */
const openFault = (uri: string, error: unknown, transport?: Transport): unknown => {
  if (!(error instanceof ConnectionError)) return error;
  const { kind, message } = transport?.explain?.(error) ?? error;
  return new ConnectionError(kind, `cannot open ${uri}: ${message}`, { cause: error });
};

/** One open connection. At most four calls are with the daemon at a time; the others wait here. */
export class Connection {
  readonly #session: Session;
  readonly #events: SessionEvents;
  /** Resolves, and never rejects, when the connection has ended, with why. */
  readonly closed: Promise<ConnectionError>;

  private constructor(session: Session) {
    this.#session = session;
    this.#events = new SessionEvents(session);
    this.closed = session.closed;
  }

  /**
   * Connects, authenticates and opens the hypervisor of the URI.
   * @throws ConnectionError by kind; LibvirtError when the daemon cannot open the hypervisor; UriError; the signal's reason.
   */
  static async open(options: ConnectOptions & { readonly signal?: AbortSignal | undefined }): Promise<Connection> {
    const { uri, signal, readOnly = false, connectTimeoutMs = 10_000 } = options;
    signal?.throwIfAborted();
    const target = parseUri(uri, { readOnly });
    const deadline = performance.now() + connectTimeoutMs;
    const remaining = (): { timeoutMs: number; signal: AbortSignal | undefined } => ({
      timeoutMs: Math.max(1, Math.ceil(deadline - performance.now())),
      signal,
    });
    const transport = await connectTarget(target, remaining());
    const session = new Session(transport, options.limits);
    try {
      await authenticate(session, remaining);
      await startKeepalive(session, options, remaining);
      const flags = readOnly ? OPEN_READ_ONLY : 0;
      await session.call('CONNECT_OPEN', { name: target.openName, flags }, remaining());
    } catch (error) {
      session.end(new ConnectionError('closed', 'opening failed', { cause: error }));
      throw openFault(uri, error, transport);
    }
    return new Connection(session);
  }

  /** False once the connection has ended. */
  get isOpen(): boolean {
    return this.#session.ended === undefined;
  }

  /** Calls in flight (abandoned ones included), waiting for a slot, and abandoned but not answered yet. */
  get load(): { readonly inFlight: number; readonly queued: number; readonly abandoned: number } {
    return this.#session.load;
  }

  /**
   * Makes any call of the procedure table, such as `call('DOMAIN_GET_INFO', { dom })`.
   * @throws LibvirtError what the daemon answered; ConnectionError (look at `outcomeUnknown`); XdrError for arguments
   *   that cannot be sent; the signal's reason when aborted.
   */
  call<N extends ProcedureName>(name: N, args: ArgsOf<N>, options?: CallOptions): Promise<RetOf<N>> {
    return this.#session.call(name, args, options);
  }

  /** Opens an upload stream and sends `source`; see {@link upload}. Delays every other call of this connection. */
  upload<N extends StreamProcedureName<'up'>>(
    name: N,
    args: ArgsOf<N>,
    expectedBytes: number,
    source: AsyncIterable<Uint8Array>,
    options?: TransferOptions,
  ): Promise<number> {
    return upload(this.#session, name, args, expectedBytes, source, options);
  }

  /** Opens a download stream when iterated; see {@link download}. A slow reader delays everything on this connection. */
  download<N extends StreamProcedureName<'down'>>(
    name: N,
    args: ArgsOf<N>,
    options?: TransferOptions,
  ): AsyncIterable<Uint8Array> {
    return download(this.#session, name, args, options);
  }

  /**
   * Domain events, beginning with a {@link Resync}. Throws the connection's {@link ConnectionError} when it ends; ends
   * when `signal` aborts.
   */
  events(
    types: readonly DomainEventType[] = domainEventTypes,
    { signal, maxQueued }: { readonly signal?: AbortSignal; readonly maxQueued?: number } = {},
  ): EventQueue<DomainEvent | Resync> {
    let stop: (() => void) | undefined;
    let left = false;
    const onAbort = (): void => queue.end();
    const queue = new EventQueue<DomainEvent | Resync>(
      () => ({ type: 'resync', reason: 'overflow' }),
      () => {
        left = true;
        stop?.();
        signal?.removeEventListener('abort', onAbort);
      },
      maxQueued,
    );
    if (signal?.aborted) queue.end();
    signal?.addEventListener('abort', onAbort, { once: true });
    this.subscribe(types, (event, byteLength) => queue.push(event, byteLength)).then(
      (unsubscribe) => {
        stop = unsubscribe;
        if (left) unsubscribe();
        queue.push({ type: 'resync', reason: 'subscribed' });
      },
      (error: unknown) => queue.end({ error }),
    );
    void this.closed.then((error) => queue.end({ error }));
    return queue;
  }

  /** Calls `listener` for events of these types, until the function it resolves with is called. */
  subscribe(types: readonly DomainEventType[], listener: EventListener, options?: CallOptions): Promise<() => void> {
    return this.#events.subscribe(types, listener, options);
  }

  /** Closes the connection: what waits on it rejects. Safe to call again. */
  async close(): Promise<void> {
    this.#session.end(new ConnectionError('closed', 'closed by this side'));
    await this.closed;
  }
}
