// The simulated machines of a run, the work their guests have to do, and who uses them.
// Not here: faults (faults.ts), the daemon (daemon.ts).

import { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import type { VmRecord } from '../../src/core/model.ts';
import { Fault } from '../../src/ports/fault.ts';
import { MemoryBalancer } from '../support/memory-balancer.ts';
import { MemoryImageStore } from '../support/memory-image-store.ts';
import { ScriptedHooks } from '../support/scripted-hooks.ts';
import { SeededRandom } from '../support/seeded-ids.ts';
import type { SimOptions } from './options.ts';
import { IMAGE } from './requests.ts';

export const GROUP_IMAGE_PATH = '/images/backend.qcow2';
/** Between the thresholds of every policy: nothing moves. */
const CALM_LOAD = 0.5;

export class World {
  readonly hosts: readonly MemoryHost[];
  readonly #options: SimOptions;
  readonly #startMs: number;
  readonly #groupOf = new Map<string, string>();
  readonly #serving = new Map<string, number>();
  #calm = false;

  constructor(options: SimOptions, startMs: number) {
    this.#options = options;
    this.#startMs = startMs;
    const random = new SeededRandom(options.seed ^ 0x5eed);
    this.hosts = options.hosts.map((host, index) => {
      const jitter = random.fork();
      const machine = new MemoryHost({
        name: host.name,
        startMs,
        network: host.network,
        addressPrefix: `127.0.${index + 1}`,
        latencyMs: () => host.latencyMs * (0.5 + jitter.next()),
        bootMs: () => host.bootMs * (0.7 + 0.6 * jitter.next()),
        guestShutdownMs: host.guestShutdownMs,
      });
      machine.load = (uuid, atMs) => this.#loadOf(uuid, atMs);
      for (const domain of options.listed) if (domain.host === host.name) machine.strangerDefines(domain);
      return machine;
    });
    this.hooks.answer = () => {
      const answer = this.#calm ? 1 : random.next();
      if (answer < 0.1) return 'refused';
      return answer < 0.3 ? new Fault('unreachable', 'nobody answers the hook') : 'agreed';
    };
    this.images.sources.set(IMAGE.source.path, Buffer.alloc(4096, 7));
    const group = options.policies.find((policy) => policy.source.kind === 'domains')?.group;
    if (group !== undefined) for (const { uuid } of options.listed) this.#groupOf.set(uuid, group);
  }

  /** The daemon's folder of images: it outlives daemons. */
  readonly images = new MemoryImageStore();

  readonly balancer = new MemoryBalancer('front');
  readonly hooks = new ScriptedHooks();

  host(name: string): MemoryHost | undefined {
    return this.hosts.find((host) => host.name === name);
  }

  /** Clients spread their requests over the VMs in service. */
  served(records: Iterable<VmRecord>): void {
    this.#serving.clear();
    for (const record of records) {
      if (record.group === undefined) continue;
      this.#groupOf.set(record.uuid, record.group);
      if (record.phase !== 'in-service') continue;
      this.#serving.set(record.group, (this.#serving.get(record.group) ?? 0) + 1);
    }
  }

  /** From now on the load gives no rule a reason to act. */
  calmDown(): void {
    this.#calm = true;
  }

  #loadOf(uuid: string, atMs: number): number {
    if (this.#calm) return CALM_LOAD;
    const group = this.#groupOf.get(uuid);
    if (group === undefined) return 0;
    const period = Math.floor((atMs - this.#startMs) / this.#options.demandStepMs);
    const demand = this.#options.demand[group]?.[period] ?? 0;
    return Math.min(1, demand / Math.max(1, this.#serving.get(group) ?? 0));
  }
}
