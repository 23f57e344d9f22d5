// Port: moving a running VM between two hosts. Each host has its own; the contract on each method is what
// test/contracts/hypervisor-migration.ts checks on every pair of adapters. Faults and signals as in hypervisor.ts.

import type { Copy, DiskWay, MoveFigures } from '../core/migration.ts';
import type { CloudInit, Endpoint, ImageContent } from '../core/model.ts';

/** What a host says of itself to those it shall exchange VMs with. */
export interface MigrationOffer {
  /** How another host's libvirt reaches this one; absent: it is not said, and cannot be derived. */
  readonly uri?: string;
  /** Hosts of the same non-empty name have the same files under their pools. */
  readonly storage?: string;
}

/** A running VM as its host describes it to the target. What `xml` holds is between the two adapters. */
export interface MigrationSource {
  readonly uuid: string;
  readonly name: string;
  readonly accel: 'kvm' | 'qemu';
  readonly network: string;
  /** The pool's folder at the source. */
  readonly folder: string;
  /** Disks that the guest writes: each with its volume in the pool. */
  readonly disks: readonly {
    readonly target: string;
    readonly volume: string;
    readonly capacityBytes: number;
    readonly allocatedBytes: number;
    /** The first digits (16 at least) of the checksum of the placed image that it is an overlay of; absent: of none. */
    readonly below?: string;
  }[];
  /** Volumes that the guest only reads (its seed image). */
  readonly readOnly: readonly string[];
  /** What runs, and what is defined. */
  readonly xml: string;
  readonly persistentXml: string;
}

export interface MigrationOrder {
  readonly source: MigrationSource;
  readonly disks: DiskWay;
  /** With `changes`: the image below, which has been placed. */
  readonly image?: ImageContent & { readonly format: 'qcow2' | 'raw' };
  /** What the seed image is made from. */
  readonly cloudInit?: CloudInit;
}

/** What the source must know of the target. */
export interface MigrationArrival {
  readonly uri: string;
  /** Where clients will reach it; absent: as before. */
  readonly endpoint?: Endpoint;
  readonly xml: string;
  readonly persistentXml: string;
}

export interface MoveOptions {
  readonly disks: DiskWay;
  readonly diskTargets: readonly string[];
  readonly bandwidthMiBps?: number;
}

export interface MigrationDriver {
  offer(signal: AbortSignal): Promise<MigrationOffer>;

  /**
   * Of a VM of ours that runs. `conflict`: it does not run, is paused, or libvirt is at work on it. `refused`: it cannot be moved as it is
   * (it has snapshots, a device of the host, a disk outside the pool), with what can be done about it. `gone`: there is no such domain.
   */
  describe(uuid: string, signal: AbortSignal): Promise<MigrationSource>;

  /**
   * At the target: room is looked for, volumes are made and an address is chosen that no other VM has or is coming to. What an earlier try
   * has left is replaced; what a domain refers to is not touched (`conflict`). `refused`: this host cannot take it, and why.
   */
  prepare(order: MigrationOrder, signal: AbortSignal): Promise<MigrationArrival>;

  /**
   * At the source: moves it, peer to peer, and resolves when it has gone: the target's copy is whole, defined and **paused**, the source's is
   * neither running nor defined. Takes as long as it takes and holds up no other call. When it rejects, or `signal` aborts it, the moving may
   * go on: only a look at both hosts tells. `refused`: libvirt said no, and the VM runs on at the source.
   */
  move(uuid: string, arrival: MigrationArrival, options: MoveOptions, signal: AbortSignal): Promise<void>;

  /** Calls the moving off, at the source. Nothing under way is no error. */
  cancel(uuid: string, signal: AbortSignal): Promise<void>;

  /** At the source while it moves, at the target afterwards; undefined: nothing is known (yet, any more). */
  figures(uuid: string, signal: AbortSignal): Promise<MoveFigures | undefined>;

  /** What this host has of it now, asked past every cache. */
  look(uuid: string, signal: AbortSignal): Promise<Copy>;

  /** At the target: the address that `prepare` chose is free again (it has come, or will not). */
  forget(uuid: string): void;
}
