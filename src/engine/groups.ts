// Commands about groups: putting policies in force, and the three things people may tell a group. Not here: deciding (turn).

import type { NewEvent } from '../core/events.ts';
import type { DurableMemory, GroupMemory } from '../core/memory.ts';
import type { GroupName } from '../core/model.ts';
import { refuse } from './fabric-parts.ts';
import type { Ledger } from './ledger.ts';
import type { CommandResult, LoadedPolicy } from './view.ts';

type Done = CommandResult<GroupName>;

export class Groups {
  readonly #ledger: Ledger;
  readonly #policies: Map<GroupName, LoadedPolicy>;

  constructor(ledger: Ledger, policies: Map<GroupName, LoadedPolicy>) {
    this.#ledger = ledger;
    this.#policies = policies;
  }

  async setPolicy(loaded: LoadedPolicy): Promise<void> {
    this.#policies.set(loaded.policy.group, loaded);
    await this.#ledger.tell({ type: 'policy.loaded', group: loaded.policy.group, file: loaded.file });
  }

  /** The group is left as it is: its VMs run on, nothing is launched or removed any more. */
  async removePolicy(group: GroupName): Promise<void> {
    const loaded = this.#policies.get(group);
    if (loaded === undefined) return;
    this.#policies.delete(group);
    await this.#ledger.tell({ type: 'policy.removed', group, file: loaded.file });
  }

  async rejectPolicy(file: string, reason: string, line?: number): Promise<void> {
    await this.#ledger.tell({ type: 'policy.rejected', file, reason, ...(line !== undefined && { line }) });
  }

  async setDesired(group: GroupName, desired: number): Promise<Done> {
    const policy = this.#policies.get(group)?.policy;
    if (policy === undefined) return this.#noGroup(group);
    if (!Number.isInteger(desired) || desired < policy.min || desired > policy.max) {
      const reason = `desired must be a whole number from ${policy.min} (min) to ${policy.max} (max) of group ${group}, not ${desired}`;
      return refuse('invalid', reason, 'desired');
    }
    return this.#change(group, (durable) => {
      const change = { what: 'desired', from: durable.desired ?? policy.min, to: desired, by: 'user' } as const;
      return { durable: { ...durable, desired, desiredBy: 'user' }, event: { type: 'group.changed', group, change } };
    });
  }

  async pause(group: GroupName): Promise<Done> {
    return this.#setPaused(group, true);
  }

  async resume(group: GroupName): Promise<Done> {
    return this.#setPaused(group, false);
  }

  async #setPaused(group: GroupName, paused: boolean): Promise<Done> {
    if (!this.#policies.has(group)) return this.#noGroup(group);
    const change = { what: paused ? 'paused' : 'resumed', by: 'user' } as const;
    return this.#change(group, (durable) => ({
      durable: { ...durable, paused },
      ...(durable.paused !== paused && { event: { type: 'group.changed', group, change } }),
    }));
  }

  async #change(
    group: GroupName,
    edit: (durable: DurableMemory) => { readonly durable: DurableMemory; readonly event?: NewEvent },
  ): Promise<Done> {
    await this.#ledger.change(() => {
      const memory: GroupMemory = this.#ledger.group(group);
      const { durable, event } = edit(memory.durable);
      return { memory: { [group]: { ...memory, durable } }, ...(event && { events: [event] }) };
    });
    return { ok: true, value: group };
  }

  #noGroup(name: GroupName): Done {
    const names = [...this.#policies.keys()].join(', ') || 'none';
    return refuse('not-found', `there is no group ${name}; groups: ${names}`);
  }
}
