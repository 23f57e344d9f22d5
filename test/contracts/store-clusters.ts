// The part of the Store contract about virtual clusters. Run by storeContract (store.ts).

import { describe, expect, test } from 'vitest';
import type { Cluster } from '../../src/core/cluster.ts';
import { AT, type OpenStore } from './store.ts';

function aCluster(id: string, changes: Partial<Cluster> = {}): Cluster {
  const sshKey = { publicKey: 'ssh-ed25519 AAAA', privateKey: 'two\nlines\n' };
  const node = { flavor: 'small' };
  return { id, name: 'lab', owner: 'ann', createdAt: AT, node, subnet: 0, sshKey, nextNode: 1, ...changes };
}

export function storeClustersContract(open: OpenStore): void {
  describe('clusters', () => {
    const full = aCluster('c-1', {
      node: {
        flavor: { vcpus: 2, memoryMiB: 512, diskGiB: 0.5 },
        image: 'backend',
        ready: { http: { port: 80, path: '/' } },
        sshKeys: ['ssh-ed25519 AAAA'],
        userData: '#cloud-config\n',
        placement: { algorithm: 'round-robin', apart: true, labels: { rack: '1' } },
      },
      nextNode: 5,
    });

    test('come back as they went in, by id; later ones replace, deleted ones are gone', async () => {
      const { store } = await open();
      await store.commit({ putClusters: [aCluster('c-2'), aCluster('c-1'), aCluster('gone')] });
      await store.commit({ putClusters: [full], deleteClusters: ['gone', 'nobody'] });
      expect((await store.load()).clusters).toEqual([full, aCluster('c-2')]);
    });

    test('are there after closing and opening again', async () => {
      const { store, reopen } = await open();
      if (reopen === undefined) return;
      await store.commit({ putClusters: [full] });
      await store.close();
      expect((await (await reopen()).load()).clusters).toEqual([full]);
    });
  });
}
