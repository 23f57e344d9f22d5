// Everything that can be wrong with a request, and what is said about it.

import { describe, expect, it } from 'vitest';
import { MAX_BODY_BYTES } from '../../src/edge/guards.ts';
import { problemSchema } from '../../src/edge/schemas.ts';
import { edgeApp } from './edge-app.ts';

const JSON_HEADERS = { 'content-type': 'application/json' };

async function problemOf(answer: Response) {
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  const problem = problemSchema.parse(await answer.json());
  expect(problem.status).toBe(answer.status);
  return { ...problem, name: problem.type.replace('urn:virtscale:problem:', '') };
}

describe('problems', () => {
  const patch = (body: string, headers: Record<string, string> = JSON_HEADERS) =>
    edgeApp().app.request('/v1/groups/web', { method: 'PATCH', headers, body });

  it.each([
    ['/v1/nothing', 404, 'not-found'],
    ['/v1/groups/none', 404, 'not-found'],
    ['/v1/hosts/none', 404, 'not-found'],
    ['/v1/vms/99', 404, 'not-found'],
    ['/v1/vms/seven', 400, 'invalid-request'],
    ['/v1/vms/0', 400, 'invalid-request'],
    ['/v1/vms/7.0', 400, 'invalid-request'],
    ['/v1/vms?phase=dancing', 400, 'invalid-request'],
    ['/v1/vms?grup=web', 400, 'invalid-request'],
    ['/v1/decisions?limit=0', 400, 'invalid-request'],
    ['/v1/decisions?limit=1e2', 400, 'invalid-request'],
    ['/v1/events?types=vm.launched,vm.exploded', 400, 'invalid-request'],
    ['/v1/events?since=-1', 400, 'invalid-request'],
    ['/v1/events?since=1&since=2', 400, 'invalid-request'],
    ['/v1/events?since=99999999999999999999', 400, 'invalid-request'],
  ])('GET %s is %i %s', async (path, status, name) => {
    const problem = await problemOf(await edgeApp().app.request(path));
    expect([problem.status, problem.name]).toEqual([status, name]);
    if (status === 400) expect(problem.errors?.length).toBeGreaterThan(0);
  });

  it('says where and what', async () => {
    const problem = await problemOf(await patch('{"desired":"3","min":1}'));
    expect(problem.errors?.map(({ where }) => where)).toEqual(expect.arrayContaining(['body.desired']));
    const query = await problemOf(await edgeApp().app.request('/v1/events?types=vm.exploded'));
    expect(query.errors).toEqual([
      { where: 'query.types', what: expect.stringContaining('"vm.exploded" is no event type') },
    ]);
  });

  it.each(['{"desired":-1}', '{"desired":1.5}', '{"desired":1e9}', '{}', '[]', 'null', '{"desired":', ''])(
    'refuses the body %s',
    async (body) => {
      const problem = await problemOf(await patch(body));
      expect([problem.status, problem.name]).toEqual([400, 'invalid-request']);
    },
  );

  it('names the methods a path takes', async () => {
    const { app } = edgeApp();
    const answer = await app.request('/v1/groups/web', { method: 'DELETE' });
    expect(answer.headers.get('allow')).toBe('GET, HEAD, PATCH');
    expect((await problemOf(answer)).status).toBe(405);
    expect((await app.request('/v1/groups/web/pause')).headers.get('allow')).toBe('POST');
  });

  it('refuses other media types and bodies beyond the limit', async () => {
    expect((await problemOf(await patch('desired=3', { 'content-type': 'text/plain' }))).status).toBe(415);
    expect(
      (await problemOf(await patch('desired=3', { 'content-type': 'application/x-www-form-urlencoded' }))).status,
    ).toBe(415);
    const large = JSON.stringify({ desired: 1, padding: 'x'.repeat(MAX_BODY_BYTES) });
    expect((await problemOf(await patch(large))).status).toBe(413);
    const lying = await patch(large, { ...JSON_HEADERS, 'transfer-encoding': 'chunked' });
    expect((await problemOf(lying)).status).toBe(413);
  });

  it('does not show its insides when it fails, and logs them', async () => {
    const { app, engine, log } = edgeApp();
    engine.beforeCommand = () => Promise.reject(new Error('database is at /secret/place'));
    const answer = await app.request('/v1/groups/web/pause', { method: 'POST' });
    expect(JSON.stringify(await problemOf(answer))).not.toContain('secret');
    expect(answer.status).toBe(500);
    expect(log.lines).toMatchObject([{ level: 'error', fields: { request: 'POST /v1/groups/web/pause' } }]);
  });
});

describe('who may ask', () => {
  const get = (headers: Record<string, string>) => edgeApp().app.request('/v1/groups', { headers });

  it.each([
    '127.0.0.1:7070',
    'localhost',
    '[::1]:7070',
    '192.168.1.5',
    'scaler.example:7070',
    'Scaler.Example',
    'a.localhost',
  ])('serves the host %s', async (host) => expect((await get({ host })).status).toBe(200));

  it.each([
    'evil.example',
    'evil.example:7070',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'scaler.example.evil',
    'a@127.0.0.1',
    '',
  ])('refuses the host %j', async (host) =>
    expect((await problemOf(await get({ host }))).name).toBe('host-not-allowed'),
  );

  const post = async (headers: Record<string, string>) => {
    const { app, engine } = edgeApp();
    const answer = await app.request('/v1/groups/web/pause', {
      method: 'POST',
      headers: { host: '127.0.0.1:7070', ...headers },
    });
    return [answer.status, engine.commands.length];
  };

  it.each<Record<string, string>>([
    {},
    { origin: 'http://127.0.0.1:7070' },
    { origin: 'https://127.0.0.1:7070', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
  ])('lets %j write', async (headers) => expect(await post(headers)).toEqual([200, 1]));

  it.each<Record<string, string>>([
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:8080' },
    { origin: 'http://127.0.0.1:7070.evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:7070' },
  ])('lets %j not write', async (headers) => expect(await post(headers)).toEqual([403, 0]));
});

describe('Idempotency-Key', () => {
  const patch = (app: ReturnType<typeof edgeApp>['app'], key: string, desired: number) =>
    app.request('/v1/groups/web', {
      method: 'PATCH',
      headers: { ...JSON_HEADERS, 'idempotency-key': key },
      body: JSON.stringify({ desired }),
    });

  it('answers the same request the same, once done', async () => {
    const { app, engine } = edgeApp();
    const first = await patch(app, 'k1', 3);
    await patch(app, 'k2', 2);
    const again = await patch(app, 'k1', 3);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await again.text()).toBe(await first.text());
    expect(engine.commands).toEqual(['desired web 3', 'desired web 2']);
  });

  it('answers refusals the same too', async () => {
    const { app, engine } = edgeApp();
    const answers = [await patch(app, 'k', 9), await patch(app, 'k', 9)];
    expect(answers.map(({ status }) => status)).toEqual([409, 409]);
    expect(await Promise.all(answers.map(async (answer) => (await problemOf(answer)).name))).toEqual([
      'conflict',
      'conflict',
    ]);
    expect(engine.commands).toHaveLength(1);
  });

  it('refuses the key of another request', async () => {
    const { app } = edgeApp();
    await patch(app, 'k', 3);
    expect((await problemOf(await patch(app, 'k', 2))).status).toBe(422);
    const pause = await app.request('/v1/groups/web/pause', { method: 'POST', headers: { 'idempotency-key': 'k' } });
    expect(pause.status).toBe(422);
  });

  it('does it once when the same comes twice at a time', async () => {
    const { app, engine } = edgeApp();
    const gate = Promise.withResolvers<void>();
    engine.beforeCommand = () => gate.promise;
    const both = [patch(app, 'k', 3), patch(app, 'k', 3), patch(app, 'k', 3)];
    gate.resolve();
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(engine.commands).toEqual(['desired web 3']);
  });

  it('lets a failed try be made again, by one of those that waited', async () => {
    const { app, engine } = edgeApp();
    let tries = 0;
    engine.beforeCommand = async () => {
      tries += 1;
      if (tries === 1) throw new Error('broken');
    };
    const all = await Promise.all([patch(app, 'k', 3), patch(app, 'k', 3), patch(app, 'k', 3)]);
    expect(all.map(({ status }) => status)).toEqual([500, 200, 200]);
    expect(tries).toBe(2);
  });

  it('refuses a key that is none', async () => {
    expect((await problemOf(await patch(edgeApp().app, 'a b', 3))).status).toBe(400);
    expect((await problemOf(await patch(edgeApp().app, 'x'.repeat(256), 3))).status).toBe(400);
  });
});
