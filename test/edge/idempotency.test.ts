// The memory of answers is bounded in number and in time.

import { Hono } from 'hono';
import { expect, it } from 'vitest';
import { idempotent } from '../../src/edge/idempotency.ts';

function counted(maxKeys: number, keepMs: number) {
  const state = { calls: 0, nowMs: 0 };
  const app = new Hono();
  app.post(
    '/',
    idempotent({ maxKeys, keepMs }, () => state.nowMs),
    (c) => c.json({ call: ++state.calls }),
  );
  const post = async (key: string): Promise<number> => {
    const answer = await app.request('/', { method: 'POST', headers: { 'idempotency-key': key } });
    const { call } = (await answer.json()) as { call: number };
    return call;
  };
  return { state, post };
}

it('forgets the oldest when there are too many', async () => {
  const { post } = counted(3, 1000);
  for (const key of ['a', 'b', 'c']) await post(key);
  expect(await post('c')).toBe(3);
  expect(await post('d')).toBe(4);
  expect(await post('a')).toBe(5);
  expect(await post('d')).toBe(4);
});

it('forgets what is too old', async () => {
  const { state, post } = counted(10, 1000);
  expect(await post('a')).toBe(1);
  state.nowMs = 999;
  expect(await post('a')).toBe(1);
  state.nowMs = 1000;
  expect(await post('a')).toBe(2);
});
