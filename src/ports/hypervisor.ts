// Port: one host's hypervisor. The contract on each method is what test/contracts/hypervisor.ts checks on every adapter.
// All calls: throw only `Fault`; honour `signal` (reject with `aborted`, soon, even if the host hangs); never block another host.

import type {
  CloudInit,
  ClusterNetwork,
  Endpoint,
  Flavor,
  HostObservation,
  Image,
  ImageContent,
  ReadyCheck,
  VmMetadata,
} from '../core/model.ts';
import type { GuestCommands } from './guest-commands.ts';
import type { Hardware } from './hardware.ts';
import type { MigrationDriver } from './migration.ts';
import type { Snapshots } from './snapshots.ts';

/** Everything needed to make a VM of ours. `name` and `uuid` were chosen and stored before the first call. */
export interface VmSpec {
  readonly name: string;
  readonly uuid: string;
  /** Absent: an empty disk of the flavor's size. */
  readonly image?: Image;
  readonly flavor: Flavor;
  /** Its port is the one that is forwarded where ports are; absent: 80. */
  readonly ready?: ReadyCheck;
  /** The key of the template it is forked from (`makeTemplate`): its disk is an overlay of that one's, and it begins with its memory. */
  readonly template?: string;
  /** Given to the guest as a NoCloud seed image, made and removed with the disk. */
  readonly cloudInit?: CloudInit;
  /**
   * Further cards, each on a network that is the same on every host of the fleet. The guest is told its addresses by the kernel's arguments
   * (an image that boots a kernel directly) or by cloud-init. None with `template`: a fork has the cards that its template has.
   */
  readonly networks?: readonly ClusterNetwork[];
  /** Written into the domain's XML; the adapter adds the endpoint when it assigns one, and the networks. */
  readonly metadata: VmMetadata;
}

/** What a template is made from. VMs of the same image, flavor and setup share it, whatever group they are in. */
export interface TemplateSpec {
  readonly image: Image;
  readonly flavor: Flavor;
  readonly ready: ReadyCheck;
  /** Told to the template's guest; its host name is the template's. */
  readonly cloudInit?: CloudInit;
}

/** A saved template on a host. */
export interface SavedTemplate {
  readonly key: string;
  /** Of the saved memory and the frozen disk together. */
  readonly bytes: number;
}

/** Who a guest shall be, told to it by its agent. */
export interface GuestIdentity {
  readonly hostname: string;
  /** 32 hex digits, as in /etc/machine-id. */
  readonly machineId: string;
  /**
   * `fork`: everything that a copy of another guest must have of its own: host name, machine id, entropy, ssh host keys, clock, and where
   * guests share a network card address and address, the link being down until then. `woken`: the clock, which stood still.
   */
  readonly after: 'fork' | 'woken';
}

/** What a poll brings beyond states and CPU counters. */
export interface ObserveWants {
  /** By uuid, whose counters are wanted each time although they are not ours; those of other strangers may then be a few polls old. Absent: everybody's. */
  readonly isWatched?: (uuid: string) => boolean;
  /** By uuid, of whom `stats` are wanted, at most a few seconds old. Absent: of nobody. */
  readonly wantsStats?: (uuid: string) => boolean;
}

export interface HostInfo {
  /** e.g. "9.0.0" */
  readonly libvirt: string;
  /** e.g. "7.2.22" */
  readonly qemu: string;
  readonly accel: 'kvm' | 'qemu';
  /** Why that accelerator, in words for people. */
  readonly accelReason: string;
  /** As libvirt names it, e.g. "x86_64", and the CPU model of the host's capabilities, e.g. "Skylake-Server-IBRS"; absent: not told. */
  readonly arch?: string;
  readonly cpuModel?: string;
}

/** An address of a guest and who knows it. */
export interface GuestAddress {
  readonly address: string;
  /** `forward`: a port of the host leads to it. */
  readonly source: 'agent' | 'lease' | 'arp' | 'forward';
  readonly interface?: string;
  readonly mac?: string;
}

/** An image brought to a host by virtscale. */
export interface PlacedImage {
  readonly sha256: string;
  readonly fileBytes: number;
}

/** Opens an image's bytes from the beginning, as often as asked. */
export type ImageReader = (signal: AbortSignal) => AsyncIterable<Uint8Array>;

export interface Hypervisor {
  /** The host's name in the configuration. */
  readonly host: string;

  /** Going back to what a VM was. */
  readonly snapshots: Snapshots;
  /** Programs run inside guests. */
  readonly guest: GuestCommands;
  /** Changing what one VM is made of. */
  readonly hardware: Hardware;
  /** Moving a running VM to another host. */
  readonly migration: MigrationDriver;

  /** Versions and accelerator. Connects when needed. */
  info(signal: AbortSignal): Promise<HostInfo>;

  /**
   * One poll: every domain of the host, with state and CPU counter, and the host's capacity. Cheap enough for each second:
   * it never waits for a stuck QEMU. All domains or a `Fault`, never a silently shorter list. `stats` are read aside, at a slower beat,
   * and come with a later poll; one stuck QEMU delays at most those.
   */
  observe(signal: AbortSignal, wants?: ObserveWants): Promise<HostObservation>;

  /**
   * Yields whenever something changed on the host (a domain started, stopped, was defined…; a connection came back), so that a
   * turn can begin early. Carries no facts: the next `observe` does. Ends when `signal` aborts. Missing a change is allowed.
   */
  changes(signal: AbortSignal): AsyncIterable<void>;

  /**
   * Sees to it that an image of `content` lies on the host: where it does already, nothing is read. Bytes go through libvirt's own
   * stream under a temporary name, are checked for length and checksum, and only then become the image: what a crash leaves half
   * done is never taken for one, and is replaced. Several calls for the same image at once bring it once. `refused`: the bytes are not
   * those of `content` (length, checksum), or no space. `onBytes` tells how many have gone so far.
   */
  placeImage(
    image: Image & { readonly content: ImageContent },
    read: ImageReader,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void>;

  /** Images that `placeImage` brought, finished ones only. */
  listImages(signal: AbortSignal): Promise<readonly PlacedImage[]>;

  /** Deletes an image that `placeImage` brought. `conflict` when a disk in the pool or a domain refers to it. An absent one is no error. */
  removeImage(sha256: string, signal: AbortSignal): Promise<void>;

  /**
   * Makes the VM's disk (and its seed image for cloud-init): an overlay of the image, which for one with `content` must have been
   * placed, or an empty disk. A flavor's disk smaller than the image is `refused`. A disk of that name left by an interrupted try is replaced, never trusted;
   * one that a domain refers to is never touched (`conflict`). `refused` when the image is absent or not what it should be, or the pool is full.
   */
  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void>;

  /** Defines the domain with its metadata. Repeating it with the same uuid is no error. `conflict`: the name belongs to another uuid. Returns the endpoint when it is known beforehand (forwarded ports). */
  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }>;

  /** Starts a defined domain. One that runs already is no error. */
  start(uuid: string, signal: AbortSignal): Promise<void>;

  /**
   * The key of the template that VMs of this spec would be forked from on this host now: it changes with image, flavor, setup, the versions of
   * libvirt and QEMU, the host's CPU and how domains are made. `refused`: a fork is not possible on this host, and why (an unknown format
   * of saved memory, say).
   */
  templateKey(spec: TemplateSpec, signal: AbortSignal): Promise<string>;

  /**
   * Boots a VM of this spec, waits until it serves and its agent answers, saves its memory and freezes its disk. Where the template is there
   * already, nothing is done. What an interrupted try left is removed first; half a template never counts. Takes as long as a boot and a
   * save; `signal` ends it and removes what there is. `refused`: no agent answers in the guest, no space, or the saved memory is not of a
   * form we know. The domain is not among `observe`'s as a VM of ours.
   */
  makeTemplate(
    spec: TemplateSpec,
    isReady: (endpoint: Endpoint | undefined, signal: AbortSignal) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<SavedTemplate>;

  /** Whole ones only. */
  listTemplates(signal: AbortSignal): Promise<readonly SavedTemplate[]>;

  /** `conflict` while a disk in the pool or a domain refers to its disk: the memory goes, the disk stays until nobody does. An absent one is no error. */
  removeTemplate(key: string, signal: AbortSignal): Promise<void>;

  /**
   * In place of `start`, for a spec with `template`, after `createDisk` and `define`: the domain runs from the template's memory, with its own name,
   * uuid, card address and disk. One that runs already is no error. `refused` when the template is gone or its header is not as it should be.
   */
  fork(spec: VmSpec, signal: AbortSignal): Promise<void>;

  /** Makes a forked or woken guest its own, by its agent. Repeating it is no error. `busy`: the agent does not answer yet; `refused`: the guest cannot. */
  personalise(uuid: string, identity: GuestIdentity, signal: AbortSignal): Promise<void>;

  /** Saves a running or paused domain's memory; it is stopped then, and the next `start` goes on from there. One that does not run is `conflict`, one saved already no error. */
  save(uuid: string, signal: AbortSignal): Promise<void>;

  /** Whether the guest's agent answers, within `timeoutMs`. */
  agentAnswers(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<boolean>;

  /** Stops and continues the vCPUs. One that is so already is no error; one that does not run is `conflict`. */
  pause(uuid: string, signal: AbortSignal): Promise<void>;
  resume(uuid: string, signal: AbortSignal): Promise<void>;

  /** Asks the guest to reboot (agent, else ACPI). Returns at once. `conflict` when it does not run. */
  reboot(uuid: string, signal: AbortSignal): Promise<void>;

  /** The reset button. `conflict` when it does not run. */
  reset(uuid: string, signal: AbortSignal): Promise<void>;

  /** Everything anybody knows about the guest's addresses: agent, leases, ARP, forwards. Empty when nobody knows any (yet). */
  addresses(uuid: string, signal: AbortSignal): Promise<readonly GuestAddress[]>;

  /** The last `maxBytes` of what the guest wrote to its serial console since it was started; empty when there is nothing. `refused` for domains that virtscale did not make. */
  console(uuid: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>;

  /**
   * Writes our metadata into a domain that somebody else made, so that it is ours from now on (its definition, and what runs).
   * `conflict` when another virtscale VM is written there already. `release` takes it out again; absent metadata is no error.
   */
  adopt(uuid: string, metadata: VmMetadata, signal: AbortSignal): Promise<void>;
  release(uuid: string, signal: AbortSignal): Promise<void>;

  /** Where the guest can be reached on `port`; undefined while nobody knows yet. Asks the metadata, then DHCP leases, then the guest agent. */
  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined>;

  /** Asks the guest to shut down (ACPI, and the agent where there is one). Returns at once. A stopped or absent domain is no error. */
  shutdown(uuid: string, signal: AbortSignal): Promise<void>;

  /** Pulls the plug. A stopped or absent domain is no error; one without our metadata is refused (`conflict`). */
  destroy(uuid: string, signal: AbortSignal): Promise<void>;

  /** Forgets the domain's definition with everything libvirt keeps beside it. Refuses (`conflict`) one that runs or is not ours. An absent one is no error. */
  undefine(uuid: string, signal: AbortSignal): Promise<void>;

  /** Deletes what `createDisk` made for this VM name, and its console log. `conflict` when a domain still refers to it. An absent one is no error. */
  deleteDisk(vmName: string, signal: AbortSignal): Promise<void>;

  /** Names of disks in the pool that have the form virtscale gives them (`vmName` each), for finding leftovers. */
  listDisks(signal: AbortSignal): Promise<readonly string[]>;

  /** Lets connections go. VMs keep running. */
  close(): Promise<void>;
}
