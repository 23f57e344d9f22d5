/** Domain events: their shapes, registration, order, and a reader that is too slow or leaves. */
import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../src/libvirt/event-queue.ts';
import { type DomainEvent, domainEventTypes, type Resync } from '../../src/libvirt/events.ts';
import { type FakeCall, fakeDomain } from '../support/fake-libvirtd.ts';
import { clientOf, failureOf, open, startDaemon } from './support.ts';

const vm = fakeDomain(1);
const subscribed: Resync = { type: 'resync', reason: 'subscribed' };
const overflow: Resync = { type: 'resync', reason: 'overflow' };

const take = async (events: AsyncIterator<DomainEvent | Resync>, count: number): Promise<(DomainEvent | Resync)[]> => {
  const items: (DomainEvent | Resync)[] = [];
  while (items.length < count) {
    const { done, value } = await events.next();
    if (done === true) break;
    items.push(value);
  }
  return items;
};

describe('a queue', () => {
  const numbers = (maxItems?: number) =>
    new EventQueue<number>(
      () => -1,
      () => undefined,
      maxItems,
    );

  it('gives items in order, those pushed before the end included', async () => {
    const queue = numbers();
    const first = queue.next();
    queue.push(1);
    queue.push(2);
    queue.end();
    queue.push(3);
    expect(await first).toEqual({ done: false, value: 1 });
    const rest: number[] = [];
    for await (const item of queue) rest.push(item);
    expect(rest).toEqual([2]);
  });

  it('holds no more than its limit: what it held becomes one marker', async () => {
    const queue = numbers(3);
    for (let item = 0; item < 5; item += 1) queue.push(item);
    queue.end();
    const items: number[] = [];
    for await (const item of queue) items.push(item);
    expect(items).toEqual([-1, 4]);
  });

  it('holds no more bytes than its limit', async () => {
    const queue = numbers();
    for (let item = 0; item < 9; item += 1) queue.push(item, 2 * 1_048_576);
    expect((await queue.next()).value).toBe(-1);
  });

  it('is left by return(), even while next() waits', async () => {
    let left = 0;
    const queue = new EventQueue<number>(
      () => -1,
      () => {
        left += 1;
      },
    );
    const waiting = queue.next();
    await queue.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await queue.return();
    expect(left).toBe(1);
  });

  it('gives an error once, after what was queued, and refuses a second reader', async () => {
    const queue = numbers();
    queue.push(1);
    queue.end({ error: new Error('gone') });
    expect(await queue.next()).toEqual({ done: false, value: 1 });
    await expect(queue.next()).rejects.toThrow('gone');
    expect(await queue.next()).toEqual({ done: true, value: undefined });
    const other = numbers();
    const waiting = other.next();
    await expect(other.next()).rejects.toThrow('one reader');
    other.end();
    await waiting;
  });
});

describe('events of a connection', () => {
  it('come in their own shapes', async () => {
    const daemon = await startDaemon();
    const { connection, peer } = await open(daemon);
    const events = connection.events();
    expect(await take(events, 1)).toEqual([subscribed]);
    expect(peer.calls('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY')).toHaveLength(domainEventTypes.length);
    peer.lifecycle(vm, 5, 1);
    peer.lifecycle(vm, 99);
    peer.event('DOMAIN_EVENT_CALLBACK_REBOOT', { callbackID: 7, msg: { dom: vm } });
    peer.event('DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED', { callbackID: 7, msg: { dom: vm, devAlias: 'net0' } });
    peer.event('DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE', { callbackID: 7, dom: vm, state: 1, reason: 2 });
    peer.event('DOMAIN_EVENT_BLOCK_JOB_2', { callbackID: 7, dom: vm, dst: 'vda', type: 2, status: 3 });
    const params = [{ field: 'downtime', value: { type: 'ullong' as const, value: 17n } }];
    peer.event('DOMAIN_EVENT_CALLBACK_JOB_COMPLETED', { callbackID: 7, dom: vm, params });
    expect(await take(events, 7)).toEqual([
      { type: 'lifecycle', domain: vm, event: 'stopped', detail: 1 },
      { type: 'lifecycle', domain: vm, event: 'unknown', detail: 0 },
      { type: 'reboot', domain: vm },
      { type: 'device-removed', domain: vm, alias: 'net0' },
      { type: 'agent-lifecycle', domain: vm, state: 'connected', reason: 2 },
      { type: 'block-job', domain: vm, disk: 'vda', job: 2, status: 'ready' },
      { type: 'job-completed', domain: vm, params: { downtime: 17n } },
    ]);
  });

  it('are registered once, however many listen, and each listener gets what it asked for', async () => {
    const daemon = await startDaemon();
    const { connection, peer } = await open(daemon);
    const one = connection.events(['lifecycle']);
    const two = connection.events(['lifecycle', 'reboot']);
    await take(one, 1);
    await take(two, 1);
    expect(peer.calls('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY')).toHaveLength(2);
    peer.event('DOMAIN_EVENT_CALLBACK_REBOOT', { callbackID: 1, msg: { dom: vm } });
    peer.lifecycle(vm, 2);
    expect((await take(one, 1)).map(({ type }) => type)).toEqual(['lifecycle']);
    expect((await take(two, 2)).map(({ type }) => type)).toEqual(['reboot', 'lifecycle']);
  });

  it('that come before the reply to their registration, or to the call that caused them, are not lost', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', (call) => {
      call.connection.lifecycle(vm, 2);
      call.reply({ callbackID: 1 });
    });
    daemon.on('DOMAIN_DESTROY_FLAGS', (call) => {
      call.connection.lifecycle(vm, 5);
      call.reply({});
    });
    const { connection } = await open(daemon);
    const events = connection.events(['lifecycle']);
    expect(await take(events, 2)).toMatchObject([{ event: 'started' }, subscribed]);
    await connection.call('DOMAIN_DESTROY_FLAGS', { dom: vm, flags: 0 });
    expect(await take(events, 1)).toMatchObject([{ event: 'stopped' }]);
  });

  it('end with the connection’s error, with the signal, and with a daemon that refuses', async () => {
    const daemon = await startDaemon();
    const { connection, peer } = await open(daemon);
    const controller = new AbortController();
    const aborted = connection.events(['lifecycle'], { signal: controller.signal });
    const cut = connection.events(['lifecycle']);
    await take(aborted, 1);
    await take(cut, 1);
    controller.abort();
    expect(await take(aborted, 1)).toEqual([]);
    peer.socket.destroy();
    expect(await failureOf(cut.next())).toMatchObject({ kind: 'closed' });
    expect(await take(cut, 1)).toEqual([]);
    daemon.on('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', (call) => call.fail({ code: 3 }));
    const refused = (await open(daemon)).connection.events(['reboot']);
    expect(await failureOf(refused.next())).toMatchObject({ codeName: 'NO_SUPPORT' });
  });

  it('that nobody reads are bounded', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    const { connection, peer } = await open(daemon);
    const events = connection.events(['lifecycle'], { maxQueued: 10 });
    await take(events, 1);
    for (let count = 0; count < 25; count += 1) peer.lifecycle(vm, 2, count);
    await connection.call('CONNECT_GET_HOSTNAME', {});
    expect(await take(events, 2)).toMatchObject([overflow, { detail: 21 }]);
  });

  it('that cannot be decoded end the connection', async () => {
    const daemon = await startDaemon();
    const { connection, peer } = await open(daemon);
    const events = connection.events(['lifecycle']);
    await take(events, 1);
    peer.send(Buffer.from('0000001c 20008086 00000001 0000013e 00000002 00000001 00000000'.replaceAll(' ', ''), 'hex'));
    expect(await failureOf(events.next())).toMatchObject({ kind: 'protocol' });
  });
});

describe('events of a client', () => {
  const fast = { backoffMinMs: 1, backoffMaxMs: 5 };

  it('go on after the connection is lost, with a resync in between', async () => {
    const daemon = await startDaemon();
    const client = clientOf(daemon, fast);
    const events = client.events(['lifecycle']);
    expect(await take(events, 1)).toEqual([subscribed]);
    (await daemon.connection(0)).lifecycle(vm, 2);
    expect(await take(events, 1)).toMatchObject([{ event: 'started' }]);
    await daemon.down();
    await daemon.listen();
    expect(await take(events, 1)).toEqual([{ type: 'resync', reason: 'reconnected' }]);
    (await daemon.connection(1)).lifecycle(vm, 5);
    expect(await take(events, 1)).toMatchObject([{ event: 'stopped' }]);
    await client.close();
    expect(await take(events, 1)).toEqual([]);
  });

  it('reach subscriptions made before, while and after connecting', async () => {
    const daemon = await startDaemon();
    const held: FakeCall<'CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY'>[] = [];
    daemon.on('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', (call) => held.push(call));
    const client = clientOf(daemon);
    const before = client.events(['lifecycle']);
    const peer = await daemon.connection();
    await peer.until(() => held.length === 1);
    const during = client.events(['lifecycle', 'reboot']);
    held.shift()?.reply({ callbackID: 1 });
    await peer.until(() => held.length === 1);
    held.shift()?.reply({ callbackID: 2 });
    expect(await take(before, 1)).toEqual([subscribed]);
    expect(await take(during, 1)).toEqual([subscribed]);
    const after = client.events(['reboot']);
    expect(await take(after, 1)).toEqual([subscribed]);
    peer.event('DOMAIN_EVENT_CALLBACK_REBOOT', { callbackID: 2, msg: { dom: vm } });
    expect(await take(during, 1)).toMatchObject([{ type: 'reboot' }]);
    expect(await take(after, 1)).toMatchObject([{ type: 'reboot' }]);
  });

  it('that the daemon refuses end that subscription, and no other', async () => {
    const daemon = await startDaemon();
    daemon.on('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', (call) => {
      if (call.args.eventID === 1) call.fail({ code: 3 });
      else call.reply({ callbackID: 1 });
    });
    const client = clientOf(daemon);
    const refused = client.events(['reboot']);
    const fine = client.events(['lifecycle']);
    expect(await failureOf(refused.next())).toMatchObject({ codeName: 'NO_SUPPORT' });
    expect(await take(fine, 1)).toEqual([subscribed]);
    daemon.on('CONNECT_GET_HOSTNAME', (call) => call.reply({ hostname: 'h' }));
    await expect(client.hostname()).resolves.toBe('h');
    expect(daemon.connections).toHaveLength(1);
  });

  it('left by their reader stop, even before they were connected', async () => {
    const daemon = await startDaemon();
    const client = clientOf(daemon);
    const early = client.events();
    await early.return();
    const events = client.events(['lifecycle']);
    for await (const item of events) {
      expect(item).toEqual(subscribed);
      break;
    }
    expect(await take(events, 1)).toEqual([]);
    (await daemon.connection()).lifecycle(vm, 2);
    const aborted = client.events(['lifecycle'], { signal: AbortSignal.abort() });
    expect(await take(aborted, 1)).toEqual([]);
  });
});
