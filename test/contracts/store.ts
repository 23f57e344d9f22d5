// The contract of the Store port, run against every store, and builders for what goes into one. Operations, the catalog and
// kept answers have a file of their own each, which this one runs. Not here: files, locks and crashes (test/adapters/store).

import { afterEach, describe, expect, test } from 'vitest';
import type { LoggedDecision } from '../../src/core/decision.ts';
import type { NewEvent } from '../../src/core/events.ts';
import type { DurableMemory } from '../../src/core/memory.ts';
import type { VmRecord } from '../../src/core/model.ts';
import type { Store, StoredState } from '../../src/ports/store.ts';
import { storeCatalogContract } from './store-catalog.ts';
import { storeClustersContract } from './store-clusters.ts';
import { storeOperationsContract } from './store-operations.ts';
import { storeUsersContract } from './store-users.ts';

export interface StoreUnderTest {
  readonly store: Store;
  /** Closes and opens again what was kept; absent for a store that keeps nothing. */
  readonly reopen?: () => Promise<Store>;
  readonly dispose: () => Promise<void>;
}

export interface StoreOptions {
  readonly keepEvents?: number;
  readonly keepDecisions?: number;
  readonly keepOperations?: number;
  readonly keepAnswers?: number;
  readonly keepAudit?: number;
}

/** A store of its own for each call; all are disposed of when the test has ended. */
export type OpenStore = (options?: StoreOptions) => Promise<StoreUnderTest>;

/** What a new store holds. */
export const EMPTY: StoredState = {
  vms: [],
  memory: {},
  lastSeq: 0,
  nextVmId: 1,
  operations: [],
  images: [],
  tokens: [],
  clusters: [],
  users: [],
  numbers: [],
  cordons: {},
  loads: {},
};

export const AT = '2026-01-02T03:04:05.678Z';

export function aVmRecord(id: number, changes: Partial<VmRecord> = {}): VmRecord {
  return {
    id,
    name: `web-${id}`,
    uuid: `00000000-0000-4000-8000-${String(id).padStart(12, '0')}`,
    group: 'web',
    host: 'h1',
    kind: 'clone',
    owner: 'virtscale',
    operation: `d-${id}`,
    image: { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' },
    flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
    ready: { http: { port: 80, path: '/' } },
    phase: 'launching',
    step: 'intended',
    phaseAtMs: 1000.5,
    changedAtMs: 2000,
    tries: 0,
    ...changes,
  };
}

export function aDecision(id: string, group = 'web'): LoggedDecision {
  return {
    id,
    at: AT,
    group,
    atMs: 1000,
    desiredBefore: 1,
    desired: 2,
    cause: 'rule',
    rule: 'hot',
    counts: { desired: 1, inService: 1, launching: 0, standby: 0, draining: 0, removing: 0, existing: 1 },
    cpuPercent: 81.25,
    cpuByVm: { 'web-1': 81.25 },
    verdicts: [],
    steps: [{ step: 'rules', from: 1, to: 2, text: 'CPU is above 75 % for 3 s: one more' }],
    limits: [],
    hosts: [{ name: 'h1', chosen: true, text: 'most free memory' }],
    victims: [],
    actions: [{ kind: 'launch', group, host: 'h1' }],
    text: 'CPU is above 75 % for 3 s: one more',
  };
}

export function anEvent(host: string): { readonly at: string; readonly event: NewEvent } {
  return { at: AT, event: { type: 'host.up', host } };
}

function paused(group: string): { readonly at: string; readonly event: NewEvent } {
  return { at: AT, event: { type: 'group.changed', group, change: { what: 'paused', by: 'user' } } };
}

export function storeContract(name: string, make: (options: StoreOptions) => Promise<StoreUnderTest>): void {
  describe(`store contract: ${name}`, () => {
    const made: StoreUnderTest[] = [];
    const open: OpenStore = async (options = {}) => {
      const under = await make(options);
      made.push(under);
      return under;
    };
    afterEach(async () => {
      for (const under of made.splice(0)) await under.dispose();
    });

    test('a new store is empty, and its first VM is number 1', async () => {
      const { store } = await open();
      expect(await store.load()).toEqual(EMPTY);
      expect(await store.events({ since: 0, limit: 10 })).toEqual({ events: [], oldestSeq: 0, lastSeq: 0 });
      expect(await store.decisions({ limit: 10 })).toEqual([]);
    });

    test('VM records and memories come back as they went in; later ones replace earlier ones', async () => {
      const { store } = await open();
      const full = aVmRecord(2, {
        kind: 'existing',
        phase: 'draining',
        step: 'started',
        deadlineAtMs: 9000,
        endpoint: { address: '127.0.1.2', port: 80 },
        reason: 'idle for 60 s',
        tries: 3,
        image: { name: 'b', path: '/b', format: 'raw', direct: { kernel: '/k', initrd: '/i', args: 'console=ttyS0' } },
        flavor: { name: 'large', vcpus: 4, memoryMiB: 2048, diskGiB: 10 },
      });
      const web = { desired: 3, paused: true, lastOutAtMs: 5.25, lastInAtMs: 7, breaker: { failures: 0 } };
      const odd = { paused: false, breaker: { failures: 3, openedAtMs: 1, retryAtMs: 2, lastReason: 'no «space»' } };
      await store.commit({ putVms: [aVmRecord(1), aVmRecord(2)], putMemory: { web: { ...web, desired: 1 } } });
      await store.commit({ putVms: [full], putMemory: { web, ['__proto__']: odd } });
      const state = await store.load();
      expect(state.vms).toEqual([aVmRecord(1), full]);
      expect(Object.entries(state.memory).toSorted()).toEqual([
        ['__proto__', odd],
        ['web', web],
      ]);
    });

    test('a VM without a group, with an image that virtscale brings and with cloud-init, comes back as it went in', async () => {
      const { store } = await open();
      const { group: _group, ready: _ready, ...alone } = aVmRecord(1);
      const blank = { ...alone, id: 2, kind: 'blank', power: 'paused' } as const;
      const adopted = { ...alone, id: 3, kind: 'adopted', power: 'stopped', step: 'started' } as const;
      const cloud: VmRecord = {
        ...alone,
        step: 'image-there',
        power: 'running',
        image: { name: 'debian', format: 'qcow2', content: { sha256: 'ab'.repeat(32), fileBytes: 7, virtualBytes: 9 } },
        cloudInit: { hostname: 'web-1', sshKeys: ['ssh-ed25519 AAAA me'], userData: '#cloud-config\n{}\n' },
      };
      await store.commit({ putVms: [cloud, blank, adopted] });
      expect((await store.load()).vms).toEqual([cloud, blank, adopted]);
    });

    test('a VM record and a memory with all that groups and policies can bring come back as they went in', async () => {
      const { store } = await open();
      const records: readonly VmRecord[] = [
        aVmRecord(1, {
          phase: 'standby',
          step: 'parked',
          way: 'saved',
          standby: 'saved',
          isProtected: true,
          labels: { priority: '3', 'example.org/team': 'a b' },
        }),
        aVmRecord(2, {
          phase: 'draining',
          step: 'approved',
          way: 'fork',
          template: 'abc',
          leaving: 'unhealthy',
          hook: { sinceMs: 5.5, tries: 2 },
          servedSinceMs: 7,
          ready: { tcp: { port: 22 } },
        }),
        aVmRecord(3, { step: 'personalised', way: 'paused', isProtected: false, ready: { agent: true } }),
      ];
      const image = { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' } as const;
      const web: DurableMemory = {
        desired: 3,
        paused: false,
        suspended: ['launch', 'remove', 'health', 'schedule'],
        changes: [
          { atMs: 5.5, by: 2 },
          { atMs: 6, by: -1 },
        ],
        scheduled: { office: 1000 },
        observing: true,
        breaker: { failures: 0 },
        refresh: {
          to: 'key',
          startedAtMs: 1,
          state: 'rolling-back',
          resumeAtMs: 2,
          pausedAtMs: 1.5,
          failures: 3,
          passed: 1,
          total: 4,
          from: {
            image,
            flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
            ready: { http: { port: 80, path: '/' } },
            setup: { sshKeys: ['ssh-ed25519 AAAA me'], userData: '#cloud-config' },
          },
          rolledBack: true,
          reason: 'three launches failed',
        },
      };
      await store.commit({ putVms: records, putMemory: { web } });
      expect(await store.load()).toMatchObject({ vms: records, memory: { web } });
      expect((await store.load()).memory['web']).toEqual(web);
      expect((await store.load()).vms).toEqual(records);
    });

    test('what was learned of a group replaces what was kept of it', async () => {
      const { store } = await open();
      await store.commit({ putLoads: { web: 'one', ['__proto__']: 'odd' } });
      await store.commit({ putLoads: { web: 'two «ü»' } });
      expect(Object.entries((await store.load()).loads).toSorted()).toEqual([
        ['__proto__', 'odd'],
        ['web', 'two «ü»'],
      ]);
    });

    test('a deleted record is gone and its number is never given again', async () => {
      const { store } = await open();
      await store.commit({ putVms: [aVmRecord(4)] });
      await store.commit({ deleteVms: [4, 99] });
      expect(await store.load()).toMatchObject({ vms: [], nextVmId: 5 });
    });

    test('nextVmId only grows', async () => {
      const { store } = await open();
      await store.commit({ nextVmId: 8 });
      await store.commit({ nextVmId: 3 });
      expect((await store.load()).nextVmId).toBe(8);
    });

    test('events get gapless numbers in the given order, and are read as they were told', async () => {
      const { store } = await open();
      const first = await store.commit({ events: [anEvent('a'), anEvent('b')] });
      const second = await store.commit({ events: [anEvent('c')] });
      const told = [...first, ...second];
      expect(told.map((event) => [event.seq, event.type === 'host.up' ? event.host : ''])).toEqual([
        [1, 'a'],
        [2, 'b'],
        [3, 'c'],
      ]);
      expect(told[0]).toEqual({ seq: 1, at: AT, type: 'host.up', host: 'a' });
      const page = await store.events({ since: 0, limit: 10 });
      expect(page).toEqual({ events: told, oldestSeq: 1, lastSeq: 3 });
      expect((await store.load()).lastSeq).toBe(3);
    });

    test('commits made at once do not mix', async () => {
      const { store } = await open();
      const commits = Array.from({ length: 30 }, (_, i) =>
        store.commit({ events: [anEvent(`${i}`), anEvent(`${i}`)], putVms: [aVmRecord(i + 1)] }),
      );
      const reads = Promise.all([store.load(), store.events({ since: 0, limit: 5 })]);
      const logged = await Promise.all(commits);
      await reads;
      for (const [i, events] of logged.entries()) {
        expect(events.map((event) => (event.type === 'host.up' ? event.host : ''))).toEqual([`${i}`, `${i}`]);
        expect(events[1]?.seq).toBe((events[0]?.seq ?? 0) + 1);
      }
      const { events } = await store.events({ since: 0, limit: 100 });
      expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    });

    test('a commit that fails half-way leaves nothing, and the next one works', async () => {
      const { store } = await open();
      await store.commit({ decisions: [aDecision('d-1')], events: [anEvent('a')] });
      const before = await store.load();
      const changes = {
        putVms: [aVmRecord(7)],
        putMemory: { web: { paused: true, breaker: { failures: 1 } } },
        // The id is taken: the last thing in this commit cannot be written.
        decisions: [aDecision('d-2'), aDecision('d-1')],
        events: [anEvent('b')],
        nextVmId: 50,
      };
      await expect(store.commit(changes)).rejects.toThrow();
      expect(await store.load()).toEqual(before);
      expect(await store.decision('d-2')).toBeUndefined();
      expect((await store.commit({ events: [anEvent('c')] }))[0]?.seq).toBe(2);
    });

    test('events are read by number, group and type, a page at a time', async () => {
      const { store } = await open();
      const decided: NewEvent = { type: 'breaker.closed', group: 'web' };
      await store.commit({
        events: [anEvent('a'), paused('web'), paused('db'), { at: AT, event: decided }, paused('web')],
      });
      const seqs = async (query: Parameters<Store['events']>[0]): Promise<readonly number[]> =>
        (await store.events(query)).events.map((event) => event.seq);
      expect(await seqs({ since: 0, limit: 2 })).toEqual([1, 2]);
      expect(await seqs({ since: 2, limit: 2 })).toEqual([3, 4]);
      expect(await seqs({ since: 5, limit: 2 })).toEqual([]);
      expect(await seqs({ since: 0, limit: 10, group: 'web' })).toEqual([2, 4, 5]);
      expect(await seqs({ since: 2, limit: 10, group: 'web' })).toEqual([4, 5]);
      expect(await seqs({ since: 0, limit: 10, types: ['host.up', 'breaker.closed'] })).toEqual([1, 4]);
      expect(await seqs({ since: 0, limit: 10, group: 'web', types: ['group.changed'] })).toEqual([2, 5]);
      expect(await seqs({ since: 0, limit: 10, group: 'none' })).toEqual([]);
    });

    test('decisions are read newest first, by group and before another, and one by its id', async () => {
      const { store } = await open();
      await store.commit({ decisions: [aDecision('z'), aDecision('y', 'db')] });
      await store.commit({ decisions: [aDecision('x'), aDecision('w')] });
      const ids = async (query: Parameters<Store['decisions']>[0]): Promise<readonly string[]> =>
        (await store.decisions(query)).map((decision) => decision.id);
      expect(await ids({ limit: 10 })).toEqual(['w', 'x', 'y', 'z']);
      expect(await ids({ limit: 2, before: 'w' })).toEqual(['x', 'y']);
      expect(await ids({ limit: 10, group: 'web' })).toEqual(['w', 'x', 'z']);
      expect(await ids({ limit: 10, group: 'web', before: 'x' })).toEqual(['z']);
      expect(await ids({ limit: 10, before: 'nobody' })).toEqual([]);
      expect(await store.decision('y')).toEqual(aDecision('y', 'db'));
      expect(await store.decision('nobody')).toBeUndefined();
    });

    test('decisions are read up to a moment, also when the clock was set back meanwhile', async () => {
      const { store } = await open();
      const at = (id: string, second: number, group = 'web'): LoggedDecision => ({
        ...aDecision(id, group),
        at: `2026-01-02T03:04:${String(second).padStart(2, '0')}.000Z`,
      });
      await store.commit({ decisions: [at('a', 10), at('b', 20, 'db'), at('c', 30), at('d', 15), at('e', 40)] });
      const ids = async (second: number, query: Partial<Parameters<Store['decisions']>[0]> = {}) =>
        (
          await store.decisions({
            limit: 9,
            until: `2026-01-02T03:04:${String(second).padStart(2, '0')}.000Z`,
            ...query,
          })
        ).map((decision) => decision.id);
      expect(await ids(9)).toEqual([]);
      expect(await ids(10)).toEqual(['a']);
      expect(await ids(29)).toEqual(['d', 'b', 'a']);
      expect(await ids(29, { group: 'web' })).toEqual(['d', 'a']);
      expect(await ids(29, { group: 'web', limit: 1 })).toEqual(['d']);
      expect(await ids(59, { before: 'd' })).toEqual(['c', 'b', 'a']);
      expect(await ids(29, { before: 'd' })).toEqual(['b', 'a']);
      expect(await ids(59, { group: 'none' })).toEqual([]);
    });

    test('the oldest events and decisions go when there are too many; numbers go on', async () => {
      const { store } = await open({ keepEvents: 10, keepDecisions: 3 });
      for (let i = 1; i <= 25; i += 1) {
        await store.commit({ events: [anEvent(`${i}`)], decisions: [aDecision(`d-${i}`)] });
      }
      const page = await store.events({ since: 0, limit: 100 });
      expect(page.events.map((event) => event.seq)).toEqual(Array.from({ length: 10 }, (_, i) => i + 16));
      expect(page).toMatchObject({ oldestSeq: 16, lastSeq: 25 });
      expect((await store.decisions({ limit: 100 })).map((decision) => decision.id)).toEqual(['d-25', 'd-24', 'd-23']);
      expect((await store.commit({ events: [anEvent('next')] }))[0]?.seq).toBe(26);
    });

    test('text of every kind survives', async () => {
      const { store } = await open();
      const host = 'ü 🚀 \' " \\ \u0000 \n \u2028';
      await store.commit({ events: [anEvent(host)], putVms: [aVmRecord(1, { reason: host })] });
      expect((await store.events({ since: 0, limit: 1 })).events[0]).toMatchObject({ host });
      expect((await store.load()).vms[0]?.reason).toBe(host);
    });

    test('what was committed is there after closing and opening again', async () => {
      const { store, reopen } = await open();
      if (reopen === undefined) return;
      await store.commit({
        putVms: [aVmRecord(1), aVmRecord(2)],
        putMemory: { web: { desired: 2, paused: false, breaker: { failures: 1 } } },
        decisions: [aDecision('d-1')],
        events: [anEvent('a'), anEvent('b')],
        nextVmId: 9,
      });
      await store.commit({ deleteVms: [2] });
      const before = [
        await store.load(),
        await store.events({ since: 0, limit: 9 }),
        await store.decisions({ limit: 9 }),
      ];
      const again = await reopen();
      const after = [
        await again.load(),
        await again.events({ since: 0, limit: 9 }),
        await again.decisions({ limit: 9 }),
      ];
      expect(after).toEqual(before);
    });

    test('close waits for what was begun; closing twice is no error', async () => {
      const { store, reopen } = await open();
      const commit = store.commit({ events: [anEvent('a')] });
      await store.close();
      await store.close();
      expect((await commit)[0]?.seq).toBe(1);
      if (reopen !== undefined) expect((await (await reopen()).load()).lastSeq).toBe(1);
    });

    storeOperationsContract(open);
    storeCatalogContract(open);
    storeUsersContract(open);
    storeClustersContract(open);
  });
}
