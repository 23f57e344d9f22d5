// Port: what must survive the daemon. The contract on each method is what test/contracts/store.ts checks on every adapter.
// The hypervisor is the truth about VMs; this holds what libvirt cannot.

import type { AuditEntry, LoggedAudit } from '../core/audit.ts';
import type { CatalogImage, Token } from '../core/catalog.ts';
import type { Cluster } from '../core/cluster.ts';
import type { LoggedDecision } from '../core/decision.ts';
import type { EventType, LoggedEvent, NewEvent } from '../core/events.ts';
import type { DurableMemory } from '../core/memory.ts';
import type { GroupName, HostName, VmRecord } from '../core/model.ts';
import type { Operation } from '../core/operation.ts';
import type { UserRecord } from '../core/user.ts';

export interface StoredState {
  readonly vms: readonly VmRecord[];
  readonly memory: Readonly<Record<GroupName, DurableMemory>>;
  /** Number of the newest event, 0 when there is none. */
  readonly lastSeq: number;
  /** The next free VM id; ids are never reused, also not after the record is gone. */
  readonly nextVmId: number;
  /** Those that have not ended, oldest first. */
  readonly operations: readonly Operation[];
  readonly images: readonly CatalogImage[];
  readonly tokens: readonly Token[];
  readonly clusters: readonly Cluster[];
  /** The deleted ones too. */
  readonly users: readonly UserRecord[];
  readonly numbers: readonly Numbered[];
  /** Hosts that take no new VMs, with the reason. */
  readonly cordons: Readonly<Record<HostName, string>>;
  readonly lastHost?: HostName;
  /** The learned load of groups, as text (core/load-history). */
  readonly loads: Readonly<Record<GroupName, string>>;
}

/** The numeric id of something that clients of the seeds' API call by number: positive, per kind, never reused. */
export interface Numbered {
  readonly kind: 'host' | 'image' | 'flavor';
  /** What it is known by for good, such as a host's address: the number stays with it when lines move or it comes back. */
  readonly key: string;
  readonly id: number;
}

/** An answer kept for a repeated Idempotency-Key. */
export interface KeptAnswer {
  readonly key: string;
  /** Of the request: caller, method, path and body. */
  readonly fingerprint: string;
  readonly status: number;
  /** Headers worth repeating (content-type, location, etag). */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Wall time, RFC 3339. */
  readonly at: string;
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
  readonly putOperations?: readonly Operation[];
  readonly putImages?: readonly CatalogImage[];
  /** By name. */
  readonly deleteImages?: readonly string[];
  readonly putTokens?: readonly Token[];
  /** By name. */
  readonly deleteTokens?: readonly string[];
  readonly putClusters?: readonly Cluster[];
  /** By id. */
  readonly deleteClusters?: readonly string[];
  /** Never deleted: who is gone is put with `deletedAt`. */
  readonly putUsers?: readonly UserRecord[];
  readonly putNumbers?: readonly Numbered[];
  /** Null ends a cordon. */
  readonly putCordons?: Readonly<Record<HostName, string | null>>;
  /** A group's learned load, in place of what was kept of it. */
  readonly putLoads?: Readonly<Record<GroupName, string>>;
  readonly lastHost?: HostName;
}

export interface EventQuery {
  /** Only events with a greater `seq`. */
  readonly since: number;
  /** At most this many, in order of `seq`. */
  readonly limit: number;
  readonly group?: GroupName;
  readonly types?: readonly EventType[];
  /** Only those about VMs, operations and images of this user (`ownerOfEvent`). */
  readonly owner?: string;
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
    /** Only those made at this time (RFC 3339) or earlier. */
    readonly until?: string;
  }): Promise<readonly LoggedDecision[]>;
  decision(id: string): Promise<LoggedDecision | undefined>;
  /** Newest first, ended ones too (the newest 10 000 of those are kept). `before`: only those older than this operation. */
  operations(query: {
    readonly limit: number;
    readonly before?: string;
    readonly vmId?: number;
    readonly state?: Operation['state'];
    readonly kind?: Operation['kind'];
    readonly owner?: string;
  }): Promise<readonly Operation[]>;
  operation(id: string): Promise<Operation | undefined>;
  /** The operation that came with this Idempotency-Key of this owner, while it is kept. */
  operationByKey(owner: string, key: string): Promise<Operation | undefined>;
  answer(key: string): Promise<KeptAnswer | undefined>;
  /** Durable when it resolves. Answers older than a day, and beyond the newest 10 000, are dropped. */
  keepAnswer(answer: KeptAnswer): Promise<void>;
  /** Durable when it resolves, in the given order. The newest 100 000 are kept. */
  keepAudit(entries: readonly AuditEntry[]): Promise<void>;
  /** Newest first. `before`: only those with a smaller number. `who`: only of this one. */
  audit(query: {
    readonly limit: number;
    readonly before?: number;
    readonly who?: string;
  }): Promise<readonly LoggedAudit[]>;
  close(): Promise<void>;
}
