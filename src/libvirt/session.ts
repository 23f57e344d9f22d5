/**
 * One open pipe to a daemon: calls and their replies, messages, streams, keepalive, and one single end.
 * It does not know how a connection is opened (connection.ts), nor what the calls mean.
 */
import { XdrError, XdrReader } from './bytes/cursor.ts';
import type { XdrType } from './bytes/xdr.ts';
import { CallTable } from './calls.ts';
import { ConnectionError, LibvirtError } from './errors.ts';
import {
  encodeHeader,
  encodePacket,
  FrameDecoder,
  type Packet,
  type PacketHeader,
  PacketStatus,
  PacketType,
} from './frame.ts';
import { Keepalive, KeepaliveProcedure, pingPacket } from './keepalive.ts';
import { Pipe } from './pipe.ts';
import { type Procedure, Program, type StreamDirection } from './procedures/procedure.ts';
import {
  type ArgsOf,
  type BodyOf,
  type MessageName,
  messages,
  type ProcedureName,
  procedures,
  type RetOf,
} from './procedures.ts';
import { remoteError } from './structs.ts';
import type { Transport } from './transport.ts';

/** How long a call may take, and how to stop waiting for it. */
export interface CallOptions {
  /** Deadline from submission to answer, waiting for a free slot included. Default 30 000. */
  readonly timeoutMs?: number | undefined;
  /** Aborting rejects with the signal's reason. A call that had been sent still happens. */
  readonly signal?: AbortSignal | undefined;
}

export const DEFAULT_CALL_TIMEOUT_MS = 30_000;

export interface SessionOptions {
  readonly maxInFlight?: number | undefined;
  readonly maxQueued?: number | undefined;
  readonly stuckAfterMs?: number | undefined;
}

/** A message as it came: its name, its body, and the bytes it took on the wire. */
export type MessageListener = <M extends MessageName>(name: M, body: BodyOf<M>, byteLength: number) => void;

/** Where a stream's packets go. Calls must not throw. */
export interface StreamSink {
  /** Data; empty at the end of a download. */
  onData(bytes: Buffer): void;
  /** The daemon confirmed the end (or our abort). */
  onConfirmed(): void;
  /** The daemon or the connection ended the stream. */
  onFailed(error: Error): void;
}

/** Serial and procedure of an open stream, needed to send on it. */
export interface StreamId {
  readonly procedure: number;
  readonly serial: number;
}

const messageNames = new Map<string, MessageName>(
  (Object.keys(messages) as MessageName[]).map((name) => [`${messages[name].program}:${messages[name].number}`, name]),
);

type AnyProcedure = Procedure<unknown, unknown, StreamDirection | undefined>;

export class Session {
  readonly #pipe: Pipe;
  readonly #decoder = new FrameDecoder();
  readonly #calls: CallTable;
  readonly #streams = new Map<number, StreamSink>();
  readonly #listeners = new Set<MessageListener>();
  #keepalive: Keepalive | undefined;
  #lastSerial = 0;
  #ended: ConnectionError | undefined;
  readonly #resolveClosed: (reason: ConnectionError) => void;
  /** Resolves, once, with why the session ended. */
  readonly closed: Promise<ConnectionError>;

  constructor(transport: Transport, options: SessionOptions = {}) {
    const { promise, resolve } = Promise.withResolvers<ConnectionError>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#pipe = new Pipe(transport);
    this.#calls = new CallTable({
      maxInFlight: options.maxInFlight ?? 4,
      maxQueued: options.maxQueued ?? 1_024,
      stuckAfterMs: options.stuckAfterMs ?? 60_000,
      send: (packets) => void this.#pipe.write(...packets),
      onStuck: () =>
        this.end(new ConnectionError('timed-out', 'every call slot is held by a call the daemon does not answer')),
    });
    this.#pipe.start({
      onData: (chunk) => this.#onData(chunk),
      onEnd: (error) =>
        this.end(
          new ConnectionError('closed', error === undefined ? 'the daemon closed the connection' : error.message, {
            cause: error,
          }),
        ),
    });
  }

  /** Why the session ended; undefined while it is open. */
  get ended(): ConnectionError | undefined {
    return this.#ended;
  }

  /** Calls in flight (abandoned ones included) and calls waiting for a slot. */
  get load(): { readonly inFlight: number; readonly queued: number; readonly abandoned: number } {
    return { inFlight: this.#calls.inFlight, queued: this.#calls.queued, abandoned: this.#calls.abandoned };
  }

  /**
   * Makes a call.
   * @throws LibvirtError what the daemon answered; ConnectionError when there is no answer; XdrError for arguments that
   *   do not fit (nothing is sent); the signal's reason when aborted.
   */
  call<N extends ProcedureName>(name: N, args: ArgsOf<N>, options: CallOptions = {}): Promise<RetOf<N>> {
    return this.#submit(name, args, options) as Promise<RetOf<N>>;
  }

  /** Makes a call that opens a stream; packets go to `sink` from the call on. Resolves when the daemon agreed. */
  async openStream<N extends ProcedureName>(
    name: N,
    args: ArgsOf<N>,
    sink: StreamSink,
    options: CallOptions = {},
  ): Promise<StreamId> {
    let id: StreamId | undefined;
    try {
      await this.#submit(name, args, options, (serial) => {
        id = { serial, procedure: procedures[name].number };
        this.#streams.set(serial, sink);
      });
    } catch (error) {
      if (id !== undefined) this.#streams.delete(id.serial);
      throw error;
    }
    if (id === undefined) throw new Error('a stream call went out without a serial');
    return id;
  }

  async #submit(
    name: ProcedureName,
    args: unknown,
    { timeoutMs = DEFAULT_CALL_TIMEOUT_MS, signal }: CallOptions,
    onSerial?: (serial: number) => void,
  ): Promise<unknown> {
    signal?.throwIfAborted();
    if (this.#ended !== undefined) {
      throw new ConnectionError('closed', `${name}: not sent: ${this.#ended.message}`, { cause: this.#ended });
    }
    const procedure = procedures[name] as AnyProcedure;
    const serial = this.#nextSerial();
    const packet = encodePacket(
      {
        program: procedure.program,
        version: 1,
        procedure: procedure.number,
        type: PacketType.call,
        serial,
        status: PacketStatus.ok,
      },
      procedure.args,
      args,
    );
    onSerial?.(serial);
    return await new Promise((resolve, reject) => {
      this.#calls.submit({
        serial,
        name,
        program: procedure.program,
        procedure: procedure.number,
        packet,
        priority: procedure.priority,
        timeoutMs,
        signal,
        resolve,
        reject,
      });
    });
  }

  #nextSerial(): number {
    do {
      this.#lastSerial = this.#lastSerial >= 0xffff_ffff ? 1 : this.#lastSerial + 1;
    } while (this.#calls.has(this.#lastSerial) || this.#streams.has(this.#lastSerial));
    return this.#lastSerial;
  }

  /** Hears every message the daemon sends that this client knows, until the returned function is called. */
  onMessage(listener: MessageListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Begins to ping when the daemon is silent. Only for daemons that know keepalive. */
  startKeepalive(intervalMs: number, count: number): void {
    if (this.#ended !== undefined || this.#keepalive !== undefined) return;
    this.#keepalive = new Keepalive({
      intervalMs,
      count,
      ping: () => {
        if (!this.#pipe.congested) this.#pipe.write(pingPacket);
      },
      onSilent: () =>
        this.end(new ConnectionError('timed-out', `nothing heard from the daemon for ${intervalMs * (count + 1)} ms`)),
    });
    this.#keepalive.readingPaused = this.#pipe.readingPaused;
  }

  /** Ends the session: the pipe is closed, all that waits is told. Safe to call again; the first reason stays. */
  end(reason: ConnectionError): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#keepalive?.stop();
    this.#pipe.destroy();
    this.#calls.close(reason);
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const sink of streams) {
      sink.onFailed(
        new ConnectionError(reason.kind === 'protocol' ? 'protocol' : 'closed', `stream ended: ${reason.message}`, {
          outcomeUnknown: true,
          cause: reason,
        }),
      );
    }
    this.#listeners.clear();
    this.#resolveClosed(reason);
  }

  // Streams: sending, and pausing what comes in.

  /** Sends one stream packet. False: wait for {@link whenWritable} before the next. */
  sendStream({ procedure, serial }: StreamId, status: number, bytes?: Uint8Array): boolean {
    const header: PacketHeader = {
      program: Program.remote,
      version: 1,
      procedure,
      type: PacketType.stream,
      serial,
      status,
    };
    if (bytes === undefined) return this.#pipe.write(encodeHeader(header));
    return this.#pipe.write(encodeHeader(header, bytes.length), bytes);
  }

  /** Resolves when the pipe takes data again, or has ended. */
  whenWritable(): Promise<void> {
    return this.#pipe.whenWritable();
  }

  /** Stops sending a stream's packets to its sink; later ones are dropped. */
  closeStream({ serial }: StreamId): void {
    this.#streams.delete(serial);
  }

  /** Stops reading from the pipe until every one who paused it resumes it. Replies and events wait as well. */
  pauseReading(who: object): void {
    this.#pipe.pauseReading(who);
    if (this.#keepalive !== undefined) this.#keepalive.readingPaused = true;
  }

  resumeReading(who: object): void {
    this.#pipe.resumeReading(who);
    if (this.#keepalive !== undefined) this.#keepalive.readingPaused = this.#pipe.readingPaused;
  }

  // What comes in.

  #onData(chunk: Buffer): void {
    this.#keepalive?.heard();
    try {
      this.#decoder.push(chunk, (packet) => {
        if (this.#ended === undefined) this.#onPacket(packet);
      });
    } catch (error) {
      // Whatever it was, it came of what the peer sent: it costs this connection, never the process.
      const message = error instanceof Error ? error.message : String(error);
      this.end(new ConnectionError('protocol', `the daemon broke the protocol: ${message}`, { cause: error }));
    }
  }

  /** Packets of a program, procedure or type we do not know are skipped: newer daemons may have more of them. */
  #onPacket(packet: Packet): void {
    switch (packet.type) {
      case PacketType.reply:
        this.#onReply(packet);
        break;
      case PacketType.message:
        if (packet.program !== Program.keepalive) this.#onMessage(packet);
        else if (packet.procedure === KeepaliveProcedure.ping) this.#pipe.answerPing();
        break;
      case PacketType.stream:
      case PacketType.streamHole:
        this.#onStream(packet);
        break;
    }
  }

  /** @throws XdrError naming the procedure, when the payload is not what it must be. */
  #decode<T>(what: string, type: XdrType<T>, packet: Packet): T {
    try {
      return type.read(new XdrReader(packet.payload));
    } catch (error) {
      if (!(error instanceof XdrError)) throw error;
      throw new XdrError(`${what}: ${error.message}`);
    }
  }

  #onReply(packet: Packet): void {
    const call = this.#calls.find(packet.serial);
    if (call === undefined) throw new XdrError(`reply with serial ${packet.serial}, which no open call has`);
    if (call.program !== packet.program || call.procedure !== packet.procedure) {
      throw new XdrError(`reply of procedure ${packet.procedure} to the call ${call.name}`);
    }
    const procedure = procedures[call.name as ProcedureName] as AnyProcedure;
    const failed = packet.status === PacketStatus.error;
    if (call.abandoned) {
      this.#calls.complete(packet.serial);
      // Nobody will use the stream this late answer opened: tell the daemon.
      if (!failed && procedure.stream !== undefined) this.sendStream(packet, PacketStatus.error);
      return;
    }
    if (failed) {
      const error = new LibvirtError(this.#decode(call.name, remoteError, packet), call.name);
      this.#calls.complete(packet.serial);
      call.reject(error);
      return;
    }
    const result = this.#decode(call.name, procedure.ret, packet);
    this.#calls.complete(packet.serial);
    call.resolve(result);
  }

  #onMessage(packet: Packet): void {
    const name = messageNames.get(`${packet.program}:${packet.procedure}`);
    if (name === undefined || this.#listeners.size === 0) return;
    const body = this.#decode(name, messages[name].body as XdrType<BodyOf<typeof name>>, packet);
    for (const listener of this.#listeners) listener(name, body, packet.payload.length);
  }

  #onStream(packet: Packet): void {
    const sink = this.#streams.get(packet.serial);
    // Data may still be on its way when we have closed a stream.
    if (sink === undefined) return;
    if (packet.type === PacketType.streamHole) throw new XdrError('a hole in a stream that was not opened as sparse');
    if (packet.status === PacketStatus.continue) sink.onData(packet.payload);
    else if (packet.status === PacketStatus.ok) sink.onConfirmed();
    else {
      this.#streams.delete(packet.serial);
      sink.onFailed(new LibvirtError(this.#decode('stream', remoteError, packet)));
    }
  }
}
