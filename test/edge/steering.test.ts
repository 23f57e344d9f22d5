// What one may tell groups and VMs over /v1, beyond that the document describes it: bounds, ETags, repeats, what reaches the engine.

import { describe, expect, it } from 'vitest';
import { whySchema } from '../../src/edge/decision-schemas.ts';
import { groupDetailSchema } from '../../src/edge/group-schemas.ts';
import { vmSchema } from '../../src/edge/schemas.ts';
import { type EdgeApp, edgeApp } from './edge-app.ts';
import { aFullGroup } from './full-group.ts';
import { aDecision, aGroup, clock, NOW_MS } from './pictures.ts';

const edge = (): EdgeApp => edgeApp({ groups: [aGroup(), aFullGroup()] });

function tell({ app }: EdgeApp, call: string, body?: unknown, headers: Record<string, string> = {}) {
  const [method = '', path = ''] = call.split(' ');
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  return app.request(path, {
    method,
    headers: { ...type, ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

describe('a VM', () => {
  it('is protected and labelled; what is not said stays', async () => {
    const here = edge();
    const labels = { priority: '3', 'example.org/team': 'ü b' };
    expect(vmSchema.parse(await (await tell(here, 'PATCH /v1/vms/7', { labels })).json())).toMatchObject({
      protected: false,
      labels,
    });
    const answer = await tell(here, 'PATCH /v1/vms/7', { protected: true });
    expect(await answer.json()).toMatchObject({ protected: true, labels });
    expect(answer.headers.get('etag')).toBe((await tell(here, 'GET /v1/vms/7')).headers.get('etag'));
    expect(await (await tell(here, 'PATCH /v1/vms/7', { labels: {} })).json()).toMatchObject({ labels: {} });
  });

  it('has a tag of just that: not of what changes each second', async () => {
    const here = edge();
    const tag = async () => (await tell(here, 'GET /v1/vms/7')).headers.get('etag') ?? '';
    const before = await tag();
    here.engine.becomes(7, { cpuPercent: 1, state: 'unknown' });
    expect(await tag()).toBe(before);
    expect((await tell(here, 'PATCH /v1/vms/7', { protected: true }, { 'if-match': before })).status).toBe(200);
    expect((await tell(here, 'PATCH /v1/vms/7', { protected: false }, { 'if-match': before })).status).toBe(412);
    expect(here.engine.vm(7)?.record.isProtected).toBe(true);
  });

  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, 'v']));
  it.each<[string, unknown, number]>([
    ['32 labels', { labels: many(32) }, 200],
    ['33 labels', { labels: many(33) }, 400],
    ['a key of 63 characters', { labels: { ['k'.repeat(63)]: '1' } }, 200],
    ['a key of 64 characters', { labels: { ['k'.repeat(64)]: '1' } }, 400],
    ['a value of 253 characters', { labels: { k: 'v'.repeat(253) } }, 200],
    ['a value of 254 characters', { labels: { k: 'v'.repeat(254) } }, 400],
    ['an empty value', { labels: { k: '' } }, 400],
    ['two lines', { labels: { k: 'a\nb' } }, 400],
    ['a key that is none', { labels: { '-k': 'x' } }, 400],
    ['a number', { labels: { k: 3 } }, 400],
    ['something else', { protected: true, name: 'x' }, 400],
    ['nothing', {}, 400],
  ])('with %s', async (_, body, status) => {
    const here = edge();
    expect((await tell(here, 'PATCH /v1/vms/7', body)).status).toBe(status);
    expect(here.engine.commands).toHaveLength(status === 200 ? 1 : 0);
  });
});

describe('a posted number', () => {
  it('reaches the engine as it is', async () => {
    const here = edge();
    expect((await tell(here, 'POST /v1/groups/all/metrics/jobs', { value: 0 })).status).toBe(204);
    expect((await tell(here, 'POST /v1/groups/all/metrics/jobs', { value: 1.5e300, vm: 9 })).status).toBe(204);
    expect(here.engine.commands).toEqual([
      'post all {"name":"jobs","value":0}',
      'post all {"name":"jobs","value":1.5e+300,"vmId":9}',
    ]);
  });

  it.each([
    '{"value":1e999}',
    '{"value":-1e999}',
    '{"value":null}',
    '{"value":"1"}',
    '{"value":true}',
    '{}',
    '{"value":1,"vm":0}',
    '{"value":1,"vm":1.5}',
    '{"value":1,"at":"now"}',
    '1',
    'NaN',
  ])('is refused as %s', async (body) => {
    const here = edge();
    const answer = await tell(here, 'POST /v1/groups/all/metrics/jobs', body);
    expect([answer.status, here.engine.commands]).toEqual([400, []]);
  });

  it.each(['a'.repeat(64), '%20', 'a%0Ab', '.hidden', '%F0%9F%98%80'])('is refused for the metric %s', async (name) => {
    const here = edge();
    expect((await tell(here, `POST /v1/groups/all/metrics/${name}`, { value: 1 })).status).toBe(400);
    expect(here.engine.commands).toEqual([]);
  });

  it('sent again with the same key is taken once', async () => {
    const here = edge();
    const key = { 'idempotency-key': 'k' };
    const post = () => tell(here, 'POST /v1/groups/all/metrics/jobs', { value: 1 }, key);
    expect([(await post()).status, (await post()).status]).toEqual([204, 204]);
    expect(here.engine.commands).toHaveLength(1);
  });
});

describe('a group', () => {
  it('has exactly the named parts suspended, each once, and tells it', async () => {
    const here = edge();
    const body = { processes: ['launch', 'health', 'launch'] };
    const answer = await tell(here, 'PUT /v1/groups/web/suspended', body);
    expect(groupDetailSchema.parse(await answer.json()).suspended).toEqual(['launch', 'health']);
    const tag = (await tell(here, 'GET /v1/groups/web')).headers.get('etag') ?? '';
    expect(answer.headers.get('etag')).toBe(tag);
    expect((await tell(here, 'PUT /v1/groups/web/suspended', { processes: [] }, { 'if-match': tag })).status).toBe(200);
    expect((await tell(here, 'PUT /v1/groups/web/suspended', body, { 'if-match': tag })).status).toBe(412);
    expect(here.engine.group('web')?.memory.suspended).toEqual([]);
  });

  it('tells no secret of a hook, and the whole of its policy in public words', async () => {
    const text = await (await tell(edge(), 'GET /v1/groups/all')).text();
    expect(text).not.toMatch(/AtMs|secretFile|u:p|key=1|\/secret\//);
    const group = groupDetailSchema.parse(JSON.parse(text));
    expect(group.hooks.launch).toEqual({
      url: 'http://127.0.0.1:9000/x',
      signed: true,
      deadlineMs: 60_000,
      onTimeout: 'abandon',
    });
    expect(group.rules.find(({ name }) => name === 'jobs')).toMatchObject({
      metric: 'posted jobs',
      scope: 'total',
      tolerancePercent: { up: 7, down: 10 },
    });
    expect(group.rules.find(({ name }) => name === 'bands')).toMatchObject({ aggregate: 'p95', unit: 'MB/s' });
    expect(group.refreshPolicy?.checkpointsPercent).toEqual([25, 50]);
    expect(group.candidates.map(({ name, desired }) => [name, desired])).toEqual([
      ['gentler', 3],
      ['fresh', undefined],
    ]);
    expect(Object.keys(group.candidateDecisions)).toEqual(['gentler']);
  });
});

describe('why', () => {
  const at = (second: number) => clock.wallOf(NOW_MS + second * 1000);
  const logged = (second: number) => ({
    ...aDecision({ atMs: NOW_MS + second * 1000, desired: second }),
    id: `d-${second}`,
    at: at(second),
  });

  it('looks at any moment, however its time is written, and tells that evaluation’s own times', async () => {
    const here = edgeApp({ decisions: [logged(20), logged(10)] });
    const why = async (when: string) => {
      const answer = await tell(here, `GET /v1/groups/web/why?at=${encodeURIComponent(when)}`);
      return answer.status === 200 ? whySchema.parse(await answer.json()) : answer.status;
    };
    expect(await why(at(15))).toMatchObject({ at: at(10), decision: { id: 'd-10', at: at(10), desired: 10 } });
    expect(await why(at(25).replace('Z', '+00:00'))).toMatchObject({ at: at(20) });
    expect(await why(new Date(NOW_MS + 15_000 + 7_200_000).toISOString().replace('Z', '+02:00'))).toMatchObject({
      at: at(10),
    });
    expect(await why(at(9))).toBe(404);
    for (const bad of ['', '2026-11-21', '2026-13-01T00:00:00Z', '1700000000', '2026-11-21T06:12:05']) {
      expect(await why(bad), bad).toBe(400);
    }
  });

  it('has no answer before the first evaluation, and 503 when nothing answers in time', async () => {
    const { lastDecision: _, lastDecisionAt: __, ...fresh } = aGroup();
    expect((await tell(edgeApp({ groups: [fresh] }), 'GET /v1/groups/web/why')).status).toBe(404);
    const here = edge();
    here.engine.refusal = { ok: false, refused: 'unreachable', reason: 'the recordings cannot be read' };
    const answer = await tell(here, 'GET /v1/groups/web/why');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
  });
});
