// The daemon's log as a program reads it: one JSON object per line.

import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import type { NewEvent } from '../../src/core/events.ts';
import { EVENT_TYPES, eventText } from '../../src/edge/event-text.ts';
import { createLog, logEvents } from '../../src/edge/log.ts';
import { MemoryEventLog } from './memory-event-log.ts';

const vm = { id: 7, name: 'web-7', uuid: 'u', host: 'a' };
const endpoint = { address: '127.0.1.7', port: 80 };
const decision = {
  id: 'd',
  desiredBefore: 1,
  desired: 2,
  cause: 'rule',
  decideMs: 0.1,
  actions: [],
  text: 'more\nof it',
} as const;

/** One of each type. */
const EVENTS: readonly NewEvent[] = [
  { type: 'daemon.started', version: '1', hosts: ['a', 'b'] },
  { type: 'daemon.stopping', reason: 'SIGTERM' },
  { type: 'host.up', host: 'a' },
  { type: 'host.unreachable', host: 'a', reason: 'timed out' },
  { type: 'policy.loaded', group: 'web', file: 'f' },
  { type: 'policy.rejected', file: 'f', line: 3, reason: 'no' },
  { type: 'policy.removed', group: 'web', file: 'f' },
  { type: 'group.changed', group: 'web', change: { what: 'desired', from: 1, to: 2, by: 'user' } },
  { type: 'decision.made', group: 'web', decision },
  { type: 'vm.launching', group: 'web', vm, decision: 'd' },
  { type: 'vm.launched', group: 'web', vm, endpoint, launchMs: 2345 },
  { type: 'vm.adopted', group: 'web', vm, reason: 'found' },
  { type: 'vm.draining', group: 'web', vm, reason: 'idle', graceMs: 5000 },
  { type: 'vm.drained', group: 'web', vm },
  { type: 'vm.removed', group: 'web', vm, reason: 'idle' },
  { type: 'vm.failed', group: 'web', vm, reason: 'not ready', step: 'started' },
  { type: 'vm.lost', group: 'web', vm, reason: 'vanished' },
  { type: 'vm.migrated', group: 'web', vm, from: 'h1', to: 'h2', tookMs: 900, downtimeMs: 60, operation: 'o' },
  { type: 'vm.returned', group: 'web', vm, reason: 'load returned' },
  { type: 'vm.standby', group: 'web', vm, standby: 'paused' },
  { type: 'vm.unhealthy', group: 'web', vm, reason: 'HTTP 500' },
  { type: 'vm.fallback', group: 'web', vm, from: 'fork', to: 'cold', reason: 'compressed' },
  { type: 'hook.ended', group: 'web', vm, hook: 'launch', outcome: 'timed-out', tries: 3, text: 'HTTP 503' },
  { type: 'template.ready', group: 'web', host: 'a', template: 'k', tookMs: 2500 },
  { type: 'template.failed', group: 'web', host: 'a', reason: 'no agent' },
  { type: 'template.removed', host: 'a', template: 'k', reason: 'another image' },
  { type: 'balancer.failed', balancer: 'front', reason: 'no socket' },
  { type: 'balancer.recovered', balancer: 'front' },
  { type: 'refresh.changed', group: 'web', state: 'paused', done: 1, total: 4, text: 'a quarter is done' },
  { type: 'breaker.opened', group: 'web', failures: 3, retryAt: '2027-01-15T08:00:00.000Z', reason: 'no image' },
  { type: 'breaker.closed', group: 'web' },
  { type: 'host.slow', host: 'a', reason: '2.1 s' },
  { type: 'host.cordoned', host: 'a', reason: 'new disks', by: 'ada' },
  { type: 'host.uncordoned', host: 'a', by: 'ada' },
  { type: 'vm.changed', vm, change: 'pause', operation: 'op-1' },
  {
    type: 'operation.changed',
    operation: { id: 'op-1', kind: 'vm.pause', state: 'succeeded', owner: 'ada', vmIds: [7] },
    text: 'paused',
  },
  { type: 'image.added', image: 'debian', sha256: 'abc', fileBytes: 7 },
  { type: 'image.removed', image: 'debian' },
  { type: 'image.placed', image: 'debian', host: 'a' },
  { type: 'image.unplaced', sha256: 'abc', host: 'a' },
  { type: 'config.loaded', file: 'f', text: 'one host more' },
  { type: 'config.rejected', file: 'f', reason: 'line 3' },
];

async function lines(work: (log: Awaited<ReturnType<typeof createLog>>) => void): Promise<Record<string, unknown>[]> {
  let text = '';
  const to = new Writable({
    write: (chunk, _encoding, done) => {
      text += chunk;
      done();
    },
  });
  work(await createLog({ to }));
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

it('writes one line per event, with all its fields and a sentence', async () => {
  const events = new MemoryEventLog();
  const written = await lines((log) => {
    const stop = logEvents(log, events);
    events.append(...EVENTS);
    stop();
    events.append({ type: 'host.up', host: 'a' });
  });
  expect(written).toHaveLength(EVENTS.length);
  expect(written.map(({ type }) => type)).toEqual(EVENTS.map(({ type }) => type));
  written.forEach((line, at) => {
    expect(line).toMatchObject({ ...EVENTS[at], seq: at + 1 });
    expect(line['time']).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(line['msg']).toBe(eventText(EVENTS[at] ?? { type: 'host.up', host: '' }));
  });
  expect(written.find(({ type }) => type === 'vm.failed')?.['level']).toBe('error');
  expect(written.find(({ type }) => type === 'vm.launched')).toMatchObject({
    level: 'info',
    msg: 'web: web-7 on a serves at 127.0.1.7:80 after 2.35 s',
  });
});

it.each<[NewEvent, string]>([
  [
    { type: 'vm.launched', group: 'web', vm, launchMs: 380, way: 'fork' },
    'web: web-7 on a runs after 0.38 s, forked from a template',
  ],
  [
    { type: 'group.changed', group: 'web', change: { what: 'suspended', processes: ['launch', 'health'], by: 'user' } },
    'web: launch, health suspended by user',
  ],
  [
    { type: 'group.changed', group: 'web', change: { what: 'suspended', processes: [], by: 'user' } },
    'web: nothing is suspended any more, by user',
  ],
  [
    { type: 'hook.ended', group: 'web', vm, hook: 'remove', outcome: 'refused', tries: 1, text: 'HTTP 409' },
    'web: web-7 on a: the remove hook refused after 1 try: HTTP 409',
  ],
  [{ type: 'policy.loaded', group: 'web', file: 'f', candidate: 'gentler' }, 'candidate gentler of web loaded from f'],
])('says of %j: %s', (event, sentence) => expect(eventText(event)).toBe(sentence));

it('has a sentence without gaps for every type', () => {
  expect(EVENTS.map(({ type }) => type).toSorted()).toEqual(EVENT_TYPES.toSorted());
  for (const event of EVENTS) expect(eventText(event)).not.toMatch(/undefined|\[object|NaN/);
});

it('tells of VMs without a group and without an endpoint', () => {
  expect(eventText({ type: 'vm.launched', vm, launchMs: 500 })).toBe('web-7 on a runs after 0.50 s');
});

it('writes errors with their stack and keeps to its level', async () => {
  const written = await lines((log) => {
    log.debug({}, 'quiet');
    log.error({ err: new Error('broken') }, 'loud');
  });
  expect(written).toMatchObject([
    { level: 'error', msg: 'loud', err: { message: 'broken', stack: expect.any(String) } },
  ]);
});
