// What people and programs send that should not be: names with tricks, numbers that are none, wrong types, too much of anything.
// Every answer is a problem document that says what is wrong, and the engine hears of none of it.

import { describe, expect, it } from 'vitest';
import { problemSchema } from '../../src/edge/schemas.ts';
import { edgeApp } from './edge-app.ts';
import { aLoneVm } from './pictures.ts';

const TRICKS = [
  '',
  ' ',
  '.',
  '..',
  '../../etc/passwd',
  'a/b',
  'a\\b',
  '-rf',
  '--help',
  '</name><evil/>',
  '<![CDATA[x]]>',
  '&lt;x&gt;',
  '"; rm -rf / #',
  '$(reboot)',
  '`reboot`',
  'a;b',
  'a|b',
  'a\nb',
  'a\r\nHost: x',
  'a\tb',
  'a\u0000b',
  'a\u200bb',
  'a\u202eb',
  'ａ',
  'ä',
  'a\u0301',
  '🦊',
  '%2e%2e%2f',
  '%00',
  'x'.repeat(64),
  'x'.repeat(10_000),
  '__proto__\u0000',
] as const;

const WRONG_TYPES = [null, true, 7, 1.5, [], ['a'], {}, { a: 1 }];

const IDS = [
  '0',
  '-1',
  '+1',
  '1.0',
  '1e3',
  '0x10',
  '９',
  '1_000',
  '9007199254740993',
  '99999999999999999999999',
  'NaN',
  'Infinity',
  '%20',
  '7%00',
  '7;8',
  '7,8',
  'null',
  "7'--",
  'seven',
];

async function problemOf(answer: Response) {
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  return problemSchema.parse(await answer.json());
}

function send(path: string, body: unknown, method = 'POST') {
  const { app, engine } = edgeApp({ vms: [aLoneVm()] });
  const headers = { 'content-type': 'application/json' };
  return Promise.resolve(app.request(path, { method, headers, body: JSON.stringify(body) })).then((answer) => ({
    answer,
    engine,
  }));
}

async function refusedAt(path: string, body: unknown, where: string): Promise<void> {
  const { answer, engine } = await send(path, body);
  expect(answer.status, JSON.stringify(body).slice(0, 100)).toBe(400);
  const problem = await problemOf(answer);
  expect(problem.errors?.map((one) => one.where.startsWith(where))).toContain(true);
  expect(JSON.stringify(problem).length).toBeLessThan(5000);
  expect(engine.commands).toEqual([]);
}

const VM = { name: 'job', flavor: 'small', image: 'backend' };

describe('names', () => {
  it.each(TRICKS)('of a VM: %j', (name) => refusedAt('/v1/vms', { ...VM, name }, 'body.name'));
  it.each(TRICKS)('of a flavor: %j', async (flavor) => {
    // Long ones may be names of flavors; there is none of that name all the same.
    const { answer, engine } = await send('/v1/vms', { ...VM, flavor });
    expect(answer.status).toBe(400);
    expect(engine.vms().some(({ record }) => record.name === 'job')).toBe(false);
  });
  it.each(TRICKS.filter((name) => name.length !== 64))('of an image to fetch: %j', (name) =>
    refusedAt('/v1/images', { name, source: { url: 'http://h/x' } }, 'body.name'),
  );
  it.each(TRICKS)('of what is not there: %j', async (name) => {
    const { app, engine } = edgeApp();
    for (const list of ['hosts', 'images', 'flavors', 'operations', 'groups', 'decisions']) {
      const answer = await app.request(`/v1/${list}/${encodeURIComponent(name)}`);
      // The empty one is the list with a slash, and dots are taken out of an address before it is sent.
      expect(['', '.', '..'].includes(name) ? [200, 404] : [400, 404]).toContain(answer.status);
    }
    expect(engine.commands).toEqual([]);
  });
  it.each(WRONG_TYPES)('that are no text: %j', (name) => refusedAt('/v1/vms', { ...VM, name }, 'body.name'));
});

describe('ids', () => {
  const paths = ['', '/console', '/addresses'];
  it.each(IDS)('in a path: %s', async (id) => {
    const { app } = edgeApp();
    for (const path of paths) expect((await app.request(`/v1/vms/${id}${path}`)).status).toBe(400);
    for (const verb of ['start', 'stop', 'shutdown']) {
      expect((await app.request(`/v1/vms/${id}/${verb}`, { method: 'POST' })).status).toBe(400);
    }
    expect((await app.request(`/v1/vms/${id}`, { method: 'DELETE' })).status).toBe(400);
  });
  it.each([...IDS, ''])('in a query: %j', async (id) => {
    expect((await edgeApp().app.request(`/v1/operations?vm=${id}`)).status).toBe(400);
  });
  it('given twice', async () => {
    for (const query of ['vm=1&vm=2', 'limit=1&limit=1', 'state=queued&state=failed']) {
      expect((await problemOf(await edgeApp().app.request(`/v1/operations?${query}`))).status).toBe(400);
    }
  });
  it.each(['1001', '0', '-5', '1e2', ''])('as a limit: %j', async (limit) => {
    expect((await edgeApp().app.request(`/v1/vms?limit=${limit}`)).status).toBe(400);
  });
  it.each([
    ...IDS.slice(1),
    'dm06MQ==',
    'vm:1',
    Buffer.from('vm:-1').toString('base64url'),
    Buffer.from('operation:1').toString('base64url'),
  ])('as a cursor: %s', async (cursor) => {
    const answer = await edgeApp().app.request(`/v1/vms?cursor=${cursor}`);
    expect([answer.status, (await problemOf(answer)).errors?.[0]?.where]).toEqual([400, 'query.cursor']);
  });
});

describe('members of a request for VMs', () => {
  it.each<[string, unknown]>([
    ['count', 0],
    ['count', -1],
    ['count', 1.5],
    ['count', 1001],
    ['count', '2'],
    ['image', '../x'],
    ['image', null],
    ['ready', {}],
    ['ready', { http: { port: 0, path: '/' } }],
    ['ready', { http: { port: 65_536, path: '/' } }],
    ['ready', { http: { port: 80, path: 'x' } }],
    ['ready', { http: { port: 80, path: '/\r\nHost: x' } }],
    ['ready', { http: { port: 80, path: '/', host: 'evil' } }],
    ['sshKeys', 'ssh-ed25519'],
    ['sshKeys', ['a\nb']],
    ['sshKeys', ['']],
    ['sshKeys', ['a\u0000']],
    ['sshKeys', Array(101).fill('ssh-ed25519 A')],
    ['userData', 'a\u0000b'],
    ['userData', { a: 1 }],
    ['placement', { algorithm: './evil.js' }],
    ['placement', { algorithm: '/etc/evil.js' }],
    ['placement', { algorithm: 'data:text/javascript,1' }],
    ['placement', { labels: { 'a b': 'c' } }],
    ['placement', { labels: { a: 'b\n' } }],
    ['placement', { labels: { a: 1 } }],
    ['placement', { withVms: [0] }],
    ['placement', { withVms: ['1'] }],
    ['placement', { wher: 'x' }],
    ['allOrNothing', 'yes'],
    ['allOrNothing', 1],
  ])('%s: %j', (key, value) => refusedAt('/v1/vms', { ...VM, [key]: value }, `body.${key}`));

  it('that nobody knows, by their names', async () => {
    const { answer, engine } = await send('/v1/vms', { ...VM, flavour: 'small', constructor: 1 });
    const problem = await problemOf(answer);
    expect(problem.detail).toContain('flavour');
    expect(engine.commands).toEqual([]);
    const polluting = '{"name":"job","flavor":"small","__proto__":{"image":"backend"}}';
    const { app } = edgeApp();
    const headers = { 'content-type': 'application/json' };
    expect((await app.request('/v1/vms', { method: 'POST', headers, body: polluting })).status).not.toBe(500);
    expect(({} as { image?: string }).image).toBeUndefined();
  });
});

describe('sources of images', () => {
  it.each<[unknown]>([
    [{}],
    ['http://h/x'],
    [{ url: 'http://h/x', path: '/x' }],
    [{ url: 'ftp://h/x' }],
    [{ url: 'file:///etc/passwd' }],
    [{ url: 'javascript:1' }],
    [{ url: 'http://' }],
    [{ url: '' }],
    [{ path: 'relative' }],
    [{ path: '/a\nb' }],
    [{ path: '/a\u0000' }],
    [{ host: '../x' }],
    [{ ssh: '-oProxyCommand=reboot:/x' }],
    [{ ssh: '-l@h:/x' }],
    [{ ssh: 'root@-h:/x' }],
    [{ ssh: 'root@h' }],
    [{ ssh: 'root@h:relative' }],
    [{ ssh: 'root@h x:/x' }],
    [{ ssh: 'a:b@h:/x' }],
    [{ upload: true }],
  ])('%j', (source) => refusedAt('/v1/images', { name: 'x', source }, 'body.source'));
});

describe('the request itself', () => {
  const { app } = edgeApp({ vms: [aLoneVm()] });
  const post = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    app.request('/v1/vms', { method: 'POST', headers, body });

  it.each(['', 'null', '[]', '7', '"x"', '{', '{"name":', '\u0000', '{"name":"a"}{"name":"b"}', '['.repeat(50_000)])(
    'with the body %j',
    async (body) => expect((await problemOf(await post(body))).status).toBe(400),
  );

  it('with too large a body, whatever it says about its length', async () => {
    const body = JSON.stringify({ ...VM, userData: 'x'.repeat(70_000) });
    expect((await post(body)).status).toBe(413);
    expect(
      (await post(body, { 'content-type': 'application/json', 'content-length': '5' })).status,
    ).toBeGreaterThanOrEqual(400);
  });

  it.each(['grace=30', 'grace=-1s', 'grace=1y', 'grace=', 'grace=2d', 'grace=1s&grace=2s', 'force=1'])(
    'to delete with ?%s',
    async (query) => expect((await app.request(`/v1/vms/20?${query}`, { method: 'DELETE' })).status).toBe(400),
  );

  it.each([{ grace: 30 }, { grace: '30' }, { grace: '99d' }, { force: true }, []])(
    'to shut down with %j',
    async (body) => {
      expect((await send('/v1/vms/20/shutdown', body)).answer.status).toBe(400);
    },
  );

  it.each([{}, { cordoned: '' }, { cordoned: 'a\nb' }, { cordoned: 'x'.repeat(501) }, { cordoned: 'a', name: 'b' }])(
    'to cordon with %j',
    async (body) => expect((await send('/v1/hosts/local', body, 'PATCH')).answer.status).toBe(400),
  );

  it.each(['%', '%zz', '%c0%ae', '%ff', '%F0%9F%A6%8A', '.%2e/', '//', '/%2f..%2f'])(
    'for the path /v1/vms/%s',
    async (path) => expect([400, 404]).toContain((await app.request(`/v1/vms/${path}`)).status),
  );

  it('with headers that are too long or none', async () => {
    expect((await app.request('/v1/vms', { headers: { authorization: `Bearer ${'x'.repeat(100_000)}` } })).status).toBe(
      401,
    );
    const ifMatch = { 'content-type': 'application/json', 'if-match': '"a",'.repeat(10_000) };
    const answer = await app.request('/v1/hosts/local', {
      method: 'PATCH',
      headers: ifMatch,
      body: '{"cordoned":null}',
    });
    expect(answer.status).toBe(412);
  });
});
