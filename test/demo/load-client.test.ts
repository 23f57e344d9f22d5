import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { isRightAnswer } from '../../demo/ask.ts';
import { calibrate } from '../../demo/calibration.ts';
import { fibonacci } from '../../demo/fibonacci.ts';
import { LoadClient } from '../../demo/load-client.ts';
import type { RequestRecord } from '../../demo/request-record.ts';
import type { LoggedEvent } from '../../src/core/events.ts';
import type { Endpoint } from '../../src/core/model.ts';
import { vm } from './story-events.ts';

const closing: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A guest: answers `/N` after `delayMs`, in whatever way `reply` says. */
async function guest(
  name: string,
  delayMs = 0,
  reply?: (n: number) => { status: number; body: string },
): Promise<number> {
  const server: Server = createServer((request, response) => {
    const n = Number(request.url?.slice(1));
    const { status, body } = reply?.(n) ?? {
      status: 200,
      body: JSON.stringify({ input: n, result: fibonacci(n), server: name }),
    };
    setTimeout(() => response.writeHead(status).end(body), delayMs);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An event stream that says hello and then what it is told to. Counts connections and remembers `since`. */
async function eventStream() {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const log: LoggedEvent[] = [];
  const sockets = new Set<WebSocket>();
  const sinces: (string | null)[] = [];
  server.on('connection', (socket, request) => {
    const since = new URL(request.url ?? '', 'http://x').searchParams.get('since');
    sinces.push(since);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.send(JSON.stringify({ type: 'hello', seq: log.length }));
    for (const event of log.slice(Number(since))) socket.send(JSON.stringify(event));
  });
  closing.push(() => server.close());
  const tell = (event: object) => {
    const logged = { ...event, seq: log.length + 1, at: '2026-01-02T03:04:05.000Z' } as LoggedEvent;
    log.push(logged);
    for (const socket of sockets) socket.send(JSON.stringify(logged));
  };
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/events`, tell, sockets, sinces };
}

async function startClient(url: string, timeoutMs = 2000, front?: Endpoint) {
  const requests: RequestRecord[] = [];
  const events: LoggedEvent[] = [];
  const client = new LoadClient({
    eventsUrl: url,
    group: 'web',
    ...(front && { front }),
    timeoutMs,
    onEvent: (event) => events.push(event),
    onRequest: (record) => requests.push(record),
  });
  closing.push(() => client.close());
  await client.connected(2000);
  return { client, requests, events };
}

async function until(what: () => boolean): Promise<void> {
  await expect.poll(what, { interval: 5, timeout: 3000 }).toBe(true);
}

const launched = (id: number, port: number) => ({
  type: 'vm.launched',
  group: 'web',
  vm: vm(id),
  endpoint: { address: '127.0.0.1', port },
  launchMs: 1,
});
const draining = (id: number) => ({ type: 'vm.draining', group: 'web', vm: vm(id), reason: 'idle', graceMs: 1000 });

describe('the load client', () => {
  it('sends to those VMs, and only those, that the event stream has told of', async () => {
    const stream = await eventStream();
    const [one, two] = [await guest('web-1'), await guest('web-2')];
    const { client, requests } = await startClient(stream.url);
    client.setLoad({ mode: 'high', n: 5, perSecond: 500, maxOutstanding: 8 });
    expect(await client.one(5, 'high')).toBeUndefined();

    stream.tell(launched(1, one));
    await until(() => requests.length >= 20);
    expect(new Set(requests.map((r) => r.vm))).toEqual(new Set(['web-1']));

    stream.tell(launched(2, two));
    await until(() => requests.filter((r) => r.vm === 'web-2').length >= 20);

    stream.tell(draining(1));
    await until(() => client.targets.length === 1);
    await client.idle();
    const count = requests.length;
    await until(() => requests.length >= count + 20);
    expect(requests.slice(count).filter((r) => r.vm === 'web-1')).toEqual([]);
    expect(requests.filter((r) => r.status !== '200')).toEqual([]);
  });

  it('sends there again when a drain was cancelled', async () => {
    const stream = await eventStream();
    const port = await guest('web-1');
    const { client } = await startClient(stream.url);
    stream.tell(launched(1, port));
    stream.tell(draining(1));
    await until(() => client.targets.length === 0);
    const endpoint = { address: '127.0.0.1', port };
    stream.tell({ type: 'vm.returned', group: 'web', vm: { ...vm(1), endpoint }, reason: 'load' });
    await until(() => client.targets.length === 1);
    expect((await client.one(5, 'high'))?.status).toBe('200');
  });

  it('behind a balancer sends everything there, and writes down who answered', async () => {
    const stream = await eventStream();
    const port = await guest('web-7');
    const { client, requests } = await startClient(stream.url, 2000, { address: '127.0.0.1', port });
    stream.tell(launched(1, 1));
    stream.tell(draining(1));
    expect((await client.one(5, 'high'))?.status).toBe('200');
    expect(client.targets).toEqual([{ endpoint: { address: '127.0.0.1', port } }]);
    expect(requests.map((r) => r.vm)).toEqual(['web-7']);
  });

  it('does not hear of other groups', async () => {
    const stream = await eventStream();
    const { client, events } = await startClient(stream.url);
    stream.tell({ ...launched(1, 1), group: 'db' });
    await until(() => events.length === 1);
    expect(client.targets).toEqual([]);
  });

  it('finishes what is under way on a draining VM', async () => {
    const stream = await eventStream();
    const { client, requests } = await startClient(stream.url);
    stream.tell(launched(1, await guest('web-1', 100)));
    await until(() => client.targets.length === 1);
    const answer = client.one(10, 'high');
    stream.tell(draining(1));
    expect((await answer)?.status).toBe('200');
    expect(requests).toHaveLength(1);
  });

  it('never has more under way than allowed, and counts what it held back', async () => {
    const stream = await eventStream();
    const { client } = await startClient(stream.url);
    stream.tell(launched(1, await guest('web-1', 50)));
    await until(() => client.targets.length === 1);
    let most = 0;
    client.setLoad({ mode: 'high', n: 1, perSecond: 2000, maxOutstanding: 3 });
    await until(() => {
      most = Math.max(most, client.outstanding);
      return client.heldBack > 50;
    });
    expect(most).toBe(3);
  });

  it('resumes after a cut without gap or repeat', async () => {
    const stream = await eventStream();
    const { events } = await startClient(stream.url);
    stream.tell(launched(1, 1));
    await until(() => events.length === 1);
    for (const socket of stream.sockets) socket.terminate();
    stream.tell(draining(1));
    await until(() => events.length === 2);
    expect(events.map((e) => e.seq)).toEqual([1, 2]);
    expect(stream.sinces).toEqual(['0', '1']);
  });

  it.each([
    {
      name: 'a wrong number',
      reply: (n: number) => ({ status: 200, body: JSON.stringify({ input: n, result: 1, server: 'web-1' }) }),
      status: 'wrong-answer',
    },
    { name: 'an error status', reply: () => ({ status: 503, body: '' }), status: '503' },
    { name: 'an answer without end', reply: () => ({ status: 200, body: 'x'.repeat(10_000) }), status: 'too-long' },
  ])('counts $name as failed', async ({ reply, status }) => {
    const stream = await eventStream();
    const { client } = await startClient(stream.url);
    stream.tell(launched(1, await guest('web-1', 0, reply)));
    await until(() => client.targets.length === 1);
    expect((await client.one(10, 'low'))?.status).toBe(status);
  });

  it('counts silence and a closed port as failed', async () => {
    const stream = await eventStream();
    const { client } = await startClient(stream.url, 50);
    stream.tell(launched(1, await guest('web-1', 500)));
    await until(() => client.targets.length === 1);
    expect((await client.one(10, 'low'))?.status).toBe('timeout');
    stream.tell(draining(1));
    stream.tell(launched(2, 1));
    await until(() => client.targets[0]?.vm === 'web-2');
    expect((await client.one(10, 'low'))?.status).toBe('ECONNREFUSED');
  });
});

describe('an answer', () => {
  it('must come from the VM that was asked', () => {
    const body = JSON.stringify({ input: 10, result: 55, server: 'web-2' });
    expect(isRightAnswer(body, 'web-2', 10)).toBe(true);
    expect(isRightAnswer(body, 'web-1', 10)).toBe(false);
    expect(isRightAnswer(body, 'web-2', 11)).toBe(false);
    expect(isRightAnswer('null', 'web-2', 10)).toBe(false);
    expect(isRightAnswer('{', 'web-2', 10)).toBe(false);
  });
});

describe('the calibration', () => {
  const signal = new AbortController().signal;
  const options = { targetMs: 8, burstMs: 1, concurrency: 2, signal };
  /** A VM whose cost grows by the golden ratio with each step of N, on top of what connecting costs. */
  const machine =
    (msAt28: number, connectMs: number, asked: number[] = []) =>
    async (n: number): Promise<RequestRecord> => {
      asked.push(n);
      const latencyMs = connectMs + msAt28 * 1.618 ** (n - 28);
      return { sentAtMs: 0, vm: 'web-1', n, latencyMs, status: '200', mode: 'calibrate' };
    };

  it.each([
    { msAt28: 10, connectMs: 0.5 },
    { msAt28: 0.6, connectMs: 0.2 },
    { msAt28: 40, connectMs: 2 },
  ])('finds an N that costs 5 to 10 ms where 28 costs $msAt28', async ({ msAt28, connectMs }) => {
    const { n, aloneMs } = await calibrate(machine(msAt28, connectMs), options);
    expect(aloneMs).toBeGreaterThan(4.9);
    expect(aloneMs).toBeLessThan(10);
    expect(n).toBeGreaterThan(22);
  });

  it('gives up at an N that the guest still accepts', async () => {
    const asked: number[] = [];
    await calibrate(machine(1e-9, 0.001, asked), options);
    expect(Math.max(...asked)).toBe(44);
  });

  it('rejects when there is no VM, or it answers wrongly', async () => {
    await expect(calibrate(async () => undefined, options)).rejects.toThrow(/no VM/);
    const broken = async (n: number) => ({ ...(await machine(10, 0)(n)), status: 'timeout' });
    await expect(calibrate(broken, options)).rejects.toThrow(/timeout/);
  });
});
