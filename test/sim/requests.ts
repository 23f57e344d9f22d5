// What people ask of the fabric in a simulated run: VMs of their own, taken back, started and stopped, deleted; and asked for twice.
// Not here: when (faults.ts), what must hold of it (invariants.ts).

import type { CreateRequest, PowerVerb } from '../../src/core/operation.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { DEFAULT_SETTINGS, type FabricSettings } from '../../src/engine/settings.ts';
import type { Caller, CommandResult, OperationStatus } from '../../src/engine/view.ts';
import type { SeededRandom } from '../support/seeded-ids.ts';
import type { Trace } from './trace.ts';

const FLAVORS = [
  { name: 'tiny', vcpus: 1, memoryMiB: 128, diskGiB: 1 },
  { name: 'big', vcpus: 2, memoryMiB: 2048, diskGiB: 8 },
] as const;
export const IMAGE = { name: 'debian', source: { kind: 'path', path: '/images/debian' } } as const;
export const SETTINGS: FabricSettings = {
  ...DEFAULT_SETTINGS,
  flavors: FLAVORS.map((flavor) => ({ flavor, key: flavor.name })),
};
const VERBS: readonly [PowerVerb, ...PowerVerb[]] = ['start', 'pause', 'resume', 'shutdown', 'reboot', 'reset', 'stop'];

/** Names of the VMs that people ask for. */
export const OWN_PREFIX = 'own';

type Ask = (engine: Engine) => Promise<CommandResult<unknown>>;

export class Requests {
  readonly #random: SeededRandom;
  readonly #trace: Trace;
  /** Operations that were begun, whatever became of them. */
  readonly #begun: string[] = [];
  #last: { readonly request: CreateRequest; readonly caller: Caller } | undefined;
  #asked = 0;

  constructor(random: SeededRandom, trace: Trace) {
    this.#random = random;
    this.#trace = trace;
  }

  /** The next request: what it is, and how it is made. */
  next(engine: Engine): { readonly text: string; readonly ask: Ask } | undefined {
    const random = this.#random;
    const what = random.pick(['create', 'create', 'create', 'again', 'cancel', 'delete', 'delete', 'power', 'power']);
    if (what === 'create') return this.#create();
    if (what === 'again') return this.#last && this.#submit(this.#last.request, this.#last.caller);
    if (what === 'cancel') {
      const [first, ...rest] = this.#begun.slice(-5);
      if (first === undefined) return undefined;
      const id = random.pick([first, ...rest]);
      return { text: `cancel ${id}`, ask: (now) => now.cancel(id) };
    }
    const [first, ...rest] = engine.vms().flatMap(({ record }) => (record.group === undefined ? [record] : []));
    if (first === undefined) return undefined;
    const { id, name } = random.pick([first, ...rest]);
    const options = random.chance(0.5) ? { graceMs: random.int(0, 5000) } : {};
    const caller = { owner: 'sim' };
    if (what === 'delete') return { text: `delete ${name}`, ask: (now) => now.deleteVm(id, caller, options) };
    const verb = random.pick(VERBS);
    return { text: `${verb} ${name}`, ask: (now) => now.power(id, verb, caller, options) };
  }

  #create() {
    const random = this.#random;
    this.#asked += 1;
    const request: CreateRequest = {
      name: `${OWN_PREFIX}${this.#asked}`,
      count: random.int(1, 4),
      flavor: random.pick(['tiny', 'tiny', 'big']),
      ...(random.chance(0.5) && { image: IMAGE.name }),
      ...(random.chance(0.5) && { allOrNothing: true }),
      ...(random.chance(0.3) && {
        placement: { algorithm: random.pick(['spread', 'best-fit', 'fifo', 'round-robin']) },
      }),
    };
    const caller = { owner: 'sim', key: `key-${this.#asked}`, fingerprint: JSON.stringify(request) };
    this.#last = { request, caller };
    return this.#submit(request, caller);
  }

  #submit(request: CreateRequest, caller: Caller) {
    const ask = async (engine: Engine): Promise<CommandResult<OperationStatus>> => {
      const result = await engine.createVms(request, caller);
      if (result.ok) this.#begun.push(result.value.operation.id);
      else this.#trace.count(`request refused: ${result.refused}`);
      return result;
    };
    return { text: `create ${JSON.stringify(request)} as ${caller.key}`, ask };
  }
}
