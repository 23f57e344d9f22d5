// The network prober against servers that answer, refuse, keep silent, drip, and hang up.

import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { NetworkProber } from '../../../src/adapters/prober/network-prober.ts';
import type { Endpoint } from '../../../src/core/model.ts';
import { listenOn } from '../listen-on.ts';

const never = new AbortController().signal;
const prober = new NetworkProber();
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listen(server: Server): Promise<Endpoint> {
  return { address: '127.0.0.1', port: await listenOn(server, closers) };
}
const serve = (listener: RequestListener): Promise<Endpoint> => listen(createServer(listener));
const check = (path = '/') => ({ http: { port: 80, path } });

test.each([
  [200, true],
  [204, true],
  [302, true],
  [399, true],
  [400, false],
  [404, false],
  [500, false],
  [503, false],
])('status %i is %s', async (status, ready) => {
  const endpoint = await serve((_request, response) => response.writeHead(status).end());
  expect(await prober.probe(endpoint, check(), 2000, never)).toBe(ready);
});

test('it asks for the path, once per connection', async () => {
  const seen: (string | undefined)[] = [];
  const endpoint = await serve((request, response) => {
    seen.push(request.url, request.headers.connection);
    response.end('ok');
  });
  expect(await prober.probe(endpoint, check('/healthz?deep=1'), 2000, never)).toBe(true);
  expect(seen).toEqual(['/healthz?deep=1', 'close']);
});

test('the head of an answer is an answer, however slow its body', async () => {
  const endpoint = await serve((_request, response) => void response.writeHead(200).write('x'));
  expect(await prober.probe(endpoint, check(), 2000, never)).toBe(true);
});

test('nobody listening, a hang-up, another protocol, a path that cannot be sent: not ready, and no error', async () => {
  const server = createTcpServer();
  const endpoint = await listen(server);
  await closers.pop()?.();
  expect(await prober.probe(endpoint, check(), 2000, never)).toBe(false);
  const hangsUp = await listen(createTcpServer((socket) => socket.destroy()));
  expect(await prober.probe(hangsUp, check(), 2000, never)).toBe(false);
  const ssh = await listen(createTcpServer((socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n')));
  expect(await prober.probe(ssh, check(), 2000, never)).toBe(false);
  expect(await prober.probe(ssh, check('/a b\n'), 2000, never)).toBe(false);
});

test('a port that accepts and says nothing is not ready at the time-out, and the connection is let go', async () => {
  let closed: Promise<unknown> | undefined;
  const endpoint = await listen(
    createTcpServer((socket) => {
      closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
    }),
  );
  const startedMs = performance.now();
  expect(await prober.probe(endpoint, check(), 100, never)).toBe(false);
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(95);
  await closed;
});

test('cancelled it rejects at once with the fault `aborted`, before or during', async () => {
  await expect(
    prober.probe({ address: '127.0.0.1', port: 9 }, check(), 1000, AbortSignal.abort()),
  ).rejects.toMatchObject({
    name: 'Fault',
    kind: 'aborted',
  });
  let closed: Promise<unknown> | undefined;
  const giveUp = new AbortController();
  const endpoint = await listen(
    createTcpServer((socket) => {
      closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
      giveUp.abort();
    }),
  );
  await expect(prober.probe(endpoint, check(), 60_000, giveUp.signal)).rejects.toMatchObject({ kind: 'aborted' });
  await closed;
});

const tcp = { tcp: { port: 80 } };

test('TCP: a port that accepts and keeps the connection is ready, with a banner or without', async () => {
  let closed: Promise<unknown> | undefined;
  const still = await listen(
    createTcpServer((socket) => {
      closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
    }),
  );
  const startedMs = performance.now();
  expect(await prober.probe(still, tcp, 2000, never)).toBe(true);
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(49);
  await closed;
  const banner = await listen(createTcpServer((socket) => void socket.resume().write('220 ready\r\n')));
  expect(await prober.probe(banner, tcp, 2000, never)).toBe(true);
});

test('TCP: nobody, a hang-up at once, one after a banner, and too little time are not ready', async () => {
  const gone = await listen(createTcpServer());
  await closers.pop()?.();
  expect(await prober.probe(gone, tcp, 2000, never)).toBe(false);
  const ends = await listen(createTcpServer((socket) => void socket.end('421 too many connections\r\n')));
  expect(await prober.probe(ends, tcp, 2000, never)).toBe(false);
  const destroys = await listen(createTcpServer((socket) => socket.destroy()));
  expect(await prober.probe(destroys, tcp, 2000, never)).toBe(false);
  const still = await listen(createTcpServer((socket) => void socket.resume()));
  expect(await prober.probe(still, tcp, 20, never)).toBe(false);
  expect(await prober.probe({ address: '127.0.0.1', port: 0 }, tcp, 2000, never)).toBe(false);
});

test('TCP: cancelled it rejects and lets the connection go', async () => {
  let closed: Promise<unknown> | undefined;
  const giveUp = new AbortController();
  const endpoint = await listen(
    createTcpServer((socket) => {
      closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
      giveUp.abort();
    }),
  );
  await expect(prober.probe(endpoint, tcp, 60_000, giveUp.signal)).rejects.toMatchObject({ kind: 'aborted' });
  await closed;
});
