// The engine's state and its only door: records, memory and the event log change together, in one queue, disk first.
// Not here: why anything changes (turn, steps). Nothing is told, and nothing acted upon, before the store has it.

import type { CatalogImage, Token } from '../core/catalog.ts';
import type { Cluster } from '../core/cluster.ts';
import type { LoggedEvent, NewEvent } from '../core/events.ts';
import { type DurableMemory, EMPTY_GROUP_MEMORY, type GroupMemory, type Memory } from '../core/memory.ts';
import type { GroupName, HostName, VmRecord } from '../core/model.ts';
import { ENDED_STATES, type Operation } from '../core/operation.ts';
import { rebase } from '../core/rebase.ts';
import type { UserRecord } from '../core/user.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventPage, EventQuery, Numbered, Store, StoreChanges, StoredState } from '../ports/store.ts';
import type { Log } from './log.ts';
import type { EventLog } from './view.ts';

export interface LedgerState {
  readonly vms: ReadonlyMap<number, VmRecord>;
  /** Of all records. */
  readonly uuids: { has(uuid: string): boolean };
  readonly memory: Memory;
  readonly nextVmId: number;
  /** Those that have not ended, oldest first. */
  readonly operations: ReadonlyMap<string, Operation>;
  readonly images: ReadonlyMap<string, CatalogImage>;
  readonly tokens: ReadonlyMap<string, Token>;
  /** By id. */
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** The deleted ones too. */
  readonly users: ReadonlyMap<string, UserRecord>;
  readonly numbers: readonly Numbered[];
  readonly cordons: ReadonlyMap<HostName, string>;
  readonly lastHost?: HostName;
}

/** What a change wants; everything optional. Of the memories only what is durable and really differs reaches the store. */
export interface Change extends Omit<StoreChanges, 'putMemory' | 'events'> {
  /** Whole group memories. */
  readonly memory?: Memory;
  readonly events?: readonly NewEvent[];
}

type Listener = (event: LoggedEvent) => void;

export class Ledger implements EventLog {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();
  readonly #vms: Map<number, VmRecord>;
  /** Groups of all records' VMs, by uuid. */
  readonly #uuids: Map<string, GroupName | undefined>;
  readonly #operations: Map<string, Operation>;
  readonly #images: Map<string, CatalogImage>;
  readonly #tokens: Map<string, Token>;
  readonly #clusters: Map<string, Cluster>;
  /** Every request looks for one. */
  readonly #tokensBySha: Map<string, Token>;
  readonly #users: Map<string, UserRecord>;
  readonly #cordons: Map<HostName, string>;
  /** What was known of groups' load at the start. */
  readonly loads: StoredState['loads'];
  #numbers: readonly Numbered[];
  #lastHost: HostName | undefined;
  #memory: Memory;
  #nextVmId: number;
  #lastSeq: number;
  #queue: Promise<unknown> = Promise.resolve();
  #failure: string | undefined;

  private constructor(store: Store, clock: Clock, log: Log, stored: StoredState) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    const { vms, memory } = rebase(stored, clock.nowMs());
    this.#vms = new Map(vms.map((vm) => [vm.id, vm]));
    this.#uuids = new Map(vms.map(({ group, uuid }) => [uuid, group]));
    this.#memory = Object.fromEntries(
      Object.entries(memory).map(([group, durable]) => [
        group,
        { ...EMPTY_GROUP_MEMORY, durable } satisfies GroupMemory,
      ]),
    );
    this.#nextVmId = stored.nextVmId;
    this.#lastSeq = stored.lastSeq;
    this.#operations = new Map(stored.operations.map((operation) => [operation.id, operation]));
    this.#images = new Map(stored.images.map((image) => [image.name, image]));
    this.#tokens = new Map(stored.tokens.map((token) => [token.name, token]));
    this.#tokensBySha = new Map(stored.tokens.map((token) => [token.sha256, token]));
    this.#users = new Map(stored.users.map((user) => [user.name, user]));
    this.#clusters = new Map(stored.clusters.map((cluster) => [cluster.id, cluster]));
    this.#cordons = new Map(Object.entries(stored.cordons));
    this.#numbers = stored.numbers;
    this.loads = stored.loads;
    this.#lastHost = stored.lastHost;
  }

  static async open(store: Store, clock: Clock, log: Log): Promise<Ledger> {
    return new Ledger(store, clock, log, await store.load());
  }

  get state(): LedgerState {
    return {
      vms: this.#vms,
      uuids: this.#uuids,
      memory: this.#memory,
      nextVmId: this.#nextVmId,
      operations: this.#operations,
      images: this.#images,
      tokens: this.#tokens,
      clusters: this.#clusters,
      users: this.#users,
      numbers: this.#numbers,
      cordons: this.#cordons,
      ...(this.#lastHost !== undefined && { lastHost: this.#lastHost }),
    };
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

  /** By the SHA-256 of its text. */
  token(sha256: string): Token | undefined {
    return this.#tokensBySha.get(sha256);
  }

  /** The group of the VM with this uuid. */
  groupOf(uuid: string): GroupName | undefined {
    return this.#uuids.get(uuid);
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
    const { memory, events, ...rest } = change;
    const putMemory = this.#durableDifferences(memory);
    const at = this.#clock.wall();
    const wanted: StoreChanges = {
      ...rest,
      ...(putMemory && { putMemory }),
      ...(events && { events: events.map((event) => ({ at, event })) }),
    };
    let told: readonly LoggedEvent[] = [];
    if (Object.values(wanted).some((part) => !Array.isArray(part) || part.length > 0)) {
      try {
        told = await this.#store.commit(wanted);
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
    for (const vm of change.putVms ?? []) {
      this.#vms.set(vm.id, vm);
      this.#uuids.set(vm.uuid, vm.group);
    }
    for (const id of change.deleteVms ?? []) {
      const gone = this.#vms.get(id);
      this.#vms.delete(id);
      if (gone !== undefined) this.#uuids.delete(gone.uuid);
    }
    if (change.memory) this.#memory = { ...this.#memory, ...change.memory };
    if (change.nextVmId !== undefined) this.#nextVmId = Math.max(this.#nextVmId, change.nextVmId);
    for (const operation of change.putOperations ?? []) {
      if (ENDED_STATES.has(operation.state)) this.#operations.delete(operation.id);
      else this.#operations.set(operation.id, operation);
    }
    for (const image of change.putImages ?? []) this.#images.set(image.name, image);
    for (const name of change.deleteImages ?? []) this.#images.delete(name);
    for (const name of change.deleteTokens ?? []) this.#dropToken(name);
    for (const token of change.putTokens ?? []) {
      this.#dropToken(token.name);
      this.#tokens.set(token.name, token);
      this.#tokensBySha.set(token.sha256, token);
    }
    for (const user of change.putUsers ?? []) this.#users.set(user.name, user);
    for (const cluster of change.putClusters ?? []) this.#clusters.set(cluster.id, cluster);
    for (const id of change.deleteClusters ?? []) this.#clusters.delete(id);
    for (const [host, reason] of Object.entries(change.putCordons ?? {})) {
      if (reason === null) this.#cordons.delete(host);
      else this.#cordons.set(host, reason);
    }
    if (change.putNumbers?.length) this.#numbers = [...this.#numbers, ...change.putNumbers];
    if (change.lastHost !== undefined) this.#lastHost = change.lastHost;
  }

  #dropToken(name: string): void {
    const gone = this.#tokens.get(name);
    if (gone === undefined) return;
    this.#tokens.delete(name);
    this.#tokensBySha.delete(gone.sha256);
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
