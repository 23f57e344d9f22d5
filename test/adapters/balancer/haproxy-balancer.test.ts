// HAProxy's runtime API, on the real one: the contract, and what is special about it.

import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { HaproxyBalancer, type HaproxyOptions } from '../../../src/adapters/balancer/haproxy/haproxy-balancer.ts';
import { isFault } from '../../../src/ports/fault.ts';
import { balancerContract } from '../../contracts/balancer.ts';
import { askFront, whoAnswers } from './front.ts';
import { type HaproxySetup, RealHaproxy } from './real-haproxy.ts';
import { underTest } from './under-test.ts';
import { asServer, startWebServer, type WebServer } from './web-servers.ts';

const { signal } = new AbortController();

function balancerOf(haproxy: RealHaproxy, more: Partial<HaproxyOptions> = {}): HaproxyBalancer {
  return new HaproxyBalancer({ name: 'front', socket: haproxy.socket, backend: 'web', ...more });
}

/** Ids, addresses and admin states: a server that was made anew has another id. */
async function changesIn(haproxy: RealHaproxy): Promise<string> {
  const lines = (await haproxy.ask('show servers state web')).split('\n').filter((line) => /^\d+ /.test(line));
  return lines.map((line) => line.split(' ').filter((_, i) => [2, 3, 4, 6, 7, 18].includes(i))).join('\n');
}

balancerContract('haproxy runtime', async () => {
  const haproxy = await RealHaproxy.start();
  return underTest(balancerOf(haproxy), haproxy, {
    countsSessions: true,
    settleMs: 0,
    changes: () => changesIn(haproxy),
  });
});

describe('haproxy runtime', () => {
  let haproxy: RealHaproxy;
  let servers: readonly [WebServer, WebServer];
  const started = async (setup?: HaproxySetup): Promise<RealHaproxy> => {
    haproxy = await RealHaproxy.start(setup);
    return haproxy;
  };

  beforeEach(async () => {
    servers = [await startWebServer('a', '127.0.7.1'), await startWebServer('b', '127.0.7.2')];
  });
  afterEach(async () => {
    await haproxy.remove();
    await Promise.all(servers.map((server) => server.kill()));
  });

  test('servers of others stay as they are, whatever their state', async () => {
    const [a, b] = servers;
    await started({
      backend: `balance roundrobin\n  server hand ${b.address}:${b.port} weight 7\n  server virtual 127.0.0.1:9 disabled`,
    });
    const before = await changesIn(haproxy);
    const balancer = balancerOf(haproxy);
    await balancer.apply([asServer(a)], signal);
    expect(await whoAnswers(haproxy.front)).toEqual(['a', 'b']);
    await balancer.apply([], signal);
    expect(await changesIn(haproxy)).toBe(before);
  });

  test('a weight, and words beside the check that every server has', async () => {
    const [a] = servers;
    await started();
    await balancerOf(haproxy, { weight: 100, serverOptions: 'maxconn 16 inter 100ms' }).apply([asServer(a)], signal);
    const [head = '', row = ''] = (await haproxy.ask('show stat web 4 -1')).split('\n');
    const stat = (column: string) => row.split(',')[head.slice(2).split(',').indexOf(column)];
    expect([stat('weight'), stat('slim')]).toEqual(['100', '16']);
    await vi.waitFor(async () => expect(await haproxy.ask('show stat web 4 -1')).toMatch(/,L4OK,/), { timeout: 4000 });
  });

  test.each([
    ['cookie a', /does not take.*cookie/],
    ['frobnicate 3', /does not take.*frobnicate/],
  ])('%s: what HAProxy does not take of a server is said', async (serverOptions, what) => {
    const [a] = servers;
    await started();
    await expect(balancerOf(haproxy, { serverOptions }).apply([asServer(a)], signal)).rejects.toThrow(what);
  });

  test('one that died is not asked again once its check has failed, and requests meanwhile go elsewhere', async () => {
    const [a, b] = servers;
    await started();
    await balancerOf(haproxy).apply([asServer(a), asServer(b)], signal);
    await a.kill();
    for (let i = 0; i < 20; i += 1) expect(await askFront(haproxy.front)).toBe('b');
    const stateOfA = async () => (await haproxy.ask('show stat web 4 -1')).split('\n').find((l) => l.includes('-a,'));
    await vi.waitFor(async () => expect(await stateOfA()).toContain(',DOWN,'), { timeout: 4000, interval: 50 });
  });

  test('what people do by hand to our servers is set right', async () => {
    const [a] = servers;
    await started();
    const balancer = balancerOf(haproxy, { weight: 5 });
    await balancer.apply([asServer(a)], signal);
    const before = await changesIn(haproxy);
    await haproxy.ask('set server web/virtscale-a state maint');
    await haproxy.ask('set server web/virtscale-a weight 1');
    await haproxy.ask('disable health web/virtscale-a');
    expect(await changesIn(haproxy)).not.toBe(before);
    await balancer.apply([asServer(a)], signal);
    expect(await changesIn(haproxy)).toBe(before);
    expect(await askFront(haproxy.front)).toBe('a');
  });

  test('a server is removed for good once its last connection has ended', async () => {
    const [a] = servers;
    await started();
    const balancer = balancerOf(haproxy);
    await balancer.apply([asServer(a)], signal);
    const answer = askFront(haproxy.front, '/hold');
    await vi.waitFor(() => expect(a.held).toBe(1));
    await balancer.apply([], signal);
    expect(await changesIn(haproxy)).toContain('virtscale-a');
    a.release();
    expect(await answer).toBe('a');
    const gone = async () => {
      await balancer.apply([], signal);
      expect(await changesIn(haproxy)).not.toContain('virtscale-a');
    };
    await vi.waitFor(gone, { timeout: 2000, interval: 50 });
  });

  test('after a reload servers are back, and sessions of the old process are not taken for none', async () => {
    const [a, b] = servers;
    await started();
    let nowMs = 0;
    const balancer = balancerOf(haproxy, { now: () => nowMs });
    const drain = () => balancer.apply([asServer(a, 'drain'), asServer(b)], signal);
    await balancer.apply([asServer(a)], signal);
    const answer = askFront(haproxy.front, '/hold');
    await vi.waitFor(() => expect(a.held).toBe(1));
    await haproxy.reload();
    expect(await drain()).toEqual([{ name: 'a' }, { name: 'b', sessions: 0 }]);
    expect(await whoAnswers(haproxy.front)).toEqual(['b']);
    a.release();
    expect(await answer).toBe('a');
    expect(await drain()).toEqual([{ name: 'a' }, { name: 'b', sessions: 0 }]);
    nowMs += 3_600_000;
    expect(await drain()).toEqual([
      { name: 'a', sessions: 0 },
      { name: 'b', sessions: 0 },
    ]);
  });

  test('an address of IPv6 and a host name are servers like others; a name that means nothing holds up nobody', async () => {
    const [a] = servers;
    await started();
    const balancer = balancerOf(haproxy);
    const six = { name: 'six', address: '0:0:0:0:0:0:0:1', port: 9, state: 'drain' } as const;
    const host = { name: 'host', address: 'localhost', port: 9, state: 'drain' } as const;
    const lost = { name: 'lost', address: 'no-such-host.invalid', port: 9, state: 'ready' } as const;
    await balancer.apply([six, host], signal);
    const before = await changesIn(haproxy);
    expect(before).toContain('::1');
    await balancer.apply([six, host], signal);
    expect(await changesIn(haproxy)).toBe(before);
    await expect(balancer.apply([lost, asServer(a)], signal)).rejects.toThrow('address of lost');
    expect(await askFront(haproxy.front)).toBe('a');
  });

  test('says what is wrong with a configuration that cannot work', async () => {
    await started({ backend: 'balance source' });
    const [a] = servers;
    const failure = (balancer: HaproxyBalancer) =>
      balancer.apply([asServer(a)], signal).then(
        () => undefined,
        (error: unknown) => (isFault(error, 'refused') ? `${error.message} | ${error.advice}` : String(error)),
      );
    expect(await failure(balancerOf(haproxy))).toContain('`balance` must be roundrobin');
    expect(await failure(balancerOf(haproxy, { backend: 'wep' }))).toContain('no backend "wep"');
    await haproxy.remove();
    await started({ socket: 'level operator' });
    expect(await failure(balancerOf(haproxy))).toContain('level admin');
  });

  test('a hung HAProxy is given up in time', async () => {
    const [a] = servers;
    await started();
    const balancer = balancerOf(haproxy, { timeoutMs: 100 });
    await balancer.apply([asServer(a)], signal);
    const goOn = await haproxy.hang();
    try {
      await expect(balancer.apply([], signal)).rejects.toSatisfy((error) => isFault(error, 'timed-out'));
    } finally {
      goOn();
    }
    await balancer.apply([], signal);
    expect(await askFront(haproxy.front)).toBe('status 503');
  });
});

describe('haproxy runtime, other ends of the socket', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.close();
  });

  /** Whatever is said to it, it does as `answer` does. */
  async function socketThat(answer: (line: string) => string | undefined): Promise<HaproxyBalancer> {
    const listening = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (line) => {
        const text = answer(line.toString());
        if (text !== undefined) socket.end(text);
      });
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const bound = listening.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    return new HaproxyBalancer({ name: 'front', socket: { host: '127.0.0.1', port }, backend: 'web', timeoutMs: 300 });
  }
  const one = { name: 'a', address: '127.0.0.1', port: 9, state: 'ready' } as const;
  const nothing =
    '1\n# be_id be_name srv_id srv_name srv_addr srv_admin_state srv_uweight srv_check_state srv_port\n\n# pxname,svname,qcur,scur,\n\n';

  test('a HAProxy too old for servers at run time is told apart, with what to do', async () => {
    const old = await socketThat((line) => (line.startsWith('show') ? nothing : 'Unknown command. Please enter …\n'));
    await expect(old.apply([one], signal)).rejects.toMatchObject({
      kind: 'refused',
      advice: expect.stringContaining('type `file`'),
    });
  });

  test('one that does nothing of what it is told is busy, after a few rounds', async () => {
    let lines = 0;
    const deaf = await socketThat((line) => {
      lines += 1;
      return line.startsWith('show') ? nothing : '\n';
    });
    await expect(deaf.apply([one], signal)).rejects.toMatchObject({ kind: 'busy' });
    expect(lines).toBeLessThan(12);
  });

  test('silence, hanging up and an answer without end are faults', async () => {
    const silent = await socketThat(() => undefined);
    await expect(silent.apply([one], signal)).rejects.toMatchObject({ kind: 'timed-out' });
    const gone = await socketThat(() => '');
    await expect(gone.apply([one], signal)).rejects.toMatchObject({ kind: 'unreachable' });
    const endless = await socketThat(() => 'x'.repeat(20 * 1024 * 1024));
    await expect(endless.apply([one], signal)).rejects.toMatchObject({ kind: 'refused' });
  });

  test('closing gives up what is under way', async () => {
    const silent = await socketThat(() => undefined);
    const call = silent.apply([one], signal);
    await silent.close();
    await expect(call).rejects.toMatchObject({ kind: 'aborted' });
  });
});
