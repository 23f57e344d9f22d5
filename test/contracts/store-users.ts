// The part of the Store contract about users, what is whose, and the audit record. Run by storeContract (store.ts).
// Not here: what any of them is for (engine, edge).

import { describe, expect, test } from 'vitest';
import type { AuditEntry } from '../../src/core/audit.ts';
import type { NewEvent } from '../../src/core/events.ts';
import type { UserRecord } from '../../src/core/user.ts';
import { AT, type OpenStore } from './store.ts';
import { aToken } from './store-catalog.ts';
import { anOperation } from './store-operations.ts';

export function aUserRecord(name: string, changes: Partial<UserRecord> = {}): UserRecord {
  return { name, role: 'user', createdAt: AT, quota: {}, password: 'hash', ...changes };
}

export function anAuditEntry(who: string, changes: Partial<AuditEntry> = {}): AuditEntry {
  return { at: AT, who, method: 'POST', route: '/v1/vms', status: 202, ...changes };
}

const QUOTA = { vms: 1, vcpus: 2, memoryMiB: 512.5, diskGiB: 0, snapshots: 5 };

export function storeUsersContract(open: OpenStore): void {
  describe('users', () => {
    test('come back as they went in, by name, also after opening again; later ones replace', async () => {
      const { store, reopen } = await open();
      const ann = aUserRecord('ann', { role: 'admin', quota: QUOTA });
      const bob = aUserRecord('bob', { disabled: 'holiday' });
      const eve = aUserRecord('eve', { deletedAt: AT, password: '' });
      await store.commit({ putUsers: [aUserRecord('eve'), bob, aUserRecord('ann')] });
      await store.commit({ putUsers: [eve, ann] });
      const again = reopen === undefined ? store : await reopen();
      expect((await again.load()).users).toEqual([ann, bob, eve]);
    });

    test('their tokens and images say whose they are', async () => {
      const { store } = await open();
      const token = aToken('ann/ci', { user: 'ann', signIn: true });
      const image = {
        name: 'mine',
        source: { kind: 'upload' },
        state: 'importing',
        addedAt: AT,
        configured: false,
      } as const;
      await store.commit({ putTokens: [token], putImages: [{ ...image, owner: 'ann' }] });
      const { tokens, images } = await store.load();
      expect({ tokens, images }).toEqual({ tokens: [token], images: [{ ...image, owner: 'ann' }] });
    });
  });

  describe('what is whose', () => {
    const vm = { id: 1, name: 'a', uuid: 'u', host: 'h' };
    const operation = { id: 'o', kind: 'vm.create', state: 'queued', vmIds: [] } as const;
    const EVENTS: readonly NewEvent[] = [
      { type: 'host.up', host: 'h' },
      { type: 'vm.lost', vm: { ...vm, owner: 'ann' }, reason: 'r' },
      { type: 'vm.lost', vm: { ...vm, owner: 'bob' }, reason: 'r' },
      { type: 'vm.lost', vm, group: 'web', reason: 'r' },
      { type: 'operation.changed', operation: { ...operation, owner: 'ann' }, text: 't' },
      { type: 'operation.changed', operation: { ...operation, owner: 'bob' }, text: 't' },
      { type: 'vm.changed', vm: { ...vm, owner: 'ann' }, change: 'start', operation: 'o' },
      { type: 'image.removed', image: 'i', owner: 'ann' },
      { type: 'image.removed', image: 'i' },
    ];

    test('events are found by their owner, in order, with the other filters', async () => {
      const { store } = await open();
      await store.commit({ events: EVENTS.map((event) => ({ at: AT, event })) });
      const seqs = async (query: object) =>
        (await store.events({ since: 0, limit: 99, ...query })).events.map(({ seq }) => seq);
      expect(await seqs({ owner: 'ann' })).toEqual([2, 5, 7, 8]);
      expect(await seqs({ owner: 'ann', since: 2, limit: 2 })).toEqual([5, 7]);
      expect(await seqs({ owner: 'ann', types: ['vm.lost'] })).toEqual([2]);
      expect(await seqs({ owner: 'ann', group: 'web' })).toEqual([]);
      expect(await seqs({ owner: 'eve' })).toEqual([]);
      expect(await store.events({ since: 0, limit: 99, owner: 'eve' })).toMatchObject({ oldestSeq: 1, lastSeq: 9 });
    });

    test('operations are found by their owner, newest first, with the other filters', async () => {
      const { store } = await open();
      await store.commit({
        putOperations: ['a', 'b', 'c', 'd'].map((id, at) => anOperation(id, { owner: at % 2 === 0 ? 'ann' : 'bob' })),
      });
      const ids = async (query: object) => (await store.operations({ limit: 99, ...query })).map(({ id }) => id);
      expect(await ids({ owner: 'ann' })).toEqual(['c', 'a']);
      expect(await ids({ owner: 'ann', before: 'd', limit: 1 })).toEqual(['c']);
      expect(await ids({ owner: 'eve' })).toEqual([]);
    });
  });

  describe('the audit record', () => {
    test('entries come back newest first, numbered from 1, also after opening again', async () => {
      const { store, reopen } = await open();
      const full = anAuditEntry('ann', {
        token: 'ann/sign-in-1',
        route: '/v1/vms/{id}',
        target: { id: 'ü 🚀' },
        from: '127.0.0.1',
        proxied: true,
        operation: 'o-1',
        problem: 'conflict',
      });
      await store.keepAudit([]);
      await store.keepAudit([full, anAuditEntry('bob')]);
      await store.keepAudit([anAuditEntry('ann', { status: 404 })]);
      const again = reopen === undefined ? store : await reopen();
      const all = await again.audit({ limit: 9 });
      expect(all.map(({ n, who, status }) => [n, who, status])).toEqual([
        [3, 'ann', 404],
        [2, 'bob', 202],
        [1, 'ann', 202],
      ]);
      expect(all[2]).toEqual({ n: 1, ...full });
      expect((await again.audit({ limit: 1, before: 3 })).map(({ n }) => n)).toEqual([2]);
      expect((await again.audit({ limit: 9, who: 'ann' })).map(({ n }) => n)).toEqual([3, 1]);
      expect(await again.audit({ limit: 9, who: 'eve' })).toEqual([]);
    });

    test('the oldest go when there are too many; numbers go on', async () => {
      const { store } = await open({ keepAudit: 2 });
      for (const who of ['a', 'b', 'c', 'd']) await store.keepAudit([anAuditEntry(who)]);
      expect((await store.audit({ limit: 9 })).map(({ n, who }) => `${n}${who}`)).toEqual(['4d', '3c']);
    });
  });
}
