/** Opening a connection: authentication, what can go wrong on the way, and what the daemon is asked in which order. */
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { Connection } from '../../src/libvirt/connection.ts';
import { LibvirtError } from '../../src/libvirt/errors.ts';
import { connectFault, connectTransport } from '../../src/libvirt/transport.ts';
import { failureOf, open, startDaemon } from './support.ts';

describe('opening', () => {
  it('asks for authentication, then keepalive, then opens what the URI names', async () => {
    const daemon = await startDaemon();
    const opened: unknown[] = [];
    daemon.on('CONNECT_OPEN', (call) => {
      opened.push(call.args);
      call.reply({});
    });
    const { peer } = await open(daemon);
    expect(peer.received.map(({ procedure, serial }) => [procedure, serial])).toEqual([
      [66, 1],
      [60, 2],
      [1, 3],
    ]);
    await open(daemon, { readOnly: true, keepaliveIntervalMs: 0 });
    expect(opened).toEqual([
      { name: 'qemu:///session', flags: 0 },
      { name: 'qemu:///session', flags: 1 },
    ]);
  });

  it('works over TCP', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const relay = createServer((socket) => {
      const upstream = connect(daemon.socketPath);
      socket.pipe(upstream).pipe(socket);
      socket.on('error', () => upstream.destroy());
      upstream.on('error', () => socket.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const address = relay.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const connection = await Connection.open({ uri: `qemu+tcp://127.0.0.1:${port}/session` });
    await expect(connection.call('CONNECT_GET_HOSTNAME', {})).resolves.toEqual({ hostname: 'h' });
    await connection.close();
    await new Promise((resolve) => relay.close(resolve));
    const refused = await failureOf(Connection.open({ uri: `qemu+tcp://127.0.0.1:${port}/session` }));
    expect(refused).toMatchObject({ kind: 'refused', outcomeUnknown: false });
  });

  it('authenticates by polkit when asked to', async () => {
    const daemon = await startDaemon();
    daemon.on('AUTH_LIST', (call) => call.reply({ types: [2] }));
    daemon.on('AUTH_POLKIT', (call) => call.reply({ complete: 1 }));
    const { peer } = await open(daemon);
    expect(peer.received.map(({ procedure }) => procedure)).toEqual([66, 70, 60, 1]);
    daemon.on('AUTH_POLKIT', (call) => call.fail({ code: 45, domain: 60, message: 'authentication failed: no agent' }));
    const error = await failureOf(Connection.open({ uri: daemon.uri }));
    expect(error).toMatchObject({ kind: 'auth', message: expect.stringMatching(/no agent.*group libvirt/) });
  });

  it.each([
    [[1], /SASL, which is not supported yet/],
    [[9], /unknown authentication \(9\)/],
  ])('says that authentication %j is beyond it', async (types, message) => {
    const daemon = await startDaemon();
    daemon.on('AUTH_LIST', (call) => call.reply({ types }));
    const error = await failureOf(Connection.open({ uri: daemon.uri }));
    expect(error).toMatchObject({ kind: 'auth', message: expect.stringMatching(message) });
  });

  it('passes on what the daemon has against it', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_OPEN', (call) => call.fail({ code: 1, message: "unexpected QEMU URI path '/x'" }));
    const error = await failureOf(Connection.open({ uri: daemon.uri }));
    expect(error).toBeInstanceOf(LibvirtError);
    const peer = await daemon.connection();
    await peer.until(() => peer.socket.destroyed);
  });
});

describe('opening fails', () => {
  it('when there is no socket, or nobody behind it', async () => {
    const daemon = await startDaemon();
    const absent = await failureOf(Connection.open({ uri: `${daemon.uri}.not` }));
    expect(absent).toMatchObject({ kind: 'unreachable', message: expect.stringContaining('no such socket') });
    await daemon.down();
    await writeFile(daemon.socketPath, '');
    const refused = await failureOf(Connection.open({ uri: daemon.uri }));
    expect(refused).toMatchObject({ kind: 'refused', message: expect.stringContaining('daemon running') });
  });

  it('when the daemon never answers, at the deadline', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_OPEN', () => undefined);
    const error = await failureOf(Connection.open({ uri: daemon.uri, connectTimeoutMs: 50 }));
    expect(error).toMatchObject({ kind: 'timed-out', outcomeUnknown: false });
    const peer = await daemon.connection();
    await peer.until(() => peer.socket.destroyed);
  });

  it('when the host answers nothing at all, at the deadline or when aborted', async () => {
    const silent = () => new Duplex({ read: () => undefined });
    const stream = silent();
    const error = await failureOf(connectTransport(stream, 'host:1', { timeoutMs: 20 }));
    expect(error).toMatchObject({ kind: 'timed-out', message: 'cannot connect to host:1: no answer within 20 ms' });
    expect(stream.destroyed).toBe(true);
    const reason = new Error('changed my mind');
    const options = { timeoutMs: 5_000, signal: AbortSignal.abort(reason) };
    expect(await failureOf(connectTransport(silent(), 'host:1', options))).toBe(reason);
  });

  it.each([
    ['ECONNREFUSED', 'refused'],
    ['EACCES', 'refused'],
    ['EHOSTUNREACH', 'unreachable'],
    ['ENOTFOUND', 'unreachable'],
    ['ETIMEDOUT', 'timed-out'],
    ['EWHATEVER', 'unreachable'],
  ])('with %s as %s', (code, kind) => {
    expect(connectFault('h', Object.assign(new Error('x'), { code }))).toMatchObject({ kind, outcomeUnknown: false });
  });

  it('when the daemon hangs up', async () => {
    const daemon = await startDaemon();
    daemon.on('AUTH_LIST', ({ connection }) => connection.socket.destroy());
    const error = await failureOf(Connection.open({ uri: daemon.uri }));
    expect(error).toMatchObject({ kind: 'closed', outcomeUnknown: false });
  });

  it('when it is no libvirt daemon', async () => {
    const daemon = await startDaemon();
    daemon.on('AUTH_LIST', ({ connection }) => connection.send(Buffer.from('SSH-2.0-OpenSSH_9.2p1\r\n')));
    const error = await failureOf(Connection.open({ uri: daemon.uri }));
    expect(error).toMatchObject({ kind: 'protocol', message: expect.stringContaining('broke the protocol') });
  });

  it('when it is aborted, before and during', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_OPEN', () => undefined);
    const reason = new Error('changed my mind');
    expect(await failureOf(Connection.open({ uri: daemon.uri, signal: AbortSignal.abort(reason) }))).toBe(reason);
    const controller = new AbortController();
    const opening = failureOf(Connection.open({ uri: daemon.uri, signal: controller.signal }));
    const peer = await daemon.connection();
    await peer.until(() => peer.calls('CONNECT_OPEN').length === 1);
    controller.abort(reason);
    expect(await opening).toBe(reason);
    await peer.until(() => peer.socket.destroyed);
  });
});
