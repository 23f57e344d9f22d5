// Who may not make the seeds' calls write, and that whatever refuses has the form of the call.

import { describe, expect, it } from 'vitest';
import { seedFailure } from '../../src/edge/routes/seeds.ts';
import { liveEdge } from './live-edge.ts';
import { seeds } from './seed-calls.ts';
import { tokenFor } from './tokens.ts';

describe('pages of other sites', () => {
  const CREATE = '/vm/create?name=a&instance_type=1';
  it.each<[string, Record<string, string>]>([
    ['an <img> of another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
    ['a link of another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }],
    ['another port of this machine', { 'sec-fetch-site': 'same-site' }],
    ['a form of another site', { origin: 'https://evil.example' }],
    ['a sandboxed frame', { origin: 'null' }],
    ['an old browser that only tells the Referer', { referer: 'http://evil.example/page' }],
  ])('%s may not write', async (_, headers) => {
    const { engine, json } = seeds();
    const error = 'a page of another site may not change anything here';
    for (const method of ['GET', 'POST']) {
      expect(await json(CREATE, { method, headers })).toEqual({ vmid: 0, error });
      expect(await json('/vm/destroy?vmid=7', { method, headers })).toEqual({ status: 0, error });
    }
    expect(engine.commands).toEqual([]);
    expect(await json('/pm/list', { headers })).toEqual({ pmids: [1] });
  });

  it.each<[string, Record<string, string>]>([
    ['a program', {}],
    ['the address bar', { 'sec-fetch-site': 'none' }],
    ["the daemon's own page", { 'sec-fetch-site': 'same-origin', referer: 'http://127.0.0.1:7070/' }],
  ])('%s may', async (_, headers) => {
    expect(await seeds({ groups: [] }).json(CREATE, { headers: { host: '127.0.0.1:7070', ...headers } })).toEqual({
      vmid: 1,
    });
  });
});

describe('what a guard refuses before a call is reached', () => {
  it('has the form of the call too', async () => {
    const form = async (path: string) => [seedFailure(path, 'no')?.status, await seedFailure(path, 'no')?.text()];
    expect(await form('/vm/create')).toEqual([200, '{"vmid":0,"error":"no"}']);
    expect(await form('/vm/destroy/')).toEqual([200, '{"status":0,"error":"no"}']);
    expect(await form('/pm/list')).toEqual([200, '0']);
    expect(await form('/vm/else')).toEqual([200, '0']);
    expect(seedFailure('/v1/vms', 'no')).toBeUndefined();
    expect(seedFailure('/vmware', 'no')).toBeUndefined();
  });
});

describe('behind the guards, over a socket', () => {
  it('whatever refuses, the status is 200 and the form that of the call', async () => {
    const { text: secret, token } = tokenFor('eyes', 'read');
    const { listening } = await liveEdge({}, { groups: [], tokens: [token] });
    const ask = async (path: string, how: RequestInit = {}) => {
      const response = await fetch(listening.url + path, how);
      return [response.status, await response.json()];
    };
    const failed = (key: string, why: string) => [200, { [key]: 0, error: expect.stringContaining(why) }];
    expect(await ask('/pm/query?pmid=1')).toEqual(failed('pmid', 'a token is needed'));
    expect(await ask('/pm/list')).toEqual([200, 0]);
    const headers = { authorization: `Bearer ${secret}` };
    expect(await ask('/pm/list', { headers })).toEqual([200, { pmids: [1] }]);
    expect(await ask('/vm/destroy?vmid=1', { headers })).toEqual(
      failed('status', 'needs a token with the scope operate'),
    );
    const far = { headers: { ...headers, origin: 'https://evil.example' }, method: 'POST' };
    expect(await ask('/vm/query?vmid=1', far)).toEqual(failed('vmid', 'another origin'));
    const large = { headers, method: 'POST', body: 'x'.repeat(100_000) };
    expect(await ask('/pm/listvms', large)).toEqual(failed('vmids', 'at most'));
    expect(await ask('/pm/query?pmid=1', { headers, method: 'PUT', body: 'x' })).toEqual([200, 0]);
  });

  it('a form in chunks is read too', async () => {
    const { listening } = await liveEdge({}, { groups: [] });
    const chunks = ['name=a&inst', 'ance_type=1'].map((part) => new TextEncoder().encode(part));
    const how = { method: 'POST', body: ReadableStream.from(chunks), duplex: 'half' as const };
    expect(await (await fetch(`${listening.url}/vm/create`, how)).json()).toEqual({ vmid: 1 });
  });

  it('a client that hangs up takes its create back', async () => {
    const { engine, listening } = await liveEdge({}, { groups: [] });
    engine.work.pace = 'manual';
    const gone = new AbortController();
    const asked = fetch(`${listening.url}/vm/create?name=a&instance_type=1`, { signal: gone.signal }).catch(
      () => 'gone',
    );
    await until(() => engine.commands.length > 0);
    gone.abort();
    expect(await asked).toBe('gone');
    await until(() => engine.work.get('op-1')?.operation.cancelling === true);
    engine.work.advance();
    expect(engine.vms()).toEqual([]);
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000 && !condition(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
}
