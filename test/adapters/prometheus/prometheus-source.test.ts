// The query port against servers that answer as Prometheus does, and as it never should. The real one: test/real/prometheus.test.ts.

import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { PrometheusSource } from '../../../src/adapters/prometheus/prometheus-source.ts';
import { listenOn } from '../listen-on.ts';

const never = new AbortController().signal;
const NOW_MS = 1_700_000_000_000;
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listen(server: Server): Promise<string> {
  return `http://127.0.0.1:${await listenOn(server, closers)}`;
}

async function sourceOf(listener: RequestListener, timeoutMs = 2000): Promise<PrometheusSource> {
  return new PrometheusSource({ url: await listen(createServer(listener)), timeoutMs, wallMs: () => NOW_MS });
}

const success = (data: unknown): string => JSON.stringify({ status: 'success', data });
const vector = (...values: readonly string[]) =>
  success({ resultType: 'vector', result: values.map((text) => ({ metric: {}, value: [1_699_999_998.5, text] })) });

test.each([
  ['a vector of one', vector('41.5'), 41.5, 1500],
  ['a scalar', success({ resultType: 'scalar', result: [1_700_000_000, '7'] }), 7, 0],
  [
    'a negative one from a clock that is ahead',
    success({ resultType: 'scalar', result: [1_700_000_009, '-1e3'] }),
    -1000,
    0,
  ],
])('%s is the value, with its age', async (_name, answer, value, ageMs) => {
  const source = await sourceOf((_request, response) => response.end(answer));
  expect(await source.value('up', never)).toEqual({ value, ageMs });
});

test.each([
  ['no series', vector(), 'gone', /finds no series/],
  ['several series', vector('1', '2'), 'refused', /2 series/],
  ['NaN', vector('NaN'), 'refused', /no finite number/],
  ['infinity', vector('+Inf'), 'refused', /no finite number/],
  ['an empty text', vector(''), 'refused', /no finite number/],
  ['a range', success({ resultType: 'matrix', result: [] }), 'refused', /gives a matrix/],
  ['a text', success({ resultType: 'string', result: [1, 'x'] }), 'refused', /gives a string/],
  [
    'a histogram',
    success({ resultType: 'vector', result: [{ metric: {}, histogram: [1, {}] }] }),
    'refused',
    /histogram/,
  ],
  ['a web page', '<html>', 'unreachable', /does not speak/],
  ['other JSON', '{"a":1}', 'unreachable', /none of Prometheus/],
])('%s is a fault', async (_name, answer, kind, message) => {
  const source = await sourceOf((_request, response) => response.end(answer));
  await expect(source.value('up', never)).rejects.toMatchObject({
    name: 'Fault',
    kind,
    message: expect.stringMatching(message),
  });
});

test('several series: what to do is said', async () => {
  const source = await sourceOf((_request, response) => response.end(vector('1', '2')));
  await expect(source.value('up', never)).rejects.toMatchObject({ advice: expect.stringContaining('sum(') });
});

test.each([
  [400, 'refused'],
  [401, 'refused'],
  [422, 'refused'],
  [429, 'busy'],
  [503, 'busy'],
  [302, 'unreachable'],
  [404, 'unreachable'],
  [500, 'unreachable'],
])('status %i: %s, with what Prometheus says', async (status, kind) => {
  let asked = 0;
  const source = await sourceOf((_request, response) => {
    asked += 1;
    response.writeHead(status, { location: '/elsewhere' });
    response.end(JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'parse error: unexpected "("' }));
  });
  const fault = {
    name: 'Fault',
    kind,
    message: expect.stringMatching(status === 401 ? /credentials/ : /unexpected "\("/),
  };
  await expect(source.value('sum((', never)).rejects.toMatchObject(fault);
  expect(asked).toBe(1);
});

test('it asks at the given root, a short query in the address and a long one in the body, with its headers', async () => {
  const seen: string[] = [];
  const url = await listen(
    createServer(async (request: IncomingMessage, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      seen.push(`${request.method} ${request.url} ${request.headers.authorization} ${body.length}`);
      response.end(vector('1'));
    }),
  );
  const source = new PrometheusSource({ url: `${url}/prom/`, headers: { authorization: 'Bearer t' }, timeoutMs: 2000 });
  await source.value('sum(rate(x{a="b c"}[1m]))', never);
  await source.value(`sum(x{a=~"${'y'.repeat(2000)}"})`, never);
  expect(seen[0]).toBe(
    'GET /prom/api/v1/query?query=sum%28rate%28x%7Ba%3D%22b+c%22%7D%5B1m%5D%29%29&timeout=2000ms Bearer t 0',
  );
  expect(seen[1]).toMatch(/^POST \/prom\/api\/v1\/query Bearer t 20\d\d$/);
});

test('silence, an answer without end, a hang-up and nobody', async () => {
  const silent = await sourceOf(() => undefined, 60);
  await expect(silent.value('up', never)).rejects.toMatchObject({ kind: 'timed-out' });
  const dripping = await sourceOf((_request, response) => void response.writeHead(200).write('{'), 60);
  await expect(dripping.value('up', never)).rejects.toMatchObject({ kind: 'timed-out' });
  let closed: Promise<unknown> | undefined;
  const pouring = await sourceOf((_request, response) => {
    const timer = setInterval(() => response.write(' '.repeat(256 * 1024)), 1);
    closed = new Promise((resolve) =>
      response.once('close', () => {
        clearInterval(timer);
        resolve(undefined);
      }),
    );
  });
  await expect(pouring.value('up', never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/more than 1048576 bytes/),
  });
  await closed;
  const url = await listen(createTcpServer((socket) => socket.destroy()));
  await expect(new PrometheusSource({ url }).value('up', never)).rejects.toMatchObject({ kind: 'unreachable' });
  await closers.pop()?.();
  await expect(new PrometheusSource({ url }).value('up', never)).rejects.toMatchObject({ kind: 'unreachable' });
});

test('cancelled it rejects with `aborted`, before or during', async () => {
  const giveUp = new AbortController();
  const source = await sourceOf(() => giveUp.abort());
  await expect(source.value('up', AbortSignal.abort())).rejects.toMatchObject({ kind: 'aborted' });
  await expect(source.value('up', giveUp.signal)).rejects.toMatchObject({ kind: 'aborted' });
});
