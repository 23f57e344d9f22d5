// Port: what must survive the daemon. The contract on each method is what test/contracts/store.ts checks on every adapter.
// The hypervisor is the truth about VMs; this holds what libvirt cannot.

import type { LoggedDecision } from '../core/decision.ts';
import type { EventType, LoggedEvent, NewEvent } from '../core/events.ts';
import type { DurableMemory } from '../core/memory.ts';
import type { GroupName, VmRecord } from '../core/model.ts';

export interface StoredState {
  readonly vms: readonly VmRecord[];
  readonly memory: Readonly<Record<GroupName, DurableMemory>>;
  /** Number of the newest event, 0 when there is none. */
  readonly lastSeq: number;
  /** The next free VM id; ids are never reused, also not after the record is gone. */
  readonly nextVmId: number;
}

/** Changes that become true together or not at all. */
export interface StoreChanges {
  readonly putVms?: readonly VmRecord[];
  readonly deleteVms?: readonly number[];
  readonly putMemory?: Readonly<Record<GroupName, DurableMemory>>;
  readonly decisions?: readonly LoggedDecision[];
  /** With the wall time each happened at. */
  readonly events?: readonly { readonly at: string; readonly event: NewEvent }[];
  /** Raises the next free VM id. */
  readonly nextVmId?: number;
}

export interface EventQuery {
  /** Only events with a greater `seq`. */
  readonly since: number;
  /** At most this many, in order of `seq`. */
  readonly limit: number;
  readonly group?: GroupName;
  readonly types?: readonly EventType[];
}

export interface EventPage {
  readonly events: readonly LoggedEvent[];
  /** Number of the oldest event still kept; 0 when there is none. A `since` below `oldestSeq - 1` has lost events to retention. */
  readonly oldestSeq: number;
  readonly lastSeq: number;
}

export interface Store {
  load(): Promise<StoredState>;
  /** Atomic and durable when it resolves. Returns the events with their numbers: gapless, in the given order. Rejects with `Fault('refused')` when the disk is full or the file is damaged, and then nothing of it happened. */
  commit(changes: StoreChanges): Promise<readonly LoggedEvent[]>;
  events(query: EventQuery): Promise<EventPage>;
  /** Newest first. */
  decisions(query: {
    readonly group?: GroupName;
    readonly limit: number;
    readonly before?: string;
  }): Promise<readonly LoggedDecision[]>;
  decision(id: string): Promise<LoggedDecision | undefined>;
  close(): Promise<void>;
}
