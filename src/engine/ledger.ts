// The engine's state and its only door: records, memory and the event log change together, in one queue, disk first.
// Not here: why anything changes (turn, steps). Nothing is told, and nothing acted upon, before the store has it.

import type { LoggedDecision } from '../core/decision.ts';
import type { LoggedEvent, NewEvent } from '../core/events.ts';
import { type DurableMemory, EMPTY_GROUP_MEMORY, type GroupMemory, type Memory } from '../core/memory.ts';
import type { GroupName, VmRecord } from '../core/model.ts';
import { rebase } from '../core/rebase.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventPage, EventQuery, Store } from '../ports/store.ts';
import type { Log } from './log.ts';
import type { EventLog } from './view.ts';

export interface LedgerState {
  readonly vms: ReadonlyMap<number, VmRecord>;
  readonly memory: Memory;
  readonly nextVmId: number;
}

/** What a change wants; everything optional. */
export interface Change {
  readonly putVms?: readonly VmRecord[];
  readonly deleteVms?: readonly number[];
  /** Whole group memories; only what is durable in them and really differs reaches the store. */
  readonly memory?: Memory;
  readonly decisions?: readonly LoggedDecision[];
  readonly events?: readonly NewEvent[];
  readonly nextVmId?: number;
}

type Listener = (event: LoggedEvent) => void;

export class Ledger implements EventLog {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();
  readonly #vms: Map<number, VmRecord>;
  #memory: Memory;
  #nextVmId: number;
  #lastSeq: number;
  #queue: Promise<unknown> = Promise.resolve();
  #failure: string | undefined;

  private constructor(store: Store, clock: Clock, log: Log, state: LedgerState & { readonly lastSeq: number }) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#vms = new Map(state.vms);
    this.#memory = state.memory;
    this.#nextVmId = state.nextVmId;
    this.#lastSeq = state.lastSeq;
  }

  static async open(store: Store, clock: Clock, log: Log): Promise<Ledger> {
    const stored = await store.load();
    const { vms, memory: durables } = rebase(stored, clock.nowMs());
    const memory = Object.fromEntries(
      Object.entries(durables).map(([group, durable]) => [
        group,
        { ...EMPTY_GROUP_MEMORY, durable } satisfies GroupMemory,
      ]),
    );
    return new Ledger(store, clock, log, {
      vms: new Map(vms.map((vm) => [vm.id, vm])),
      memory,
      nextVmId: stored.nextVmId,
      lastSeq: stored.lastSeq,
    });
  }

  get state(): LedgerState {
    return { vms: this.#vms, memory: this.#memory, nextVmId: this.#nextVmId };
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Why the last commit failed, in words; undefined once one succeeds again. */
  get failure(): string | undefined {
    return this.#failure;
  }

  vm(id: number): VmRecord | undefined {
    return this.#vms.get(id);
  }

  group(name: GroupName): GroupMemory {
    // A group may be called `constructor`.
    return (Object.hasOwn(this.#memory, name) ? this.#memory[name] : undefined) ?? EMPTY_GROUP_MEMORY;
  }

  /**
   * Runs `plan` on the present state when all earlier changes are done, commits what it wants, then applies and tells it.
   * `plan` is synchronous: nothing can come between its look and its change. When the store refuses, nothing has changed
   * and the promise rejects with the store's fault.
   */
  change(plan: (state: LedgerState) => Change | undefined): Promise<readonly LoggedEvent[]> {
    const run = this.#queue.then(() => this.#carryOut(plan));
    this.#queue = run.catch(() => undefined);
    return run;
  }

  tell(...events: readonly NewEvent[]): Promise<readonly LoggedEvent[]> {
    return this.change(() => ({ events }));
  }

  async #carryOut(plan: (state: LedgerState) => Change | undefined): Promise<readonly LoggedEvent[]> {
    const change = plan(this.state);
    if (change === undefined) return [];
    const putMemory = this.#durableDifferences(change.memory);
    const at = this.#clock.wall();
    const needsStore =
      putMemory !== undefined ||
      [change.putVms, change.deleteVms, change.decisions, change.events].some((part) => (part?.length ?? 0) > 0) ||
      change.nextVmId !== undefined;
    let told: readonly LoggedEvent[] = [];
    if (needsStore) {
      try {
        told = await this.#store.commit({
          ...(change.putVms && { putVms: change.putVms }),
          ...(change.deleteVms && { deleteVms: change.deleteVms }),
          ...(putMemory && { putMemory }),
          ...(change.decisions && { decisions: change.decisions }),
          ...(change.events && { events: change.events.map((event) => ({ at, event })) }),
          ...(change.nextVmId !== undefined && { nextVmId: change.nextVmId }),
        });
        this.#failure = undefined;
      } catch (error) {
        this.#failure = error instanceof Error ? error.message : String(error);
        throw error;
      }
    }
    this.#apply(change);
    for (const event of told) this.#publish(event);
    return told;
  }

  #durableDifferences(memory: Memory | undefined): Record<GroupName, DurableMemory> | undefined {
    if (memory === undefined) return undefined;
    const changed = Object.entries(memory).filter(
      ([group, { durable }]) => JSON.stringify(durable) !== JSON.stringify(this.group(group).durable),
    );
    if (changed.length === 0) return undefined;
    return Object.fromEntries(changed.map(([group, { durable }]) => [group, durable]));
  }

  #apply(change: Change): void {
    for (const vm of change.putVms ?? []) this.#vms.set(vm.id, vm);
    for (const id of change.deleteVms ?? []) this.#vms.delete(id);
    if (change.memory) this.#memory = { ...this.#memory, ...change.memory };
    if (change.nextVmId !== undefined) this.#nextVmId = Math.max(this.#nextVmId, change.nextVmId);
  }

  #publish(event: LoggedEvent): void {
    this.#lastSeq = event.seq;
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#log.error({ err: error, seq: event.seq }, 'a reader of the event log failed; it misses this event');
      }
    }
  }

  page(query: EventQuery): Promise<EventPage> {
    return this.#store.events(query);
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
