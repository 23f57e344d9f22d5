/**
 * A scripted libvirt daemon on a unix socket: answers by script, and misbehaves on demand.
 * It speaks through the client's own codec, so layouts themselves are held by tests with bytes written out by hand.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XdrReader } from '../../src/libvirt/bytes/cursor.ts';
import type { XdrType } from '../../src/libvirt/bytes/xdr.ts';
import {
  encodeHeader,
  encodePacket,
  FrameDecoder,
  type Packet,
  type PacketHeader,
  PacketStatus,
  PacketType,
} from '../../src/libvirt/frame.ts';
import { pingPacket, pongPacket } from '../../src/libvirt/keepalive.ts';
import { Program } from '../../src/libvirt/procedures/procedure.ts';
import {
  type ArgsOf,
  type BodyOf,
  type MessageName,
  messages,
  type ProcedureName,
  procedures,
  type RetOf,
} from '../../src/libvirt/procedures.ts';
import { type Domain, remoteError } from '../../src/libvirt/structs.ts';

/** A domain to answer with. */
export const fakeDomain = (number: number, id = number): Domain => ({
  name: `vm${number}`,
  uuid: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
  id,
});

/** One call as the daemon got it, with the ways to answer. */
export interface FakeCall<N extends ProcedureName> {
  readonly connection: FakeConnection;
  readonly header: PacketHeader;
  readonly args: ArgsOf<N>;
  reply(ret: RetOf<N>): void;
  fail(error: { readonly code: number; readonly domain?: number; readonly message?: string }): void;
  /** The bytes of an answer, to be cut, changed or delayed. */
  replyBytes(ret: RetOf<N>, changes?: Partial<PacketHeader>): Buffer;
}

type Handler<N extends ProcedureName> = (call: FakeCall<N>) => void;

const procedureNames = new Map<string, ProcedureName>(
  (Object.keys(procedures) as ProcedureName[]).map((name) => [
    `${procedures[name].program}:${procedures[name].number}`,
    name,
  ]),
);

/** Bytes of an error reply or of a stream error. */
export const errorBytes = (
  header: PacketHeader,
  { code, domain = 7, message }: { readonly code: number; readonly domain?: number; readonly message?: string },
): Buffer =>
  encodePacket(header, remoteError, {
    code,
    domain,
    message,
    level: 2,
    dom: undefined,
    str1: message,
    str2: undefined,
    str3: undefined,
    int1: -1,
    int2: -1,
    net: undefined,
  });

/** One client's connection, as the daemon sees it. */
export class FakeConnection {
  readonly socket: Socket;
  /** Everything received, in order. */
  readonly received: Packet[] = [];
  readonly #daemon: FakeLibvirtd;
  readonly #decoder = new FrameDecoder();
  readonly #watchers = new Set<() => void>();

  constructor(daemon: FakeLibvirtd, socket: Socket) {
    this.#daemon = daemon;
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => this.#notify());
    socket.on('data', (chunk) => this.#decoder.push(Buffer.from(chunk), (packet) => this.#onPacket(packet)));
  }

  /** Calls received by this name. */
  calls(name: ProcedureName): Packet[] {
    const { program, number } = procedures[name];
    return this.received.filter(
      (packet) => packet.type === PacketType.call && packet.program === program && packet.procedure === number,
    );
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  event<M extends MessageName>(name: M, body: BodyOf<M>): void {
    const { program, number } = messages[name];
    const type = messages[name].body as XdrType<BodyOf<M>>;
    this.send(encodePacket(messageHeader(program, number), type, body));
  }

  lifecycle(dom: Domain, event: number, detail = 0): void {
    this.event('DOMAIN_EVENT_CALLBACK_LIFECYCLE', { callbackID: 1, msg: { dom, event, detail } });
  }

  ping(): void {
    this.send(pingPacket);
  }

  /** A stream packet to the client. */
  stream(call: PacketHeader, status: number, bytes: Uint8Array = new Uint8Array(0)): void {
    const header: PacketHeader = { ...call, type: PacketType.stream, status };
    this.send(Buffer.concat([encodeHeader(header, bytes.length), bytes]));
  }

  /** Resolves as soon as `condition` holds; looks again whenever something arrives. Fails after five seconds. */
  async until(condition: () => boolean, what = 'a condition of the fake daemon'): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), 5_000);
      const look = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
    });
  }

  #notify(): void {
    for (const look of [...this.#watchers]) look();
  }

  #onPacket(packet: Packet): void {
    this.received.push(packet);
    if (packet.program === Program.keepalive && packet.procedure === 1 && this.#daemon.answersPings) {
      this.send(pongPacket);
    }
    if (packet.type === PacketType.call) this.#daemon.dispatch(this, packet);
    else if (packet.type === PacketType.stream) this.#daemon.onStream?.(this, packet);
    this.#notify();
  }
}

const messageHeader = (program: number, procedure: number): PacketHeader => ({
  program,
  version: 1,
  procedure,
  type: PacketType.message,
  serial: 1,
  status: PacketStatus.ok,
});

export class FakeLibvirtd {
  readonly connections: FakeConnection[] = [];
  readonly socketPath: string;
  readonly uri: string;
  answersPings = true;
  /** Called for stream packets from the client. */
  onStream: ((connection: FakeConnection, packet: Packet) => void) | undefined;
  readonly #folder: string;
  readonly #handlers = new Map<ProcedureName, Handler<never>>();
  readonly #arrivals = new Set<() => void>();
  #server: Server | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
    this.socketPath = join(folder, 'sock');
    this.uri = `qemu+unix:///session?socket=${this.socketPath}`;
    let callbackID = 0;
    this.on('AUTH_LIST', (call) => call.reply({ types: [0] }));
    this.on('CONNECT_SUPPORTS_FEATURE', (call) => call.reply({ supported: 1 }));
    this.on('CONNECT_OPEN', (call) => call.reply({}));
    this.on('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', (call) => {
      callbackID += 1;
      call.reply({ callbackID });
    });
  }

  static async start(): Promise<FakeLibvirtd> {
    const daemon = new FakeLibvirtd(await mkdtemp(join(tmpdir(), 'fakevirt-')));
    await daemon.listen();
    return daemon;
  }

  /** Listens (again, after {@link down}) on the same socket. */
  async listen(): Promise<void> {
    const server = createServer((socket) => {
      this.connections.push(new FakeConnection(this, socket));
      for (const look of [...this.#arrivals]) look();
    });
    await new Promise<void>((resolve) => server.listen(this.socketPath, resolve));
    this.#server = server;
  }

  /** Answers calls of this name by `handler` from now on. Names without a handler get error 39. */
  on<N extends ProcedureName>(name: N, handler: Handler<N>): void {
    this.#handlers.set(name, handler as Handler<never>);
  }

  /** The `index`-th connection ever made, when it is there. */
  async connection(index = 0): Promise<FakeConnection> {
    for (;;) {
      const connection = this.connections[index];
      if (connection !== undefined) return connection;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`waited in vain for connection ${index}`)), 5_000);
        const look = (): void => {
          clearTimeout(timer);
          this.#arrivals.delete(look);
          resolve();
        };
        this.#arrivals.add(look);
      });
    }
  }

  dispatch(connection: FakeConnection, header: Packet): void {
    const name = procedureNames.get(`${header.program}:${header.procedure}`);
    const reply = (changes: Partial<PacketHeader> = {}): PacketHeader => ({
      program: header.program,
      version: 1,
      procedure: header.procedure,
      type: PacketType.reply,
      serial: header.serial,
      status: PacketStatus.ok,
      ...changes,
    });
    const handler = name === undefined ? undefined : this.#handlers.get(name);
    if (name === undefined || handler === undefined) {
      const message = `unknown procedure: ${header.procedure}`;
      connection.send(errorBytes(reply({ status: PacketStatus.error }), { code: 39, message }));
      return;
    }
    const ret = procedures[name].ret as XdrType<unknown>;
    const call: FakeCall<ProcedureName> = {
      connection,
      header,
      args: procedures[name].args.read(new XdrReader(header.payload)),
      reply: (value) => connection.send(encodePacket(reply(), ret, value)),
      fail: (error) => connection.send(errorBytes(reply({ status: PacketStatus.error }), error)),
      replyBytes: (value, changes) => encodePacket(reply(changes), ret, value),
    };
    handler(call as never);
  }

  /** Dies as if killed: every connection is cut and nobody listens. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const { socket } of this.connections) socket.destroy();
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async stop(): Promise<void> {
    await this.down();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
