/** One connection against a scripted daemon: replies in any order, limits, deadlines, and a peer that misbehaves. */
import { describe, expect, it } from 'vitest';
import { ConnectionError, LibvirtError } from '../../src/libvirt/errors.ts';
import { encodeHeader, PacketStatus, PacketType } from '../../src/libvirt/frame.ts';
import { Program } from '../../src/libvirt/procedures/procedure.ts';
import { type FakeCall, fakeDomain } from '../support/fake-libvirtd.ts';
import { failureOf, open, startDaemon } from './support.ts';

const info = { state: 1, maxMem: 4_096n, memory: 2_048n, nrVirtCpu: 1, cpuTime: 5n };
const infoOf = (number: number) => ({ dom: fakeDomain(number) });

describe('calls', () => {
  it('get their own replies, in whatever order these come', async () => {
    const daemon = await startDaemon();
    const held: FakeCall<'DOMAIN_LOOKUP_BY_NAME'>[] = [];
    daemon.on('DOMAIN_LOOKUP_BY_NAME', (call) => {
      held.push(call);
      if (held.length < 3) return;
      for (const { args, reply } of held.reverse()) reply({ dom: fakeDomain(Number(args.name)) });
    });
    const { connection } = await open(daemon);
    const names = ['1', '2', '3'];
    const replies = await Promise.all(names.map((name) => connection.call('DOMAIN_LOOKUP_BY_NAME', { name })));
    expect(replies.map(({ dom }) => dom.name)).toEqual(['vm1', 'vm2', 'vm3']);
  });

  it('are never more than four with the daemon, and urgent ones overtake those that wait', async () => {
    const daemon = await startDaemon();
    const held: FakeCall<'DOMAIN_GET_INFO'>[] = [];
    daemon.on('DOMAIN_GET_INFO', (call) => held.push(call));
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection, peer } = await open(daemon);
    const calls = [0, 1, 2, 3, 4, 5].map((number) => connection.call('DOMAIN_GET_INFO', infoOf(number)));
    await peer.until(() => held.length === 4);
    const urgent = connection.call('CONNECT_GET_HOSTNAME', {});
    expect(connection.load).toEqual({ inFlight: 4, queued: 3, abandoned: 0 });
    held.shift()?.reply(info);
    await expect(urgent).resolves.toEqual({ hostname: 'h' });
    await peer.until(() => held.length === 4);
    expect(connection.load).toEqual({ inFlight: 4, queued: 1, abandoned: 0 });
    const order = peer.received.filter(({ type }) => type === PacketType.call).map(({ procedure }) => procedure);
    expect(order.slice(-6)).toEqual([16, 16, 16, 16, 59, 16]);
    daemon.on('DOMAIN_GET_INFO', (call) => call.reply(info));
    for (const call of held) call.reply(info);
    await expect(Promise.all(calls)).resolves.toHaveLength(6);
  });

  it('beyond the queue are refused, unsent', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const { connection } = await open(daemon, { limits: { maxQueued: 6 } });
    const calls = Array.from({ length: 7 }, (_, number) =>
      failureOf(connection.call('DOMAIN_GET_INFO', infoOf(number))),
    );
    const refused = await calls.at(-1);
    expect(refused).toMatchObject({ kind: 'busy', outcomeUnknown: false });
    await connection.close();
    await Promise.all(calls);
  });

  it('that the daemon refuses reject with its error', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_LOOKUP_BY_NAME', (call) => call.fail({ code: 42, domain: 10, message: 'Domain not found' }));
    const { connection } = await open(daemon);
    const error = await failureOf(connection.call('DOMAIN_LOOKUP_BY_NAME', { name: 'x' }));
    expect(error).toBeInstanceOf(LibvirtError);
    expect(error).toMatchObject({ code: 42, codeName: 'NO_DOMAIN', domain: 10, level: 2, message: 'Domain not found' });
    const unknown = await failureOf(connection.call('CONNECT_GET_SYSINFO', { flags: 0 }));
    expect(unknown).toMatchObject({ code: 39, message: 'unknown procedure: 203', procedure: 'CONNECT_GET_SYSINFO' });
    daemon.on('DOMAIN_LOOKUP_BY_NAME', (call) => call.fail({ code: 4_711 }));
    const silent = await failureOf(connection.call('DOMAIN_LOOKUP_BY_NAME', { name: 'x' }));
    expect(silent).toMatchObject({ code: 4_711, codeName: 'UNKNOWN_4711', message: 'libvirt error 4711' });
  });

  it('with arguments that cannot be sent reject, and cost nothing', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection, peer } = await open(daemon);
    const long = connection.call('DOMAIN_LOOKUP_BY_NAME', { name: 'x'.repeat(4_194_305) });
    await expect(long).rejects.toThrow('over the limit');
    await expect(connection.call('DOMAIN_LOOKUP_BY_UUID', { uuid: 'x' })).rejects.toThrow('not a uuid');
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
    expect(peer.calls('DOMAIN_LOOKUP_BY_NAME')).toEqual([]);
  });
});

describe('a deadline', () => {
  it('ends the wait, not the call: its slot stays taken until the late reply, which is dropped', async () => {
    const daemon = await startDaemon();
    const held: FakeCall<'DOMAIN_GET_INFO'>[] = [];
    daemon.on('DOMAIN_GET_INFO', (call) => held.push(call));
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection } = await open(daemon);
    const error = await failureOf(connection.call('DOMAIN_GET_INFO', infoOf(1), { timeoutMs: 30 }));
    expect(error).toMatchObject({ kind: 'timed-out', outcomeUnknown: true });
    expect(connection.load).toEqual({ inFlight: 1, queued: 0, abandoned: 1 });
    held[0]?.reply(info);
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
    expect(connection.load).toEqual({ inFlight: 0, queued: 0, abandoned: 0 });
    expect(connection.isOpen).toBe(true);
  });

  it('also ends the wait for a slot, and then the call was never sent', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const { connection, peer } = await open(daemon);
    const stuck = [1, 2, 3, 4].map((number) => failureOf(connection.call('DOMAIN_GET_INFO', infoOf(number))));
    await peer.until(() => peer.calls('DOMAIN_GET_INFO').length === 4);
    const error = await failureOf(connection.call('DOMAIN_DESTROY', infoOf(5), { timeoutMs: 30 }));
    expect(error).toMatchObject({ kind: 'timed-out', outcomeUnknown: false });
    expect(peer.calls('DOMAIN_DESTROY')).toEqual([]);
    await connection.close();
    await Promise.all(stuck);
  });

  it('passed by every call in flight ends the connection after a while: nothing could use it any more', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const { connection } = await open(daemon, { limits: { stuckAfterMs: 50 } });
    const calls = [1, 2, 3, 4, 5].map((number) =>
      failureOf(connection.call('DOMAIN_GET_INFO', infoOf(number), { timeoutMs: number === 5 ? 5_000 : 20 })),
    );
    await expect(connection.closed).resolves.toMatchObject({ kind: 'timed-out' });
    const errors = await Promise.all(calls);
    expect(errors[4]).toMatchObject({ kind: 'closed', outcomeUnknown: false });
  });
});

describe('an abort', () => {
  it('before sending sends nothing; after sending drops the late reply', async () => {
    const daemon = await startDaemon();
    const held: FakeCall<'DOMAIN_GET_INFO'>[] = [];
    daemon.on('DOMAIN_GET_INFO', (call) => held.push(call));
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection, peer } = await open(daemon);
    const controller = new AbortController();
    const reason = new Error('no longer needed');
    const options = { signal: controller.signal };
    const calls = [1, 2, 3, 4, 5].map((number) =>
      failureOf(connection.call('DOMAIN_GET_INFO', infoOf(number), options)),
    );
    await peer.until(() => held.length === 4);
    controller.abort(reason);
    expect(await Promise.all(calls)).toEqual([reason, reason, reason, reason, reason]);
    expect(await failureOf(connection.call('DOMAIN_GET_INFO', infoOf(6), options))).toBe(reason);
    for (const call of held) call.reply(info);
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
    expect(peer.calls('DOMAIN_GET_INFO')).toHaveLength(4);
    expect(connection.load).toEqual({ inFlight: 0, queued: 0, abandoned: 0 });
  });
});

describe('the end of the connection', () => {
  it('rejects what was sent with outcome unknown, and what was not as unsent', async () => {
    const daemon = await startDaemon();
    let received = 0;
    daemon.on('DOMAIN_GET_INFO', ({ connection: peer }) => {
      received += 1;
      if (received === 4) peer.socket.destroy();
    });
    const { connection } = await open(daemon);
    const calls = [1, 2, 3, 4, 5].map((number) => failureOf(connection.call('DOMAIN_GET_INFO', infoOf(number))));
    const errors = await Promise.all(calls);
    expect(errors.map((error) => error instanceof ConnectionError && [error.kind, error.outcomeUnknown])).toEqual([
      ...Array(4).fill(['closed', true]),
      ['closed', false],
    ]);
    await expect(connection.closed).resolves.toMatchObject({ kind: 'closed' });
    expect(connection.isOpen).toBe(false);
    const later = await failureOf(connection.call('CONNECT_GET_HOSTNAME', {}));
    expect(later).toMatchObject({ kind: 'closed', outcomeUnknown: false });
  });

  it('in the middle of a packet is the same', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', ({ connection: peer, replyBytes }) => {
      peer.socket.end(replyBytes(info).subarray(0, 40));
    });
    const { connection } = await open(daemon);
    const error = await failureOf(connection.call('DOMAIN_GET_INFO', infoOf(1)));
    expect(error).toMatchObject({ kind: 'closed', outcomeUnknown: true });
  });

  it('by this side tells everyone who waits', async () => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const { connection, peer } = await open(daemon);
    const waiting = failureOf(connection.call('DOMAIN_GET_INFO', infoOf(1)));
    await peer.until(() => peer.calls('DOMAIN_GET_INFO').length === 1);
    await connection.close();
    await connection.close();
    expect(await waiting).toMatchObject({ kind: 'closed', outcomeUnknown: true });
    await peer.until(() => peer.socket.destroyed);
  });
});

describe('a peer that breaks the protocol loses the connection, not the process:', () => {
  const lies: readonly (readonly [string, (call: FakeCall<'DOMAIN_GET_INFO'>) => Uint8Array])[] = [
    ['a length bomb', () => Buffer.from('fffffff0', 'hex')],
    ['a length of zero', () => Buffer.alloc(4)],
    ['a serial that no call has', (call) => call.replyBytes(info, { serial: 4_000_000 })],
    ['a reply of another procedure', (call) => call.replyBytes(info, { procedure: 17 })],
    ['a reply of another program', (call) => call.replyBytes(info, { program: Program.qemu })],
    ['a result that is too short', ({ header }) => encodeHeader({ ...header, type: PacketType.reply })],
    [
      'an error that is too short',
      ({ header }) => encodeHeader({ ...header, type: PacketType.reply, status: PacketStatus.error }),
    ],
  ];
  it.each(lies)('%s', async (_name, lie) => {
    const daemon = await startDaemon();
    daemon.on('DOMAIN_GET_INFO', (call) => call.connection.send(lie(call)));
    const { connection } = await open(daemon);
    const error = await failureOf(connection.call('DOMAIN_GET_INFO', infoOf(1)));
    expect(error).toMatchObject({ kind: 'protocol', outcomeUnknown: true });
    await expect(connection.closed).resolves.toMatchObject({ kind: 'protocol' });
  });

  it('a string and a list beyond their limits', async () => {
    const daemon = await startDaemon();
    const bomb = (
      call: FakeCall<'CONNECT_GET_HOSTNAME'> | FakeCall<'CONNECT_LIST_ALL_DOMAINS'>,
      word: string,
    ): void => {
      const payload = Buffer.from(word, 'hex');
      const header = encodeHeader({ ...call.header, type: PacketType.reply }, payload.length);
      call.connection.send(Buffer.concat([header, payload]));
    };
    daemon.on('CONNECT_GET_HOSTNAME', (call) => bomb(call, '00400001'));
    daemon.on('CONNECT_LIST_ALL_DOMAINS', (call) => bomb(call, '00004001'));
    const first = (await open(daemon)).connection;
    await expect(first.call('CONNECT_GET_HOSTNAME', {})).rejects.toThrow('string length of 4194305 is over the limit');
    const second = (await open(daemon)).connection;
    const list = second.call('CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags: 0 });
    await expect(list).rejects.toThrow('array count of 16385 is over the limit');
  });
});

describe('packets this client does not know', () => {
  it('are skipped', async () => {
    const daemon = await startDaemon();
    const base = { program: Program.remote, version: 1, procedure: 9_999, type: 2, serial: 1, status: 0 };
    daemon.on('CONNECT_GET_HOSTNAME', (call) => {
      const { connection: peer } = call;
      peer.send(encodeHeader(base));
      peer.send(encodeHeader({ ...base, type: PacketType.call }));
      peer.send(encodeHeader({ ...base, type: 77 }));
      peer.send(encodeHeader({ ...base, program: 0x1234 }));
      peer.send(encodeHeader({ ...base, type: PacketType.stream, serial: 999, status: PacketStatus.continue }));
      peer.send(encodeHeader({ ...base, program: Program.keepalive, procedure: 3 }));
      call.reply({ hostname: 'h' });
    });
    const { connection } = await open(daemon);
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
  });
});

describe('keepalive', () => {
  const pongs = (packets: readonly { program: number; procedure: number }[]): number =>
    packets.filter(({ program, procedure }) => program === Program.keepalive && procedure === 2).length;

  it('answers every ping', async () => {
    const daemon = await startDaemon();
    const { peer } = await open(daemon);
    for (let count = 0; count < 3; count += 1) peer.ping();
    await peer.until(() => pongs(peer.received) === 3);
  });

  it('pings a silent daemon, and stays while it answers', async () => {
    const daemon = await startDaemon();
    const { connection, peer } = await open(daemon, { keepaliveIntervalMs: 20, keepaliveCount: 1 });
    const pings = () =>
      peer.received.filter(({ program, procedure }) => program === Program.keepalive && procedure === 1);
    await peer.until(() => pings().length >= 4);
    expect(connection.isOpen).toBe(true);
  });

  it('gives up a daemon that stays silent, and says so', async () => {
    const daemon = await startDaemon();
    daemon.answersPings = false;
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const { connection } = await open(daemon, { keepaliveIntervalMs: 20, keepaliveCount: 2 });
    const waiting = failureOf(connection.call('DOMAIN_GET_INFO', infoOf(1)));
    await expect(connection.closed).resolves.toMatchObject({
      kind: 'timed-out',
      message: expect.stringMatching(/nothing heard/),
    });
    expect(await waiting).toMatchObject({ kind: 'closed', outcomeUnknown: true });
  });

  it('is not asked of a daemon that does not know it', async () => {
    const daemon = await startDaemon();
    daemon.answersPings = false;
    daemon.on('CONNECT_SUPPORTS_FEATURE', (call) => call.fail({ code: 39 }));
    daemon.on('DOMAIN_GET_INFO', () => undefined);
    const { connection, peer } = await open(daemon, { keepaliveIntervalMs: 5, keepaliveCount: 1 });
    await failureOf(connection.call('DOMAIN_GET_INFO', infoOf(1), { timeoutMs: 60 }));
    expect(connection.isOpen).toBe(true);
    expect(peer.received.filter(({ program }) => program === Program.keepalive)).toEqual([]);
  });

  it('does not pile up answers for a peer that pings and never reads', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection, peer } = await open(daemon);
    peer.socket.pause();
    const pings = Buffer.concat(
      Array(10_000).fill(
        encodeHeader({ program: Program.keepalive, version: 1, procedure: 1, type: 2, serial: 0, status: 0 }),
      ),
    );
    for (let round = 0; round < 100; round += 1) {
      if (!peer.socket.write(pings)) await new Promise((resolve) => peer.socket.once('drain', resolve));
    }
    peer.socket.resume();
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
    expect(pongs(peer.received)).toBeLessThan(100_000);
  });
});
