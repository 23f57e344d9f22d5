// Commands about groups: putting policies in force, and what people may tell a group. Not here: deciding (turn).

import type { NewEvent } from '../core/events.ts';
import type { DurableMemory, GroupMemory, Suspendable } from '../core/memory.ts';
import type { GroupName } from '../core/model.ts';
import {
  cancelRefresh,
  pauseRefresh,
  type RefreshSteered,
  resumeRefresh,
  rollbackRefresh,
} from '../core/refresh-verbs.ts';
import type { Candidates } from './candidates.ts';
import { refuse } from './fabric-parts.ts';
import type { Ledger } from './ledger.ts';
import type { CommandResult, LoadedPolicy, RefreshVerb } from './view.ts';

type Done = CommandResult<GroupName>;

const REFRESH_COMMANDS: Readonly<Record<RefreshVerb, (durable: DurableMemory) => RefreshSteered>> = {
  pause: pauseRefresh,
  resume: resumeRefresh,
  rollback: rollbackRefresh,
  cancel: cancelRefresh,
};

export class Groups {
  readonly #ledger: Ledger;
  readonly #policies: Map<GroupName, LoadedPolicy>;
  readonly #candidates: Candidates;

  constructor(ledger: Ledger, policies: Map<GroupName, LoadedPolicy>, candidates: Candidates) {
    this.#ledger = ledger;
    this.#policies = policies;
    this.#candidates = candidates;
  }

  async setPolicy(loaded: LoadedPolicy): Promise<void> {
    const { candidate, group } = loaded.policy;
    if (candidate !== undefined) this.#candidates.set(loaded);
    else this.#policies.set(group, loaded);
    await this.#ledger.tell({
      type: 'policy.loaded',
      group,
      file: loaded.file,
      ...(candidate !== undefined && { candidate }),
    });
  }

  /** The group is left as it is: its VMs run on, nothing is launched or removed any more. With `candidate`: only that one goes. */
  async removePolicy(group: GroupName, candidate?: string): Promise<void> {
    const loaded = candidate === undefined ? this.#policies.get(group) : this.#candidates.remove(group, candidate);
    if (loaded === undefined) return;
    if (candidate === undefined) this.#policies.delete(group);
    await this.#ledger.tell({
      type: 'policy.removed',
      group,
      file: loaded.file,
      ...(candidate !== undefined && { candidate }),
    });
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

  async suspend(group: GroupName, processes: readonly Suspendable[]): Promise<Done> {
    if (!this.#policies.has(group)) return this.#noGroup(group);
    const wanted = [...new Set(processes)].sort();
    const change = { what: 'suspended', processes: wanted, by: 'user' } as const;
    return this.#change(group, ({ suspended: before = [], ...durable }) => ({
      durable: { ...durable, ...(wanted.length > 0 && { suspended: wanted }) },
      ...(before.join() !== wanted.join() && { event: { type: 'group.changed', group, change } }),
    }));
  }

  async refresh(group: GroupName, verb: RefreshVerb): Promise<Done> {
    if (!this.#policies.has(group)) return this.#noGroup(group);
    let done: Done = { ok: true, value: group };
    await this.#ledger.change(() => {
      const memory = this.#ledger.group(group);
      const result = REFRESH_COMMANDS[verb](memory.durable);
      if (!result.ok) {
        done = refuse('conflict', `group ${group}: ${result.reason}`);
        return undefined;
      }
      return { memory: { [group]: { ...memory, durable: result.durable } } };
    });
    return done;
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
