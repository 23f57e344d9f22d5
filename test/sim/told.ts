// The life of each VM as the events tell it: what a subscriber who never asks believes must be what is so.
// Not here: what else must hold (invariants.ts).

import type { LoggedEvent } from '../../src/core/events.ts';
import type { VmRecord } from '../../src/core/model.ts';

/** Those that tell where a VM stands in its life. */
type VmEventType = Exclude<Extract<LoggedEvent, { readonly vm: unknown }>['type'], Aside>;
/** Those that tell something else about it. */
type Aside = 'hook.ended' | 'vm.changed' | 'vm.fallback' | 'vm.migrated' | 'vm.unhealthy';
const ASIDE: ReadonlySet<string> = new Set<Aside>([
  'hook.ended',
  'vm.changed',
  'vm.fallback',
  'vm.migrated',
  'vm.unhealthy',
]);

/** What may be told of a VM after what was told last. A listed domain comes back under its uuid after it was removed. */
const NEXT: Readonly<Record<VmEventType | 'nothing', readonly VmEventType[]>> = {
  nothing: ['vm.launching', 'vm.adopted'],
  'vm.launching': ['vm.launched', 'vm.standby', 'vm.failed', 'vm.removed'],
  'vm.adopted': ['vm.launching', 'vm.launched', 'vm.standby', 'vm.failed', 'vm.lost', 'vm.removed'],
  'vm.standby': ['vm.launching', 'vm.lost', 'vm.removed'],
  'vm.launched': ['vm.draining', 'vm.lost'],
  'vm.draining': ['vm.drained', 'vm.returned', 'vm.removed'],
  'vm.returned': ['vm.draining', 'vm.lost'],
  'vm.drained': ['vm.removed'],
  'vm.failed': ['vm.removed'],
  'vm.lost': ['vm.removed'],
  'vm.removed': ['vm.launching', 'vm.adopted'],
};

export class ToldLives {
  readonly #last = new Map<string, VmEventType>();

  forget(): void {
    this.#last.clear();
  }

  /** Says what is wrong with this event coming now; undefined when nothing is. */
  heard(event: LoggedEvent): string | undefined {
    if (!isOfLife(event)) return undefined;
    const { uuid, name } = event.vm;
    const last = this.#last.get(uuid) ?? 'nothing';
    // A VM without a group is in service as soon as it is found, and drained by whoever deletes it.
    const alone = event.group === undefined;
    this.#last.set(uuid, alone && event.type === 'vm.adopted' ? 'vm.launched' : event.type);
    return NEXT[last].includes(event.type) ? undefined : `${event.type} of ${name} was told after ${last}`;
  }

  /** Says how the VMs that a subscriber believes in service differ from those that are; undefined when they do not. */
  differs(records: Iterable<VmRecord>): string | undefined {
    const serving = new Set<string>();
    for (const record of records) if (record.phase === 'in-service') serving.add(record.uuid);
    for (const [uuid, last] of this.#last) {
      if ((last === 'vm.launched' || last === 'vm.returned') && !serving.delete(uuid))
        return `${uuid} was told to be in service and is not`;
    }
    const [untold] = serving;
    return untold === undefined ? undefined : `${untold} is in service and nobody was told`;
  }
}

function isOfLife(event: LoggedEvent): event is Extract<LoggedEvent, { readonly type: VmEventType }> {
  return 'vm' in event && !ASIDE.has(event.type);
}
