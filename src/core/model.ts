// The words of the field and the shapes they have here: hosts, VMs, groups, the snapshot of one turn.
// Not here: how any of it is read (adapters), decided upon (decide) or kept (store).
//
// Glossary. One meaning each.
//   host       a machine whose hypervisor virtscale talks to (the seeds: "pm").
//   domain     what libvirt calls a VM on one host. Its uuid names it; its name may come back with another domain behind it.
//   VM         a domain that virtscale is responsible for, with the record it keeps of it.
//   operation  what somebody asked for through an API and is told about until it has ended (operation.ts).
//   group      the set of VMs under one policy.
//   cluster    VMs of one owner that belong together, numbered; one of them is a node (cluster.ts).
//   template   image + flavor + readiness check: what a new VM of a group is made from.
//   cluster network  the link that the nodes of one virtual cluster share, whichever hosts they are on; each has a card of its own on it.
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
  /** What a VM can be given while it runs. Absent: what it begins with. Only what it has is promised to it. */
  readonly maxVcpus?: number;
  readonly maxMemoryMiB?: number;
  /** Network cards that can be added while it runs. Absent: none. */
  readonly spareNics?: number;
}

/**
 * A disk image, never written to: each VM gets an overlay of it. Exactly one of `path` and `content`.
 * `direct` boots a kernel without a boot loader (its paths are on the host).
 */
export interface Image {
  readonly name: string;
  readonly format: 'qcow2' | 'raw';
  /** It lies there on every host already, brought by others. */
  readonly path?: string;
  /** virtscale has it and brings it to a host's pool when the first VM there needs it. */
  readonly content?: ImageContent;
  readonly direct?: { readonly kernel: string; readonly initrd: string; readonly args: string };
}

/** What an image is, whatever it is called: two images of the same content are one file on a host. */
export interface ImageContent {
  /** Of the file, lower-case hex. */
  readonly sha256: string;
  /** Size of the file. */
  readonly fileBytes: number;
  /** Size of the disk that a guest sees. */
  readonly virtualBytes: number;
}

/** What cloud-init in the guest is told at its first boot, by a NoCloud seed image. */
export interface CloudInit {
  readonly hostname: string;
  /** Public keys as in authorized_keys, one each. */
  readonly sshKeys: readonly string[];
  /** As the user gave it; absent: one that sets the host name and the keys. */
  readonly userData?: string;
}

/** A VM's place on a cluster network: a card beside the one by which clients reach it, with an address that never changes. */
export interface ClusterNetwork {
  /** Cards with the same id are on the same network, on whatever host; letters, digits and hyphens, 64 at the most. */
  readonly id: string;
  /** IPv4, dotted; of this VM only. */
  readonly address: string;
  /** How many bits of the address are the network's, 8 to 30. */
  readonly prefixBits: number;
}

/** Where clients reach a VM. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * How a guest shows that it serves. `http`: an answer with status 200–399. `tcp`: it accepts a connection and keeps it; of no use where
 * a port is forwarded, which accepts before the guest listens. `agent`: its guest agent answers.
 */
export type ReadyCheck =
  | { readonly http: { readonly port: number; readonly path: string } }
  | { readonly tcp: { readonly port: number } }
  | { readonly agent: true };

/**
 * Three-valued on purpose: unreachable is not gone.
 * `running` includes paused and shutting down (QEMU exists and holds the disk); `stopped` means no QEMU; `unknown` means nobody can say.
 */
export type DomainState = 'running' | 'stopped' | 'unknown';

/** What virtscale writes into the XML of every domain it makes, and reads back after its database was lost. */
export interface VmMetadata {
  readonly id: number;
  /** Absent on a VM that belongs to no group. */
  readonly group?: GroupName;
  readonly owner: string;
  readonly operation: string;
  readonly image: string;
  readonly flavor: string;
  /** What it is a fork of: until it is made its own, it believes to be that. */
  readonly template?: string;
  readonly endpoint?: Endpoint;
  /** In the order of its cards. */
  readonly networks?: readonly ClusterNetwork[];
  /** Somebody else made the domain: it is never removed, also when it is found again after the database was lost. */
  readonly adopted?: boolean;
}

/** One domain as one poll saw it. */
export interface DomainObservation {
  readonly uuid: string;
  readonly name: string;
  readonly state: DomainState;
  /** It is `running` and its vCPUs stand still (somebody suspended it). Absent: they do not. */
  readonly paused?: boolean;
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** CPU time used since the domain started, in ns, all vCPUs together; absent when libvirt did not tell. */
  readonly cpuTimeNs?: number;
  /** When this domain's counters were read. */
  readonly readAtMs: number;
  /** What else it was asked for, at a slower beat; absent: nobody wanted to know, or libvirt did not tell (yet). */
  readonly stats?: DomainStats;
  /** Absent on domains that virtscale did not make: those are counted and never touched. */
  readonly metadata?: VmMetadata;
}

/** Counters besides the CPU's. Each may be absent at any time, and counters may go back. */
export interface DomainStats {
  readonly readAtMs: number;
  /** Of the memory the guest has, what it uses, percent; only where its balloon driver tells. */
  readonly memoryPercent?: number;
  /** Both ways, all interfaces; bytes. */
  readonly networkBytes?: number;
  /** Read and written, all disks; bytes. */
  readonly diskBytes?: number;
  /** Time that vCPUs were ready and waited for the host, ns, all together. */
  readonly delayNs?: number;
}

export interface HostCapacity {
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly memoryFreeMiB: number;
  /** Of the storage pool that takes the VMs' disks. */
  readonly diskGiB: number;
  readonly diskFreeGiB: number;
  /** Of the host's CPUs in use since the reading before, 0–1; absent until there are two readings. */
  readonly cpuRatio?: number;
}

/** Parts of a host: vCPUs, memory and disk, as placement counts them. */
export interface Amounts {
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly diskGiB: number;
}

/** What the configuration and people say about a host; libvirt knows nothing of it. */
export interface HostTraits {
  /** In the order of the configuration, from 0. */
  readonly index: number;
  readonly labels: Readonly<Record<string, string>>;
  /** How often each part of the host may be promised: 1 is once. */
  readonly overcommit: { readonly cpus: number; readonly memory: number; readonly disk: number };
  /** Kept back for the host itself, before overcommit. */
  readonly reserved: Amounts;
  /** Why it takes no new VMs, in words for people; absent: it does. */
  readonly cordoned?: string;
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
  /** Absent: DEFAULT_TRAITS of placement/rooms. */
  readonly traits?: HostTraits;
  /** Why it is not up, in words for people. */
  readonly reason?: string;
}

/**
 * Life of a VM. Draining and removing are many small steps over many turns, never one long wait.
 *
 *                            ┌──── load returned ─────┐
 *                            ▼                        │
 *   launching ──ready──▶ in-service ──scale-in──▶ draining ──grace over──▶ removing ──gone──▶ (forgotten)
 *    ▲  │  │                 │                                                ▲
 *    │  │  ├─ refused, or not ready by the deadline (vm.failed) ──────────────┤
 *    │  │  └─────────────────┴─ vanished or stopped by itself (vm.lost) ──────┤
 *  taken└─ready, to wait──▶ standby ── not needed, too old, vanished ─────────┘
 *    └─────────────────────────┘
 */
export type VmPhase = 'launching' | 'standby' | 'in-service' | 'draining' | 'removing';

/** How a standby waits: its vCPUs stopped, its memory on disk, or shut down. */
export type StandbyKind = 'paused' | 'saved' | 'stopped';

/** Why a VM leaves: the group was too large, a person deleted it, its health check failed, or it is of an older template. */
export type Leaving = 'size' | 'asked' | 'unhealthy' | 'refresh';

/** How a VM comes into being: booted, restored from a template's memory, or woken from standby. */
export type LaunchWay = 'cold' | 'fork' | StandbyKind;

/**
 * How far a VM has come. Each step is idempotent and is recorded after it succeeded, so a crash repeats one step at the most.
 * launching: intended → image-there → disk-made → defined → started → [fork, woken: personalised] → ready → [hook: approved] → (phase
 * changes); a standby's launch ends in `ready` → parked, phase standby. draining: draining → [hook: approved]. removing: intended → stopping
 * → stopped → undefined → (gone). Steps in brackets are left out where nothing asks for them.
 */
export type VmStep =
  | 'intended'
  | 'image-there'
  | 'disk-made'
  | 'defined'
  | 'started'
  | 'personalised'
  | 'ready'
  | 'approved'
  | 'parked'
  | 'draining'
  | 'stopping'
  | 'stopped'
  | 'undefined';

/** Which virtual cluster a VM is a node of, by the cluster's id, and its number there, from 1. */
export interface NodeOf {
  readonly cluster: string;
  readonly number: number;
}

/** What somebody may want of a VM's QEMU. */
export type PowerState = 'running' | 'paused' | 'stopped';

/** What the store keeps of a VM. Written before anything is done about it: this record *is* the intent. */
export interface VmRecord {
  /** Positive, never reused. */
  readonly id: number;
  readonly name: string;
  /** Chosen before the domain exists: defining twice cannot make two. */
  readonly uuid: string;
  /** Absent: somebody asked for this VM by itself; no policy touches it, and it stays until somebody deletes it. */
  readonly group?: GroupName;
  readonly host: HostName;
  /**
   * `clone`: made from an image, removed with its disk. `blank`: made with an empty disk, removed with it. `existing`: a domain a
   * policy names; only started and shut down. `adopted`: a domain of somebody's that virtscale was asked to look after; never removed.
   */
  readonly kind: 'clone' | 'blank' | 'existing' | 'adopted';
  readonly owner: string;
  /** The operation (decision) that brought it. */
  readonly operation: string;
  readonly image?: Image;
  readonly flavor?: Flavor;
  /** Absent: it is in service as soon as it runs. */
  readonly ready?: ReadyCheck;
  readonly cloudInit?: CloudInit;
  /** What people last asked of a VM without a group. Absent: `running`. What it really does may differ: that is shown, not changed. */
  readonly power?: PowerState;
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
  /** The same as a kind, since it began to drain. Only `size` is ever taken back. Absent: nobody said (it failed or was lost). */
  readonly leaving?: Leaving;
  /** How it is (was) launched. Absent: cold. A way that turned out impossible is replaced by the next one. */
  readonly way?: LaunchWay;
  /** The template it is forked from, with `way` fork. */
  readonly template?: string;
  /** Asked for the present phase's hook: since when, and how often so far. */
  readonly hook?: { readonly sinceMs: number; readonly tries: number };
  /** It is launched to wait, or waits. Gone once it is taken. */
  readonly standby?: StandbyKind;
  /** No agent answered in its guest before it was put to sleep: none is waited for when it is woken. */
  readonly agentless?: boolean;
  /** When it was first in service; what `oldest` and warm-up go by. Absent: never yet. */
  readonly servedSinceMs?: number;
  /** It is being moved there: what its host says of it is not the whole truth until that has ended. */
  readonly moving?: { readonly to: HostName; readonly operation: string };
  /** Never chosen for removal by a policy. */
  readonly isProtected?: boolean;
  /** The node of a virtual cluster that it is, and its cards on networks of clusters. */
  readonly node?: NodeOf;
  readonly networks?: readonly ClusterNetwork[];
  /** What people say about it; policies may order removals by one. */
  readonly labels?: Readonly<Record<string, string>>;
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
  /** It has failed its health check so often in a row that it counts as unhealthy: why, in words for people. */
  readonly unhealthy?: string;
}

/** A number from outside for one of a group's metrics, or why there is none. */
export interface OutsideValue {
  readonly value?: number;
  /** When it was true. */
  readonly atMs: number;
  readonly problem?: string;
}

/** A schedule that holds now. */
export interface ActiveSchedule {
  readonly rule: string;
  /** When this window began, by the wall clock (Unix ms): tells windows apart, and is compared with nothing else. */
  readonly beganAtWallMs: number;
  readonly untilMs: number;
}

/** What the learned pattern of a forecast rule says about the time ahead. */
export interface ForecastView {
  readonly rule: string;
  /** The largest demand expected within the rule's lead, in the metric's unit summed over VMs; absent: it has nothing to offer. */
  readonly demand?: number;
  /** One sentence for people: how well it does, or why it has nothing to offer. */
  readonly text: string;
}

/** What is known of one group besides its VMs. */
export interface GroupView {
  /** By `metricKey`. Posted for single VMs: `values`, by VM uuid. */
  readonly outside?: Readonly<
    Record<string, OutsideValue | { readonly values: Readonly<Record<string, OutsideValue>> }>
  >;
  readonly schedules?: readonly ActiveSchedule[];
  readonly forecasts?: readonly ForecastView[];
  /** Hosts that have a saved template of the group's template: a fork is possible there. */
  readonly forkHosts?: readonly HostName[];
}

/** Everything a decision may look at. Immutable, and complete: what is not in here did not exist for the decision. */
export interface Snapshot {
  readonly atMs: number;
  /** A CPU value measured longer ago than this is missing data: three polls. Absent: 5000. */
  readonly staleAfterMs?: number;
  readonly hosts: readonly HostView[];
  readonly vms: readonly VmView[];
  /** By group name; absent where nothing more is known. */
  readonly groups?: Readonly<Record<GroupName, GroupView>>;
  /** Where new VMs go when nobody says otherwise. Absent: DEFAULT_PLACEMENT. */
  readonly placement?: PlacementName;
  /** The host that took a VM last, whoever asked: algorithms that go round continue from it. */
  readonly lastHost?: HostName;
}

/** A placement algorithm's name: one of placement/registry, or the path of a user's own module. */
export type PlacementName = string;

/** What a request or a policy may say about where its VMs go. All of it must hold, except `algorithm`, which ranks what is left. */
export interface PlacementRules {
  readonly algorithm?: PlacementName;
  /** Only this host. */
  readonly host?: HostName;
  /** Only hosts that have all of these labels with these values. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Each VM of the group (of the request) on a host that has none of it yet. */
  readonly apart?: boolean;
  /** Only hosts where these VMs (ids) are; only hosts where they are not. */
  readonly withVms?: readonly number[];
  readonly withoutVms?: readonly number[];
}
