// The daemon's configuration as everyone may trust it: checked, all defaults filled in. Not here: reading it (daemon-file).

import type { Amounts, Flavor, HostTraits, Image, PlacementName } from '../core/model.ts';
import type { RebalanceSettings } from '../core/rebalance.ts';
import type { Quota } from '../core/user.ts';
import type { FileImageSource } from './image-source.ts';
import type { ListenAddress } from './listen.ts';

/** Where VMs get their network. */
export type NetworkConfig =
  /** User-mode networking; VM N answers on `PREFIX.N` of the host. The prefix is three numbers of 127.0.0.0/8. */
  | { readonly kind: 'forward'; readonly prefix: string }
  /** One of libvirt's networks, such as `default`. */
  | { readonly kind: 'network'; readonly name: string }
  /** A bridge of the host. */
  | { readonly kind: 'bridge'; readonly name: string };

/** What people say about a host for placement. What is left out: `placement.overcommit`, else DEFAULT_TRAITS of core/placement. */
export interface HostPlacement {
  readonly labels?: Readonly<Record<string, string>>;
  /** Kept back for the host itself, before overcommit. */
  readonly reserved?: Partial<Amounts>;
  readonly overcommit?: Partial<HostTraits['overcommit']>;
}

export type HostConfig = HostPlacement & HostAccess;

type HostAccess =
  /** A libvirtd and QEMUs that virtscale runs by itself, with a pool and forwarded ports of their own. There may be several. */
  | { readonly kind: 'embedded'; readonly name: string; readonly forwardPrefix: string }
  | {
      readonly kind: 'libvirt';
      readonly name: string;
      readonly uri: string;
      /** The storage pool for the VMs' disks; with a `path`, a folder pool that is made when absent. */
      readonly pool: {
        readonly name: string;
        readonly path?: string;
        /** Hosts whose pools say the same have the same files in them. */
        readonly shared?: string;
      };
      /** How other hosts' libvirt reaches this one. Absent: derived from `uri`. */
      readonly migrationUri?: string;
      readonly network: NetworkConfig;
    };

export type ImageConfig =
  /** It lies on every host already. */
  | { readonly kind: 'file'; readonly image: Image }
  /** virtscale fetches it and brings it to the hosts. */
  | {
      readonly kind: 'source';
      readonly name: string;
      readonly source: FileImageSource;
      /** Absent: found out. */
      readonly format?: Image['format'];
      /** Lower-case hex. */
      readonly sha256?: string;
    }
  /** A guest that virtscale builds by itself, for embedded hosts. `mpi`: with ssh, MPI and a compiler, for virtual clusters. */
  | { readonly kind: 'built'; readonly name: string; readonly guest: 'backend' | 'mpi' };

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Who may come in without a token: programs on this machine, everybody who reaches the address, or nobody. */
export const WITHOUT_TOKEN = ['loopback', 'anyone', 'nobody'] as const;
export type WithoutToken = (typeof WITHOUT_TOKEN)[number];

/** Where new VMs go when nobody says otherwise. */
export interface PlacementConfig {
  /** One of ours or of `modules`, by name. */
  readonly algorithm: PlacementName;
  /** Users' own algorithms: named as the configuration writes them; `path` is absolute. */
  readonly modules: readonly { readonly name: PlacementName; readonly path: string }[];
  readonly overcommit: Partial<HostTraits['overcommit']>;
  /** For `threshold`, 0–1. */
  readonly maxLoad?: number;
}

/** Where queries of policies are answered. */
export interface PrometheusConfig {
  /** Its root, without a slash at the end: `http://127.0.0.1:9090`. */
  readonly url: string;
  /** Of one query. */
  readonly timeoutMs: number;
}

/** HAProxy's runtime API: a unix socket, or a TCP port of this machine. */
export type HaproxySocket = { readonly path: string } | { readonly host: string; readonly port: number };

/** A load balancer that groups may put their VMs into, by the name that policies write. */
export type BalancerConfig =
  | {
      readonly kind: 'haproxy';
      readonly name: string;
      readonly socket: HaproxySocket;
      /** HAProxy's backend; it exists already. */
      readonly backend: string;
      /** Of each server, 1–256. Absent: 1. */
      readonly weight?: number;
      /** Words behind those of each new server, such as `maxconn 16`; nothing in them ends a command. */
      readonly serverOptions?: string;
    }
  | {
      readonly kind: 'file';
      readonly name: string;
      /** Absolute; written anew when the servers change. */
      readonly file: string;
      /** `haproxy`: a `backend` section. `nginx`: an `upstream`. */
      readonly format: 'haproxy' | 'nginx';
      /** What that section is called. */
      readonly backend: string;
      /** Program and arguments, run without a shell after the file was written. Absent: nothing. */
      readonly reload?: readonly string[];
    };

/** People who share the hosts. */
export interface UsersConfig {
  /** Anybody who reaches the address may become a user. */
  readonly signUp: boolean;
  /** What each new user may have; can be changed for each. */
  readonly quota: Quota;
}

/** Evaluations kept for `why` and `replay`. */
export type RecordConfig = { readonly keepBytes: number } | 'off';

export interface DaemonConfig {
  /** The file it came from; absent when there is none. */
  readonly file?: string;
  readonly listen: ListenAddress;
  /** Names that the daemon answers to besides IP addresses, localhost and the one it listens on. */
  readonly names: readonly string[];
  /** Absent: `loopback` while there are no tokens, `nobody` once there is one. */
  readonly withoutToken?: WithoutToken;
  /** Absolute. */
  readonly stateDir: string;
  /** The folder of the policy files. Absolute. */
  readonly policiesDir: string;
  readonly pollMs: number;
  readonly hosts: readonly HostConfig[];
  readonly images: readonly ImageConfig[];
  readonly flavors: readonly Flavor[];
  /** What each owner may have at a time of VMs without a group. */
  readonly quota?: Quota;
  readonly users: UsersConfig;
  /** Absent: `least-loaded`, with the overcommit of DEFAULT_TRAITS. */
  readonly placement?: PlacementConfig;
  /** Absent: VMs stay on the hosts they are on. */
  readonly rebalance?: RebalanceSettings;
  readonly log: { readonly level: LogLevel };
  /** How many events are kept. */
  readonly events: { readonly keep: number };
  /** Absent: no policy may measure by a query. */
  readonly prometheus?: PrometheusConfig;
  readonly balancers: readonly BalancerConfig[];
  readonly record: RecordConfig;
}

/** The name of the guest image that virtscale builds. */
export const BUILT_IMAGE = 'backend';
export const DEFAULT_POLL_MS = 1000;
export const DEFAULT_EVENTS_KEEP = 100_000;
export const DEFAULT_PROMETHEUS_TIMEOUT_MS = 2000;
export const DEFAULT_RECORD: RecordConfig = { keepBytes: 256 * 1024 * 1024 };

/** Without a `flavors:` of one's own. 128 MiB is what the built guest needs to boot with room to spare. */
export const DEFAULT_FLAVORS: readonly Flavor[] = [
  { name: 'small', vcpus: 1, memoryMiB: 128 },
  { name: 'medium', vcpus: 1, memoryMiB: 256 },
  { name: 'large', vcpus: 2, memoryMiB: 512 },
];

/** The only host when there is no configuration: its VMs answer on 127.0.1.N. */
export const DEFAULT_HOST: HostConfig = { kind: 'embedded', name: 'local', forwardPrefix: '127.0.1' };
