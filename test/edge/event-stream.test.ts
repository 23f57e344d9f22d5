// /v1/events over real sockets: greeting, order, filters, refusals, the slow, the dead and the many.

import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Client, liveEdge, refusal, turnOfTheLoop } from './live-edge.ts';

/** Bytes of buffers that something really holds. */
function heldBytes(): number {
  setFlagsFromString('--expose_gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  return process.memoryUsage().arrayBuffers;
}

const up = (host = 'a') => ({ type: 'host.up', host }) as const;
const closed = (group: string) => ({ type: 'breaker.closed', group }) as const;

describe('what a subscriber is sent', () => {
  it('a greeting, then what happens from now on', async () => {
    const { engine, wsUrl } = await liveEdge();
    engine.log.append(up(), up(), up());
    const client = new Client(`${wsUrl}/v1/events`);
    await client.greeted();
    engine.log.append(up('b'));
    await client.until(() => client.events.length === 1);
    expect(client.messages).toEqual([
      { type: 'hello', seq: 3, oldest: 1 },
      { type: 'host.up', host: 'b', seq: 4, at: expect.stringMatching(/^\d{4}-.*Z$/) },
    ]);
  });

  it('everything after since, then what happens', async () => {
    const { engine, wsUrl } = await liveEdge({ pageSize: 3 });
    for (let at = 0; at < 10; at++) engine.log.append(up());
    const client = new Client(`${wsUrl}/v1/events?since=2`);
    await client.until(() => client.events.length === 8);
    engine.log.append(up());
    await client.until(() => client.events.length === 9);
    expect(client.seqs).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(client.messages[0]).toMatchObject({ seq: 10 });
  });

  it('only what it asked for, from the past and live', async () => {
    const { engine, wsUrl } = await liveEdge();
    const some = [up(), closed('web'), closed('db'), { type: 'policy.loaded', group: 'web', file: 'f' } as const];
    engine.log.append(...some);
    const client = new Client(`${wsUrl}/v1/events?since=0&group=web&types=breaker.closed,host.up`);
    await client.until(() => client.events.length === 1);
    engine.log.append(...some);
    await client.until(() => client.events.length === 2);
    expect(client.seqs).toEqual([2, 6]);
  });

  it('an empty log, and the first event ever', async () => {
    const { engine, wsUrl } = await liveEdge();
    const client = new Client(`${wsUrl}/v1/events?since=0`);
    await client.greeted();
    expect(client.messages).toEqual([{ type: 'hello', seq: 0, oldest: 0 }]);
    engine.log.append(up());
    await client.until(() => client.events.length === 1);
  });

  it('nothing any more, and holds no place, once it has gone', async () => {
    const { engine, stream, wsUrl } = await liveEdge();
    const before = engine.log.listeners;
    const client = new Client(`${wsUrl}/v1/events`);
    await client.greeted();
    expect([stream.size, engine.log.listeners]).toEqual([1, before + 1]);
    client.socket.close();
    await client.closing();
    for (let tries = 0; tries < 100 && stream.size > 0; tries++) await turnOfTheLoop();
    expect([stream.size, engine.log.listeners]).toEqual([0, before]);
  });
});

describe('where the log cannot be followed', () => {
  it('closes 4009 when events were lost to retention', async () => {
    const { engine, wsUrl } = await liveEdge();
    for (let at = 0; at < 10; at++) engine.log.append(up());
    engine.log.retain(3);
    const client = new Client(`${wsUrl}/v1/events?since=6`);
    expect(await client.closing()).toEqual({ code: 4009, reason: 'events after 6 are not all kept: the oldest is 8' });
    expect(client.messages).toEqual([{ type: 'hello', seq: 10, oldest: 8 }]);
    const next = new Client(`${wsUrl}/v1/events?since=7`);
    await next.until(() => next.events.length === 3);
  });

  it('closes 4009 when retention overtakes it while it catches up', async () => {
    const { engine, wsUrl } = await liveEdge({ pageSize: 2 });
    for (let at = 0; at < 10; at++) engine.log.append(up());
    engine.log.afterRead = async () => {
      if (engine.log.pages === 2) engine.log.retain(3);
    };
    const client = new Client(`${wsUrl}/v1/events?since=0`);
    expect((await client.closing()).code).toBe(4009);
    expect(client.seqs).toEqual([1, 2]);
  });

  it('closes 4010 when since is ahead of the log', async () => {
    const { engine, wsUrl } = await liveEdge();
    engine.log.append(up());
    const client = new Client(`${wsUrl}/v1/events?since=2`);
    expect(await client.closing()).toEqual({ code: 4010, reason: 'since=2 is ahead of the log, which ends at 1' });
  });

  it('closes 1011 when the store fails or does not answer, and says so in the log only', async () => {
    const { engine, log, wsUrl } = await liveEdge({ storeMs: 20 });
    engine.log.append(up());
    engine.log.beforeRead = () => Promise.reject(new Error('disk on fire'));
    const failed = await new Client(`${wsUrl}/v1/events?since=0`).closing();
    engine.log.beforeRead = () => new Promise(() => undefined);
    const hung = await new Client(`${wsUrl}/v1/events?since=0`).closing();
    expect([failed.code, hung.code]).toEqual([1011, 1011]);
    expect(failed.reason).not.toContain('fire');
    expect(log.lines.map(({ fields }) => fields)).toMatchObject([
      { code: 1011, reason: 'disk on fire' },
      { code: 1011, reason: expect.stringContaining('longer than 20 ms') },
    ]);
  });
});

describe('what is refused before the upgrade', () => {
  it.each([
    ['/v1/events?since=x', 400, 'query.since'],
    ['/v1/events?since=1&since=2', 400, 'query.since'],
    ['/v1/events?types=nope', 400, 'query.types'],
    ['/v1/events?from=1', 400, 'from'],
    ['/v1/groups', 404, '/v1/events'],
  ])('%s with %i', async (path, status, said) => {
    const { wsUrl } = await liveEdge();
    const answer = await refusal(wsUrl + path);
    expect(answer).toMatchObject({ status, type: 'application/problem+json', body: { status } });
    expect(JSON.stringify(answer.body)).toContain(said);
  });

  it.each<[Record<string, string>, number]>([
    [{ host: 'evil.example' }, 403],
    [{ origin: 'http://evil.example' }, 403],
    [{ origin: 'null' }, 403],
  ])('headers %j with %i', async (headers, status) => {
    const { wsUrl } = await liveEdge();
    expect((await refusal(`${wsUrl}/v1/events`, { headers })).status).toBe(status);
  });

  it('nothing of its own pages', async () => {
    const { wsUrl, listening } = await liveEdge();
    const client = new Client(`${wsUrl}/v1/events`, { headers: { origin: listening.url } });
    await client.greeted();
  });

  it('one subscriber too many, until one goes', async () => {
    const { wsUrl, stream } = await liveEdge({ maxSubscribers: 2 });
    const clients = [new Client(`${wsUrl}/v1/events`), new Client(`${wsUrl}/v1/events`)];
    await Promise.all(clients.map((client) => client.greeted()));
    const answer = await refusal(`${wsUrl}/v1/events`);
    expect(answer).toMatchObject({ status: 503, body: { type: 'urn:virtscale:problem:too-many-subscribers' } });
    clients[0]?.socket.terminate();
    for (let tries = 0; tries < 1000 && stream.size > 1; tries++) await turnOfTheLoop();
    await new Client(`${wsUrl}/v1/events`).greeted();
  });
});

describe('clients that misbehave', () => {
  it('closes a slow one with 4008, holds little for it, and lets it resume without gap', async () => {
    const { engine, metrics, wsUrl } = await liveEdge();
    const padding = 'x'.repeat(4000);
    const client = new Client(`${wsUrl}/v1/events`);
    const quick = new Client(`${wsUrl}/v1/events`);
    await Promise.all([client.greeted(), quick.greeted()]);
    client.socket.pause();
    const before = heldBytes();
    let most = 0;
    const total = 10_000;
    for (let at = 0; at < total; at++) {
      engine.log.append({ type: 'daemon.stopping', reason: padding });
      if (at % 20 === 0) await turnOfTheLoop();
      if (at % 500 === 0) most = Math.max(most, heldBytes() - before);
    }
    await quick.until(() => quick.events.length === total);
    // 40 MB were told; the socket's buffer may hold 1 MiB, and what the quick one is just reading comes on top.
    expect(most).toBeLessThan(8 * 1024 * 1024);
    client.socket.resume();
    const { code, reason } = await client.closing();
    expect(code).toBe(4008);
    const last = client.seqs.at(-1) ?? 0;
    expect(reason).toContain(`since=${last}`);
    expect(last).toBeLessThan(total);
    expect(client.seqs).toEqual(Array.from({ length: last }, (_, at) => at + 1));
    expect(await metrics.text()).toContain('virtscale_event_subscribers_dropped_total{code="4008"} 1');

    const resumed = new Client(`${wsUrl}/v1/events?since=${last}`);
    await resumed.until(() => resumed.events.length === total - last);
    expect([resumed.seqs[0], resumed.seqs.at(-1)]).toEqual([last + 1, total]);
  });

  it('waits for one that reads the past slowly, but not forever', async () => {
    const { engine, wsUrl } = await liveEdge({ stallMs: 200, closeMs: 5000 });
    const padding = 'x'.repeat(20_000);
    for (let at = 0; at < 1500; at++) engine.log.append({ type: 'daemon.stopping', reason: padding });
    const slow = new Client(`${wsUrl}/v1/events?since=0`);
    for (let breaks = 0; breaks < 10; breaks++) {
      await slow.until(() => slow.events.length > breaks * 100);
      slow.socket.pause();
      await turnOfTheLoop();
      slow.socket.resume();
    }
    await slow.until(() => slow.events.length === 1500);
    expect(slow.closed).toBeUndefined();

    const stuck = new Client(`${wsUrl}/v1/events?since=0`);
    await stuck.greeted();
    stuck.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 600));
    stuck.socket.resume();
    expect((await stuck.closing()).code).toBe(4008);
  });

  it('cuts one that reads nothing, not even its dismissal', async () => {
    const { engine, stream, wsUrl } = await liveEdge({ closeMs: 50 });
    const client = new Client(`${wsUrl}/v1/events`);
    await client.greeted();
    client.socket.pause();
    for (let at = 0; at < 5000 && stream.size > 0; at++) {
      engine.log.append({ type: 'daemon.stopping', reason: 'x'.repeat(4000) });
      if (at % 20 === 0) await turnOfTheLoop();
    }
    for (let tries = 0; tries < 200 && stream.size > 0; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(stream.size).toBe(0);
  });

  it('cuts one that does not answer pings, and keeps one that does', async () => {
    const { stream, wsUrl } = await liveEdge({ pingMs: 50 });
    const dead = new Client(`${wsUrl}/v1/events`, { autoPong: false });
    const alive = new Client(`${wsUrl}/v1/events`);
    await Promise.all([dead.greeted(), alive.greeted()]);
    expect((await dead.closing()).code).toBe(1006);
    await once(alive.socket, 'ping');
    expect([stream.size, alive.closed]).toEqual([1, undefined]);
  });

  it('ignores what they say, up to a point', async () => {
    const { engine, wsUrl } = await liveEdge({ maxClientMessages: 5, maxClientMessageBytes: 100 });
    const client = new Client(`${wsUrl}/v1/events`);
    await client.greeted();
    for (let at = 0; at < 5; at++) client.socket.send('hello?');
    engine.log.append(up());
    await client.until(() => client.events.length === 1);
    client.socket.send('one more');
    expect((await client.closing()).code).toBe(1008);
    const large = new Client(`${wsUrl}/v1/events`);
    await large.greeted();
    large.socket.send('x'.repeat(101));
    expect((await large.closing()).code).toBe(1009);
  });
});
