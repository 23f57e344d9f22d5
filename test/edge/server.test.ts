// Listening and its end, over real sockets.

import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EventStream } from '../../src/edge/event-stream.ts';
import { ListenError, listen } from '../../src/edge/server.ts';
import { edgeApp } from './edge-app.ts';
import { Client, liveEdge, turnOfTheLoop } from './live-edge.ts';

/** What the server says to these bytes until it closes the connection. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

describe('listening', () => {
  it('serves the API at the address it tells', async () => {
    const { listening } = await liveEdge();
    const answer = await fetch(`${listening.url}/v1/groups/web`, { signal: AbortSignal.timeout(10_000) });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ name: 'web' });
    const patched = await fetch(`${listening.url}/v1/groups/web`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
      body: '{"desired":2}',
      signal: AbortSignal.timeout(10_000),
    });
    expect(patched.status).toBe(200);
    expect(await patched.json()).toMatchObject({ desired: 2 });
  });

  it('pages events at the path that also streams them', async () => {
    const { engine, listening } = await liveEdge();
    engine.log.append({ type: 'host.up', host: 'a' });
    const answer = await fetch(`${listening.url}/v1/events`, { signal: AbortSignal.timeout(10_000) });
    expect(await answer.json()).toMatchObject({ events: [{ seq: 1 }] });
  });

  it('says which address is taken and what to do', async () => {
    const { listening, app, stream } = await liveEdge();
    const failed = listen({ address: listening.address, app, stream });
    await expect(failed).rejects.toThrow(ListenError);
    await expect(failed).rejects.toThrow(
      `cannot listen on 127.0.0.1:${listening.address.port}: another program does already`,
    );
    await expect(failed).rejects.toThrow('--listen');
  });

  it('says that an address is not of this machine', async () => {
    const { app, stream } = await liveEdge();
    const failed = listen({ address: { host: '192.0.2.1', port: 0 }, app, stream });
    await expect(failed).rejects.toThrow('this machine has no such address');
  });

  it('limits bodies that come in pieces', async () => {
    const { listening } = await liveEdge();
    const piece = 'x'.repeat(8192);
    const body = `${piece.length.toString(16)}\r\n${piece}\r\n`.repeat(10);
    const head =
      'PATCH /v1/groups/web HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n';
    expect(await raw(listening.address.port, `${head}${body}0\r\n\r\n`)).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('takes bodies that come in pieces, and requests that have none and do not say so', async () => {
    const { listening, engine } = await liveEdge();
    const head = 'PATCH /v1/groups/web HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n';
    const pieces = '8\r\n{"desire\r\n6\r\nd": 3}\r\n0\r\n\r\n';
    const answer = await raw(
      listening.address.port,
      `${head}Idempotency-Key: k\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${pieces}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect((await fetch(`${listening.url}/v1/vms/7`, { method: 'DELETE' })).status).toBe(202);
    expect((await fetch(`${listening.url}/v1/vms/7/stop`, { method: 'POST' })).status).toBe(404);
    expect(engine.commands).toEqual(['desired web 3', 'delete 7', 'stop 7']);
  });

  it('does not wait for bodies that never come whole, but for an image it does', async () => {
    const { app, engine, access, log } = edgeApp({}, { withoutToken: 'anyone' });
    const stream = new EventStream({ events: engine.log, access, log });
    const listening = await listen({ address: { host: '127.0.0.1', port: 0 }, app, stream, bodyMs: 50 });
    onTestFinished(() => listening.close(100));
    const begin = (request: string) =>
      `${request} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{`;
    expect(await raw(listening.address.port, begin('PATCH /v1/groups/web'))).toBe('');
    expect(log.lines).toEqual([]);
    expect(engine.commands).toEqual([]);
    const image = connect(listening.address.port, '127.0.0.1');
    onTestFinished(() => void image.destroy());
    image.write(begin('PUT /v1/images/slow'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    image.write('x'.repeat(999));
    const [answer] = await once(image, 'data', { signal: AbortSignal.timeout(10_000) });
    expect(String(answer)).toMatch(/^HTTP\/1\.1 201 /);
  });

  it.each([
    ['GARBAGE\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n', 403],
    ['GET /v1/groups HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nUpgrade: h2c\r\n\r\n', 200],
    ['GET //evil/%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n', 404],
    ['GET // HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', 400],
  ])('answers %j with %i', async (text, status) => {
    const { listening } = await liveEdge();
    const answer = await raw(listening.address.port, text);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    if (status >= 400 && text.includes('Host')) expect(answer.toLowerCase()).toContain('application/problem+json');
  });

  it('passes other offers to upgrade over, or says that only websocket is taken', async () => {
    const { listening } = await liveEdge();
    const text = 'GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';
    const socket = connect(listening.address.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(text);
    const [chunk] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) });
    expect(String(chunk)).toMatch(/^HTTP\/1\.1 (200|426) /);
  });
});

describe('closing', () => {
  it('says 1001 to subscribers, ends idle connections at once and takes no new ones', async () => {
    const { listening, wsUrl } = await liveEdge();
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const [response] = await once(request(`${listening.url}/healthz`, { agent }).end(), 'response');
    response.resume();
    await once(response, 'end');
    const client = new Client(`${wsUrl}/v1/events`);
    await client.greeted();
    const startedAt = performance.now();
    await listening.close(5000);
    expect(performance.now() - startedAt).toBeLessThan(1000);
    expect(await client.closing()).toEqual({ code: 1001, reason: 'virtscale is stopping' });
    await expect(fetch(`${listening.url}/healthz`)).rejects.toThrow();
  });

  it('lets a request under way finish', async () => {
    const { engine, listening } = await liveEdge();
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    engine.beforeCommand = () => {
      asked.resolve();
      return gate.promise;
    };
    const answer = fetch(`${listening.url}/v1/groups/web/pause`, { method: 'POST' });
    await asked.promise;
    const closed = listening.close(5000);
    await turnOfTheLoop();
    gate.resolve();
    expect((await answer).status).toBe(200);
    await closed;
  });

  it('cuts what has not ended by the deadline', async () => {
    const { engine, listening, wsUrl } = await liveEdge();
    engine.beforeCommand = () => new Promise(() => undefined);
    const hanging = fetch(`${listening.url}/v1/groups/web/pause`, { method: 'POST' }).then(
      () => 'answered',
      () => 'cut',
    );
    const deaf = new Client(`${wsUrl}/v1/events`);
    await deaf.greeted();
    deaf.socket.pause();
    const half = connect(listening.address.port, '127.0.0.1');
    half.on('error', () => undefined);
    onTestFinished(() => void half.destroy());
    half.write('GET / HT');
    await turnOfTheLoop();
    const startedAt = performance.now();
    await listening.close(100);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect(await hanging).toBe('cut');
  });

  it('can be done when nothing was ever asked', async () => {
    const { app, engine, access, log } = edgeApp();
    const listening = await listen({
      address: { host: '::1', port: 0 },
      app,
      stream: new EventStream({ events: engine.log, access, log }),
    }).catch((error: unknown) => error);
    // A machine without IPv6 says so in words; one with it gives the address in brackets.
    if (listening instanceof Error) expect(listening).toBeInstanceOf(ListenError);
    else {
      expect(listening).toMatchObject({ url: expect.stringMatching(/^http:\/\/\[::1\]:\d+$/) });
      await (listening as { close(ms: number): Promise<void> }).close(1000);
    }
  });
});
