// The contract of moving VMs, run against two simulated hosts.

import { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import type { VmSpec } from '../../src/ports/hypervisor.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { describeMigration } from './hypervisor-migration.ts';

const GIVE_UP_MS = 600_000;

for (const network of ['forward', 'lease'] as const) {
  const clock = new VirtualClock();
  const [source, target] = ['h1', 'h2'].map(
    (name, index) => new MemoryHost({ name, startMs: clock.nowMs(), network, addressPrefix: `127.0.${index + 1}` }),
  );
  if (source === undefined || target === undefined) throw new Error('two hosts');
  let count = 0;
  const aSpec = (): VmSpec => {
    count += 1;
    return {
      name: `vm-${count}`,
      uuid: `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`,
      flavor: { name: 'small', vcpus: 1, memoryMiB: 128, diskGiB: 1 },
      metadata: { id: count, owner: 'o', operation: 'x', image: '', flavor: 'small' },
    };
  };
  const drive = async <T>(work: () => Promise<T>): Promise<T> => {
    let done = false;
    const result = work().finally(() => {
      done = true;
    });
    result.catch(() => undefined);
    const endMs = clock.nowMs() + GIVE_UP_MS;
    while (!done && clock.nowMs() < endMs) await clock.run(clock.nowMs() + 10);
    return result;
  };
  const pair = {
    source: new MemoryHypervisor(source, clock),
    target: new MemoryHypervisor(target, clock),
    aSpec,
    drive,
    slow: () => ({}),
    sleep: (ms: number) => clock.sleep(ms),
  };
  describeMigration(`simulated, ${network}`, () => pair);
}
