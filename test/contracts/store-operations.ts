// The part of the Store contract about operations, and a builder for them. Run by storeContract (store.ts).
// Not here: carrying operations out (engine).

import { describe, expect, test } from 'vitest';
import type { Operation } from '../../src/core/operation.ts';
import type { Store } from '../../src/ports/store.ts';
import { AT, anEvent, aVmRecord, type OpenStore } from './store.ts';

const CREATED_AT = '2026-01-02T03:04:05.678Z';

export function anOperation(id: string, changes: Partial<Operation> = {}): Operation {
  return {
    id,
    kind: 'vm.create',
    state: 'queued',
    owner: 'anonymous',
    createdAt: CREATED_AT,
    changedAt: CREATED_AT,
    vms: [],
    history: [{ at: CREATED_AT, text: 'verified' }],
    ...changes,
  };
}

function ended(id: string, changes: Partial<Operation> = {}): Operation {
  return anOperation(id, { state: 'succeeded', endedAt: CREATED_AT, ...changes });
}

function about(...ids: readonly number[]): Operation['vms'] {
  return ids.map((id) => ({ id, name: `vm-${id}`, host: 'h1' }));
}

/** Everything an operation can say. */
const FULL = anOperation('full', {
  state: 'failed',
  endedAt: CREATED_AT,
  key: 'k',
  fingerprint: 'f',
  cancelling: true,
  vms: [
    { id: 1, name: 'a', host: 'h1', outcome: 'failed', reason: 'no «space»' },
    { id: 2, name: 'b', host: 'h2', outcome: 'done' },
  ],
  image: 'debian',
  create: {
    names: ['a', 'b'],
    flavor: { name: 'small', vcpus: 1, memoryMiB: 128, diskGiB: 2, maxVcpus: 4, maxMemoryMiB: 512, spareNics: 1 },
    image: { name: 'debian', format: 'raw', content: { sha256: '0f'.repeat(32), fileBytes: 512, virtualBytes: 512 } },
    awaitsImage: 'debian',
    ready: { http: { port: 80, path: '/' } },
    cloudInit: { sshKeys: ['ssh-ed25519 AAAA me'], userData: '#cloud-config\n{}\n' },
    placement: {
      algorithm: 'best-fit',
      host: 'h1',
      labels: { rack: 'r1' },
      apart: true,
      withVms: [1],
      withoutVms: [2, 3],
    },
    allOrNothing: true,
    launchDeadlineMs: 60_000,
  },
  hardware: {
    wish: { vcpus: 2, memoryMiB: 256, diskGiB: 4, addNic: '52:54:00:00:00:01', removeNic: '52:54:00:00:00:02' },
    restart: true,
    force: true,
    before: { vcpus: 1, maxVcpus: 2, memoryMiB: 128, maxMemoryMiB: 128 },
    flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
    restarting: true,
    undoing: 'the guest did not shut down',
    fileSystem: 'it has grown',
  },
  failure: { type: 'no-capacity', detail: 'none fits', hosts: [{ name: 'h1', chosen: false, text: 'is full' }] },
});

export function storeOperationsContract(open: OpenStore): void {
  const ids = async (store: Store, query: Partial<Parameters<Store['operations']>[0]> = {}): Promise<string[]> =>
    (await store.operations({ limit: 100, ...query })).map(({ id }) => id);

  describe('operations', () => {
    test('one comes back as it went in, by its id and in pages; a later one of the same id replaces it', async () => {
      const { store } = await open();
      await store.commit({ putOperations: [anOperation('full', { key: 'k' }), anOperation('next')] });
      await store.commit({ putOperations: [FULL] });
      expect(await store.operation('full')).toEqual(FULL);
      expect(await store.operations({ limit: 9 })).toEqual([anOperation('next'), FULL]);
      expect(await store.operation('nobody')).toBeUndefined();
    });

    test('load gives those that have not ended, oldest first, however often they changed', async () => {
      const { store } = await open();
      await store.commit({ putOperations: [anOperation('a'), anOperation('b'), anOperation('c'), anOperation('d')] });
      const a = anOperation('a', { state: 'running', vms: about(1) });
      await store.commit({ putOperations: [anOperation('c', { state: 'placed' }), a] });
      await store.commit({ putOperations: [anOperation('d', { state: 'cancelled' }), ended('e')] });
      expect((await store.load()).operations).toEqual([a, anOperation('b'), anOperation('c', { state: 'placed' })]);
    });

    test('pages go newest first, by VM, state and kind, and before another', async () => {
      const { store } = await open();
      await store.commit({
        putOperations: [ended('a', { vms: about(1, 2) }), ended('b', { kind: 'vm.stop', vms: about(2) })],
      });
      await store.commit({ putOperations: [anOperation('c', { state: 'running', kind: 'vm.stop', vms: about(1) })] });
      await store.commit({ putOperations: [ended('d', { kind: 'image.import', image: 'debian' }), anOperation('e')] });
      expect(await ids(store)).toEqual(['e', 'd', 'c', 'b', 'a']);
      expect(await ids(store, { limit: 2 })).toEqual(['e', 'd']);
      expect(await ids(store, { limit: 2, before: 'd' })).toEqual(['c', 'b']);
      expect(await ids(store, { before: 'a' })).toEqual([]);
      expect(await ids(store, { before: 'nobody' })).toEqual([]);
      expect(await ids(store, { vmId: 1 })).toEqual(['c', 'a']);
      expect(await ids(store, { vmId: 2 })).toEqual(['b', 'a']);
      expect(await ids(store, { vmId: 3 })).toEqual([]);
      expect(await ids(store, { state: 'succeeded' })).toEqual(['d', 'b', 'a']);
      expect(await ids(store, { kind: 'vm.stop' })).toEqual(['c', 'b']);
      expect(await ids(store, { vmId: 2, state: 'succeeded', kind: 'vm.stop', before: 'c', limit: 1 })).toEqual(['b']);
    });

    test('which VMs one is about follows its last word', async () => {
      const { store } = await open();
      await store.commit({ putOperations: [anOperation('a')] });
      await store.commit({ putOperations: [anOperation('a', { vms: about(1, 2) })] });
      await store.commit({ putOperations: [anOperation('a', { vms: about(2, 3) })] });
      expect(await Promise.all([1, 2, 3].map((vmId) => ids(store, { vmId })))).toEqual([[], ['a'], ['a']]);
    });

    test('one is found by the key it came with, of its owner only, also after opening again', async () => {
      const { store, reopen } = await open();
      const ann = anOperation('a', { owner: 'ann', key: 'k-1' });
      const bob = ended('b', { owner: 'bob', key: 'k-1' });
      await store.commit({
        putOperations: [ann, bob, anOperation('c', { owner: 'ann' }), anOperation('d', { owner: 'ann' })],
      });
      const again = reopen === undefined ? store : await reopen();
      expect(await again.operationByKey('ann', 'k-1')).toEqual(ann);
      expect(await again.operationByKey('bob', 'k-1')).toEqual(bob);
      expect(await again.operationByKey('bob', 'k-2')).toBeUndefined();
      expect(await again.operationByKey('eve', 'k-1')).toBeUndefined();
    });

    test('a second operation with the same key of the same owner fails the commit, and nothing of it happened', async () => {
      const { store } = await open();
      await store.commit({ putOperations: [anOperation('a', { key: 'k' })] });
      const changes = {
        putOperations: [anOperation('b', { key: 'k' })],
        putVms: [aVmRecord(1)],
        events: [anEvent('a')],
      };
      await expect(store.commit(changes)).rejects.toThrow();
      expect(await ids(store)).toEqual(['a']);
      expect(await store.load()).toMatchObject({ vms: [], lastSeq: 0, nextVmId: 1 });
    });

    test('operations and VM records become true together or not at all', async () => {
      const { store } = await open();
      await store.commit({ putOperations: [anOperation('a')], putNumbers: [{ kind: 'host', key: 'x', id: 1 }] });
      const placed = anOperation('a', { state: 'placed', vms: about(1) });
      const changes = { putVms: [aVmRecord(1)], putOperations: [placed], events: [anEvent('h')], lastHost: 'h1' };
      // The number is taken: this commit cannot be.
      await expect(store.commit({ ...changes, putNumbers: [{ kind: 'host', key: 'y', id: 1 }] })).rejects.toThrow();
      const before = await store.load();
      expect(before).toMatchObject({ vms: [], operations: [anOperation('a')], lastSeq: 0 });
      expect(before.lastHost).toBeUndefined();
      expect(await ids(store, { vmId: 1 })).toEqual([]);
      await store.commit(changes);
      expect(await store.load()).toMatchObject({
        vms: [aVmRecord(1)],
        operations: [placed],
        lastSeq: 1,
        lastHost: 'h1',
      });
      expect(await ids(store, { vmId: 1 })).toEqual(['a']);
    });

    test('the oldest ended ones go when there are too many; those under way stay, and a key is free again', async () => {
      const { store } = await open({ keepOperations: 3 });
      const key = { owner: 'ann', key: 'k' };
      await store.commit({ putOperations: [ended('first', { ...key, vms: about(1) }), anOperation('under way')] });
      for (let i = 1; i <= 5; i += 1) await store.commit({ putOperations: [ended(`o-${i}`), anOperation(`w-${i}`)] });
      expect(await ids(store, { state: 'succeeded' })).toEqual(['o-5', 'o-4', 'o-3']);
      expect(await ids(store, { state: 'queued' })).toEqual(['w-5', 'w-4', 'w-3', 'w-2', 'w-1', 'under way']);
      expect(await ids(store, { vmId: 1 })).toEqual([]);
      expect(await store.operationByKey('ann', 'k')).toBeUndefined();
      await store.commit({ putOperations: [anOperation('again', key)] });
      expect((await store.operationByKey('ann', 'k'))?.id).toBe('again');
    });

    test('text of every kind survives', async () => {
      const { store } = await open();
      const text = 'ü 🚀 \' " \\ \u0000 \n \u2028';
      const odd = anOperation(text, { owner: text, key: text, history: [{ at: AT, text }] });
      await store.commit({ putOperations: [odd] });
      expect(await store.operation(text)).toEqual(odd);
      expect(await store.operationByKey(text, text)).toEqual(odd);
    });
  });
}
