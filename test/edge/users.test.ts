// Users over HTTP: becoming one, signing in and out, roles, passwords, tokens, the audit record; and passwords nowhere.
// Not here: what a user sees of others (isolation).

import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { CollectedLog } from './collected-log.ts';
import { type EdgeApp, type EdgeOptions, edgeApp } from './edge-app.ts';
import type { FakeEngineParts } from './fake-engine.ts';
import { Client, liveEdge } from './live-edge.ts';
import { passwordOf, person, tokenOf } from './people.ts';
import { aLoneVm, uuidOf } from './pictures.ts';
import { tokenFor } from './tokens.ts';

const BOSS = tokenFor('boss', 'admin');
const ADA = tokenOf('ada');
const ROOT = tokenOf('root', 'admin');
const boss = { authorization: `Bearer ${BOSS.text}` };

const PARTS: FakeEngineParts = {
  groups: [],
  tokens: [BOSS.token, ADA.token, ROOT.token],
  users: [person('ada'), person('root', { role: 'admin' })],
};

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown> & { readonly detail?: string };
  readonly headers: Headers;
}

function edgeWith(more: FakeEngineParts = {}, options: EdgeOptions = {}): EdgeApp {
  return edgeApp({ ...PARTS, ...more }, options);
}

async function ask(
  { app }: Pick<EdgeApp, 'app'>,
  call: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const [method = '', path = ''] = call.split(' ');
  const answer = await app.request(path, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text), headers: answer.headers };
}

function bearer({ body }: Answer): Readonly<Record<string, string>> {
  return { authorization: `Bearer ${String(body['token'])}` };
}

/** All that was logged, errors with their stacks too. */
function textOf({ lines }: CollectedLog): string {
  return inspect(lines, { depth: 9, maxArrayLength: null, maxStringLength: null });
}

const signIn = (edge: EdgeApp, name: string, password = passwordOf(name)) =>
  ask(edge, 'POST /v1/sign-in', { name, password });

describe('becoming a user', () => {
  const eve = { name: 'eve', password: passwordOf('eve') };

  it('is for admins to decide, unless it is open', async () => {
    const edge = edgeWith();
    expect((await ask(edge, 'POST /v1/users', eve)).status).toBe(401);
    expect((await ask(edge, 'POST /v1/users', eve, ADA.headers)).status).toBe(403);
    expect((await ask(edge, 'POST /v1/users', eve, boss)).status).toBe(201);
    expect((await ask(edge, 'POST /v1/users', eve, boss)).status).toBe(409);
  });

  it('by oneself never gives more than the role user and the usual quota', async () => {
    const edge = edgeWith({ signUp: true });
    expect((await ask(edge, 'POST /v1/users', { ...eve, role: 'admin' })).status).toBe(403);
    expect((await ask(edge, 'POST /v1/users', { ...eve, quota: { vms: 99 } })).status).toBe(403);
    expect(await ask(edge, 'POST /v1/users', eve)).toMatchObject({ status: 201, body: { name: 'eve', role: 'user' } });
    expect((await signIn(edge, 'eve')).status).toBe(200);
  });

  it('is limited from one place', async () => {
    let nowMs = 0;
    const edge = edgeWith({ signUp: true }, { nowMs: () => nowMs });
    for (let n = 0; n < 5; n += 1)
      expect((await ask(edge, 'POST /v1/users', { ...eve, name: `eve${n}` })).status).toBe(201);
    const refused = await ask(edge, 'POST /v1/users', { ...eve, name: 'eve6' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    nowMs = 60_000;
    expect((await ask(edge, 'POST /v1/users', { ...eve, name: 'eve6' })).status).toBe(201);
  });

  it('by an admin who is a user himself is possible, also of another admin', async () => {
    const answer = await ask(edgeWith(), 'POST /v1/users', { ...eve, role: 'admin', quota: { vms: 2 } }, ROOT.headers);
    expect(answer).toMatchObject({ status: 201, body: { role: 'admin', quota: { vms: 2 }, used: { vms: 0 } } });
    expect(answer.headers.get('location')).toBe('/v1/users/eve');
  });

  it('ends what programs on this machine may do without a token', async () => {
    const edge = edgeApp({ groups: [] });
    expect((await ask(edge, 'GET /v1/vms')).status).toBe(200);
    expect((await ask(edge, 'POST /v1/users', { ...eve, role: 'admin' })).status).toBe(201);
    expect((await ask(edge, 'GET /v1/vms')).status).toBe(401);
  });
});

describe('signing in', () => {
  it('gives a token with an end that lets in as that user, until he signs out', async () => {
    const edge = edgeWith();
    const answer = await signIn(edge, 'ada');
    expect(answer).toMatchObject({ status: 200, body: { scope: 'operate', user: { name: 'ada' }, signIn: true } });
    expect(Date.parse(String(answer.body['expiresAt'])) - Date.now()).toBeGreaterThan(11.9 * 3_600_000);
    const headers = bearer(answer);
    const self = await ask(edge, 'GET /v1/whoami', undefined, headers);
    expect(self.body).toMatchObject({ name: 'ada', scope: 'operate', user: { role: 'user' } });
    expect((await ask(edge, 'POST /v1/sign-out', undefined, headers)).status).toBe(204);
    expect((await ask(edge, 'GET /v1/whoami', undefined, headers)).status).toBe(401);
    expect((await ask(edge, 'GET /v1/whoami', undefined, ADA.headers)).status).toBe(200);
  });

  it('of an admin reaches everything', async () => {
    const edge = edgeWith();
    const headers = bearer(await signIn(edge, 'root'));
    for (const call of ['GET /v1/tokens', 'GET /v1/audit', 'GET /v1/users', 'GET /v1/groups']) {
      expect((await ask(edge, call, undefined, headers)).status, call).toBe(200);
    }
  });

  it('answers alike for a wrong password, nobody, and one who is disabled', async () => {
    const edge = edgeWith({ users: [person('ada'), person('off', { disabled: 'left' })] });
    const answers = [await signIn(edge, 'ada', 'wrong'), await signIn(edge, 'nobody'), await signIn(edge, 'off')];
    for (const { status, body, headers } of answers) {
      expect({ status, body, challenge: headers.get('www-authenticate') }).toEqual({
        status: 401,
        body: answers[0]?.body,
        challenge: 'Bearer realm="virtscale"',
      });
    }
  });

  it('is limited: 429 with Retry-After, and the right password has to wait as well', async () => {
    let nowMs = 0;
    const edge = edgeWith({}, { nowMs: () => nowMs });
    for (let n = 0; n < 20; n += 1) expect((await signIn(edge, 'ada', 'wrong')).status).toBe(401);
    const refused = await signIn(edge, 'ada');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '3']);
    expect(refused.body['type']).toBe('urn:virtscale:problem:too-many');
    expect((await signIn(edge, 'root')).status).toBe(200);
    nowMs = 3_000;
    expect((await signIn(edge, 'ada')).status).toBe(200);
  });

  it('makes a better hash of a password that was kept at a lower cost', async () => {
    const known = person('ada', { password: person('ada').password.replace('4,1,1', '4,1,1') });
    const edge = edgeWith({ users: [known] });
    await signIn(edge, 'ada');
    expect(edge.engine.users.passwordOf('ada')).toBe(known.password);
  });
});

describe('a user who is not let in any more', () => {
  it.each([
    ['disabled', 'PATCH /v1/users/ada', { disabled: 'left' }],
    ['deleted', 'DELETE /v1/users/ada', undefined],
  ])('because he is %s: his tokens end at once, and so does his event stream', async (_, call, body) => {
    const edge = await liveEdge({}, PARTS);
    const client = new Client(`${edge.wsUrl}/v1/events`, { headers: ADA.headers });
    await client.greeted();
    const event = (owner: string) =>
      ({ type: 'vm.lost', vm: { id: 1, name: 'a', uuid: 'u', host: 'h', owner }, reason: 'r' }) as const;
    edge.engine.log.append(event('bob'), event('ada'), { type: 'host.up', host: 'h' });
    await client.until(() => client.events.length > 0);
    expect((await ask(edge, call, body, boss)).status).toBeLessThan(300);
    expect((await ask(edge, 'GET /v1/vms', undefined, ADA.headers)).status).toBe(401);
    edge.engine.log.append(event('ada'));
    expect((await client.closing()).code).toBe(1008);
    expect(client.events.map(({ vm }) => (vm as { owner: string }).owner)).toEqual(['ada']);
    expect(client.events).toHaveLength(1);
  });

  it('comes in again when he is enabled', async () => {
    const edge = edgeWith();
    await ask(edge, 'PATCH /v1/users/ada', { disabled: 'left' }, boss);
    expect((await ask(edge, 'PATCH /v1/users/ada', { disabled: null }, boss)).status).toBe(200);
    expect((await ask(edge, 'GET /v1/vms', undefined, ADA.headers)).status).toBe(200);
  });

  it('is still there while he has VMs', async () => {
    const edge = edgeWith({ vms: [aLoneVm({ owner: 'ada', uuid: uuidOf(20) })] });
    expect((await ask(edge, 'DELETE /v1/users/ada', undefined, boss)).status).toBe(409);
    expect((await ask(edge, 'DELETE /v1/users/ada?to=root', undefined, ADA.headers)).status).toBe(403);
    expect((await ask(edge, 'DELETE /v1/users/ada?to=root', undefined, boss)).status).toBe(204);
  });
});

describe('what a user may change', () => {
  it.each([{ role: 'admin' }, { quota: { vms: 99 } }, { disabled: null }])('is not %j', async (change) => {
    expect((await ask(edgeWith(), 'PATCH /v1/users/ada', change, ADA.headers)).status).toBe(403);
  });

  it('is his password, with the old one; his other sign-ins end', async () => {
    const edge = edgeWith();
    const [mine, other] = [bearer(await signIn(edge, 'ada')), bearer(await signIn(edge, 'ada'))];
    const change = { password: 'a new password', oldPassword: passwordOf('ada') };
    expect((await ask(edge, 'PATCH /v1/users/ada', { password: 'a new password' }, mine)).status).toBe(400);
    expect((await ask(edge, 'PATCH /v1/users/ada', { ...change, oldPassword: 'wrong' }, mine)).status).toBe(401);
    expect((await ask(edge, 'PATCH /v1/users/ada', change, mine)).status).toBe(200);
    const status = async (headers: object) => (await ask(edge, 'GET /v1/whoami', undefined, { ...headers })).status;
    expect([await status(mine), await status(other), await status(ADA.headers)]).toEqual([200, 401, 200]);
    expect((await signIn(edge, 'ada')).status).toBe(401);
    expect((await signIn(edge, 'ada', 'a new password')).status).toBe(200);
  });

  it('of an admin’s own needs the old one too; another’s does not', async () => {
    const edge = edgeWith();
    const password = 'a new password';
    expect((await ask(edge, 'PATCH /v1/users/root', { password }, ROOT.headers)).status).toBe(400);
    expect((await ask(edge, 'PATCH /v1/users/ada', { password }, ROOT.headers)).status).toBe(200);
    expect((await signIn(edge, 'ada', password)).status).toBe(200);
  });
});

describe('tokens of users', () => {
  it('are his, under names of his own, and reach no further than he does', async () => {
    const edge = edgeWith();
    const ci = { name: 'ci', scope: 'read' };
    const made = await ask(edge, 'POST /v1/tokens', ci, ADA.headers);
    expect(made).toMatchObject({ status: 201, body: { name: 'ci', user: 'ada' } });
    expect((await ask(edge, 'POST /v1/tokens', ci, boss)).status).toBe(201);
    expect((await ask(edge, 'POST /v1/tokens', { name: 'x', scope: 'admin' }, ADA.headers)).status).toBe(403);
    expect((await ask(edge, 'POST /v1/tokens', { name: 'x', scope: 'admin', user: 'ada' }, boss)).status).toBe(403);
    expect((await ask(edge, 'POST /v1/tokens', { name: 'x', scope: 'read' }, bearer(made))).status).toBe(403);
    expect((await ask(edge, 'GET /v1/whoami', undefined, bearer(made))).body).toMatchObject({
      name: 'ada',
      scope: 'read',
    });
    expect((await ask(edge, 'DELETE /v1/tokens/ci', undefined, ADA.headers)).status).toBe(204);
    expect((await ask(edge, 'GET /v1/whoami', undefined, bearer(made))).status).toBe(401);
    expect(edge.engine.tokens.all.map(({ name }) => name)).toContain('ci');
  });

  it('are an admin’s to delete by their whole name', async () => {
    const edge = edgeWith();
    expect((await ask(edge, 'DELETE /v1/tokens/ada%2Ft', undefined, boss)).status).toBe(204);
    expect((await ask(edge, 'GET /v1/vms', undefined, ADA.headers)).status).toBe(401);
  });

  it('that say admin reach only as far as the role allows now', async () => {
    const edge = edgeWith();
    await ask(edge, 'PATCH /v1/users/root', { role: 'user' }, boss);
    expect((await ask(edge, 'GET /v1/audit', undefined, ROOT.headers)).status).toBe(403);
    expect((await ask(edge, 'GET /v1/whoami', undefined, ROOT.headers)).body['scope']).toBe('operate');
  });
});

describe('the audit record', () => {
  it('has every write with who, what, from where and the result; reads are not in it', async () => {
    const edge = edgeWith({ vms: [aLoneVm({ owner: 'ada', uuid: uuidOf(20) })] });
    await ask(edge, 'GET /v1/vms', undefined, ADA.headers);
    await ask(edge, 'POST /v1/vms/20/stop', undefined, { ...ADA.headers, 'x-forwarded-for': '10.0.0.1' });
    await ask(edge, 'POST /v1/vms/99/stop', undefined, ADA.headers);
    await ask(edge, 'DELETE /v1/vms/20');
    await ask(edge, 'PATCH /v1/hosts/local', { cordoned: 'x' }, ADA.headers);
    await ask(edge, 'GET /vm/destroy?vmid=99', undefined, ADA.headers);
    await ask(edge, 'POST /v1/nothing', {}, ADA.headers);
    const { body } = await ask(edge, 'GET /v1/audit', undefined, boss);
    const entries = (body['entries'] as Record<string, unknown>[]).toReversed().map(({ at: _, ...entry }) => entry);
    const ada = { who: 'ada', token: 'ada/t' };
    expect(entries).toEqual([
      {
        n: 1,
        ...ada,
        method: 'POST',
        route: '/v1/vms/{id}/stop',
        target: { id: '20' },
        proxied: true,
        status: 202,
        operation: 'op-1',
      },
      {
        n: 2,
        ...ada,
        method: 'POST',
        route: '/v1/vms/{id}/stop',
        target: { id: '99' },
        status: 404,
        problem: 'not-found',
      },
      {
        n: 3,
        who: 'unknown',
        method: 'DELETE',
        route: '/v1/vms/{id}',
        target: { id: '20' },
        status: 401,
        problem: 'unauthenticated',
      },
      {
        n: 4,
        ...ada,
        method: 'PATCH',
        route: '/v1/hosts/{name}',
        target: { name: 'local' },
        status: 403,
        problem: 'insufficient-scope',
      },
      { n: 5, ...ada, method: 'GET', route: '/vm/destroy', status: 200 },
    ]);
  });

  it('knows the peer, and pages', async () => {
    const edge = await liveEdge({}, PARTS);
    for (let n = 0; n < 3; n += 1) {
      await fetch(`${edge.listening.url}/v1/vms/${n + 1}/stop`, { method: 'POST', headers: ADA.headers });
    }
    const first = await ask(edge, 'GET /v1/audit?limit=2', undefined, boss);
    const rest = await ask(edge, `GET /v1/audit?limit=2&before=${first.body['nextBefore']}`, undefined, boss);
    expect([first, rest].map(({ body }) => (body['entries'] as { from: string }[]).map(({ from }) => from))).toEqual([
      ['127.0.0.1', '127.0.0.1'],
      ['127.0.0.1'],
    ]);
    expect(rest.body['nextBefore']).toBeUndefined();
  });

  it('that cannot be kept is told in the log and holds no answer back', async () => {
    const edge = edgeWith();
    edge.engine.audit.keepAudit = () => Promise.reject(new Error('the disk is full'));
    expect((await ask(edge, 'POST /v1/vms/99/stop', undefined, ADA.headers)).status).toBe(404);
    expect(textOf(edge.log)).toContain('audit entries could not be kept');
  });

  it('does not keep what somebody typed where a name belongs', async () => {
    const edge = edgeWith();
    await signIn(edge, 'my-secret-password', 'ada');
    await signIn(edge, 'ada', 'wrong');
    expect(edge.engine.audit.entries.map(({ route, who, target, status }) => ({ route, who, target, status }))).toEqual(
      [
        { route: '/v1/sign-in', who: 'unknown', target: undefined, status: 401 },
        { route: '/v1/sign-in', who: 'unknown', target: { name: 'ada' }, status: 401 },
      ],
    );
  });
});

it('passwords and tokens are in no log, event, audit entry, kept answer or error, whatever is done with them', async () => {
  const edge = edgeWith({ signUp: true });
  const secrets = ['Sup3r-secret-one', 'Sup3r-secret-two'];
  const [one, two] = secrets as [string, string];
  const key = { 'idempotency-key': 'k' };
  const answers = [
    await ask(edge, 'POST /v1/users', { name: 'eve', password: one }, key),
    await ask(edge, 'POST /v1/users', { name: 'eve', password: one }, key),
    await ask(edge, 'POST /v1/users', { name: 'EVE', password: one, [one]: 1 }),
    await ask(edge, 'POST /v1/sign-in', { name: 'eve', password: two }, key),
    await ask(edge, 'POST /v1/sign-in', { name: 'eve', password: [one] }),
    await ask(edge, 'PATCH /v1/users/ada', { password: two, oldPassword: one }, { ...ADA.headers, ...key }),
    await ask(edge, 'PATCH /v1/users/ada', { password: two }, { ...boss, ...key }),
    await ask(edge, 'PATCH /v1/users/none', { password: two }, boss),
  ];
  edge.engine.users.change = () => Promise.reject(new Error('broken'));
  answers.push(await ask(edge, 'PATCH /v1/users/ada', { password: one }, boss));
  expect(answers.at(-1)?.status).toBe(500);
  const signedIn = await ask(edge, 'POST /v1/sign-in', { name: 'eve', password: one }, key);
  const token = String(signedIn.body['token']);
  await ask(edge, 'POST /v1/vms/99/stop', undefined, bearer(signedIn));
  const { events } = await edge.engine.log.page({ since: 0, limit: 1000 });
  const kept = [
    textOf(edge.log),
    events,
    edge.engine.audit.entries,
    [...edge.engine.answers.values()],
    edge.engine.commands,
  ];
  const everything = JSON.stringify([...kept, ...answers.map(({ body }) => body)]);
  // What a client misspells is told to him alone, and only the name of the member.
  expect(everything.replaceAll(`Unrecognized key: \\"${one}\\"`, '').includes(one) ? everything : '').toBe('');
  expect(everything).not.toContain(two);
  expect(everything).not.toContain(token);
  expect(JSON.stringify(kept)).not.toContain(one);
  expect(edge.engine.answers.size).toBe(0);
  expect(edge.engine.audit.entries.length).toBeGreaterThan(8);
});
