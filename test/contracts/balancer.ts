// The contract of the Balancer port, run against every balancer: the real ones with real servers behind them.
// Not here: what only one balancer promises (its own test file).

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Balancer, BalancerServer } from '../../src/ports/balancer.ts';
import { isFault } from '../../src/ports/fault.ts';

export interface BalancerUnderTest {
  readonly balancer: Balancer;
  /** Whether it tells how many sessions a server has. */
  readonly countsSessions: boolean;
  /** Routing may follow the end of `apply` by so much. */
  readonly settleMs: number;
  /** A server that answers with its name, to be told to the balancer. */
  readonly server: (name: string, state?: BalancerServer['state']) => Promise<BalancerServer>;
  /** The same server at another address. */
  readonly moved: (name: string) => Promise<BalancerServer>;
  /** Names of the servers that new clients are routed to, sorted. */
  readonly routed: () => Promise<readonly string[]>;
  /** Begins a request that lasts until `end`, which gives what was answered. Only one server may be routed to. */
  readonly hold: () => Promise<{ readonly end: () => Promise<string> }>;
  /** Something that changes whenever the balancer is changed. */
  readonly changes: () => Promise<string>;
  /** The balancer's own restart; what it was told at run time is lost. */
  readonly restart: () => Promise<void>;
  /** From now on nobody is there to be told. */
  readonly lose: () => Promise<void>;
  readonly end: () => Promise<void>;
}

const ODD_NAMES = ['web-1', 'web_1', 'WEB 1', 'wéb/1', '名', 'a;b', 'x'.repeat(60)];

export function balancerContract(kind: string, open: () => Promise<BalancerUnderTest>): void {
  describe(`balancer contract: ${kind}`, () => {
    let it: BalancerUnderTest;
    const { signal } = new AbortController();
    const apply = (...servers: readonly BalancerServer[]) => it.balancer.apply(servers, signal);
    const routedTo = (...names: readonly string[]) =>
      it.settleMs === 0
        ? it.routed().then((now) => expect(now).toEqual(names))
        : vi.waitFor(async () => expect(await it.routed()).toEqual(names), { timeout: it.settleMs, interval: 20 });

    beforeEach(async () => {
      it = await open();
    });
    afterEach(async () => {
      await it.balancer.close();
      await it.end();
    });

    test('routes to exactly the servers it was told, and tells of each', async () => {
      const [a, b, c] = [await it.server('a'), await it.server('b'), await it.server('c')];
      expect((await apply(a, b)).map(({ name }) => name)).toEqual(['a', 'b']);
      await routedTo('a', 'b');
      expect((await apply(c, b)).map(({ name }) => name)).toEqual(['c', 'b']);
      await routedTo('b', 'c');
      expect(await apply()).toEqual([]);
      expect((await apply(a)).map(({ name }) => name)).toEqual(['a']);
      await routedTo('a');
    });

    test('a draining server gets nothing new, finishes what it has, and tells how much that is', async () => {
      const [a, b] = [await it.server('a'), await it.server('b')];
      await apply(a);
      await routedTo('a');
      const held = await it.hold();
      const [draining] = await apply({ ...a, state: 'drain' }, b);
      expect(draining).toEqual(it.countsSessions ? { name: 'a', sessions: 1 } : { name: 'a' });
      await routedTo('b');
      expect(await held.end()).toBe('a');
      const ended = async () => expect((await apply({ ...a, state: 'drain' }, b))[0]?.sessions).toBe(0);
      if (it.countsSessions) await vi.waitFor(ended, { timeout: 1000, interval: 10 });
      await routedTo('b');
    });

    test('a server that drained alone is ready again when told so', async () => {
      const a = await it.server('a');
      await apply(a);
      await routedTo('a');
      await apply({ ...a, state: 'drain' });
      await routedTo();
      await apply(a);
      await routedTo('a');
    });

    test('a server may come while it drains, and go before it is ready', async () => {
      const [a, b] = [await it.server('a', 'drain'), await it.server('b')];
      await apply(a, b);
      await routedTo('b');
      await apply(b);
      await routedTo('b');
      await apply({ ...a, state: 'ready' }, b);
      await routedTo('a', 'b');
    });

    test('the same again changes nothing', async () => {
      const [a, b] = [await it.server('a'), await it.server('b', 'drain')];
      await apply(a, b);
      const before = await it.changes();
      await apply(a, b);
      await apply(b, a);
      expect(await it.changes()).toBe(before);
    });

    test('a removed server that is still busy gets nothing new, goes when it can, and may come back', async () => {
      const [a, b] = [await it.server('a'), await it.server('b')];
      await apply(a);
      await routedTo('a');
      const held = await it.hold();
      await apply(b);
      await routedTo('b');
      await apply(a, b);
      await routedTo('a', 'b');
      await apply(b);
      expect(await held.end()).toBe('a');
      await apply(b);
      await apply(a, b);
      await routedTo('a', 'b');
    });

    test('a server that moved is found at its new address', async () => {
      const a = await it.server('a');
      await apply(a);
      const elsewhere = await it.moved('a');
      expect(elsewhere).not.toEqual(a);
      await apply(elsewhere);
      await routedTo('a moved');
    });

    test('names of every kind are different servers', async () => {
      const servers = await Promise.all(ODD_NAMES.map((name) => it.server(name)));
      expect((await apply(...servers)).map(({ name }) => name)).toEqual(ODD_NAMES);
      await routedTo(...ODD_NAMES.toSorted());
      await apply(...servers.slice(1));
      await routedTo(...ODD_NAMES.slice(1).toSorted());
    });

    test('what a restart of the balancer lost, the next call brings back', async () => {
      const [a, b] = [await it.server('a'), await it.server('b', 'drain')];
      await apply(a, b);
      await routedTo('a');
      await it.restart();
      await apply(a, b);
      await routedTo('a');
    });

    test('throws a fault when nobody is there, and works again afterwards', async () => {
      const a = await it.server('a');
      await apply(a);
      await it.lose();
      const b = await it.server('b');
      await expect(apply(a, b)).rejects.toSatisfy((error) => isFault(error, 'unreachable', 'refused', 'timed-out'));
      await it.restart();
      await apply(a, b);
      await routedTo('a', 'b');
    });

    test('an aborted signal is honoured', async () => {
      const a = await it.server('a');
      await expect(it.balancer.apply([a], AbortSignal.abort())).rejects.toSatisfy((error) => isFault(error, 'aborted'));
      await apply(a);
      await routedTo('a');
    });
  });
}
