/** TLS against a scripted daemon behind a real TLS server: certificates on both sides, the verdict, and where files are. */

import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../../src/libvirt/connection.ts';
import { connectTls, locateTlsFiles } from '../../src/libvirt/transport-tls.ts';
import type { TlsTarget } from '../../src/libvirt/uri.ts';
import { type Certificate, TlsAuthority } from '../support/tls-authority.ts';
import { failureOf, startDaemon } from './support.ts';

let folder: string;
let authority: TlsAuthority;
let stranger: TlsAuthority;
let server: Certificate;
let client: Certificate;
let pki: string;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vs-tls-'));
  authority = await TlsAuthority.create(join(folder, 'ca'));
  stranger = await TlsAuthority.create(join(folder, 'stranger'));
  server = await authority.issue('server', ['IP:127.0.0.1', 'DNS:host.example']);
  client = await authority.issue('client');
  pki = await authority.pkiFolder(join(folder, 'pki'), client);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const listening = async (onSocket: (socket: Socket) => void): Promise<number> => {
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => listener.close(resolve));
  });
  return (listener.address() as AddressInfo).port;
};

/** A TLS server that does `onSecure` with each client it has shaken hands with; it asks for a certificate. */
const secured = async (onSecure: (socket: TLSSocket) => void, shown = server): Promise<number> => {
  const listener = createTlsServer({
    cert: readFileSync(shown.cert),
    key: readFileSync(shown.key),
    ca: readFileSync(authority.caFile),
    requestCert: true,
    rejectUnauthorized: false,
  });
  listener.on('secureConnection', (socket) => onSecure(socket.on('error', () => undefined)));
  return await listening((socket) => listener.emit('connection', socket));
};

/** As libvirtd: one byte for whom it accepts, then the protocol. */
const libvirtd = async (shown = server): Promise<number> => {
  const daemon = await startDaemon();
  return await secured((socket) => {
    if (!socket.authorized) socket.destroy();
    else {
      socket.write(Buffer.of(1));
      const inner = connect(daemon.socketPath).on('error', () => socket.destroy());
      socket.pipe(inner).pipe(socket);
    }
  }, shown);
};

const opened = (port: number, query = `pkipath=${pki}`, host = '127.0.0.1'): Promise<Connection> =>
  Connection.open({ uri: `qemu+tls://${host}:${port}/system?${query}`, connectTimeoutMs: 2_000 });

describe('a daemon behind TLS', () => {
  it('is talked to as any other', async () => {
    const connection = await opened(await libvirtd());
    expect(connection.isOpen).toBe(true);
    await connection.close();
  });

  it('whose verdict and first packet come in one piece loses neither', async () => {
    const port = await secured((socket) => socket.write(Buffer.of(1, 2, 3)));
    const target: TlsTarget = { transport: 'tls', host: '127.0.0.1', port, pkiPath: pki, verify: true, openName: '' };
    const transport = await connectTls(target, { timeoutMs: 2_000 });
    const first = await new Promise<Buffer>((resolve, reject) =>
      transport.start({ onData: resolve, onDrain: () => undefined, onEnd: reject }),
    );
    transport.destroy();
    expect(first).toEqual(Buffer.of(2, 3));
  });

  it('of another CA is not trusted, unless nothing is checked', async () => {
    const port = await libvirtd();
    const other = await stranger.pkiFolder(join(folder, 'other'), client);
    expect(await failureOf(opened(port, `pkipath=${other}`))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/127\.0\.0\.1:\d+ is not trusted: .*other\/cacert\.pem vouches for it/),
    });
    await (await opened(port, `pkipath=${other}&no_verify=1`)).close();
  });

  it('by a name that is not in its certificate is not trusted, unless nothing is checked', async () => {
    const port = await libvirtd();
    expect(await failureOf(opened(port, `pkipath=${pki}`, 'localhost'))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/localhost:\d+ is not trusted: .*it is for another name/s),
    });
    await (await opened(port, `pkipath=${pki}&no_verify=1`, 'localhost')).close();
  });

  it('whose certificate was revoked is not trusted', async () => {
    const revoked = await authority.issue('revoked', ['IP:127.0.0.1']);
    const withList = await authority.pkiFolder(join(folder, 'with-list'), client);
    await writeFile(join(withList, 'cacrl.pem'), readFileSync(await authority.revoke([revoked])));
    await (await opened(await libvirtd(), `pkipath=${withList}`)).close();
    expect(await failureOf(opened(await libvirtd(revoked), `pkipath=${withList}`))).toMatchObject({
      kind: 'auth',
      message: expect.stringContaining('was revoked'),
    });
  });

  it.each([
    ['with byte 0', (socket: TLSSocket) => socket.end(Buffer.of(0))],
    ['by hanging up', (socket: TLSSocket) => socket.end()],
    ['by cutting', (socket: TLSSocket) => socket.destroy()],
  ])('that refuses our certificate %s is told so', async (_how, refuse) => {
    expect(await failureOf(opened(await secured(refuse)))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/did not accept our certificate; .*clientcert\.pem must be signed by a CA/),
    });
  });

  it('that wants a certificate where we have none is told so', async () => {
    const none = await authority.pkiFolder(join(folder, 'none'), undefined);
    expect(await failureOf(opened(await libvirtd(), `pkipath=${none}`))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/we have none to show: .*none\/clientcert\.pem is not there/),
    });
  });

  it.each([
    ['before the handshake', () => listening(() => undefined)],
    ['after it', () => secured(() => undefined)],
  ])('that hangs %s is given up at the deadline, or when told to', async (_when, start) => {
    const port = await start();
    const target: TlsTarget = { transport: 'tls', host: '127.0.0.1', port, pkiPath: pki, verify: true, openName: '' };
    expect(await failureOf(connectTls(target, { timeoutMs: 200 }))).toMatchObject({ kind: 'timed-out' });
    const stop = new AbortController();
    const waiting = failureOf(connectTls(target, { timeoutMs: 10_000, signal: stop.signal }));
    const reason = new Error('enough');
    setTimeout(() => stop.abort(reason), 50);
    expect(await waiting).toBe(reason);
    const late = connectTls(target, { timeoutMs: 10_000, signal: AbortSignal.abort(reason) });
    expect(await failureOf(late)).toBe(reason);
  });

  it.each([
    ['hangs up at once', (socket: Socket) => socket.end(), /hung up in the TLS handshake/],
    ['talks in clear', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), /does not speak TLS/],
  ])('that %s is not taken for one', async (_what, talk, message) => {
    expect(await failureOf(opened(await listening(talk)))).toMatchObject({
      kind: 'protocol',
      message: expect.stringMatching(message),
    });
  });
});

describe('our own files', () => {
  it('that do not fit are told apart', async () => {
    const wrong = await authority.pkiFolder(join(folder, 'wrong'), { cert: client.cert, key: server.key });
    expect(await failureOf(opened(1, `pkipath=${wrong}`))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/^cannot connect to 127\.0\.0\.1:1: the certificates cannot be used/),
    });
    const half = await authority.pkiFolder(join(folder, 'half'), client);
    await rm(join(half, 'clientkey.pem'));
    expect(await failureOf(opened(1, `pkipath=${half}`))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/clientcert\.pem is there, but not .*clientkey\.pem/),
    });
    expect(await failureOf(opened(1, 'pkipath=/nowhere'))).toMatchObject({
      kind: 'auth',
      message: expect.stringMatching(/the CA's certificate is not there: \/nowhere\/cacert\.pem/),
    });
  });

  it("are the user's where they are, else the machine's; root has none of a user's", async () => {
    const home = join(folder, 'home');
    const system = join(folder, 'etc-pki');
    const put = async (...paths: string[]): Promise<void> => {
      for (const path of paths) {
        await mkdir(join(path, '..'), { recursive: true });
        await writeFile(path, '');
      }
    };
    const mine = (name: string): string => join(home, '.pki/libvirt', name);
    const theirs = {
      ca: join(system, 'CA/cacert.pem'),
      cert: join(system, 'libvirt/clientcert.pem'),
      key: join(system, 'libvirt/private/clientkey.pem'),
    };
    const located = (isRoot = false) => locateTlsFiles(undefined, { home, system, isRoot });
    expect(() => located()).toThrow(/home\/\.pki\/libvirt\/cacert\.pem, nor .*etc-pki\/CA\/cacert\.pem/);
    await put(theirs.ca);
    expect(located()).toEqual({ ca: theirs.ca, crl: undefined, identity: undefined, missingCert: theirs.cert });
    await put(theirs.cert, theirs.key, mine('cacert.pem'), mine('clientcert.pem'));
    const { cert, key } = theirs;
    expect(located()).toMatchObject({ ca: mine('cacert.pem'), identity: { cert, key } });
    await put(mine('clientkey.pem'), join(system, 'CA/cacrl.pem'));
    expect(located()).toMatchObject({
      ca: mine('cacert.pem'),
      crl: join(system, 'CA/cacrl.pem'),
      identity: { cert: mine('clientcert.pem'), key: mine('clientkey.pem') },
    });
    expect(located(true)).toMatchObject({ ca: theirs.ca, identity: { cert, key } });
  });
});
