// The words of the field and the shapes they have here: hosts, VMs, groups, the snapshot of one turn.
// Not here: how any of it is read (adapters), decided upon (decide) or kept (store).
//
// Glossary. One meaning each.
//   host       a machine whose hypervisor virtscale talks to (the seeds: "pm").
//   domain     what libvirt calls a VM on one host. Its uuid names it; its name may come back with another domain behind it.
//   VM         a domain that virtscale is responsible for, with the record it keeps of it.
//   group      the set of VMs under one policy.
//   template   image + flavor + readiness check: what a new VM of a group is made from.
//   poll       reading every domain's state and counters once.
//   turn       observe, decide, act, tell: once for all groups.
//   phase      where a VM stands in its life (drawn below). `step` says how far it has come within the phase.
//   stale      known, but not from a host that answers now. A stale picture never justifies removing anything.
//
// Times. `…AtMs` and `nowMs` are milliseconds of the engine's clock: monotonic while the process lives, anchored to the
// wall clock when it starts, so that a cooldown survives a restart. `at` (RFC 3339) is wall time, for people.

export type HostName = string;
export type GroupName = string;

/** What a flavor gives each VM. `memoryMiB` and `diskGiB` as in the seeds; `diskGiB` absent means: as large as the image. */
export interface Flavor {
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly diskGiB?: number;
}

/** A disk image as it lies on a host, never written to: each VM gets an overlay of it. `direct` boots a kernel without a boot loader. */
export interface Image {
  readonly name: string;
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly direct?: { readonly kernel: string; readonly initrd: string; readonly args: string };
}

/** Where clients reach a VM. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Only an HTTP answer (status 200–399) is readiness: a forwarded port accepts before the guest listens. */
export interface ReadyCheck {
  readonly http: { readonly port: number; readonly path: string };
}

/**
 * Three-valued on purpose: unreachable is not gone.
 * `running` includes paused and shutting down (QEMU exists and holds the disk); `stopped` means no QEMU; `unknown` means nobody can say.
 */
export type DomainState = 'running' | 'stopped' | 'unknown';

/** What virtscale writes into the XML of every domain it makes, and reads back after its database was lost. */
export interface VmMetadata {
  readonly id: number;
  readonly group: GroupName;
  readonly owner: string;
  readonly operation: string;
  readonly image: string;
  readonly flavor: string;
  readonly endpoint?: Endpoint;
}

/** One domain as one poll saw it. */
export interface DomainObservation {
  readonly uuid: string;
  readonly name: string;
  readonly state: DomainState;
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** CPU time used since the domain started, in ns, all vCPUs together; absent when libvirt did not tell. */
  readonly cpuTimeNs?: number;
  /** When this domain's counters were read. */
  readonly readAtMs: number;
  /** Absent on domains that virtscale did not make: those are counted and never touched. */
  readonly metadata?: VmMetadata;
}

export interface HostCapacity {
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly memoryFreeMiB: number;
  /** Of the storage pool that takes the VMs' disks. */
  readonly diskGiB: number;
  readonly diskFreeGiB: number;
}

/** What a successful poll of one host brings. */
export interface HostObservation {
  readonly host: HostName;
  /** The poll began at this time: whatever changed before it, is in it. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly capacity: HostCapacity;
  readonly domains: readonly DomainObservation[];
}

/**
 * A host in the picture. `up`: answered this turn. `stale`: did not, and `last` is what it said before. `down`: never answered yet.
 */
export interface HostView {
  readonly name: HostName;
  readonly state: 'up' | 'stale' | 'down';
  readonly last?: HostObservation;
  /** Why it is not up, in words for people. */
  readonly reason?: string;
}

/**
 * Life of a VM. Draining and removing are many small steps over many turns, never one long wait.
 *
 *   launching ──ready──▶ in-service ──scale-in──▶ draining ──grace over──▶ removing ──gone──▶ (forgotten)
 *       │                    │                                                ▲
 *       ├─ refused, or not ready by the deadline (vm.failed) ─────────────────┤
 *       └────────────────────┴─ vanished or stopped by itself (vm.lost) ──────┘
 */
export type VmPhase = 'launching' | 'in-service' | 'draining' | 'removing';

/**
 * How far a VM has come. Each step is idempotent and is recorded after it succeeded, so a crash repeats one step at the most.
 * launching: intended → disk-made → defined → started → (ready, phase changes). removing: intended → stopping → stopped → undefined → (gone).
 */
export type VmStep = 'intended' | 'disk-made' | 'defined' | 'started' | 'stopping' | 'stopped' | 'undefined';

/** What the store keeps of a VM. Written before anything is done about it: this record *is* the intent. */
export interface VmRecord {
  /** Positive, never reused. */
  readonly id: number;
  readonly name: string;
  /** Chosen before the domain exists: defining twice cannot make two. */
  readonly uuid: string;
  readonly group: GroupName;
  readonly host: HostName;
  /** `clone`: made from the template, removed with its disk. `existing`: a domain the policy names; only started and shut down. */
  readonly kind: 'clone' | 'existing';
  readonly owner: string;
  /** The operation (decision) that brought it. */
  readonly operation: string;
  readonly image?: Image;
  readonly flavor?: Flavor;
  readonly ready: ReadyCheck;
  readonly phase: VmPhase;
  readonly step: VmStep;
  /** When the present phase began. */
  readonly phaseAtMs: number;
  /** When this record last changed: a poll that began earlier says nothing about it. */
  readonly changedAtMs: number;
  /** End of the present phase's patience: launching → not ready in time; draining → grace over; removing → force. */
  readonly deadlineAtMs?: number;
  readonly endpoint?: Endpoint;
  /** Why it is draining or being removed, in words for people. */
  readonly reason?: string;
  /** Failed tries of the present step, for backoff. */
  readonly tries: number;
}

/** A VM in the picture: the record, and what its host last said about its domain. */
export interface VmView {
  readonly record: VmRecord;
  /** Absent: the host, when last asked, had no such domain. */
  readonly domain?: DomainObservation;
  /** True when `domain` (or its absence) comes from this turn and began after the record last changed. */
  readonly fresh: boolean;
}

/** Everything a decision may look at. Immutable, and complete: what is not in here did not exist for the decision. */
export interface Snapshot {
  readonly atMs: number;
  /** A CPU value measured longer ago than this is missing data: three polls. Absent: 5000. */
  readonly staleAfterMs?: number;
  readonly hosts: readonly HostView[];
  readonly vms: readonly VmView[];
}
