// The property that matters: whatever happens while a subscriber catches up, it gets every event it wants once and in order.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import type { EventType, NewEvent } from '../../src/core/events.ts';
import { EVENT_STREAM_LIMITS } from '../../src/edge/event-stream.ts';
import { Subscriber } from '../../src/edge/subscriber.ts';
import { Client, liveEdge, turnOfTheLoop } from './live-edge.ts';
import { MemoryEventLog } from './memory-event-log.ts';

const EVENTS: readonly NewEvent[] = [
  { type: 'host.up', host: 'a' },
  { type: 'breaker.closed', group: 'web' },
  { type: 'breaker.closed', group: 'db' },
  { type: 'policy.loaded', group: 'web', file: 'f' },
];

/** A step of the world while the subscriber reads: store, publish what is stored, or let others run. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.nat(EVENTS.length - 1).map((which) => ({ kind: 'store', which }) as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'publish' } as const) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 8 }).map((hops) => ({ kind: 'yield', hops }) as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'turn' } as const) },
);

const scenario = fc.record({
  past: fc.array(fc.nat(EVENTS.length - 1), { maxLength: 30 }),
  during: fc.array(step, { maxLength: 60 }),
  since: fc.option(fc.nat(30), { nil: undefined }),
  pageSize: fc.integer({ min: 1, max: 7 }),
  group: fc.option(fc.constantFrom('web', 'db'), { nil: undefined }),
  types: fc.option(fc.subarray<EventType>(['host.up', 'breaker.closed', 'policy.loaded'], { minLength: 1 }), {
    nil: undefined,
  }),
  beforeRead: fc.array(fc.nat(6), { minLength: 1, maxLength: 10 }),
  afterRead: fc.array(fc.nat(6), { minLength: 1, maxLength: 10 }),
});

const eventAt = (which: number): NewEvent => EVENTS[which] ?? { type: 'host.up', host: 'a' };

/** Lets so many microtasks pass as the list says, one entry per call. */
function delays(counts: readonly number[]): () => Promise<void> {
  let call = 0;
  return async () => {
    const count = counts[call++ % counts.length] ?? 0;
    for (let at = 0; at < count; at++) await Promise.resolve();
  };
}

/** As much of a WebSocket as a subscriber touches, with a network that takes everything at once. */
class PlainSocket {
  readonly sent: { readonly type: string; readonly seq: number; readonly group?: string }[] = [];
  readonly bufferedAmount = 0;
  closedWith: number | undefined;
  send(data: Buffer | string, ...rest: readonly unknown[]): void {
    this.sent.push(JSON.parse(String(data)));
    const done = rest.at(-1);
    if (typeof done === 'function') queueMicrotask(() => done());
  }
  once(): void {}
  terminate(): void {}
  close(code: number): void {
    this.closedWith = code;
  }
}

it('joins the past and the present without gap or repeat', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ past, during, since, pageSize, group, types, beforeRead, afterRead }) => {
      const log = new MemoryEventLog();
      for (const which of past) log.append(eventAt(which));
      fc.pre(since === undefined || since <= log.lastSeq);
      log.beforeRead = delays(beforeRead);
      log.afterRead = delays(afterRead);
      const from = since ?? log.lastSeq;

      const socket = new PlainSocket();
      const limits = { ...EVENT_STREAM_LIMITS, pageSize };
      const encode = (event: object): Buffer => Buffer.from(JSON.stringify(event));
      const subscriber = new Subscriber(
        socket as unknown as WebSocket,
        log,
        { since, group, types },
        limits,
        encode,
        () => undefined,
      );
      const started = subscriber.start();
      for (const one of during) {
        if (one.kind === 'store') log.store(eventAt(one.which));
        else if (one.kind === 'publish') log.publish();
        else if (one.kind === 'turn') await turnOfTheLoop();
        else for (let hop = 0; hop < one.hops; hop++) await Promise.resolve();
      }
      log.publish();
      await started;
      await turnOfTheLoop();
      log.append(eventAt(0), eventAt(1), eventAt(2), eventAt(3));
      await turnOfTheLoop();

      const wanted = (await log.page({ since: from, limit: 1000, ...(group && { group }), ...(types && { types }) }))
        .events;
      const [hello, ...events] = socket.sent;
      expect(hello?.type).toBe('hello');
      expect(events.map(({ seq }) => seq)).toEqual(wanted.map(({ seq }) => seq));
      expect(socket.closedWith).toBeUndefined();
    }),
    { numRuns: 1000 },
  );
});

it('reads what it was not told of', async () => {
  const { engine, wsUrl } = await liveEdge();
  const { log } = engine;
  const subscribe = log.subscribe.bind(log);
  // An event log that loses the third notification.
  log.subscribe = (listener) => subscribe((event) => event.seq === 3 || listener(event));
  const client = new Client(`${wsUrl}/v1/events?since=0`);
  await client.greeted();
  await turnOfTheLoop();
  for (let at = 0; at < 5; at++) log.append(eventAt(0));
  await client.until(() => client.events.length >= 5);
  expect(client.seqs).toEqual([1, 2, 3, 4, 5]);
});

it('does so over real sockets while events pour in', async () => {
  const { engine, wsUrl } = await liveEdge({ pageSize: 7 });
  const { log } = engine;
  log.beforeRead = turnOfTheLoop;
  for (let at = 0; at < 500; at++) log.append(eventAt(at % 4));
  const clients: { readonly client: Client; readonly since: number }[] = [];
  const total = 3000;
  while (log.lastSeq < total) {
    if (clients.length < 20 && log.lastSeq % 100 === 0) {
      const since = clients.length * 25;
      clients.push({ client: new Client(`${wsUrl}/v1/events?since=${since}`), since });
    }
    log.append(eventAt(log.lastSeq % 4));
    if (log.lastSeq % 5 === 0) await turnOfTheLoop();
  }
  expect(clients).toHaveLength(20);
  for (const { client, since } of clients) {
    await client.until(() => client.events.length >= total - since);
    expect(client.seqs).toEqual(Array.from({ length: total - since }, (_, at) => since + 1 + at));
  }
});
