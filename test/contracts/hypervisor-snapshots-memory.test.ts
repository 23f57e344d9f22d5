// The memory double keeps the Snapshots port's contract.

import { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { describeSnapshotsContract } from './hypervisor-snapshots.ts';

describeSnapshotsContract('memory', async () => {
  const clock = new VirtualClock();
  const host = new MemoryHost({ name: 'h1', startMs: clock.nowMs(), bootMs: 1000 });
  return {
    hypervisor: new MemoryHypervisor(host, clock),
    clock,
    drive: async (work) => {
      let outcome: { readonly error?: unknown } | undefined;
      void work().then(
        () => {
          outcome = {};
        },
        (error: unknown) => {
          outcome = { error };
        },
      );
      while (outcome === undefined) await clock.run(clock.nowMs() + 100);
      if ('error' in outcome) throw outcome.error;
    },
    aSpec: () => ({
      name: 'web-1',
      uuid: '00000000-0000-4000-8000-000000000001',
      image: { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' },
      flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
      metadata: { id: 1, owner: 'o', operation: 'd', image: 'backend', flavor: 'small' },
    }),
    write: async (uuid, where, text) => host.snapshots.write(uuid, where, text),
    read: async (uuid, where) => host.snapshots.read(uuid, where),
    dispose: async () => {},
  };
});
