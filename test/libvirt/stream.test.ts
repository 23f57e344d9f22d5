/** Uploads and downloads against a scripted daemon: order, counting, back-pressure, abort and failure at every stage. */
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../src/libvirt/connection.ts';
import { StreamLengthError } from '../../src/libvirt/errors.ts';
import { MAX_PAYLOAD_BYTES, type Packet, PacketStatus, PacketType } from '../../src/libvirt/frame.ts';
import type { TransferOptions } from '../../src/libvirt/stream.ts';
import { errorBytes, type FakeConnection, type FakeLibvirtd } from '../support/fake-libvirtd.ts';
import { clientOf, failureOf, open, startDaemon } from './support.ts';

const vol = { pool: 'p', name: 'v', key: '/v' };
const args = { vol, offset: 0n, length: 0n, flags: 0 };
const uploadTo = (
  connection: Connection,
  source: AsyncIterable<Uint8Array>,
  bytes = 0,
  options: TransferOptions = {},
) => connection.upload('STORAGE_VOL_UPLOAD', args, bytes, source, options);

async function* chunks(...sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (const size of sizes) yield new Uint8Array(size).fill(size);
}

const streamPackets = (peer: FakeConnection): Packet[] =>
  peer.received.filter(({ type }) => type === PacketType.stream);
const sent = (peer: FakeConnection) => streamPackets(peer).map(({ status, payload }) => [status, payload.length]);

/** A daemon that takes uploads and confirms their end, and confirms aborts. */
const takeUploads = (daemon: FakeLibvirtd): void => {
  daemon.on('STORAGE_VOL_UPLOAD', (call) => call.reply({}));
  daemon.onStream = (peer, packet) => {
    if (packet.status !== PacketStatus.continue) peer.stream(packet, PacketStatus.ok);
  };
};

/** A daemon that sends `pieces` on download, then the end of the data; it confirms the end and aborts. */
const giveDownload = (daemon: FakeLibvirtd, ...pieces: readonly Uint8Array[]): void => {
  daemon.on('STORAGE_VOL_DOWNLOAD', (call) => {
    call.reply({});
    for (const piece of [...pieces, new Uint8Array(0)])
      call.connection.stream(call.header, PacketStatus.continue, piece);
  });
  daemon.onStream = (peer, packet) => peer.stream(packet, PacketStatus.ok);
};

describe('an upload', () => {
  it('sends what the source gives, in pieces, then the end, and counts', async () => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    const { connection, peer } = await open(daemon);
    await expect(uploadTo(connection, chunks(5, 0, 300_000), 300_005)).resolves.toBe(300_005);
    expect(sent(peer)).toEqual([
      [PacketStatus.continue, 5],
      [PacketStatus.continue, 262_120],
      [PacketStatus.continue, 37_880],
      [PacketStatus.ok, 0],
    ]);
    const [call] = peer.calls('STORAGE_VOL_UPLOAD');
    for (const packet of streamPackets(peer)) expect(packet).toMatchObject({ serial: call?.serial, procedure: 208 });
  });

  it.each([
    ['too few', 11, 10],
    ['too many', 9, 10],
  ])('of %s bytes is aborted', async (_name, expectedBytes, actualBytes) => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    const { connection, peer } = await open(daemon);
    const error = await failureOf(uploadTo(connection, chunks(10), expectedBytes));
    expect(error).toBeInstanceOf(StreamLengthError);
    expect(error).toMatchObject({ expectedBytes, actualBytes });
    expect(sent(peer).at(-1)).toEqual([PacketStatus.error, 0]);
    expect(connection.isOpen).toBe(true);
  });

  it('whose source fails is aborted, and fails with the source’s error', async () => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    const { connection, peer } = await open(daemon);
    const reason = new Error('disk on fire');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(3);
      throw reason;
    }
    expect(await failureOf(uploadTo(connection, failing()))).toBe(reason);
    expect(sent(peer)).toEqual([
      [PacketStatus.continue, 3],
      [PacketStatus.error, 0],
    ]);
  });

  it('that the daemon breaks off fails at once, though the source is stuck, and lets the source go', async () => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    daemon.onStream = (peer, packet) => {
      const header = { ...packet, type: PacketType.stream, status: PacketStatus.error };
      peer.send(errorBytes(header, { code: 38, message: 'cannot write to stream: No space left on device' }));
    };
    const { connection, peer } = await open(daemon);
    let returned = false;
    let given = 0;
    const source: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          given += 1;
          return given === 1
            ? Promise.resolve({ done: false, value: new Uint8Array(3) })
            : new Promise(() => undefined);
        },
        return: () => {
          returned = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    expect(await failureOf(uploadTo(connection, source))).toMatchObject({ code: 38, codeName: 'SYSTEM_ERROR' });
    expect(returned).toBe(true);
    expect(sent(peer)).toEqual([[PacketStatus.continue, 3]]);
  });

  it('that the daemon refuses to begin fails with its error, without touching the source', async () => {
    const daemon = await startDaemon();
    daemon.on('STORAGE_VOL_UPLOAD', (call) => call.fail({ code: 50 }));
    const { connection } = await open(daemon);
    const source = { [Symbol.asyncIterator]: () => expect.unreachable() };
    expect(await failureOf(uploadTo(connection, source))).toMatchObject({ codeName: 'NO_STORAGE_VOL' });
  });

  it('waits for a daemon that does not read, without buffering the source', async () => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    const { connection, peer } = await open(daemon);
    let given = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (; given < 200; given += 1) yield new Uint8Array(262_120);
    }
    daemon.on('STORAGE_VOL_UPLOAD', (call) => {
      call.reply({});
      peer.socket.pause();
    });
    const uploading = uploadTo(connection, endless(), 200 * 262_120);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(given).toBeLessThan(20);
    peer.socket.resume();
    await expect(uploading).resolves.toBe(200 * 262_120);
  });

  it('gives up a daemon that takes nothing within the deadline, or never confirms the end', async () => {
    const daemon = await startDaemon();
    daemon.on('STORAGE_VOL_UPLOAD', (call) => call.reply({}));
    daemon.onStream = (peer, packet) => {
      if (packet.status === PacketStatus.error) peer.stream(packet, PacketStatus.ok);
    };
    const { connection, peer } = await open(daemon);
    const unconfirmed = await failureOf(uploadTo(connection, chunks(1), 1, { timeoutMs: 30 }));
    expect(unconfirmed).toMatchObject({ kind: 'timed-out', outcomeUnknown: true });
    expect(sent(peer).at(-1)).toEqual([PacketStatus.error, 0]);
  });

  it('ends with its signal and with its connection', async () => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    const { connection, peer } = await open(daemon);
    const controller = new AbortController();
    const reason = new Error('enough');
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1);
      await new Promise(() => undefined);
    }
    const first = failureOf(uploadTo(connection, stuck(), 0, { signal: controller.signal }));
    await peer.until(() => streamPackets(peer).length === 1);
    controller.abort(reason);
    expect(await first).toBe(reason);
    expect(sent(peer).at(-1)).toEqual([PacketStatus.error, 0]);
    const second = failureOf(uploadTo(connection, stuck()));
    await peer.until(() => streamPackets(peer).length === 3);
    peer.socket.destroy();
    expect(await second).toMatchObject({ kind: 'closed', outcomeUnknown: true });
  });

  it('whose opening timed out is told to stop when the late answer comes', async () => {
    const daemon = await startDaemon();
    let answer = (): void => undefined;
    daemon.on('STORAGE_VOL_UPLOAD', (call) => {
      answer = () => call.reply({});
    });
    const { connection, peer } = await open(daemon);
    expect(await failureOf(uploadTo(connection, chunks(1), 0, { timeoutMs: 20 }))).toMatchObject({ kind: 'timed-out' });
    answer();
    await peer.until(() => streamPackets(peer).length === 1);
    expect(sent(peer)).toEqual([[PacketStatus.error, 0]]);
  });
});

describe('a download', () => {
  const read = async (source: AsyncIterable<Uint8Array>): Promise<Buffer> => {
    const all: Uint8Array[] = [];
    for await (const bytes of source) all.push(bytes);
    return Buffer.concat(all);
  };

  it('gives the bytes in order, up to the end', async () => {
    const daemon = await startDaemon();
    giveDownload(daemon, Buffer.from('hello '), Buffer.from('world'), Buffer.alloc(MAX_PAYLOAD_BYTES, 7));
    const { connection, peer } = await open(daemon);
    const bytes = await read(connection.download('STORAGE_VOL_DOWNLOAD', args));
    expect(bytes.subarray(0, 11).toString()).toBe('hello world');
    expect(bytes.length).toBe(11 + MAX_PAYLOAD_BYTES);
    expect(sent(peer)).toEqual([[PacketStatus.ok, 0]]);
  });

  it('left early is broken off, and the connection goes on', async () => {
    const daemon = await startDaemon();
    giveDownload(daemon, Buffer.alloc(10), Buffer.alloc(10));
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection, peer } = await open(daemon);
    for await (const bytes of connection.download('STORAGE_VOL_DOWNLOAD', args)) {
      expect(bytes.length).toBe(10);
      break;
    }
    expect(sent(peer)).toEqual([[PacketStatus.error, 0]]);
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
  });

  it('read slowly holds back the daemon, not the memory, and loses nothing; pings keep it alive', async () => {
    const daemon = await startDaemon();
    const piece = Buffer.alloc(262_120, 1);
    const count = 80;
    giveDownload(daemon, ...Array.from({ length: count }, () => piece));
    const { connection, peer } = await open(daemon, { keepaliveIntervalMs: 20, keepaliveCount: 1 });
    let total = 0;
    for await (const bytes of connection.download('STORAGE_VOL_DOWNLOAD', args)) {
      if (total === 0) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        expect(peer.socket.writableLength).toBeGreaterThan((count / 2) * piece.length);
      }
      total += bytes.length;
    }
    expect(total).toBe(count * piece.length);
  });

  it('fails with what the daemon says, also in the middle', async () => {
    const daemon = await startDaemon();
    daemon.on('STORAGE_VOL_DOWNLOAD', (call) => {
      call.reply({});
      call.connection.stream(call.header, PacketStatus.continue, Buffer.alloc(4));
      const header = { ...call.header, type: PacketType.stream, status: PacketStatus.error };
      call.connection.send(errorBytes(header, { code: 38, message: 'I/O error' }));
    });
    const { connection } = await open(daemon);
    const error = await failureOf(read(connection.download('STORAGE_VOL_DOWNLOAD', args)));
    expect(error).toMatchObject({ code: 38, message: 'I/O error' });
  });

  it('without an end of data, or with none coming, is an error', async () => {
    const daemon = await startDaemon();
    daemon.on('STORAGE_VOL_DOWNLOAD', (call) => {
      call.reply({});
      if (call.args.offset === 1n) call.connection.stream(call.header, PacketStatus.ok);
    });
    daemon.onStream = (peer, packet) => peer.stream(packet, PacketStatus.ok);
    const { connection } = await open(daemon);
    const early = connection.download('STORAGE_VOL_DOWNLOAD', { ...args, offset: 1n });
    expect(await failureOf(read(early))).toMatchObject({ kind: 'protocol' });
    const silent = connection.download('STORAGE_VOL_DOWNLOAD', args, { timeoutMs: 30 });
    expect(await failureOf(read(silent))).toMatchObject({ kind: 'timed-out' });
  });
});

describe('a client', () => {
  it('transfers on a connection of its own, which it closes', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    takeUploads(daemon);
    const client = clientOf(daemon);
    await client.hostname();
    await expect(client.uploadVolume(vol, { offset: 7, length: 3 }, chunks(3))).resolves.toBe(3);
    giveDownload(daemon, Buffer.from('abc'));
    for await (const bytes of client.downloadVolume(vol)) expect(Buffer.from(bytes).toString()).toBe('abc');
    expect(daemon.connections).toHaveLength(3);
    for (const peer of daemon.connections.slice(1)) await peer.until(() => peer.socket.destroyed);
    expect(daemon.connections[0]?.socket.destroyed).toBe(false);
  });

  it('that is closed ends its transfers', async () => {
    const daemon = await startDaemon();
    takeUploads(daemon);
    const client = clientOf(daemon);
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1);
      await new Promise(() => undefined);
    }
    const uploading = failureOf(client.uploadVolume(vol, {}, stuck()));
    const peer = await daemon.connection();
    await peer.until(() => streamPackets(peer).length === 1);
    await client.close();
    expect(await uploading).toMatchObject({ kind: 'closed' });
  });
});
