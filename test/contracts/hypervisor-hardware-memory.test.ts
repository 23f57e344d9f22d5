// The memory double keeps the Hardware port's contract. Not here: the rest of the hypervisor port (hypervisor-memory).

import { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { describeHypervisorHardware, type HardwareFixture } from './hypervisor-hardware.ts';

/** More virtual time than any test needs. */
const GIVE_UP_MS = 600_000;

/** Lets time pass until `work` is done. */
async function drive(clock: VirtualClock, work: () => Promise<void>): Promise<void> {
  const endMs = clock.nowMs() + GIVE_UP_MS;
  let done = false;
  const result = work().finally(() => {
    done = true;
  });
  result.catch(() => undefined);
  while (!done && clock.nowMs() < endMs) await clock.run(clock.nowMs() + 10);
  if (!done) throw new Error(`not done within ${GIVE_UP_MS} virtual ms`);
  return result;
}

function memoryFixture(network: 'forward' | 'lease'): HardwareFixture {
  const clock = new VirtualClock();
  const host = new MemoryHost({ name: 'h1', startMs: clock.nowMs(), network });
  const image = (name: string) => ({ name, path: `/images/${name}.qcow2`, format: 'qcow2' }) as const;
  return {
    hypervisor: new MemoryHypervisor(host, clock),
    clock,
    drive: (work) => drive(clock, work),
    images: { good: image('good'), absent: image('absent'), corrupt: image('corrupt'), large: image('large') },
    memoryMiB: 128,
    patienceMs: 20_000,
    strangerDefines: async (domain) => host.strangerDefines(domain),
    strangerUndefines: async (uuid) => host.strangerRemoves(uuid),
  };
}

for (const network of ['forward', 'lease'] as const) {
  const fixture = memoryFixture(network);
  describeHypervisorHardware(`memory, ${network}`, () => fixture);
}
