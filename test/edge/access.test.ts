// Who may come in and how far: with tokens, without, from here and from elsewhere, over HTTP and the WebSocket.

import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { describe, expect, it } from 'vitest';
import { protection } from '../../src/edge/access.ts';
import { problemSchema } from '../../src/edge/schemas.ts';
import { neededScope, SCOPES, seedScope } from '../../src/edge/scopes.ts';
import { type EdgeApp, edgeApp } from './edge-app.ts';
import { Client, liveEdge, refusal } from './live-edge.ts';
import { tokenFor } from './tokens.ts';

const reader = tokenFor('reader', 'read');
const operator = tokenFor('operator', 'operate');
const boss = tokenFor('boss', 'admin');
const old = tokenFor('old', 'admin', { expiresAt: '2020-01-01T00:00:00.000Z' });
const tokens = [reader.token, operator.token, boss.token, old.token];

const bearer = (text: string): RequestInit => ({ headers: { authorization: `Bearer ${text}` } });

async function ask({ app }: EdgeApp, call: string, authorization?: string) {
  const [method = '', path = ''] = call.split(' ');
  const headers = authorization === undefined ? {} : { authorization };
  const answer = await app.request(path, { method, headers });
  const challenge = answer.headers.get('www-authenticate');
  const name =
    answer.status < 400
      ? ''
      : problemSchema
          .parse(await answer.json())
          .type.split(':')
          .at(-1);
  return { status: answer.status, name, challenge };
}

describe('without a token', () => {
  it('this machine may do everything until there is a token, then nothing', async () => {
    const edge = edgeApp();
    expect((await ask(edge, 'GET /v1/tokens')).status).toBe(200);
    await edge.engine.tokens.add(boss.token);
    expect(await ask(edge, 'GET /v1/vms')).toEqual({
      status: 401,
      name: 'unauthenticated',
      challenge: 'Bearer realm="virtscale"',
    });
    await edge.engine.tokens.remove('boss');
    expect((await ask(edge, 'GET /v1/vms')).status).toBe(200);
  });

  it('a request from nowhere is from nobody', async () => {
    expect((await ask(edgeApp({}, { near: false }), 'GET /v1/vms')).status).toBe(401);
    expect((await ask(edgeApp({}, { near: false, withoutToken: 'anyone' }), 'GET /v1/vms')).status).toBe(200);
  });

  it('is as the configuration says, tokens or not', async () => {
    expect((await ask(edgeApp({ tokens }, { withoutToken: 'loopback' }), 'GET /v1/tokens')).status).toBe(200);
    expect((await ask(edgeApp({ tokens }, { withoutToken: 'anyone' }), 'GET /v1/tokens')).status).toBe(200);
    expect((await ask(edgeApp({}, { withoutToken: 'nobody' }), 'GET /v1/vms')).status).toBe(401);
  });

  it.each(['GET /', 'GET /healthz', 'GET /readyz', 'GET /v1/docs', 'GET /v1/openapi.json'])(
    'everybody may have %s',
    async (call) => expect((await ask(edgeApp({ tokens }), call)).status).toBe(200),
  );

  it('nothing else is open', async () => {
    const edge = edgeApp({ tokens });
    for (const [call, scope] of Object.entries(SCOPES)) {
      if (scope === 'open') continue;
      expect((await ask(edge, call.replaceAll(/\{[a-z]+\}/g, '1'))).status, call).toBe(401);
    }
    expect(edge.engine.commands).toEqual([]);
  });

  it('what is not there is said to be not there', async () => {
    expect((await ask(edgeApp({ tokens }), 'GET /v1/nothing')).status).toBe(404);
    expect((await ask(edgeApp({ tokens }), 'PUT /v1/vms')).status).toBe(405);
  });
});

describe('with a token', () => {
  const edge = edgeApp({ tokens });

  it('each scope includes those before it, and nothing of those after', async () => {
    const ranks = ['read', 'operate', 'admin'];
    for (const [call, scope] of Object.entries(SCOPES)) {
      if (scope === 'open' || scope === 'post') continue;
      for (const [rank, { text }] of [reader, operator, boss].entries()) {
        const { status, name, challenge } = await ask(edge, call.replaceAll(/\{[a-z]+\}/g, '1'), `Bearer ${text}`);
        const allowed = rank >= ranks.indexOf(scope);
        expect([status === 401, status === 403], `${call} ${ranks[rank]}`).toEqual([false, !allowed]);
        if (!allowed)
          expect([name, challenge]).toEqual(['insufficient-scope', expect.stringContaining(`scope="${scope}"`)]);
      }
    }
  });

  it('a guest may post and nothing else; who may operate may post, who may read may not', async () => {
    const guest = tokenFor('guest', 'post');
    const here = edgeApp({ tokens: [...tokens, guest.token] });
    for (const [call, scope] of Object.entries(SCOPES)) {
      if (scope === 'open') continue;
      const { status } = await ask(here, call.replaceAll(/\{[a-z]+\}/g, '1'), `Bearer ${guest.text}`);
      expect(status === 403, call).toBe(scope !== 'post');
    }
    const post = async (text: string) => (await ask(here, 'POST /v1/groups/web/metrics/jobs', `Bearer ${text}`)).status;
    expect([await post(reader.text), await post(operator.text), await post(boss.text)]).toEqual([403, 400, 400]);
    const seed = await here.app.request('/vm/query?vmid=7', bearer(guest.text));
    expect(await seed.json()).toEqual({ vmid: 0, error: expect.stringContaining('scope read') });
  });

  it.each([
    `Bearer ${boss.text}x`,
    `Bearer ${boss.text.slice(0, -1)}`,
    `Bearer ${boss.token.sha256}`,
    `Bearer ${old.text}`,
    'Bearer',
    'Bearer ',
    `Basic ${boss.text}`,
    boss.text,
    `Bearer ${boss.text} ${boss.text}`,
    `Bearer ${'x'.repeat(5000)}`,
    "Bearer ' OR 1=1 --",
  ])('refuses %s, also where none would be needed', async (authorization) => {
    expect((await ask(edge, 'GET /v1/vms', authorization)).challenge).toContain('invalid_token');
    expect((await ask(edgeApp({ tokens }, { withoutToken: 'anyone' }), 'GET /v1/vms', authorization)).status).toBe(401);
  });

  it('takes it as owner of what is done', async () => {
    const edgeHere = edgeApp({ tokens });
    const answer = await edgeHere.app.request('/v1/vms', {
      method: 'POST',
      headers: { authorization: `bearer ${operator.text}`, 'content-type': 'application/json' },
      body: '{"name":"a","flavor":"small"}',
    });
    expect(await answer.json()).toMatchObject({ owner: 'operator' });
  });

  it('asks for admin to fetch files of other machines, not for addresses', async () => {
    const fetchImage = async (text: string, source: unknown) => {
      const answer = await edgeApp({ tokens }).app.request('/v1/images', {
        method: 'POST',
        headers: { authorization: `Bearer ${text}`, 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'x', source }),
      });
      return answer.status;
    };
    expect(await fetchImage(operator.text, { url: 'http://a/b' })).toBe(202);
    for (const source of [{ path: '/etc/shadow' }, { host: '/etc/shadow' }, { ssh: 'root@h:/etc/shadow' }]) {
      expect(await fetchImage(operator.text, source)).toBe(403);
      expect(await fetchImage(boss.text, source)).toBe(202);
    }
  });

  it('needs no known Host name: no browser adds a token by itself', async () => {
    const { app } = edgeApp({ tokens });
    const get = async (authorization: string) =>
      (await app.request('/v1/vms', { headers: { host: 'fleet.example', authorization } })).status;
    expect(await get(`Bearer ${reader.text}`)).toBe(200);
    expect(await get('Bearer x')).toBe(401);
  });
});

describe('making tokens', () => {
  const make = ({ app }: EdgeApp, body: unknown, text?: string) =>
    app.request('/v1/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(text !== undefined && { authorization: `Bearer ${text}` }) },
      body: JSON.stringify(body),
    });

  it('shows the text once, and it works', async () => {
    const edge = edgeApp();
    const answer = await make(edge, { name: 'me', scope: 'admin', expiresIn: '1d' });
    expect(answer.status).toBe(201);
    const made = (await answer.json()) as { token: string; expiresAt: string };
    expect(Math.abs(Date.parse(made.expiresAt) - Date.now() - 86_400_000)).toBeLessThan(60_000);
    const listed = await edge.app.request('/v1/tokens', { headers: { authorization: `Bearer ${made.token}` } });
    expect(listed.status).toBe(200);
    const text = await listed.text();
    expect(text).not.toContain(made.token);
    expect(text).not.toContain(edge.engine.tokens.all[0]?.sha256 ?? 'none');
  });

  it('does not lock everybody out: the first and the last are admins', async () => {
    const edge = edgeApp();
    expect((await make(edge, { name: 'ci', scope: 'read' })).status).toBe(409);
    const { token } = (await (await make(edge, { name: 'me', scope: 'admin' })).json()) as { token: string };
    expect((await make(edge, { name: 'ci', scope: 'read' }, token)).status).toBe(201);
    const remove = async (name: string) =>
      (
        await edge.app.request(`/v1/tokens/${name}`, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${token}` },
        })
      ).status;
    expect(await remove('me')).toBe(409);
    expect(await remove('ci')).toBe(204);
    expect(await remove('me')).toBe(204);
    expect(await remove('me')).toBe(401);
  });

  it.each(['', 'A', 'a b', '-a', 'a/b', 'ä', 'a\u0000', 'anonymous', 'x'.repeat(64), 7, null])(
    'refuses the name %j',
    async (name) => expect((await make(edgeApp(), { name, scope: 'admin' })).status).toBe(400),
  );
});

describe('the seeds’ calls', () => {
  it('look with read and change with operate, whatever the method and however they end', () => {
    expect(
      ['/vm/create', '/vm/create/', '/vm/destroy', '/vm/query', '/pm/list', '/image/list', '/vm'].map(seedScope),
    ).toEqual(['operate', 'operate', 'operate', 'read', 'read', 'read', 'read']);
    expect(['/', '/vms', '/v1/vms', '/vmware/create'].map(seedScope)).toEqual(Array(4).fill(undefined));
  });

  it('are refused in their own form', async () => {
    const { app, engine } = edgeApp({ tokens });
    const answer = await app.request('/vm/create?name=a&instance_type=1&image_id=1');
    expect([answer.status, await answer.json()]).toMatchObject([
      200,
      { vmid: 0, error: expect.stringContaining('token') },
    ]);
    expect(engine.commands).toEqual([]);
  });
});

it('a route that stands in no table is for admins', () => {
  expect(neededScope('GET', '/v1/secrets/:name')).toBe('admin');
  expect(neededScope('GET', '/v1/vms/:id')).toBe('read');
});

describe('over a socket', () => {
  const status = async (url: string, headers: Record<string, string> = {}) =>
    (await fetch(url, { headers, signal: AbortSignal.timeout(10_000) })).status;

  it('lets this machine in by the socket, and not when a proxy stands between', async () => {
    const { listening } = await liveEdge();
    const url = `${listening.url}/v1/vms`;
    expect(await status(url)).toBe(200);
    for (const name of ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via']) {
      expect(await status(url, { [name]: '127.0.0.1' })).toBe(401);
    }
  });

  it('does not believe a header about who asks', async () => {
    const { listening } = await liveEdge({}, {}, { withoutToken: 'nobody' });
    expect(await status(`${listening.url}/v1/vms`, { 'x-forwarded-for': '127.0.0.1', 'x-real-ip': '::1' })).toBe(401);
  });

  it('does not read the body of somebody it does not let in', async () => {
    const { listening, engine } = await liveEdge({}, { tokens });
    const upload = httpRequest(`${listening.url}/v1/images/x`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(10 * 1024 ** 3) },
    });
    upload.on('error', () => undefined);
    upload.write('x'.repeat(1000));
    const [response] = await once(upload, 'response', { signal: AbortSignal.timeout(10_000) });
    expect(response.statusCode).toBe(401);
    expect(engine.commands).toEqual([]);
    upload.destroy();
  });
});

describe('the WebSocket', () => {
  it('takes a token by header and by protocol', async () => {
    const { wsUrl } = await liveEdge({}, { tokens });
    const byHeader = new Client(`${wsUrl}/v1/events`, { headers: { authorization: `Bearer ${reader.text}` } });
    await byHeader.greeted();
    const offered = ['virtscale.events', `virtscale.bearer.${reader.text}`];
    const byProtocol = new Client(`${wsUrl}/v1/events`, {}, offered);
    await byProtocol.greeted();
    expect(byProtocol.socket.protocol).toBe('virtscale.events');
  });

  it('refuses without one, and with one that is not known', async () => {
    const { wsUrl } = await liveEdge({}, { tokens });
    expect(await refusal(`${wsUrl}/v1/events`)).toMatchObject({ status: 401, type: 'application/problem+json' });
    const authorization = 'Bearer vs_unknown';
    expect(await refusal(`${wsUrl}/v1/events`, { headers: { authorization } })).toMatchObject({ status: 401 });
    const proxied = await liveEdge();
    expect(await refusal(`${proxied.wsUrl}/v1/events`, { headers: { 'x-forwarded-for': '127.0.0.1' } })).toMatchObject({
      status: 401,
    });
  });

  it('is closed when its token is deleted', async () => {
    const { wsUrl, engine } = await liveEdge({ pingMs: 50 }, { tokens });
    const client = new Client(`${wsUrl}/v1/events`, { headers: { authorization: `Bearer ${reader.text}` } });
    await client.greeted();
    await engine.tokens.remove('reader');
    expect(await client.closing()).toEqual({ code: 1008, reason: 'the token was deleted or has expired' });
  });
});

it('says in words what protects an address', () => {
  const far = { host: '0.0.0.0', port: 1 };
  const near = { host: '127.0.0.1', port: 1 };
  const say = (edge: EdgeApp, address: typeof far) => protection(edge.access, address);
  expect(say(edgeApp(), near)).toEqual({ open: false, text: expect.stringContaining('without a token') });
  expect(say(edgeApp(), far).text).toContain('others nothing');
  expect(say(edgeApp({ tokens }), far).text).toBe('every request needs a token');
  expect(say(edgeApp({}, { withoutToken: 'anyone' }), far)).toEqual({
    open: true,
    text: expect.stringContaining('0.0.0.0'),
  });
  expect(say(edgeApp({}, { withoutToken: 'anyone' }), near).open).toBe(false);
});
