// Hooks against real servers that agree, refuse, redirect, keep silent, pour, and hang up.

import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { HttpHookCaller, signatureOf } from '../../../src/adapters/hooks/http-hook-caller.ts';
import type { Hook } from '../../../src/core/policy.ts';
import type { HookRequest } from '../../../src/ports/hook-caller.ts';
import { listenOn } from '../listen-on.ts';

const never = new AbortController().signal;
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const request: HookRequest = {
  id: 'op-1/launch',
  hook: 'launch',
  group: 'web',
  vm: { id: 7, name: 'web-7', uuid: '00000000-0000-4000-8000-000000000007', host: 'h1' },
  attempt: 2,
  deadlineAt: '2026-03-01T00:01:00.000Z',
};

async function listen(server: Server): Promise<string> {
  return `http://127.0.0.1:${await listenOn(server, closers)}/hook?x=1`;
}
const serve = (listener: RequestListener): Promise<string> => listen(createServer(listener));
const hookTo = (url: string, over: Partial<Hook> = {}): Hook => ({
  url,
  deadlineMs: 60_000,
  onTimeout: 'abandon',
  ...over,
});
const caller = new HttpHookCaller({ wallMs: () => 1_700_000_000_999 });

test('it posts the request as JSON, once, and 2xx agrees', async () => {
  const seen: { method?: string; url?: string; headers: IncomingHttpHeaders; body: string }[] = [];
  const url = await serve(async (incoming, response) => {
    let body = '';
    for await (const chunk of incoming) body += chunk;
    const { method = '', url: path = '', headers } = incoming;
    seen.push({ method, url: path, headers, body });
    response.writeHead(204).end();
  });
  expect(await caller.call(hookTo(url), request, never)).toBe('agreed');
  expect(seen).toHaveLength(1);
  expect(seen[0]).toMatchObject({ method: 'POST', url: '/hook?x=1' });
  expect(seen[0]?.headers).toMatchObject({
    'content-type': 'application/json',
    'x-virtscale-id': 'op-1/launch',
    'x-virtscale-attempt': '2',
  });
  expect(seen[0]?.headers).not.toHaveProperty('x-virtscale-signature');
  expect(JSON.parse(seen[0]?.body ?? '')).toEqual(request);
});

test('with a secret it is signed as its receivers are told, and a changed secret counts at once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hook-'));
  closers.push(() => rm(folder, { recursive: true }));
  const secretFile = join(folder, 'secret');
  await writeFile(secretFile, '  s3cret\n');
  let secret = 's3cret';
  const url = await serve(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const match = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(incoming.headers['x-virtscale-signature']));
    const expected = createHmac('sha256', secret).update(`${match?.[1]}.`).update(Buffer.concat(chunks)).digest('hex');
    response.writeHead(match?.[1] === '1700000000' && match[2] === expected ? 200 : 403).end();
  });
  expect(await caller.call(hookTo(url, { secretFile }), request, never)).toBe('agreed');
  secret = 'another';
  expect(await caller.call(hookTo(url, { secretFile }), request, never)).toBe('refused');
  await writeFile(secretFile, 'another');
  expect(await caller.call(hookTo(url, { secretFile }), request, never)).toBe('agreed');

  for (const text of ['', ' \n', 'x'.repeat(5000)]) {
    await writeFile(secretFile, text);
    await expect(caller.call(hookTo(url, { secretFile }), request, never)).rejects.toMatchObject({ kind: 'refused' });
  }
  const absent = hookTo(url, { secretFile: join(folder, 'absent') });
  await expect(caller.call(absent, request, never)).rejects.toMatchObject({ name: 'Fault', kind: 'refused' });
});

test('a known signature stays what it is', () => {
  // printf '1700000000.{}' | openssl dgst -sha256 -hmac key
  const v1 = '9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae';
  expect(signatureOf(Buffer.from('key'), 1_700_000_000, Buffer.from('{}'))).toBe(`t=1700000000,v1=${v1}`);
});

test.each([
  [200, 'agreed'],
  [299, 'agreed'],
  [403, 'refused'],
  [409, 'refused'],
] as const)('status %i: %s', async (status, verdict) => {
  const url = await serve((_incoming, response) => response.writeHead(status).end('{}'));
  expect(await caller.call(hookTo(url), request, never)).toBe(verdict);
});

test.each([
  [301, 'unreachable'],
  [307, 'unreachable'],
  [404, 'unreachable'],
  [500, 'unreachable'],
  [429, 'busy'],
  [503, 'busy'],
])('status %i is a fault that may pass: %s; nobody is followed', async (status, kind) => {
  let asked = 0;
  const url = await serve((_incoming, response) => {
    asked += 1;
    response.writeHead(status, { location: '/elsewhere' }).end();
  });
  await expect(caller.call(hookTo(url), request, never)).rejects.toMatchObject({ kind, retryable: true });
  expect(asked).toBe(1);
});

test('nobody there, a hang-up and another protocol are unreachable', async () => {
  const gone = await listen(createTcpServer());
  await closers.pop()?.();
  const hangsUp = await listen(createTcpServer((socket) => socket.destroy()));
  const ssh = await listen(createTcpServer((socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n')));
  for (const url of [gone, hangsUp, ssh, ssh.replace('http:', 'https:')]) {
    await expect(caller.call(hookTo(url), request, never)).rejects.toMatchObject({ kind: 'unreachable' });
  }
});

test('silence ends with the time of one try, and with the deadline of the hook when that is sooner', async () => {
  let closed: Promise<unknown> | undefined;
  const url = await listen(
    createTcpServer((socket) => {
      closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
    }),
  );
  await expect(new HttpHookCaller({ tryMs: 60 }).call(hookTo(url), request, never)).rejects.toMatchObject({
    kind: 'timed-out',
  });
  await closed;
  await expect(caller.call(hookTo(url, { deadlineMs: 60 }), request, never)).rejects.toMatchObject({
    kind: 'timed-out',
  });
});

test('an answer without end is an answer, and is not read on', async () => {
  let closed: Promise<unknown> | undefined;
  const url = await serve((_incoming, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(Buffer.alloc(32 * 1024)), 1);
    closed = new Promise((resolve) =>
      response.once('close', () => {
        clearInterval(timer);
        resolve(undefined);
      }),
    );
  });
  expect(await caller.call(hookTo(url), request, never)).toBe('agreed');
  await closed;
});

test('what is no web address is refused', async () => {
  for (const url of ['file:///etc/passwd', 'nonsense', '']) {
    await expect(caller.call(hookTo(url), request, never)).rejects.toMatchObject({ kind: 'refused' });
  }
});

test('cancelled it rejects with `aborted`, before or during', async () => {
  const url = await serve(() => giveUp.abort());
  const giveUp = new AbortController();
  await expect(caller.call(hookTo(url), request, AbortSignal.abort())).rejects.toMatchObject({ kind: 'aborted' });
  await expect(caller.call(hookTo(url), request, giveUp.signal)).rejects.toMatchObject({ kind: 'aborted' });
});
