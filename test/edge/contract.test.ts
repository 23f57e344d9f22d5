// The OpenAPI document against the API: every operation in it is called with success and with failure, and every answer must be
// one that the document describes, to the last key.

import { describe, expect, it } from 'vitest';
import { SCOPES } from '../../src/edge/scopes.ts';
import { type EdgeApp, edgeApp } from './edge-app.ts';
import { clock } from './fake-engine.ts';
import { aFullGroup } from './full-group.ts';
import { problemsWith, type Schema } from './json-schema.ts';
import { aDecision, aGroup, aHost, aLoneVm, anImage, aPolicy, aVm, NOW_MS } from './pictures.ts';
import { tokenFor } from './tokens.ts';
import { ADA, ADA_TOKEN, USER_CALLS } from './user-calls.ts';

interface Operation {
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
  readonly security: readonly unknown[];
  readonly 'x-scope': string;
  readonly operationId: string;
}
interface Document extends Schema {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** What is sent: the path with its query, and the body. */
interface Call {
  readonly path: string;
  readonly body?: unknown;
  readonly bytes?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** Done before. */
  readonly before?: (edge: EdgeApp) => Promise<unknown> | unknown;
}

const OCTETS = { 'content-type': 'application/octet-stream' };
const FIRST = 'op-1';
const create = async ({ app }: EdgeApp): Promise<void> => {
  await app.request('/v1/vms', json('POST', { name: 'job', count: 2, flavor: 'small', image: 'backend' }));
};
const createAndHold = (edge: EdgeApp): Promise<void> => {
  edge.engine.work.pace = 'manual';
  return create(edge);
};
const snapshot = async ({ app }: EdgeApp): Promise<void> => {
  await app.request('/v1/vms/20/snapshots', json('POST', { name: 'good' }));
};
const upload = async ({ app }: EdgeApp): Promise<void> => {
  await app.request('/v1/images/mine', { method: 'PUT', headers: OCTETS, body: 'bytes' });
};

const cluster = async ({ app }: EdgeApp): Promise<void> => {
  await app.request('/v1/clusters', json('POST', { name: 'lab', nodes: 2, flavor: 'small', image: 'backend' }));
};

const CALLS: Readonly<Record<string, readonly Call[]>> = {
  ...USER_CALLS,
  'GET /v1/clusters': [
    { path: '/v1/clusters', status: 200, before: cluster },
    { path: '/v1/clusters?all=1', status: 400 },
  ],
  'POST /v1/clusters': [
    {
      path: '/v1/clusters',
      body: {
        name: 'lab',
        nodes: 4,
        size: { vcpus: 2, memoryMiB: 512, diskGiB: 2 },
        image: 'backend',
        ready: { tcp: { port: 22 } },
        sshKeys: ['ssh-ed25519 AAAA me'],
        placement: { algorithm: 'round-robin', apart: true },
      },
      status: 202,
    },
    { path: '/v1/clusters', body: { name: 'lab', nodes: 1, flavor: 'small' }, status: 409, before: cluster },
    { path: '/v1/clusters', body: { name: 'lab', nodes: 1 }, status: 400 },
    { path: '/v1/clusters', body: { name: 'Lab', nodes: 1, flavor: 'small' }, status: 400 },
  ],
  'GET /v1/clusters/{name}': [
    { path: '/v1/clusters/lab', status: 200, before: cluster },
    { path: '/v1/clusters/lab?owner=nobody', status: 404, before: cluster },
  ],
  'POST /v1/clusters/{name}/nodes': [
    { path: '/v1/clusters/lab/nodes', body: { count: 2 }, status: 202, before: cluster },
    { path: '/v1/clusters/lab/nodes', body: { count: 0 }, status: 400, before: cluster },
    { path: '/v1/clusters/none/nodes', body: {}, status: 404 },
  ],
  'DELETE /v1/clusters/{name}/nodes/{node}': [
    { path: '/v1/clusters/lab/nodes/node2?grace=30s', status: 202, before: cluster },
    { path: '/v1/clusters/lab/nodes/node9', status: 404, before: cluster },
    { path: '/v1/clusters/lab/nodes/master', status: 400, before: cluster },
  ],
  'POST /v1/clusters/{name}/exec': [
    { path: '/v1/clusters/lab/exec', body: { argv: ['true'], timeout: '10m' }, status: 200, before: cluster },
    { path: '/v1/clusters/lab/exec', body: { argv: [] }, status: 400, before: cluster },
    { path: '/v1/clusters/lab/exec', body: { argv: ['true'], nodes: ['node9'] }, status: 404, before: cluster },
    { path: '/v1/clusters/none/exec', body: { argv: ['true'] }, status: 404 },
  ],
  'PUT /v1/clusters/{name}/files': [
    {
      path: '/v1/clusters/lab/files?path=/root/x&mode=755&nodes=node1,node2',
      bytes: 'x',
      headers: OCTETS,
      status: 200,
      before: cluster,
    },
    { path: '/v1/clusters/lab/files?path=x', bytes: 'x', headers: OCTETS, status: 400, before: cluster },
    { path: '/v1/clusters/none/files?path=/x', bytes: 'x', headers: OCTETS, status: 404 },
  ],
  'DELETE /v1/clusters/{name}': [
    { path: '/v1/clusters/lab', status: 202, before: cluster },
    { path: '/v1/clusters/none', status: 404 },
  ],
  'GET /v1/hosts': [
    { path: '/v1/hosts', status: 200 },
    { path: '/v1/hosts?all=1', status: 400 },
  ],
  'GET /v1/hosts/{name}': [
    { path: '/v1/hosts/local', status: 200 },
    { path: '/v1/hosts/far', status: 200 },
    { path: '/v1/hosts/none', status: 404 },
  ],
  'PATCH /v1/hosts/{name}': [
    { path: '/v1/hosts/local', body: { cordoned: 'new disks' }, status: 200 },
    { path: '/v1/hosts/local', body: { cordoned: null }, status: 200 },
    { path: '/v1/hosts/local', body: { cordoned: null }, headers: { 'if-match': '"other"' }, status: 412 },
    { path: '/v1/hosts/local', body: { cordoned: true }, status: 400 },
  ],
  'GET /v1/vms': [
    { path: '/v1/vms?limit=1&group=none&state=running', status: 200, before: create },
    { path: '/v1/vms?cursor=AAAA', status: 400 },
  ],
  'POST /v1/vms': [
    {
      path: '/v1/vms',
      body: {
        name: 'job',
        count: 3,
        flavor: 'small',
        image: 'backend',
        ready: { http: { port: 80, path: '/' } },
        sshKeys: ['ssh-ed25519 AAAA me'],
        userData: '#cloud-config\n',
        placement: { algorithm: 'spread', labels: { disk: 'ssd' }, apart: true, withoutVms: [7] },
        allOrNothing: true,
      },
      status: 202,
    },
    { path: '/v1/vms', body: { name: 'blank', flavor: 'small' }, status: 202 },
    { path: '/v1/vms', body: { name: 'tcp', flavor: 'small', ready: { tcp: { port: 22 } } }, status: 202 },
    { path: '/v1/vms', body: { name: 'agent', flavor: 'small', ready: { agent: true } }, status: 202 },
    { path: '/v1/vms', body: { name: 'no', flavor: 'small', ready: { tcp: { port: 0 } } }, status: 400 },
    { path: '/v1/vms', body: { name: 'web-7', flavor: 'small' }, status: 409 },
    { path: '/v1/vms', body: { name: 'big', flavor: 'huge' }, status: 409 },
    { path: '/v1/vms', body: { name: 'job', flavor: 'unknown' }, status: 400 },
    {
      path: '/v1/vms',
      body: { name: 'job', flavor: 'small' },
      status: 429,
      before: ({ engine }) => {
        engine.refusal = { ok: false, refused: 'too-many', reason: '1000 requests wait' };
      },
    },
  ],
  'POST /v1/vms/adopt': [
    { path: '/v1/vms/adopt', body: { host: 'local', domain: 'stranger' }, status: 202 },
    { path: '/v1/vms/adopt', body: { host: 'local', domain: 'none' }, status: 404 },
  ],
  'GET /v1/vms/{id}': [
    { path: '/v1/vms/7', status: 200 },
    { path: '/v1/vms/20', status: 200 },
    { path: '/v1/vms/9', status: 200 },
    { path: '/v1/vms/99', status: 404 },
  ],
  'PATCH /v1/vms/{id}': [
    { path: '/v1/vms/7', body: { protected: true, labels: { priority: '3', 'example.org/team': 'a b' } }, status: 200 },
    { path: '/v1/vms/20', body: { labels: {} }, status: 200 },
    { path: '/v1/vms/7', body: {}, status: 400 },
    { path: '/v1/vms/7', body: { labels: { 'no key': '' } }, status: 400 },
    { path: '/v1/vms/7', body: { protected: true }, headers: { 'if-match': '"other"' }, status: 412 },
    { path: '/v1/vms/99', body: { protected: true }, status: 404 },
  ],
  'DELETE /v1/vms/{id}': [
    { path: '/v1/vms/20?grace=30s', status: 202 },
    { path: '/v1/vms/99', status: 404 },
  ],
  ...Object.fromEntries(
    ['start', 'pause', 'resume', 'shutdown', 'reboot', 'reset', 'stop'].map((verb): [string, readonly Call[]] => [
      `POST /v1/vms/{id}/${verb}`,
      [
        { path: `/v1/vms/20/${verb}`, status: 202 },
        { path: `/v1/vms/7/${verb}`, status: 409 },
        { path: `/v1/vms/99/${verb}`, status: 404 },
      ],
    ]),
  ),
  'GET /v1/vms/{id}/console': [
    { path: '/v1/vms/20/console?tail=7', status: 200 },
    { path: '/v1/vms/20/console?tail=0', status: 400 },
    {
      path: '/v1/vms/20/console',
      status: 503,
      before: ({ engine }) => {
        engine.refusal = { ok: false, refused: 'unreachable', reason: 'local does not answer' };
      },
    },
  ],
  'GET /v1/vms/{id}/addresses': [
    { path: '/v1/vms/20/addresses', status: 200 },
    { path: '/v1/vms/99/addresses', status: 404 },
  ],
  'GET /v1/vms/{id}/hardware': [
    { path: '/v1/vms/20/hardware', status: 200 },
    { path: '/v1/vms/20/hardware?all=1', status: 400 },
    { path: '/v1/vms/99/hardware', status: 404 },
  ],
  'PATCH /v1/vms/{id}/hardware': [
    { path: '/v1/vms/20/hardware', body: { vcpus: 2, memoryMiB: 512, diskGiB: 4 }, status: 202 },
    { path: '/v1/vms/20/hardware', body: { memoryMiB: 4096, restart: true, force: true }, status: 202 },
    { path: '/v1/vms/20/hardware', body: { memoryMiB: 4096 }, status: 409 },
    { path: '/v1/vms/7/hardware', body: { vcpus: 2 }, status: 409 },
    { path: '/v1/vms/20/hardware', body: {}, status: 400 },
    { path: '/v1/vms/20/hardware', body: { diskGiB: 1.5 }, status: 400 },
    { path: '/v1/vms/99/hardware', body: { vcpus: 2 }, status: 404 },
  ],
  'POST /v1/vms/{id}/migrate': [
    { path: '/v1/vms/20/migrate', status: 202 },
    { path: '/v1/vms/20/migrate', body: { host: 'far', bandwidthMiBps: 10, timeoutSeconds: 60 }, status: 202 },
    { path: '/v1/vms/20/migrate', body: { host: 'local' }, status: 409 },
    { path: '/v1/vms/20/migrate', body: { bandwidthMiBps: 0 }, status: 400 },
    { path: '/v1/vms/99/migrate', status: 404 },
  ],
  'POST /v1/hosts/{name}/drain': [
    { path: '/v1/hosts/local/drain', status: 202 },
    { path: '/v1/hosts/nowhere/drain', status: 404 },
  ],
  'POST /v1/hosts/{name}/undrain': [
    { path: '/v1/hosts/local/undrain', status: 200 },
    { path: '/v1/hosts/nowhere/undrain', status: 404 },
  ],
  'GET /v1/rebalance': [
    { path: '/v1/rebalance', status: 200 },
    { path: '/v1/rebalance?really=1', status: 400 },
  ],
  'POST /v1/rebalance': [
    { path: '/v1/rebalance', status: 200 },
    { path: '/v1/rebalance?really=1', status: 400 },
  ],
  'POST /v1/vms/{id}/interfaces': [
    { path: '/v1/vms/20/interfaces', status: 202 },
    { path: '/v1/vms/20/interfaces', body: { restart: true }, status: 202 },
    { path: '/v1/vms/20/interfaces', body: { bridge: 'br0' }, status: 400 },
    { path: '/v1/vms/99/interfaces', status: 404 },
  ],
  'DELETE /v1/vms/{id}/interfaces/{mac}': [
    {
      path: '/v1/vms/20/interfaces/52:54:00:00:00:02?restart=true',
      status: 202,
      before: ({ app }) => app.request('/v1/vms/20/interfaces', { method: 'POST' }),
    },
    { path: '/v1/vms/20/interfaces/52:54:00:00:00:01', status: 409 },
    { path: '/v1/vms/20/interfaces/eth0', status: 400 },
    { path: '/v1/vms/99/interfaces/52:54:00:00:00:01', status: 404 },
  ],
  'GET /v1/vms/{id}/snapshots': [
    { path: '/v1/vms/20/snapshots', status: 200, before: snapshot },
    { path: '/v1/vms/99/snapshots', status: 404 },
  ],
  'POST /v1/vms/{id}/snapshots': [
    { path: '/v1/vms/20/snapshots', status: 202 },
    {
      path: '/v1/vms/20/snapshots',
      body: {
        name: 'x',
        kind: 'external',
        memory: false,
        quiesce: true,
        description: 'y',
        keep: { count: 3, hours: 5 },
      },
      status: 202,
    },
    { path: '/v1/vms/20/snapshots', body: { name: '../x' }, status: 400 },
    { path: '/v1/vms/20/snapshots', body: { keep: {} }, status: 400 },
    { path: '/v1/vms/20/snapshots', body: { name: 'good' }, status: 409, before: snapshot },
    { path: '/v1/vms/99/snapshots', status: 404 },
  ],
  'GET /v1/vms/{id}/snapshots/{name}': [
    { path: '/v1/vms/20/snapshots/good', status: 200, before: snapshot },
    { path: '/v1/vms/20/snapshots/other', status: 404, before: snapshot },
  ],
  'DELETE /v1/vms/{id}/snapshots/{name}': [
    { path: '/v1/vms/20/snapshots/good', status: 202, before: snapshot },
    { path: '/v1/vms/20/snapshots/good', status: 404 },
  ],
  'POST /v1/vms/{id}/snapshots/{name}/revert': [
    { path: '/v1/vms/20/snapshots/good/revert', status: 202, before: snapshot },
    { path: '/v1/vms/20/snapshots/good/revert', body: { power: 'stopped' }, status: 202, before: snapshot },
    { path: '/v1/vms/20/snapshots/good/revert', body: { power: 'paused' }, status: 400, before: snapshot },
    { path: '/v1/vms/7/snapshots/good/revert', status: 409 },
  ],
  'POST /v1/snapshots': [
    { path: '/v1/snapshots', body: { vms: [20, 7], name: 'both' }, status: 202 },
    { path: '/v1/snapshots', body: { vms: [] }, status: 400 },
    { path: '/v1/snapshots', body: { vms: [99] }, status: 404 },
  ],
  'GET /v1/sd/prometheus': [
    { path: '/v1/sd/prometheus?group=web', status: 200 },
    { path: '/v1/sd/prometheus?x=1', status: 400 },
  ],
  'GET /v1/images': [
    { path: '/v1/images', status: 200, before: upload },
    { path: '/v1/images?x=1', status: 400 },
  ],
  'GET /v1/images/{name}': [
    { path: '/v1/images/backend', status: 200 },
    { path: '/v1/images/mine', status: 200, before: upload },
    { path: '/v1/images/none', status: 404 },
  ],
  'PUT /v1/images/{name}': [
    { path: '/v1/images/mine?format=raw', bytes: 'some bytes', status: 201 },
    { path: '/v1/images/backend', bytes: 'some bytes', status: 409 },
    { path: `/v1/images/mine?sha256=${'0'.repeat(64)}`, bytes: 'some bytes', status: 400 },
    { path: '/v1/images/mine', bytes: 'x', headers: { 'content-type': 'text/plain' }, status: 415 },
  ],
  'POST /v1/images': [
    { path: '/v1/images', body: { name: 'd', source: { url: 'https://images.example/d.qcow2' } }, status: 202 },
    { path: '/v1/images', body: { name: 'd', source: { ssh: 'root@10.0.0.5:/d.qcow2' }, format: 'raw' }, status: 202 },
    { path: '/v1/images', body: { name: 'd', source: { path: '/d' }, sha256: 'A'.repeat(64) }, status: 202 },
    { path: '/v1/images', body: { name: 'd', source: { host: '/d' } }, status: 202 },
    { path: '/v1/images', body: { name: 'backend', source: { url: 'https://images.example/d' } }, status: 409 },
    { path: '/v1/images', body: { name: 'd', source: { url: 'file:///etc/passwd' } }, status: 400 },
  ],
  'DELETE /v1/images/{name}': [
    { path: '/v1/images/mine', status: 204, before: upload },
    { path: '/v1/images/backend', status: 409 },
    { path: '/v1/images/none', status: 404 },
  ],
  'GET /v1/flavors': [
    { path: '/v1/flavors', status: 200 },
    { path: '/v1/flavors?x=1', status: 400 },
  ],
  'GET /v1/flavors/{name}': [
    { path: '/v1/flavors/medium', status: 200 },
    { path: '/v1/flavors/none', status: 404 },
  ],
  'GET /v1/operations': [
    { path: '/v1/operations?limit=1&kind=vm.create', status: 200, before: create },
    { path: '/v1/operations?state=queued&vm=7', status: 200 },
    { path: '/v1/operations?state=lost', status: 400 },
  ],
  'GET /v1/operations/{id}': [
    { path: `/v1/operations/${FIRST}`, status: 200, before: create },
    { path: '/v1/operations/none', status: 404 },
  ],
  'GET /v1/operations/{id}/wait': [
    { path: `/v1/operations/${FIRST}/wait`, status: 200, before: create },
    { path: `/v1/operations/${FIRST}/wait?timeout=1ms`, status: 200, before: createAndHold },
    { path: `/v1/operations/${FIRST}/wait?timeout=1h`, status: 400 },
    { path: '/v1/operations/none/wait', status: 404 },
  ],
  'POST /v1/operations/{id}/cancel': [
    { path: `/v1/operations/${FIRST}/cancel`, status: 202, before: createAndHold },
    { path: `/v1/operations/${FIRST}/cancel`, status: 409, before: create },
    { path: '/v1/operations/none/cancel', status: 404 },
  ],
  'GET /v1/groups': [
    { path: '/v1/groups', status: 200 },
    { path: '/v1/groups?x=1', status: 400 },
  ],
  'GET /v1/groups/{name}': [
    { path: '/v1/groups/web', status: 200 },
    { path: '/v1/groups/listed', status: 200 },
    { path: '/v1/groups/all', status: 200 },
    { path: '/v1/groups/none', status: 404 },
  ],
  'PATCH /v1/groups/{name}': [
    { path: '/v1/groups/web', body: { desired: 3 }, status: 200 },
    { path: '/v1/groups/web', body: { desired: 9 }, status: 409 },
    { path: '/v1/groups/web', body: { desired: 3 }, headers: { 'if-match': '"other"' }, status: 412 },
  ],
  'POST /v1/groups/{name}/pause': [
    { path: '/v1/groups/web/pause', status: 200 },
    { path: '/v1/groups/none/pause', status: 404 },
  ],
  'POST /v1/groups/{name}/resume': [
    { path: '/v1/groups/web/resume', status: 200 },
    { path: '/v1/groups/none/resume', status: 404 },
  ],
  'GET /v1/groups/{name}/why': [
    { path: '/v1/groups/web/why', status: 200 },
    { path: '/v1/groups/all/why', status: 200 },
    { path: `/v1/groups/web/why?at=${clock.wallOf(NOW_MS + 5000)}`, status: 200 },
    { path: '/v1/groups/web/why?at=2000-01-01T00:00:00Z', status: 404 },
    { path: '/v1/groups/none/why', status: 404 },
    { path: '/v1/groups/web/why?at=yesterday', status: 400 },
  ],
  'PUT /v1/groups/{name}/suspended': [
    { path: '/v1/groups/web/suspended', body: { processes: ['launch', 'health', 'launch'] }, status: 200 },
    { path: '/v1/groups/web/suspended', body: { processes: [] }, status: 200 },
    { path: '/v1/groups/web/suspended', body: { processes: ['sleep'] }, status: 400 },
    { path: '/v1/groups/web/suspended', body: { processes: [] }, headers: { 'if-match': '"other"' }, status: 412 },
    { path: '/v1/groups/none/suspended', body: { processes: [] }, status: 404 },
  ],
  ...Object.fromEntries(
    ['pause', 'resume', 'rollback', 'cancel'].map((verb): [string, readonly Call[]] => [
      `POST /v1/groups/{name}/refresh/${verb}`,
      [
        { path: `/v1/groups/all/refresh/${verb}`, status: 200 },
        { path: `/v1/groups/web/refresh/${verb}`, status: 409 },
        { path: `/v1/groups/none/refresh/${verb}`, status: 404 },
      ],
    ]),
  ),
  'POST /v1/groups/{name}/metrics/{metric}': [
    { path: '/v1/groups/all/metrics/jobs', body: { value: -1.5 }, status: 204 },
    { path: '/v1/groups/all/metrics/jobs', body: { value: 3, vm: 9 }, status: 204 },
    { path: '/v1/groups/all/metrics/jobs', body: { value: 3, vm: 7 }, status: 404 },
    { path: '/v1/groups/all/metrics/jobs', body: { value: '3' }, status: 400 },
    { path: '/v1/groups/all/metrics/a%2Fb', body: { value: 3 }, status: 400 },
    { path: '/v1/groups/web/metrics/jobs', body: { value: 3 }, status: 409 },
    { path: '/v1/groups/none/metrics/jobs', body: { value: 3 }, status: 404 },
  ],
  'GET /v1/decisions': [
    { path: '/v1/decisions', status: 200 },
    { path: '/v1/decisions?limit=0', status: 400 },
  ],
  'GET /v1/decisions/{id}': [
    { path: '/v1/decisions/d-1', status: 200 },
    { path: '/v1/decisions/none', status: 404 },
  ],
  'GET /v1/events': [
    { path: '/v1/events', status: 200, before: create },
    { path: '/v1/events?since=99', status: 409 },
    {
      path: '/v1/events?since=0',
      status: 410,
      before: async (edge) => {
        await create(edge);
        edge.engine.log.retain(1);
      },
    },
  ],
  'GET /v1/tokens': [
    { path: '/v1/tokens', status: 200 },
    { path: '/v1/tokens?x=1', status: 400 },
  ],
  'POST /v1/tokens': [
    { path: '/v1/tokens', body: { name: 'ci', scope: 'operate', expiresIn: '90d' }, status: 201 },
    { path: '/v1/tokens', body: { name: 'boss', scope: 'read' }, status: 409 },
    { path: '/v1/tokens', body: { name: 'anonymous', scope: 'read' }, status: 400 },
  ],
  'DELETE /v1/tokens/{name}': [
    { path: '/v1/tokens/reader', status: 204 },
    { path: '/v1/tokens/none', status: 404 },
  ],
};

const boss = tokenFor('boss', 'admin');
const reader = tokenFor('reader', 'read', { expiresAt: '2999-01-01T00:00:00.000Z' });

function json(method: string, body: unknown): RequestInit {
  return { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/** An app whose answers have something in every field. */
function fullEdge(): EdgeApp {
  const failed = anImage({
    id: 2,
    name: 'broken',
    source: { kind: 'url', url: 'https://u:p@h/x?sig=1' },
    state: 'failed',
  });
  const { image: _, ...withoutImage } = failed;
  const listed = aPolicy({
    group: 'listed',
    source: { kind: 'domains', domains: [{ name: 'a' }], ready: { http: { port: 80, path: '/' } } },
    placement: { algorithm: 'spread', labels: { a: 'b' }, withVms: [1] },
  });
  return edgeApp(
    {
      hosts: [
        aHost({ traits: { ...aHost().traits, labels: { disk: 'ssd' }, cordoned: 'tests' } }),
        { ...aHost({ name: 'far', id: 2, condition: 'unreachable', reason: 'timed out' }), running: 0 },
        aHost({ name: 'roomy', id: 3 }),
      ],
      groups: [
        aGroup(),
        aGroup({ policy: listed, vms: [aVm({ id: 8, name: 'a', group: 'listed', kind: 'existing' })] }),
        aFullGroup(),
      ],
      vms: [
        aLoneVm({}, { state: 'running', difference: 'somebody' }),
        aLoneVm({ id: 21, name: 'other', kind: 'adopted' }),
      ],
      images: [anImage(), { ...withoutImage, reason: 'HTTP 404' }],
      flavors: [
        { id: 1, name: 'small', vcpus: 1, memoryMiB: 128 },
        { id: 2, name: 'medium', vcpus: 2, memoryMiB: 256, diskGiB: 10 },
        { id: 3, name: 'huge', vcpus: 64, memoryMiB: 1_000_000 },
      ],
      tokens: [boss.token, reader.token, ADA_TOKEN.token],
      users: [ADA],
      signUp: true,
      decisions: [{ ...aDecision(), id: 'd-1', at: clock.wallOf(NOW_MS) }],
    },
    { withoutToken: 'loopback' },
  );
}

async function documentOf({ app }: EdgeApp): Promise<Document> {
  return (await (await app.request('/v1/openapi.json')).json()) as Document;
}

describe('the document', async () => {
  const document = await documentOf(fullEdge());
  const operations = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ name: `${verb.toUpperCase()} ${path}`, operation })),
  );

  it('has an operation for every call here, and the other way round', () => {
    expect(Object.keys(CALLS).toSorted()).toEqual(operations.map(({ name }) => name).toSorted());
  });

  it('says of every operation which scope it needs; none forgotten, and open only how one comes in', () => {
    for (const { name, operation } of operations) {
      const isOpen = ['POST /v1/sign-in', 'POST /v1/users'].includes(name);
      expect(SCOPES[name], name).toMatch(isOpen ? /^open$/ : /^(post|read|operate|admin)$/);
      expect(operation['x-scope'], name).toBe(SCOPES[name]);
      expect(operation.security, name).toEqual(isOpen ? [] : [{ token: [] }]);
    }
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
  });

  it('has a scope for every route there is, and no other', () => {
    const served = fullEdge()
      .app.routes.filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replaceAll(/:([a-z]+)/g, '{$1}')}`);
    expect([...new Set(served)].toSorted()).toEqual(Object.keys(SCOPES).toSorted());
  });

  const cases = Object.entries(CALLS).flatMap(([name, calls]) =>
    calls.map((call) => [name, call.status, call.path, call] as const),
  );
  it.each(cases)('%s: %i for %s', async (name, status, _path, call) => {
    const edge = fullEdge();
    await call.before?.(edge);
    const [method = ''] = name.split(' ');
    const answer = await edge.app.request(call.path, {
      method,
      headers: {
        ...(call.body !== undefined && { 'content-type': 'application/json' }),
        ...(call.bytes !== undefined && OCTETS),
        ...call.headers,
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      ...(call.bytes !== undefined && { body: call.bytes }),
    });
    const text = await answer.text();
    expect(answer.status, text).toBe(status);
    const found = operations.find((one) => one.name === name)?.operation.responses[String(status)];
    expect(found, `${status} is not described`).toBeDefined();
    const type = answer.headers.get('content-type')?.split(';')[0];
    if (found?.content === undefined) return expect(text).toBe('');
    const schema = found.content[type ?? '']?.schema;
    if (schema === undefined) throw new Error(`${type} is not described for ${status}`);
    const body = type === 'text/plain' || type === 'application/x-ndjson' ? text : JSON.parse(text);
    if (type === 'application/problem+json') expect(body.status).toBe(status);
    expect(problemsWith(body, schema, document)).toEqual([]);
    if (status === 202) expect(answer.headers.get('location')).toBe(`/v1/operations/${body.id}`);
    return undefined;
  });

  it('has success and failure for each', () => {
    for (const [name, calls] of Object.entries(CALLS)) {
      expect(
        calls.some(({ status }) => status < 300),
        name,
      ).toBe(true);
      expect(
        calls.some(({ status }) => status >= 400),
        name,
      ).toBe(true);
    }
  });
});

describe('the reader of schemas used here', () => {
  const root = { $defs: { a: { type: 'string' } } };
  it.each<[unknown, Schema]>([
    [
      { a: 1, b: 2 },
      { type: 'object', properties: { a: { type: 'number' } } },
    ],
    [{}, { type: 'object', properties: {}, required: ['a'] }],
    [1.5, { type: 'integer' }],
    ['x', { enum: ['y'] }],
    ['yesterday', { type: 'string', format: 'date-time' }],
    [1, { $ref: '#/$defs/a' }],
    [null, { anyOf: [{ type: 'string' }, { type: 'number' }] }],
    [[1], { type: 'array', items: { type: 'string' } }],
    [{ x: 1 }, { type: 'object', additionalProperties: { type: 'string' } }],
    [0, { exclusiveMinimum: 0 }],
  ])('sees what is wrong with %j as %j', (value, schema) => expect(problemsWith(value, schema, root)).not.toEqual([]));
  it('knows what it does not know', () => expect(() => problemsWith(1, { multipleOf: 2 }, root)).toThrow('multipleOf'));
});

describe('what is not in the document', () => {
  it.each([
    ['GET', '/v1/snapshots', 405],
    ['GET', '/v2/vms', 404],
    ['PUT', '/v1/vms/20', 405],
    ['DELETE', '/v1/hosts/local', 405],
    ['GET', '/v1/vms/20/start', 405],
    ['POST', '/v1/openapi.json', 405],
    ['PATCH', '/v1/images/backend', 405],
  ])('%s %s is %i, as a problem document', async (method, path, status) => {
    const edge = fullEdge();
    const answer = await edge.app.request(path, { method });
    const document = await documentOf(edge);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    const schema = { $ref: '#/components/schemas/Problem' };
    expect(problemsWith(await answer.json(), schema, document)).toEqual([]);
    if (status === 405) expect(answer.headers.get('allow')).toMatch(/^[A-Z, ]+$/);
  });
});
