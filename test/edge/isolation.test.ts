// What is another's is to a user as what does not exist: every call of the OpenAPI document is made as alice, in a world where others have
// things and in one where nobody else has any. Status, headers and body must be the same, and nothing of it may reach the engine.
// A new call fails here until somebody has decided in src/edge/reach.ts how far users reach with it.

import { describe, expect, it } from 'vitest';
import { USER_REACH } from '../../src/edge/reach.ts';
import { SCOPES } from '../../src/edge/scopes.ts';
import type { EdgeApp } from './edge-app.ts';
import { passwordOf } from './people.ts';
import { ALICE, aWorld, BOBS_KEY, OTHERS } from './two-worlds.ts';

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly bytes?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What stands for `{name}` or `{id}` behind these, of others. */
const COLLECTIONS: Readonly<Record<string, string>> = {
  '/v1/vms': OTHERS.vm,
  '/v1/images': OTHERS.image,
  '/v1/operations': OTHERS.operation,
  '/v1/tokens': OTHERS.token,
  '/v1/users': OTHERS.user,
  '/v1/groups': OTHERS.group,
  '/v1/decisions': OTHERS.decision,
  '/v1/clusters': OTHERS.cluster,
  // Shared: everybody has the same.
  '/v1/hosts': 'local',
  '/v1/flavors': 'small',
};

/** Parameters further on; what they are is of no matter where the first one is nobody's. */
const FURTHER: Readonly<Record<string, string>> = {
  metric: 'jobs',
  mac: '52:54:00:00:00:14',
  name: 'before',
  node: 'node1',
};

/** Bodies that are right, so that it is the visibility that answers. */
const BODIES: Readonly<Record<string, unknown>> = {
  'PATCH /v1/hosts/{name}': { cordoned: 'mine' },
  'POST /v1/vms': { name: 'fresh', flavor: 'small', image: OTHERS.image },
  'POST /v1/vms/adopt': { host: 'local', domain: 'bobs-vm' },
  'PATCH /v1/vms/{id}': { protected: true },
  'PATCH /v1/vms/{id}/hardware': { vcpus: 2 },
  'POST /v1/vms/{id}/migrate': { host: 'far' },
  'POST /v1/vms/{id}/snapshots': { name: 'mine' },
  'POST /v1/snapshots': { vms: [Number(OTHERS.vm)], name: 'mine' },
  'POST /v1/clusters': { name: OTHERS.cluster, nodes: 1, flavor: 'small', image: OTHERS.image },
  'POST /v1/clusters/{name}/nodes': { count: 1 },
  'POST /v1/clusters/{name}/exec': { argv: ['true'] },
  'POST /v1/images': { name: 'fetched', source: { url: 'https://images.example/d.qcow2' } },
  'PATCH /v1/groups/{name}': { desired: 2 },
  'PUT /v1/groups/{name}/suspended': { processes: [] },
  'POST /v1/groups/{name}/metrics/{metric}': { value: 1 },
  'POST /v1/tokens': { name: 't', scope: 'read', user: OTHERS.user },
  // Somebody who is let in already makes nobody.
  'POST /v1/users': { name: 'carol', password: passwordOf('carol') },
  'PATCH /v1/users/{name}': { password: passwordOf('new'), oldPassword: passwordOf('bob') },
  'POST /v1/sign-in': { name: 'alice', password: 'wrong' },
};

/** Arguments that a call cannot do without. */
const QUERIES: Readonly<Record<string, string>> = {
  'PUT /v1/clusters/{name}/files': '?path=/tmp/x',
};

/** Beside the calls of the document: filters, cursors, the same key, the seeds' calls. */
const MORE: readonly Call[] = [
  ...['owner=bob', 'name=bobs-vm', 'group=web', 'group=none', 'limit=1', 'host=local', `cursor=${cursor('vm:20')}`].map(
    (query) => get(`/v1/vms?${query}`),
  ),
  ...['vm=20', 'limit=1', `cursor=${cursor(`operation:${OTHERS.operation}`)}`].map((query) =>
    get(`/v1/operations?${query}`),
  ),
  ...['since=0', 'since=0&limit=1', 'since=1', 'group=web', 'types=decision.made,host.up'].map((query) =>
    get(`/v1/events?${query}`),
  ),
  get('/v1/sd/prometheus?group=web'),
  get('/v1/decisions?group=web&before=d-1'),
  get('/v1/groups/web/why?at=2030-01-01T00:00:00Z'),
  get('/v1/clusters?owner=bob'),
  get(`/v1/clusters/${OTHERS.cluster}?owner=bob`),
  get('/v1/operations/op-2/wait?timeout=1ms'),
  ...['withVms', 'withoutVms'].map((rule) =>
    post('/v1/vms', { name: 'near', flavor: 'small', image: 'backend', placement: { [rule]: [20] } }),
  ),
  {
    ...post('/v1/vms', { name: 'bobs-job', flavor: 'small', image: 'nothing' }),
    headers: { 'idempotency-key': BOBS_KEY },
  },
  { method: 'DELETE', path: '/v1/users/alice?to=bob' },
  get('/vm/query?vmid=20'),
  get('/vm/destroy?vmid=20'),
  get('/pm/list'),
  get('/pm/listvms?pmid=1'),
  get('/pm/query?pmid=1'),
  get('/image/list'),
  get('/vm/types'),
  get('/vm/create?name=seed&instance_type=1&image_id=2'),
];

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly requestBody?: { required?: boolean } }>>>>;
}

async function documentOf({ app }: EdgeApp): Promise<Document> {
  return (await (await app.request('/v1/openapi.json')).json()) as Document;
}

function get(path: string): Call {
  return { method: 'GET', path };
}

function post(path: string, body: unknown): Call {
  return { method: 'POST', path, body };
}

function cursor(text: string): string {
  return Buffer.from(text).toString('base64url');
}

/** The path with others' things in it. Throws where nobody has said what those are. */
function pathOf(route: string): string {
  const collection = /^(\/v1\/[a-z]+)\/\{/.exec(route)?.[1];
  const first = collection === undefined ? undefined : COLLECTIONS[collection];
  if (collection !== undefined && first === undefined)
    throw new Error(`say in COLLECTIONS what is another's in ${route}`);
  let at = 0;
  return route.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = at++ === 0 ? first : FURTHER[name];
    if (value === undefined) throw new Error(`say what {${name}} is in ${route}`);
    return encodeURIComponent(value);
  });
}

async function answerOf(edge: EdgeApp, call: Call) {
  const { method, path, body, bytes, headers } = call;
  const type = bytes === undefined ? 'application/json' : 'application/octet-stream';
  const answer = await edge.app.request(path, {
    method,
    headers: { ...ALICE.headers, ...((body ?? bytes) !== undefined && { 'content-type': type }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(bytes !== undefined && { body: bytes }),
  });
  return {
    status: answer.status,
    headers: Object.fromEntries([...answer.headers].map(([name, value]) => [name, unnumbered(value)])),
    body: unnumbered(await answer.text()),
    commands: edge.engine.commands.map(unnumbered),
  };
}

/** Numbers are given in one row for all, so those of new things, and of the log's end, tell how much others do. Docs say so. */
function unnumbered(text: string): string {
  return text
    .replaceAll(/op-([3-9]|\d\d+)/g, 'op-NEW')
    .replaceAll(/"(lastSeq|nextSince)":\d+/g, '"$1":0')
    .replaceAll(/vs_[\w-]{43}/g, 'vs_NEW');
}

const document = await documentOf(await aWorld('alone'));
const operations = Object.entries(document.paths).flatMap(([path, verbs]) =>
  Object.entries(verbs).map(([verb, operation]) => ({ method: verb.toUpperCase(), route: path, operation })),
);

describe('every call has a decision', () => {
  it('how far users reach with it, and no line stands for a call that is not there', () => {
    expect(Object.keys(USER_REACH).toSorted()).toEqual(Object.keys(SCOPES).toSorted());
  });

  it('that never reaches further than the operator’s own tokens need, but for what is his own', () => {
    const own = /\/v1\/(?:tokens|users)/;
    for (const [call, needed] of Object.entries(SCOPES)) {
      const reach = USER_REACH[call];
      if (needed === 'admin' && !own.test(call)) expect(reach, call).toBe('operator');
      if (needed === 'operate') expect(reach, call).toMatch(/^(operate|operator)$/);
      expect(reach === 'open', call).toBe(needed === 'open');
    }
  });
});

describe('another’s thing is as nothing', () => {
  const calls = operations.map(({ method, route, operation }): readonly [string, () => Call] => {
    const name = `${method} ${route}`;
    const make = (): Call => {
      const path = pathOf(route) + (QUERIES[name] ?? '');
      const body = BODIES[name];
      if (operation.requestBody?.required !== true) return { method, path, ...(body !== undefined && { body }) };
      if (method === 'PUT' && body === undefined) return { method, path, bytes: 'x' };
      if (body === undefined) throw new Error(`say in BODIES what is sent to ${name}`);
      return { method, path, body };
    };
    return [name, make];
  });
  // A name that is taken is told to whoever wants it: the one thing about others that can be learned.
  const asked = calls.filter(([name]) => name !== 'PUT /v1/images/{name}');

  it.each([...asked, ...MORE.map((call) => [`${call.method} ${call.path}`, () => call] as const)])(
    '%s',
    async (name, make) => {
      const call = make();
      const [shared, alone] = [await aWorld('shared'), await aWorld('alone')];
      const answer = await answerOf(shared, call);
      expect(answer).toEqual(await answerOf(alone, call));
      // What she must not see at all stands nowhere in it, unless she said it herself.
      const said = `${call.path} ${JSON.stringify(call.body ?? {})}`;
      for (const secret of ['bobs-vm', 'bobs-job', OTHERS.image, OTHERS.cluster, 'web-7', '/secret/path']) {
        if (!said.includes(secret)) expect(answer.body, secret).not.toContain(secret);
      }
      if (USER_REACH[name] === 'operator') expect(answer.status).toBe(403);
      else if (/\{(?:id|name)\}/.test(name) && !/hosts|flavors/.test(name)) expect(answer.status).toBe(404);
    },
  );

  it('an upload under a name that is another’s is refused, and tells nothing but that', async () => {
    const edge = await aWorld('shared');
    const call = { method: 'PUT', path: `/v1/images/${OTHERS.image}`, bytes: 'x' };
    const { status, body } = await answerOf(edge, call);
    expect(status).toBe(409);
    expect(JSON.parse(body).detail).toBe(`there is an image ${OTHERS.image}`);
  });
});

describe('what is hers she sees', () => {
  it.each([
    ['/v1/vms', 'vms', ['alices-vm']],
    ['/v1/images', 'images', ['backend', 'mine']],
    ['/v1/users', 'users', ['alice']],
    ['/v1/tokens', 'tokens', ['t']],
    ['/v1/groups', 'groups', []],
    ['/v1/hosts', 'hosts', ['local', 'far']],
  ] as const)('%s', async (path, key, names) => {
    const { body } = await answerOf(await aWorld('shared'), get(path));
    expect(JSON.parse(body)[key].map(({ name }: { name: string }) => name)).toEqual(names);
  });

  it('her operation, its events and no others', async () => {
    const edge = await aWorld('shared');
    const operationsOf = JSON.parse((await answerOf(edge, get('/v1/operations'))).body);
    expect(operationsOf.operations.map(({ id }: { id: string }) => id)).toEqual(['op-1']);
    const { events } = JSON.parse((await answerOf(edge, get('/v1/events?since=0'))).body);
    expect(
      events.map(({ type, operation }: { type: string; operation: { id: string } }) => [type, operation.id]),
    ).toEqual([['operation.changed', 'op-1']]);
  });

  it('hosts as if only her VMs were on them', async () => {
    const { body } = await answerOf(await aWorld('shared'), get('/v1/hosts/local'));
    expect(JSON.parse(body)).toMatchObject({
      uri: '',
      domainCount: 1,
      runningCount: 1,
      vmCount: 1,
      otherCount: 0,
      promised: { vcpus: 1, memoryMiB: 128 },
      capacity: { cpus: 2, memoryMiB: 4096, memoryFreeMiB: 3968 },
    });
  });
});
