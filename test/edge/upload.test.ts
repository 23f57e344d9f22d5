// PUT /v1/images/NAME: a stream of any size, taken as fast as it is used, and nothing left of one that breaks off.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { declaredSha256, Upload } from '../../src/edge/upload.ts';
import { edgeApp } from './edge-app.ts';
import { liveEdge, turnOfTheLoop } from './live-edge.ts';

const OCTETS = { 'content-type': 'application/octet-stream' };
const MIB = 1024 * 1024;
const sha256 = (bytes: string) => createHash('sha256').update(bytes).digest();

const put = (app: ReturnType<typeof edgeApp>['app'], body: string, headers: Record<string, string> = {}, query = '') =>
  app.request(`/v1/images/mine${query}`, { method: 'PUT', headers: { ...OCTETS, ...headers }, body });

describe('an upload', () => {
  it('is larger than any other body may be, and arrives whole', async () => {
    const { app } = edgeApp();
    const bytes = 'x'.repeat(3 * MIB);
    const answer = await put(app, bytes, { 'repr-digest': `sha-256=:${sha256(bytes).toString('base64')}:` });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe('/v1/images/mine');
    expect(await answer.json()).toMatchObject({
      name: 'mine',
      state: 'ready',
      fileBytes: 3 * MIB,
      sha256: sha256(bytes).toString('hex'),
      source: { kind: 'upload' },
    });
  });

  it('is refused for another checksum than was told, and leaves nothing', async () => {
    const { app, engine } = edgeApp();
    const answer = await put(app, 'bytes', {}, `?sha256=${'a'.repeat(64)}`);
    expect([answer.status, await answer.json()]).toMatchObject([400, { errors: [{ where: 'query.sha256' }] }]);
    expect(engine.image('mine')).toBeUndefined();
  });

  it('of what is there already is not taken again', async () => {
    const { app, engine } = edgeApp();
    const digest = { 'repr-digest': `sha-256=:${sha256('bytes').toString('base64')}:` };
    expect((await put(app, 'bytes', digest)).status).toBe(201);
    expect((await put(app, 'bytes', digest)).status).toBe(200);
    expect((await put(app, 'other')).status).toBe(409);
    expect(engine.commands.filter((command) => command === 'upload mine')).toHaveLength(2);
  });

  it('with an Idempotency-Key is answered again without its bytes being read', async () => {
    const { app, engine } = edgeApp();
    const headers = { 'idempotency-key': 'k', 'content-length': '5' };
    const first = await put(app, 'bytes', headers);
    const again = await put(app, 'bytes', headers);
    expect([again.status, await again.text()]).toEqual([201, await first.text()]);
    expect(engine.commands).toEqual(['upload mine']);
    expect((await put(app, 'larger', { ...headers, 'content-length': '6' })).status).toBe(422);
  });

  it.each<[string, Record<string, string>, number]>([
    ['', { 'content-length': '0' }, 400],
    ['x', { 'content-type': 'multipart/form-data; boundary=x' }, 415],
    ['x', { 'content-encoding': 'gzip' }, 415],
    ['x', { 'repr-digest': 'md5=:AAAA:' }, 400],
    ['x', { 'repr-digest': 'sha-256=:AAAA:' }, 400],
  ])('of %j with %j is %i', async (body, headers, status) => {
    const { app, engine } = edgeApp();
    expect((await put(app, body, headers)).status).toBe(status);
    expect(engine.commands).toEqual([]);
  });

  it('of nothing leaves nothing', async () => {
    const { app, engine } = edgeApp();
    expect((await put(app, '')).status).toBe(400);
    expect(engine.image('mine')).toBeUndefined();
  });

  it.each(['%2e%2e%2fetc', 'a%2fb', '%00', 'ä', '-rf', 'a b', 'x'.repeat(101)])('cannot be called %s', async (name) => {
    const { app, engine } = edgeApp();
    const answer = await app.request(`/v1/images/${name}`, { method: 'PUT', headers: OCTETS, body: 'x' });
    expect([400, 404, 405]).toContain(answer.status);
    expect(engine.commands).toEqual([]);
  });

  it('gives up when nothing comes any more', async () => {
    const stuck = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
    const request = new Request('http://localhost/', { method: 'PUT', body: stuck, duplex: 'half' });
    const upload = new Upload(request, { stallMs: 20 });
    const taken = (async () => {
      for await (const _ of upload.bytes);
    })();
    await expect(upload.takenBy(taken)).rejects.toMatchObject({ problem: { status: 400, detail: /nothing came/ } });
    expect(upload.signal.aborted).toBe(true);
  });

  it('gives up when checking it takes too long', async () => {
    const upload = new Upload(new Request('http://localhost/', { method: 'PUT', body: 'x' }), { finishMs: 20 });
    const taken = (async () => {
      for await (const _ of upload.bytes);
      await new Promise((_, reject) => upload.signal.addEventListener('abort', () => reject(upload.signal.reason)));
    })();
    await expect(upload.takenBy(taken)).rejects.toMatchObject({ problem: { status: 503 } });
  });
});

describe('a declared checksum', () => {
  const hex = sha256('x').toString('hex');
  const base64 = sha256('x').toString('base64');
  it.each([
    [undefined, undefined, undefined],
    [hex, undefined, hex],
    [undefined, `sha-256=:${base64}:`, hex],
    [undefined, `sha-512=:AAAA:, sha-256=:${base64}:`, hex],
    [hex, `sha-256=:${base64}:`, hex],
  ])('%s and %s is %s', (asked, header, expected) => expect(declaredSha256(asked, header)).toBe(expected));
  it('must be the same everywhere', () =>
    expect(() => declaredSha256('0'.repeat(64), `sha-256=:${base64}:`)).toThrow('?sha256='));
});

describe('over a socket', () => {
  it('goes no faster than it is taken, and in constant memory', async () => {
    const { listening, engine } = await liveEdge();
    const gate = Promise.withResolvers<void>();
    let taken = 0;
    engine.onUpload = (bytes) => {
      taken = bytes;
      return gate.promise;
    };
    const total = 512 * MIB;
    const piece = Buffer.alloc(MIB, 'x');
    let sent = 0;
    const source = new Readable({
      read() {
        if (sent === total) return void this.push(null);
        sent += piece.length;
        this.push(piece);
      },
    });
    const request = httpRequest(`${listening.url}/v1/images/big?format=raw`, { method: 'PUT', headers: OCTETS });
    const answered = once(request, 'response', { signal: AbortSignal.timeout(60_000) });
    source.pipe(request);
    await untilQuiet(() => sent);
    expect(taken).toBeGreaterThan(0);
    // What the kernel's buffers of a connection hold on both sides, at the most.
    expect(sent).toBeLessThan(64 * MIB);
    const before = process.memoryUsage();
    let peak = 0;
    engine.onUpload = async (bytes) => {
      if (bytes % (32 * MIB) < piece.length) {
        const { rss } = process.memoryUsage();
        peak = Math.max(peak, rss);
      }
    };
    gate.resolve();
    const [response] = await answered;
    let text = '';
    for await (const chunk of response) text += chunk;
    expect([response.statusCode, JSON.parse(text)]).toMatchObject([201, { fileBytes: total }]);
    expect(peak - before.rss).toBeLessThan(200 * MIB);
  });

  it('leaves nothing when the client goes away', async () => {
    const { listening, engine, log } = await liveEdge();
    const socket = connect(listening.address.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    const begun = Promise.withResolvers<void>();
    engine.onUpload = async () => begun.resolve();
    socket.write(
      'PUT /v1/images/half HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nhalf',
    );
    await begun.promise;
    expect(engine.image('half')?.state).toBe('importing');
    socket.destroy();
    for (let turns = 0; turns < 500 && engine.image('half') !== undefined; turns++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(engine.image('half')).toBeUndefined();
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
    expect((await fetch(`${listening.url}/healthz`)).status).toBe(200);
  });

  it('answers a refusal while the client is still sending', async () => {
    const { listening } = await liveEdge();
    const request = httpRequest(`${listening.url}/v1/images/backend`, { method: 'PUT', headers: OCTETS });
    request.on('error', () => undefined);
    request.write(Buffer.alloc(MIB));
    const [response] = await once(request, 'response', { signal: AbortSignal.timeout(10_000) });
    expect(response.statusCode).toBe(409);
    request.destroy();
  });
});

/** Until a number has not changed for some turns of the loop. */
async function untilQuiet(value: () => number): Promise<void> {
  for (let quiet = 0, last = -1; quiet < 50; ) {
    await turnOfTheLoop();
    await new Promise((resolve) => setTimeout(resolve, 2));
    quiet = value() === last && last > 0 ? quiet + 1 : 0;
    last = value();
  }
}
