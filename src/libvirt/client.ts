/**
 * The client others use: keeps a connection to one URI alive and offers the typed verbs on it.
 * One connection for calls; a host that also has long calls to make deserves a second client (libvirtd stops reading a
 * connection with five calls under way).
 *
 *   idle ──first use──▶ connecting ──▶ connected ──lost──▶ connecting
 *                        ▲      │                (at once when it had lasted, else as after a failure)
 *                        │      └─failed─▶ backoff
 *                        └──────timer────────┘          any ──close()──▶ closed
 */
import { Connection, type ConnectOptions } from './connection.ts';
import { ConnectionError } from './errors.ts';
import { EventQueue } from './event-queue.ts';
import { type DomainEvent, type DomainEventType, domainEventTypes, type Resync } from './events.ts';
import type { ArgsOf, ProcedureName, RetOf } from './procedures.ts';
import { type CallOptions, DEFAULT_CALL_TIMEOUT_MS } from './session.ts';
import type { TransferOptions } from './stream.ts';
import type { StorageVolume } from './structs.ts';
import { type ByteRange, StorageVerbs, streamArgs } from './verbs/storage.ts';

export interface LibvirtClientOptions extends ConnectOptions {
  /** Shortest pause between attempts. Default 100. */
  readonly backoffMinMs?: number | undefined;
  /** Longest pause between attempts. Default 5 000. */
  readonly backoffMaxMs?: number | undefined;
  /** Source of the jitter, in [0, 1). */
  readonly random?: (() => number) | undefined;
}

export type ClientStatus =
  | { readonly state: 'idle' | 'connecting' | 'connected' | 'closed' }
  | { readonly state: 'backoff'; readonly error: unknown; readonly retryInMs: number };

/** A connection that ended sooner than this counts as a failed attempt: a daemon may accept and hang up at once. */
const LASTING_MS = 1_000;

interface Subscription {
  readonly types: readonly DomainEventType[];
  readonly queue: EventQueue<DomainEvent | Resync>;
  attachedTo: Connection | undefined;
  /** Stops the flow from the connection it is attached to. */
  stop: (() => void) | undefined;
}

/**
 * A libvirt daemon, connected to when first used and again whenever the connection is lost.
 * While it is being connected calls wait; after a failed attempt they reject at once with that attempt's error, until
 * the next one has succeeded: a host that is down delays nobody. A call is never repeated.
 */
export class LibvirtClient extends StorageVerbs {
  readonly #options: LibvirtClientOptions;
  readonly #closing = new AbortController();
  readonly #subscriptions = new Set<Subscription>();
  readonly #stateListeners = new Set<(status: ClientStatus) => void>();
  #connection: Connection | undefined;
  #attempt: Promise<Connection> | undefined;
  #failures = 0;
  #retryTimer: NodeJS.Timeout | undefined;
  #status: ClientStatus = { state: 'idle' };

  constructor(options: LibvirtClientOptions) {
    super();
    this.#options = options;
  }

  get status(): ClientStatus {
    return this.#status;
  }

  /** Tells every change of {@link status}, until the returned function is called. */
  onStateChange(listener: (status: ClientStatus) => void): () => void {
    this.#stateListeners.add(listener);
    return () => void this.#stateListeners.delete(listener);
  }

  #setStatus(status: ClientStatus): void {
    if (this.#status.state === 'closed') return;
    this.#status = status;
    for (const listener of this.#stateListeners) listener(status);
  }

  override async call<N extends ProcedureName>(name: N, args: ArgsOf<N>, options: CallOptions = {}): Promise<RetOf<N>> {
    if (this.#connection !== undefined) return await this.#connection.call(name, args, options);
    const timeoutMs = options.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    const startedAt = performance.now();
    const connection = await this.#connected(name, timeoutMs, options.signal);
    const remainingMs = Math.max(1, timeoutMs - (performance.now() - startedAt));
    return await connection.call(name, args, { ...options, timeoutMs: remainingMs });
  }

  /** The connection, when the attempt under way (or a first one, begun now) succeeds in time. */
  async #connected(what: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Connection> {
    signal?.throwIfAborted();
    if (this.#closing.signal.aborted) throw new ConnectionError('closed', `${what}: not sent: the client is closed`);
    if (this.#status.state === 'backoff') throw notSent(what, this.#status.error);
    const attempt = this.#attempt ?? this.#connect();
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const timer = setTimeout(
      () => reject(new ConnectionError('timed-out', `${what}: not sent: no connection within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onAbort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    attempt.then(resolve, (error: unknown) => reject(notSent(what, error)));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #connect(): Promise<Connection> {
    this.#setStatus({ state: 'connecting' });
    const attempt = this.#open();
    this.#attempt = attempt;
    attempt.then(
      (connection) => this.#onConnected(connection),
      (error: unknown) => this.#onFailed(error),
    );
    return attempt;
  }

  async #open(): Promise<Connection> {
    const connection = await Connection.open({ ...this.#options, signal: this.#closing.signal });
    try {
      await this.#attachAll(connection);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  #onConnected(connection: Connection): void {
    this.#attempt = undefined;
    if (this.#closing.signal.aborted) {
      void connection.close();
      return;
    }
    this.#connection = connection;
    // Those made in the moment between the last look and this one.
    this.#attachAll(connection).catch(() => connection.close());
    const connectedAt = performance.now();
    this.#setStatus({ state: 'connected' });
    void connection.closed.then((reason) => {
      this.#connection = undefined;
      if (this.#closing.signal.aborted) return;
      if (performance.now() - connectedAt < LASTING_MS) this.#onFailed(reason);
      else {
        this.#failures = 0;
        void this.#connect();
      }
    });
  }

  #onFailed(error: unknown): void {
    this.#attempt = undefined;
    if (this.#closing.signal.aborted) return;
    const { backoffMinMs = 100, backoffMaxMs = 5_000, random = Math.random } = this.#options;
    const ceilingMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures + 1, 30));
    const retryInMs = Math.round(backoffMinMs + random() * Math.max(0, ceilingMs - backoffMinMs));
    this.#failures += 1;
    this.#retryTimer = setTimeout(() => void this.#connect(), retryInMs);
    this.#setStatus({ state: 'backoff', error, retryInMs });
  }

  // Events.

  /**
   * Domain events, beginning with a {@link Resync}, across any number of connections: after each reconnect, and when
   * the reader was too slow, another Resync says that events may be missing. Ends with {@link close} or `signal`.
   * @throws LibvirtError from the iteration, when the daemon does not know one of the events.
   */
  events(
    types: readonly DomainEventType[] = domainEventTypes,
    { signal, maxQueued }: { readonly signal?: AbortSignal; readonly maxQueued?: number } = {},
  ): EventQueue<DomainEvent | Resync> {
    const onAbort = (): void => queue.end();
    const queue = new EventQueue<DomainEvent | Resync>(
      () => ({ type: 'resync', reason: 'overflow' }),
      () => {
        this.#subscriptions.delete(subscription);
        subscription.stop?.();
        signal?.removeEventListener('abort', onAbort);
      },
      maxQueued,
    );
    const subscription: Subscription = { types, queue, attachedTo: undefined, stop: undefined };
    if (signal?.aborted || this.#closing.signal.aborted) {
      queue.end();
      return queue;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#subscriptions.add(subscription);
    const connection = this.#connection;
    // A connection on which registering fails is given up: the next one attaches all subscriptions.
    if (connection !== undefined) this.#attach(subscription, connection).catch(() => connection.close());
    else if (this.#attempt === undefined && this.#status.state === 'idle') this.#connect().catch(() => undefined);
    return queue;
  }

  /** Registers the events of all subscriptions, those included that are made meanwhile. */
  async #attachAll(connection: Connection): Promise<void> {
    for (;;) {
      const next = [...this.#subscriptions].find(({ attachedTo }) => attachedTo !== connection);
      if (next === undefined) return;
      await this.#attach(next, connection);
    }
  }

  /** @throws ConnectionError when the connection ended; what the daemon itself refuses ends the subscription. */
  async #attach(subscription: Subscription, connection: Connection): Promise<void> {
    const { types, queue } = subscription;
    const reason = subscription.attachedTo === undefined ? 'subscribed' : 'reconnected';
    subscription.attachedTo = connection;
    try {
      const stop = await connection.subscribe(types, (event, byteLength) => queue.push(event, byteLength));
      subscription.stop = stop;
      if (!this.#subscriptions.has(subscription)) stop();
      queue.push({ type: 'resync', reason });
    } catch (error) {
      if (error instanceof ConnectionError) throw error;
      queue.end({ error });
    }
  }

  // Transfers.

  override async uploadVolume(
    vol: StorageVolume,
    range: ByteRange,
    source: AsyncIterable<Uint8Array>,
    options: TransferOptions = {},
  ): Promise<number> {
    const transfer = this.#whileOpen(options);
    const connection = await Connection.open({ ...this.#options, signal: transfer.signal });
    try {
      const args = streamArgs(vol, range);
      return await connection.upload('STORAGE_VOL_UPLOAD', args, range.length ?? 0, source, transfer);
    } finally {
      await connection.close();
    }
  }

  override async *downloadVolume(
    vol: StorageVolume,
    range: ByteRange = {},
    options: TransferOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const transfer = this.#whileOpen(options);
    const connection = await Connection.open({ ...this.#options, signal: transfer.signal });
    try {
      yield* connection.download('STORAGE_VOL_DOWNLOAD', streamArgs(vol, range), transfer);
    } finally {
      await connection.close();
    }
  }

  /** The options of a transfer, which also ends with the client. Each has a connection that nobody else waits on. */
  #whileOpen(options: TransferOptions): TransferOptions & { readonly signal: AbortSignal } {
    const own = this.#closing.signal;
    return { ...options, signal: options.signal === undefined ? own : AbortSignal.any([own, options.signal]) };
  }

  /** Closes the connection and ends all subscriptions; what waits rejects. Safe to call again. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#setStatus({ state: 'closed' });
    clearTimeout(this.#retryTimer);
    this.#closing.abort(new ConnectionError('closed', 'the client was closed'));
    for (const { queue } of this.#subscriptions) queue.end();
    await this.#connection?.close();
    await this.#attempt?.catch(() => undefined);
  }
}

/** The failure of an attempt, as the failure of a call that waited for it. */
const notSent = (what: string, error: unknown): unknown =>
  error instanceof ConnectionError
    ? new ConnectionError(error.kind, `${what}: not sent: ${error.message}`, { cause: error })
    : error;
