// Idempotency-Key across restarts, between callers, and when the store fails; the everyday cases are in problems.test.

import { describe, expect, it } from 'vitest';
import type { KeptAnswer } from '../../src/ports/store.ts';
import { edgeApp } from './edge-app.ts';
import { tokenFor } from './tokens.ts';

const CREATE = JSON.stringify({ name: 'job', flavor: 'small', image: 'backend' });

function create(app: ReturnType<typeof edgeApp>['app'], key: string, body = CREATE, token?: string) {
  return app.request('/v1/vms', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'idempotency-key': key,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body,
  });
}

describe('a repeated key', () => {
  it('is answered the same by the next daemon, with Location', async () => {
    const answers = new Map<string, KeptAnswer>();
    const before = edgeApp({ answers });
    const first = await create(before.app, 'k');
    expect(first.status).toBe(202);
    const after = edgeApp({ answers });
    const again = await create(after.app, 'k');
    expect([again.status, await again.text()]).toEqual([202, await first.text()]);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(after.engine.commands).toEqual([]);
    expect((await create(after.app, 'k', CREATE.replace('job', 'other'))).status).toBe(422);
  });

  it('is answered with its operation when the daemon died before it could keep the answer', async () => {
    const { app, engine } = edgeApp();
    const first = (await (await create(app, 'k')).json()) as { id: string };
    engine.answers.clear();
    const again = await create(app, 'k');
    expect([again.status, await again.json()]).toMatchObject([202, { id: first.id }]);
    expect(engine.vms().filter(({ record }) => record.name === 'job')).toHaveLength(1);
    engine.answers.clear();
    const other = await create(app, 'k', CREATE.replace('job', 'other'));
    expect([other.status, await other.json()]).toMatchObject([
      422,
      { type: 'urn:virtscale:problem:idempotency-key-reused' },
    ]);
  });

  it('belongs to whoever gave it', async () => {
    const [one, other] = [tokenFor('one', 'operate'), tokenFor('other', 'operate')];
    const { app, engine } = edgeApp({ tokens: [one.token, other.token] });
    expect((await create(app, 'k', CREATE, one.text)).status).toBe(202);
    const second = await create(app, 'k', CREATE.replace('job', 'mine'), other.text);
    expect(second.status).toBe(202);
    expect(second.headers.get('idempotency-replayed')).toBeNull();
    expect([...engine.answers.keys()]).toEqual(['one k', 'other k']);
  });

  it('covers the query', async () => {
    const { app } = edgeApp();
    const remove = (query: string) =>
      app.request(`/v1/vms/7${query}`, { method: 'DELETE', headers: { 'idempotency-key': 'k' } });
    expect((await remove('?grace=1s')).status).toBe(202);
    expect((await remove('?grace=2s')).status).toBe(422);
  });

  it('lets a refusal for want of room in the queue be tried again', async () => {
    const { app, engine } = edgeApp();
    engine.refusal = { ok: false, refused: 'too-many', reason: '1000 requests are waiting' };
    const refused = await create(app, 'k');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
    engine.refusal = undefined;
    expect((await create(app, 'k')).status).toBe(202);
  });

  it('brings the answer also when it cannot be kept, and says so in the log', async () => {
    const { app, engine, log } = edgeApp();
    engine.history.keepAnswer = () => Promise.reject(new Error('disk full'));
    expect((await create(app, 'k')).status).toBe(202);
    expect(log.lines).toMatchObject([{ level: 'warn' }]);
  });

  it('never keeps the text of a token', async () => {
    const { app, engine } = edgeApp();
    const make = () =>
      app.request('/v1/tokens', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
        body: '{"name":"ci","scope":"admin"}',
      });
    const first = (await (await make()).json()) as { token: string };
    expect(first.token).toMatch(/^vs_[\w-]{43}$/);
    expect(JSON.stringify([...engine.answers.values()])).not.toContain(first.token);
    expect(JSON.stringify(engine.tokens.all)).not.toContain(first.token);
  });
});
