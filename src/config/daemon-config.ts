// The daemon's configuration as everyone may trust it: checked, all defaults filled in. Not here: reading it (daemon-file).

import type { Flavor, Image } from '../core/model.ts';
import type { ListenAddress } from './listen.ts';

/** Where VMs get their network. */
export type NetworkConfig =
  /** User-mode networking; VM N answers on `PREFIX.N` of the host. The prefix is three numbers of 127.0.0.0/8. */
  | { readonly kind: 'forward'; readonly prefix: string }
  /** One of libvirt's networks, such as `default`. */
  | { readonly kind: 'network'; readonly name: string }
  /** A bridge of the host. */
  | { readonly kind: 'bridge'; readonly name: string };

export type HostConfig =
  /** The libvirtd and the QEMUs that virtscale runs by itself, with their own pool and forwarded ports. */
  | { readonly kind: 'embedded'; readonly name: string; readonly forwardPrefix: string }
  | {
      readonly kind: 'libvirt';
      readonly name: string;
      readonly uri: string;
      /** The storage pool for the VMs' disks; with a `path`, a folder pool that is made when absent. */
      readonly pool: { readonly name: string; readonly path?: string };
      readonly network: NetworkConfig;
    };

export type ImageConfig =
  | { readonly kind: 'file'; readonly image: Image }
  /** The guest that virtscale builds by itself. */
  | { readonly kind: 'built'; readonly name: string };

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface DaemonConfig {
  /** The file it came from; absent when there is none. */
  readonly file?: string;
  readonly listen: ListenAddress;
  /** Absolute. */
  readonly stateDir: string;
  /** The folder of the policy files. Absolute. */
  readonly policiesDir: string;
  readonly pollMs: number;
  readonly hosts: readonly HostConfig[];
  readonly images: readonly ImageConfig[];
  readonly flavors: readonly Flavor[];
  readonly log: { readonly level: LogLevel };
  /** How many events are kept. */
  readonly events: { readonly keep: number };
}

/** The name of the guest image that virtscale builds. */
export const BUILT_IMAGE = 'backend';
/** Where an embedded host's VMs answer: 127.0.1.N. */
export const EMBEDDED_FORWARD_PREFIX = '127.0.1';
export const DEFAULT_POLL_MS = 1000;
export const DEFAULT_EVENTS_KEEP = 100_000;

/** Without a `flavors:` of one's own. 128 MiB is what the built guest needs to boot with room to spare. */
export const DEFAULT_FLAVORS: readonly Flavor[] = [
  { name: 'small', vcpus: 1, memoryMiB: 128 },
  { name: 'medium', vcpus: 1, memoryMiB: 256 },
  { name: 'large', vcpus: 2, memoryMiB: 512 },
];

export const DEFAULT_HOST: HostConfig = { kind: 'embedded', name: 'local', forwardPrefix: EMBEDDED_FORWARD_PREFIX };
