// What the balancer port is for, on a real HAProxy with real servers under real load: nobody who asks notices anything.
// Not here: the contract and the odd cases (test/adapters/balancer).

import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HaproxyBalancer } from '../../src/adapters/balancer/haproxy/haproxy-balancer.ts';
import { SteadyLoad } from '../adapters/balancer/front.ts';
import { RealHaproxy } from '../adapters/balancer/real-haproxy.ts';
import { asServer, startWebServer, type WebServer } from '../adapters/balancer/web-servers.ts';

const ANSWER_MS = 20;
const LOOK_MS = 20;

describe('a real HAProxy under load', () => {
  const { signal } = new AbortController();
  let haproxy: RealHaproxy;
  let balancer: HaproxyBalancer;
  let a: WebServer;
  let b: WebServer;
  let load: SteadyLoad;

  beforeEach(async () => {
    haproxy = await RealHaproxy.start();
    balancer = new HaproxyBalancer({ name: 'front', socket: haproxy.socket, backend: 'web' });
    a = await startWebServer('a', '127.0.7.1', ANSWER_MS);
    b = await startWebServer('b', '127.0.7.2', ANSWER_MS);
    await balancer.apply([asServer(a), asServer(b)], signal);
    load = new SteadyLoad(haproxy.front);
    await load.servedBy('a', 2000);
    await load.servedBy('b', 2000);
  });

  afterEach(async () => {
    await load.stop();
    await haproxy.remove();
    await Promise.all([a.kill(), b.kill()]);
  });

  /** As the engine: looks until no session is left. */
  async function drained(): Promise<number> {
    let looks = 0;
    for (;;) {
      const [first] = await balancer.apply([asServer(a, 'drain'), asServer(b)], signal);
      if (first?.sessions === 0) return looks;
      looks += 1;
      if (looks > 200) throw new Error(`still ${first?.sessions} sessions`);
      await sleep(LOOK_MS);
    }
  }

  test('twenty servers in a row drain and are killed at once when no session is left: no request fails', async () => {
    let sawSessions = 0;
    for (let i = 0; i < 20; i += 1) {
      sawSessions += (await drained()) > 0 ? 1 : 0;
      await a.kill();
      await balancer.apply([asServer(b)], signal);
      a = await startWebServer('a', '127.0.7.1', ANSWER_MS);
      await balancer.apply([asServer(a), asServer(b)], signal);
      await load.servedBy('a', 2000);
    }
    await load.stop();
    expect(load.failures('a', 'b')).toEqual([]);
    expect(load.count('a') + load.count('b')).toBeGreaterThan(200);
    // Had there never been a session to wait for, this would have shown nothing.
    expect(sawSessions).toBeGreaterThan(0);
  });

  test('a drain that is cancelled takes requests again within 100 ms', async () => {
    for (let i = 0; i < 10; i += 1) {
      await drained();
      const startedMs = performance.now();
      await balancer.apply([asServer(a), asServer(b)], signal);
      await load.servedBy('a', 2000);
      expect(performance.now() - startedMs).toBeLessThan(100);
    }
    await load.stop();
    expect(load.failures('a', 'b')).toEqual([]);
  });

  test('a server that is killed under load costs no request', async () => {
    await a.kill();
    await sleep(500);
    await balancer.apply([asServer(b)], signal);
    await load.stop();
    expect(load.failures('a', 'b')).toEqual([]);
  });

  test('HAProxy restarts: the next call brings all servers back', async () => {
    await load.stop();
    await haproxy.restart();
    load = new SteadyLoad(haproxy.front);
    await sleep(50);
    expect(load.failures()).toEqual(['status 503']);
    await balancer.apply([asServer(a), asServer(b)], signal);
    await load.servedBy('a', 500);
    await load.servedBy('b', 500);
  });
});
