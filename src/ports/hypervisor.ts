// Port: one host's hypervisor. The contract on each method is what test/contracts/hypervisor.ts checks on every adapter.
// All calls: throw only `Fault`; honour `signal` (reject with `aborted`, soon, even if the host hangs); never block another host.

import type { Endpoint, Flavor, HostObservation, Image, ReadyCheck, VmMetadata } from '../core/model.ts';

/** Everything needed to make a VM of ours. `name` and `uuid` were chosen and stored before the first call. */
export interface VmSpec {
  readonly name: string;
  readonly uuid: string;
  readonly image: Image;
  readonly flavor: Flavor;
  readonly ready: ReadyCheck;
  /** Written into the domain's XML; the adapter adds the endpoint when it assigns one. */
  readonly metadata: VmMetadata;
}

export interface HostInfo {
  /** e.g. "9.0.0" */
  readonly libvirt: string;
  /** e.g. "7.2.22" */
  readonly qemu: string;
  readonly accel: 'kvm' | 'qemu';
  /** Why that accelerator, in words for people. */
  readonly accelReason: string;
}

export interface Hypervisor {
  /** The host's name in the configuration. */
  readonly host: string;

  /** Versions and accelerator. Connects when needed. */
  info(signal: AbortSignal): Promise<HostInfo>;

  /**
   * One poll: every domain of the host, with state and CPU counter, and the host's capacity. Cheap enough for each second:
   * it never waits for a stuck QEMU. All domains or a `Fault`, never a silently shorter list.
   */
  observe(signal: AbortSignal): Promise<HostObservation>;

  /**
   * Yields whenever something changed on the host (a domain started, stopped, was defined…; a connection came back), so that a
   * turn can begin early. Carries no facts: the next `observe` does. Ends when `signal` aborts. Missing a change is allowed.
   */
  changes(signal: AbortSignal): AsyncIterable<void>;

  /**
   * Makes the VM's disk: an overlay of the image. A disk of that name left by an interrupted try is replaced, never trusted;
   * one that a domain refers to is never touched (`conflict`). `refused` when the image is absent or not what it should be, or the pool is full.
   */
  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void>;

  /** Defines the domain with its metadata. Repeating it with the same uuid is no error. `conflict`: the name belongs to another uuid. Returns the endpoint when it is known beforehand (forwarded ports). */
  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }>;

  /** Starts a defined domain. One that runs already is no error. */
  start(uuid: string, signal: AbortSignal): Promise<void>;

  /** Where the guest can be reached on `port`; undefined while nobody knows yet. Asks the metadata, then DHCP leases, then the guest agent. */
  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined>;

  /** Asks the guest to shut down (ACPI, and the agent where there is one). Returns at once. A stopped or absent domain is no error. */
  shutdown(uuid: string, signal: AbortSignal): Promise<void>;

  /** Pulls the plug. A stopped or absent domain is no error; one without our metadata is refused (`conflict`). */
  destroy(uuid: string, signal: AbortSignal): Promise<void>;

  /** Forgets the domain's definition with everything libvirt keeps beside it. Refuses (`conflict`) one that runs or is not ours. An absent one is no error. */
  undefine(uuid: string, signal: AbortSignal): Promise<void>;

  /** Deletes the disk that `createDisk` made for this VM name. `conflict` when a domain still refers to it. An absent one is no error. */
  deleteDisk(vmName: string, signal: AbortSignal): Promise<void>;

  /** Names of disks in the pool that have the form virtscale gives them (`vmName` each), for finding leftovers. */
  listDisks(signal: AbortSignal): Promise<readonly string[]>;

  /** Lets connections go. VMs keep running. */
  close(): Promise<void>;
}
