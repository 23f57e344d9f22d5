// What a group lives through on real VMs, with the daemon as users run it: standbys and forks, a daemon killed beside them, a drain
// that is cancelled, a guest that hangs; a hook is asked each time, and all of it is explained and replayed.
// Not here: each of these on its own (fork.test, haproxy.test, test/engine), how quick it is (bench).

import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LoggedEvent } from '../../src/core/events.ts';
import type { PublicWhy } from '../../src/edge/decision-schemas.ts';
import type { PublicVm } from '../../src/edge/schemas.ts';
import type { HookRequest } from '../../src/ports/hook-caller.ts';
import { TestDaemon } from '../support/daemon.ts';

type EventOf<T extends LoggedEvent['type']> = Extract<LoggedEvent, { readonly type: T }>;

const SECRET = 'three may keep it';
const MAX = 4;

function policy(hookUrl: string): string {
  return `
group: web
min: 1
max: ${MAX}
template: { image: backend, flavor: small, ready: { http: { port: 80, path: / } } }
capacity: { fork: true, paused: 1, saved: 1 }
hooks: { launch: { url: "${hookUrl}", secretFile: ../secret, deadline: 60s } }
health: { interval: 1s, timeout: 1s, failures: 3, grace: 2s }
drain: { grace: 20s }
shutdown: { deadline: 2s }
`;
}

/** Agrees to what is signed as it should be; may be told to think about it until all may go. */
class Gate {
  readonly seen: { readonly signed: boolean; readonly request: HookRequest }[] = [];
  readonly #server = createServer((incoming, response) => void this.#answer(incoming, response));
  readonly #waiting: (() => void)[] = [];
  #isShut = false;

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}/launches`;
  }

  shut(): void {
    this.#isShut = true;
  }

  letThrough(): void {
    this.#isShut = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  async close(): Promise<void> {
    this.letThrough();
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of incoming) body += String(chunk);
    const match = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(incoming.headers['x-virtscale-signature']));
    const right = createHmac('sha256', SECRET).update(`${match?.[1]}.${body}`).digest('hex');
    const signed = match?.[2] === right && Math.abs(Number(match[1]) - Date.now() / 1000) < 300;
    this.seen.push({ signed, request: JSON.parse(body) as HookRequest });
    if (this.#isShut) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    response.writeHead(signed ? 204 : 403).end();
  }
}

const gate = new Gate();
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.prepare(policy(await gate.open()));
  await writeFile(join(daemon.dir, 'secret'), `${SECRET}\n`);
  await daemon.start();
});

afterAll(async () => {
  await daemon?.remove();
  await gate.close();
});

const vms = async (): Promise<readonly PublicVm[]> => (await daemon.get<{ vms: readonly PublicVm[] }>('/v1/vms')).vms;
const lastSeq = async (): Promise<number> => (await daemon.events()).at(-1)?.seq ?? 0;

async function eventsOf<T extends LoggedEvent['type']>(type: T, since = 0): Promise<readonly EventOf<T>[]> {
  const isIt = (event: LoggedEvent): event is EventOf<T> => event.type === type && event.seq > since;
  return (await daemon.events()).filter(isIt);
}

/** The first `count` events of a type after `since`. */
function comes<T extends LoggedEvent['type']>(type: T, count = 1, since = 0): Promise<readonly EventOf<T>[]> {
  return daemon.eventually(`${count} × ${type}`, async () => {
    const events = await eventsOf(type, since);
    return events.length >= count ? events.slice(0, count) : undefined;
  });
}

async function inService(count: number): Promise<readonly PublicVm[]> {
  return daemon.eventually(`${count} VMs in service`, async () => {
    const serving = (await vms()).filter(({ phase }) => phase === 'in-service');
    return serving.length === count ? serving : undefined;
  });
}

/** What the guest makes of a request, and the name it says it has. */
async function asked({ endpoint, name }: { readonly name: string; readonly endpoint?: PublicVm['endpoint'] }) {
  const response = await fetch(`http://${endpoint?.address}:${endpoint?.port}/10`, {
    signal: AbortSignal.timeout(5000),
  });
  expect(await response.json()).toEqual({ input: 10, result: 55, server: name });
}

async function standbys(): Promise<readonly PublicVm[]> {
  return (await vms())
    .filter(({ phase }) => phase === 'standby')
    .sort((a, b) => (a.standby ?? '').localeCompare(b.standby ?? ''));
}

test('a template, then a paused and a saved standby, come by themselves once the first VM serves', async () => {
  const [template] = await comes('template.ready');
  expect(template).toMatchObject({ group: 'web', host: 'local' });
  const parked = await comes('vm.standby', 2);
  expect(parked.map(({ standby }) => standby).sort()).toEqual(['paused', 'saved']);
  await asked((await inService(1))[0] ?? { name: 'nobody' });
  const seen = await daemon.eventually('both seen as they are', async () => {
    const found = await standbys();
    return found.map(({ state }) => state).join() === 'paused,stopped' ? found : undefined;
  });
  expect(seen.map(({ standby }) => standby)).toEqual(['paused', 'saved']);
});

test('the daemon killed and started again: the same standbys stand by', async () => {
  const before = await standbys();
  const since = await lastSeq();
  await daemon.end('SIGKILL');
  await daemon.start();
  await comes('host.up', 1, since);
  const after = await daemon.eventually('both seen again', async () => {
    const found = await standbys();
    return found.map(({ state }) => state).join() === 'paused,stopped' ? found : undefined;
  });
  expect(after.map(({ name, standby, uuid }) => ({ name, standby, uuid }))).toEqual(
    before.map(({ name, standby, uuid }) => ({ name, standby, uuid })),
  );
  for (const type of ['vm.lost', 'vm.removed', 'vm.failed', 'vm.launching'] as const) {
    expect(await eventsOf(type, since), type).toEqual([]);
  }
});

test('one more VM wakes the paused one, one more the saved one, one more is a fork; the hook agrees to each; each is its own', async () => {
  const waiting = await standbys();
  const since = await lastSeq();
  // As long as the hook thinks about one VM the group is launching, and no standby is made anew to stand in for the next.
  gate.shut();
  const before = gate.seen.length;
  for (const desired of [2, 3, 4]) {
    await daemon.setDesired(desired);
    await daemon.eventually(
      `hook for VM ${desired}`,
      async () => gate.seen.length >= before + desired - 1 || undefined,
    );
  }
  expect(await eventsOf('vm.launched', since)).toEqual([]);
  gate.letThrough();
  const launched = await comes('vm.launched', 3, since);
  const byWay = new Map(launched.map(({ vm, way }) => [way, vm.name]));
  expect([...byWay.keys()].sort()).toEqual(['fork', 'paused', 'saved']);
  expect(waiting.map(({ name }) => name)).toEqual([byWay.get('paused'), byWay.get('saved')]);
  const asks = gate.seen.slice(before);
  const inOrder = (['paused', 'saved', 'fork'] as const).map((way) => byWay.get(way));
  expect(asks.map(({ request }) => request.vm.name)).toEqual(inOrder);
  for (const { request, signed } of gate.seen) {
    expect({ signed, hook: request.hook, group: request.group }).toEqual({
      signed: true,
      hook: 'launch',
      group: 'web',
    });
  }
  for (const { outcome } of await comes('hook.ended', 3, since)) expect(outcome).toBe('agreed');
  const serving = await inService(MAX);
  await Promise.all(serving.map(asked));
  for (const of of [
    ({ name }: PublicVm) => name,
    ({ uuid }: PublicVm) => uuid,
    ({ endpoint }: PublicVm) => `${endpoint?.address}:${endpoint?.port}`,
  ]) {
    expect(new Set(serving.map(of)).size).toBe(MAX);
  }
});

test('a drain is cancelled three times: the same VM is back within 100 ms after the decision, and nothing is launched', async () => {
  const since = await lastSeq();
  for (let round = 0; round < 3; round += 1) {
    const from = await lastSeq();
    await daemon.setDesired(MAX - 1);
    const [draining] = await comes('vm.draining', 1, from);
    const drainedAt = draining?.seq ?? 0;
    await asked(draining?.vm ?? { name: 'nobody' });
    await daemon.setDesired(MAX);
    const [returned] = await comes('vm.returned', 1, drainedAt);
    const [decided] = await comes('decision.made', 1, drainedAt);
    await asked(returned?.vm ?? { name: 'nobody' });
    expect(returned?.vm.uuid).toBe(draining?.vm.uuid);
    expect(Date.parse(returned?.at ?? '') - Date.parse(decided?.at ?? '')).toBeLessThan(100);
  }
  expect((await inService(MAX)).length).toBe(MAX);
  for (const type of ['vm.launching', 'vm.removed'] as const) expect(await eventsOf(type, since), type).toEqual([]);
});

test('why: now and a moment before, by HTTP and as a command', async () => {
  const decided = (await eventsOf('decision.made')).findLast(({ decision }) => decision.desired === MAX - 1);
  const at = decided?.at ?? '';
  const then = await daemon.get<PublicWhy>(`/v1/groups/web/why?at=${at}`);
  expect(Date.parse(then.at)).toBeLessThanOrEqual(Date.parse(at));
  expect(then.decision).toMatchObject({ group: 'web', desired: MAX - 1 });
  expect(then.decision.actions).toMatchObject([{ kind: 'drain' }]);
  const now = await daemon.eventually('an evaluation that does nothing', async () => {
    const why = await daemon.get<PublicWhy>('/v1/groups/web/why');
    return why.decision.actions.length === 0 ? why : undefined;
  });
  expect(Date.parse(now.at)).toBeGreaterThan(Date.parse(then.at));
  expect(now.decision.counts).toMatchObject({ desired: MAX, inService: MAX, launching: 0, draining: 0 });
  const said = await daemon.command('why', 'web', '--url', daemon.url);
  expect(said).toMatchObject({ status: 0, said: expect.stringContaining(`in service ${MAX}, launching 0`) });
  const before = await daemon.command('why', 'web', '--url', daemon.url, '--at', at);
  expect(before).toMatchObject({ status: 0, said: expect.stringContaining(then.text) });
});

test('a guest that hangs is found unhealthy, and replaced', async () => {
  const since = await lastSeq();
  const [victim] = await inService(MAX);
  if (victim === undefined) throw new Error('nobody serves');
  await daemon.asked(async (client) => client.suspendDomain(await client.domainByUuid(victim.uuid)));
  const [unhealthy] = await comes('vm.unhealthy', 1, since);
  expect(unhealthy?.vm.name).toBe(victim.name);
  const [draining] = await comes('vm.draining', 1, since);
  expect(draining?.vm.name).toBe(victim.name);
  const [removed] = await comes('vm.removed', 1, since);
  expect(removed?.vm.name).toBe(victim.name);
  const [next] = await comes('vm.launched', 1, since);
  expect(next?.way).toBe('fork');
  const serving = await inService(MAX);
  expect(serving.map(({ name }) => name)).not.toContain(victim.name);
  await Promise.all(serving.map(asked));
  expect((await daemon.reality()).domains).toEqual(serving.map(({ name }) => name).sort());
});

test('every evaluation of both daemons, played again, decides the same, byte for byte', async () => {
  const seqs = (await daemon.events()).map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  await daemon.end('SIGTERM');
  const replayed = await daemon.command('replay', join(daemon.stateDir, 'recording'));
  expect(replayed).toMatchObject({
    status: 0,
    said: expect.stringMatching(
      /^(1 lines cannot be read.*\n)?\d+ evaluations with \d+ decisions, all the same, byte for byte\n$/,
    ),
  });
  expect(Number(/(\d+) evaluations with/.exec(replayed.said)?.[1])).toBeGreaterThan(20);
});
