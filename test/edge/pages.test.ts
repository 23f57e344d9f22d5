// The pages' scripts, run against a live edge with a document that is small and real enough. Looks are for a browser's tests.

import { Script } from 'node:vm';
import { expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { aDecision, aGroup, aVm } from './fake-engine.ts';
import { aFullGroup } from './full-group.ts';
import { type LiveEdge, liveEdge } from './live-edge.ts';
import { SmallDocument, SmallNode } from './small-document.ts';
import { tokenFor } from './tokens.ts';

const EVIL = '<img src=x onerror=alert(1)>';

/** Runs the page's script as its browser would, until the test ends. */
async function open(
  { listening }: LiveEdge,
  path: string,
  stored: Map<string, string> = new Map(),
): Promise<SmallDocument> {
  const html = await (await fetch(listening.url + path)).text();
  const script = /<script[^>]*>([\s\S]*?)<\/script>/.exec(html)?.[1] ?? '';
  const page = new SmallDocument();
  const timers: NodeJS.Timeout[] = [];
  const sockets: WebSocket[] = [];
  onTestFinished(() => {
    for (const timer of timers) clearInterval(timer);
    for (const socket of sockets) {
      socket.onclose = null;
      socket.terminate();
    }
  });
  class PageSocket extends WebSocket {
    constructor(url: URL, protocols: string[] = []) {
      super(url, protocols);
      this.on('error', () => undefined);
      sockets.push(this);
    }
  }
  const globals = {
    document: page,
    Node: SmallNode,
    location: { href: listening.url + path },
    URL,
    URLSearchParams,
    AbortSignal,
    performance,
    sessionStorage: {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, text: string) => stored.set(key, text),
    },
    WebSocket: PageSocket,
    fetch: (target: string, init: RequestInit) => fetch(new URL(target, listening.url), init),
    setTimeout: (work: () => void, ms: number) => timers.push(setTimeout(work, ms)),
    setInterval: (work: () => void, ms: number) => timers.push(setInterval(work, ms)),
  };
  await new Script(`(async () => {${script}})()`).runInNewContext(globals);
  return page;
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(what());
}

it('the status page shows what there is, follows events, and makes no markup of data', async () => {
  const vms = [aVm({ name: EVIL }), aVm({ id: 8, phase: 'launching' }, { state: 'absent' })];
  const edge = await liveEdge({}, { groups: [aGroup({ vms, lastDecision: aDecision({ text: EVIL }) })] });
  const page = await open(edge, '/');
  const [groups, rows, hosts, live, events] = ['groups', 'vms', 'hosts', 'live', 'events'].map((id) =>
    page.getElementById(id),
  );
  await until(
    () => live?.textContent === 'live' && /web/.test(groups?.textContent ?? ''),
    () => groups?.textContent ?? '',
  );
  expect(groups?.textContent).toMatch(/web.*1.*of 1 wanted, 1 to 4.*91 %/);
  expect(groups?.textContent).toContain(EVIL);
  expect(rows?.textContent).toMatch(/in-service.*running.*127\.0\.1\.7:80/);
  expect(hosts?.textContent).toContain('1.0 of 4.0 GiB');
  expect([...(rows?.tags ?? []), ...(groups?.tags ?? [])]).not.toContain('img');

  await edge.engine.pause('web');
  edge.engine.log.append({ type: 'group.changed', group: 'web', change: { what: 'paused', by: 'user' } });
  await until(
    () => /paused/.test(groups?.textContent ?? ''),
    () => groups?.textContent ?? '',
  );
  expect(events?.textContent).toMatch(/1 .* group\.changed web · paused/);
  edge.stream.terminate();
  await until(
    () => live?.textContent === 'reconnecting',
    () => live?.textContent ?? '',
  );
  edge.engine.log.append({ type: 'host.up', host: EVIL });
  await until(
    () => (events?.textContent ?? '').includes(EVIL),
    () => events?.textContent ?? '',
  );
  expect(events?.childElementCount).toBe(2);
});

it('the API page shows every path and schema', async () => {
  const edge = await liveEdge();
  const page = await open(edge, '/v1/docs');
  const text = page.getElementById('main').textContent;
  for (const said of ['/v1/groups/{name}/pause', 'patch', 'desired', 'GroupDetail', 'Problem', 'vm.launched']) {
    expect(text).toContain(said);
  }
  expect(page.getElementById('version').textContent).toBe('1.2.3');
});

it('the API page sends what is typed, with the token, and shows the answer as text', async () => {
  const { text: secret, token } = tokenFor('boss', 'admin');
  const edge = await liveEdge({}, { tokens: [token] });
  const stored = new Map<string, string>();
  const page = await open(edge, '/v1/docs', stored);
  const operation = (verb: string, path: string) => {
    const found = page
      .getElementById('main')
      .all.find((node) => node.tag === 'details' && node.textContent.startsWith(`${verb} ${path} `));
    const part = (tag: string) => found?.all.filter((node) => node.tag === tag) ?? [];
    const send = async () => {
      await part('button')[0]?.does('click');
      return part('pre')[0]?.textContent ?? '';
    };
    const field = (name: string) =>
      found?.all.find((node) => node.attributes.get('aria-label') === name) ?? page.createElement('none');
    return { send, field };
  };
  const hosts = operation('get', '/v1/hosts/{name}');
  hosts.field('name').value = 'local';
  expect(await hosts.send()).toMatch(/^HTTP 401 after \d+ ms\nwww-authenticate: Bearer/);
  page.getElementById('token').value = secret;
  await page.getElementById('token').does('input');
  expect(stored.get('virtscale-token')).toBe(secret);
  expect(await hosts.send()).toMatch(/^HTTP 200[^{]*etag: "[^{]*\{\n {2}"name": "local"/);

  const create = operation('post', '/v1/vms');
  expect(JSON.parse(create.field('body').value)).toEqual({ name: 'job', flavor: 'small' });
  expect(await create.send()).toMatch(/^HTTP 202[^{]*location: \/v1\/operations\/op-1\n/);
  const list = operation('get', '/v1/vms');
  list.field('name').value = 'job';
  expect(await list.send()).toContain('"name": "job"');
  expect(page.getElementById('main').tags).not.toContain('img');
});

it('the status page asks for a token when one is needed, and goes on with it', async () => {
  const { text: secret, token } = tokenFor('boss', 'admin');
  const edge = await liveEdge({}, { tokens: [token] });
  const page = await open(edge, '/');
  const groups = page.getElementById('groups');
  await until(
    () => groups.textContent.includes('a token is needed'),
    () => groups.textContent,
  );
  expect(page.getElementById('tokens').hidden).toBe(false);
  page.getElementById('token').value = secret;
  await page.getElementById('token').does('change');
  await until(
    () => /web/.test(groups.textContent) && page.getElementById('live').textContent === 'live',
    () => groups.textContent,
  );
});

it('the status page shows standbys, suspended parts and a refresh', async () => {
  const edge = await liveEdge({}, { groups: [aFullGroup()] });
  const page = await open(edge, '/');
  const [groups, rows] = ['groups', 'vms'].map((id) => page.getElementById(id));
  await until(
    () => /all-9/.test(rows?.textContent ?? ''),
    () => groups?.textContent ?? '',
  );
  expect(groups?.textContent).toMatch(/launches stopped.*suspended: remove.*refresh paused 1 of 3/);
  expect(groups?.textContent).toMatch(/1 +of 2 wanted, 1 to 4, 1 in standby/);
  expect(rows?.textContent).toMatch(/all-9.*standby.*saved.*protected/);
});
