// The domains of a simulated machine, and what libvirt would do with them: each act throws what it would answer.
// Not here: disks and images (memory-pool), what gets lost on the way (memory-hypervisor).

import type { Endpoint, VmMetadata } from '../../../core/model.ts';
import { Fault } from '../../../ports/fault.ts';
import type { GuestAddress, VmSpec } from '../../../ports/hypervisor.ts';
import {
  beginBoot,
  countCpu,
  type GuestState,
  goOn,
  type LoadFunction,
  type NewGuest,
  newGuest,
} from './memory-guest.ts';
import type { MemoryNotes } from './memory-notes.ts';
import type { HypervisorCall, TroubleScript } from './memory-script.ts';

export interface MemoryDomainsOptions {
  readonly host: string;
  readonly script: TroubleScript;
  readonly notes: MemoryNotes;
  readonly addressPrefix: string;
  readonly network: 'forward' | 'lease';
  readonly leaseMs: number;
  /** The disk of that VM name; undefined: there is none. `complete`: not left by an interrupted clone. */
  readonly diskOf: (vmName: string) => { readonly complete: boolean } | undefined;
  readonly onChange: () => void;
  /** Addresses that are kept for guests on their way here. */
  readonly coming: () => readonly string[];
}

type Conditions = { readonly load: LoadFunction; readonly bootLoad: number };

export class MemoryDomains {
  readonly #options: MemoryDomainsOptions;
  readonly #guests = new Map<string, GuestState>();
  #leases = 0;

  constructor(options: MemoryDomainsOptions) {
    this.#options = options;
  }

  all(): Iterable<GuestState> {
    return this.#guests.values();
  }

  get(uuid: string): GuestState | undefined {
    return this.#guests.get(uuid);
  }

  userOfDisk(vmName: string): GuestState | undefined {
    for (const guest of this.#guests.values()) if (guest.disk === vmName) return guest;
    return undefined;
  }

  passTime(nowMs: number, { bootLoad, load }: Conditions): void {
    for (const guest of this.#guests.values()) {
      if (!guest.running || guest.pausedAtMs !== undefined) continue;
      countCpu(guest, Math.min(nowMs, guest.shutdownAtMs), load, bootLoad);
      if (guest.shutdownAtMs <= nowMs) this.#stop(guest);
    }
  }

  // --- definitions ------------------------------------------------------------------------------------------------

  define(spec: VmSpec): { endpoint?: Endpoint } {
    const { addressPrefix, host, network, notes, onChange } = this.#options;
    for (const other of this.#guests.values()) {
      const same = other.name === spec.name && other.uuid === spec.uuid;
      const neither = other.name !== spec.name && other.uuid !== spec.uuid;
      if (neither || (same && other.metadata !== undefined)) continue;
      const what = `define ${spec.name} (${spec.uuid}): ${other.name} (${other.uuid}) is there`;
      if (other.metadata === undefined) notes.refuse(what);
      else notes.violate(`second domain of one name or uuid: ${what}`);
      throw new Fault('conflict', `host ${host}: ${what}`);
    }
    const known = this.#guests.get(spec.uuid);
    const forwarded = known?.forwarded ?? (network === 'lease' ? undefined : this.#freeEndpoint(addressPrefix));
    const { networks } = spec;
    const metadata = {
      ...spec.metadata,
      ...(forwarded && { endpoint: forwarded }),
      ...(networks?.length && { networks }),
    };
    if (known === undefined) {
      const { vcpus, memoryMiB } = spec.flavor;
      this.insert({ uuid: spec.uuid, name: spec.name, vcpus, memoryMiB, disk: spec.name, metadata, forwarded });
    } else {
      known.metadata = metadata;
    }
    this.#check();
    onChange();
    return forwarded === undefined ? {} : { endpoint: forwarded };
  }

  insert(guest: Omit<NewGuest, 'lease'>): void {
    this.#leases += 1;
    // Hosts that share their network give no address twice.
    const host = this.#options.addressPrefix.split('.').at(-1);
    const lease = `10.${host}.${(this.#leases >> 8) & 255}.${this.#leases & 255}`;
    this.#guests.set(guest.uuid, newGuest({ ...guest, lease }));
  }

  forget(uuid: string): void {
    const guest = this.#guests.get(uuid);
    if (guest === undefined) return;
    this.#mustBeOurs('undefine', guest);
    if (guest.metadata?.adopted === true) {
      this.#options.notes.violate(`undefine of ${guest.name} (${uuid}), which was adopted`);
      throw new Fault('conflict', `host ${this.#options.host}: domain ${guest.name} was made by somebody else`);
    }
    if (guest.running) {
      this.#options.notes.refuse(`undefine ${guest.name}: it runs`);
      throw new Fault('conflict', `host ${this.#options.host}: domain ${guest.name} runs`);
    }
    this.remove(uuid);
  }

  /** A copy of another host's guest begins to arrive: it holds its disk and stands still. */
  takeIn(from: GuestState, forwarded: Endpoint | undefined, atMs: number): void {
    const { diskOf, notes, onChange } = this.#options;
    const { disk, memoryMiB, metadata, name, uuid, vcpus } = from;
    if (disk !== undefined && diskOf(disk)?.complete !== true) notes.violate(`${name} arrived without a whole disk`);
    const known = metadata && (forwarded === undefined ? metadata : { ...metadata, endpoint: forwarded });
    this.insert({ uuid, name, vcpus, memoryMiB, disk, metadata: known, forwarded });
    const guest = this.#mustExist(uuid);
    guest.lease = from.lease;
    guest.running = true;
    guest.arriving = true;
    guest.pausedAtMs = atMs;
    guest.countedToMs = atMs;
    this.#check();
    onChange();
  }

  changed(): void {
    this.#options.onChange();
  }

  /** An address for a guest that is coming; undefined where none are forwarded. */
  freeForward(coming: readonly string[]): Endpoint | undefined {
    return this.#options.network === 'lease' ? undefined : this.#freeEndpoint(this.#options.addressPrefix, coming);
  }

  /** Whoever does it, however it stands. */
  remove(uuid: string): void {
    this.#guests.delete(uuid);
    this.#options.onChange();
  }

  adopt(uuid: string, metadata: VmMetadata): void {
    const guest = this.#mustExist(uuid);
    const before = guest.metadata;
    if (before !== undefined && before.id !== metadata.id) {
      throw new Fault('conflict', `host ${this.#options.host}: domain ${guest.name} is VM ${before.id} already`);
    }
    guest.metadata = metadata;
    this.#options.onChange();
  }

  release(uuid: string): void {
    const guest = this.#guests.get(uuid);
    if (guest?.metadata === undefined) return;
    guest.metadata = undefined;
    this.#options.onChange();
  }

  // --- power ------------------------------------------------------------------------------------------------------

  boot(uuid: string, atMs: number, bootMs: number): void {
    const { diskOf, host, notes, onChange } = this.#options;
    const guest = this.#mustExist(uuid);
    if (guest.running) return;
    if (guest.metadata !== undefined && guest.metadata.adopted !== true && guest.disk !== undefined) {
      const disk = diskOf(guest.disk);
      if (disk === undefined) throw new Fault('refused', `host ${host}: domain ${guest.name} has no disk`);
      if (!disk.complete) notes.violate(`${guest.name} booted from a half-made disk`);
    }
    guest.running = true;
    guest.saved = false;
    guest.startedAtMs = atMs;
    guest.cpuTimeNs = 0;
    guest.countedToMs = atMs;
    guest.console = '';
    this.#beginBoot(guest, atMs, bootMs);
    this.#check();
    onChange();
  }

  /** Another guest's memory goes on in it: it serves soon, and believes to be the template. */
  fork(uuid: string, atMs: number, afterMs: number): void {
    const guest = this.#mustExist(uuid);
    if (guest.running) return;
    this.boot(uuid, atMs, afterMs);
    guest.hostname = 'template';
  }

  personalise(uuid: string, hostname: string, atMs: number): void {
    const guest = this.#mustRun('personalised', uuid);
    if (guest.readyAtMs > atMs || this.#options.script.hits('agentless', uuid, atMs))
      throw new Fault('busy', `host ${this.#options.host}: the agent of ${guest.name} does not answer`);
    guest.hostname = hostname;
  }

  save(uuid: string): void {
    const guest = this.#guests.get(uuid);
    if (guest?.running !== true && guest?.saved === true) return;
    const saved = this.#mustRun('saved', uuid);
    this.#stop(saved);
    saved.saved = true;
  }

  pause(uuid: string, atMs: number): void {
    const guest = this.#mustRun('paused', uuid);
    guest.pausedAtMs ??= atMs;
    this.#options.onChange();
  }

  resume(uuid: string, atMs: number): void {
    goOn(this.#mustRun('resumed', uuid), atMs);
    this.#options.onChange();
  }

  /** `afterMs`: what the guest takes to go down before it comes up. */
  reboot(uuid: string, atMs: number, afterMs: number, bootMs: number): void {
    const guest = this.#mustRun('rebooted', uuid);
    if (this.#options.script.hits('ignores-shutdown', uuid, atMs)) return;
    this.#beginBoot(guest, atMs, afterMs + bootMs);
  }

  reset(uuid: string, atMs: number, bootMs: number): void {
    this.#beginBoot(this.#mustRun('reset', uuid), atMs, bootMs);
  }

  askToShutDown(uuid: string, atMs: number, afterMs: number): void {
    const guest = this.#guests.get(uuid);
    if (guest?.running !== true || this.#options.script.hits('ignores-shutdown', uuid, atMs)) return;
    guest.shutdownAtMs = Math.min(guest.shutdownAtMs, (guest.pausedAtMs ?? atMs) + afterMs);
  }

  pullPlug(uuid: string): void {
    const guest = this.#guests.get(uuid);
    if (guest?.running !== true) return;
    this.#mustBeOurs('destroy', guest);
    this.#stop(guest);
  }

  /** QEMU dies. */
  kill(uuid: string): void {
    const guest = this.#guests.get(uuid);
    if (guest?.running === true) this.#stop(guest);
  }

  #beginBoot(guest: GuestState, atMs: number, bootMs: number): void {
    beginBoot(guest, atMs, bootMs, this.#options.script.hits('never-ready', guest.uuid, atMs));
  }

  #stop(guest: GuestState): void {
    guest.running = false;
    guest.pausedAtMs = undefined;
    guest.shutdownAtMs = Number.POSITIVE_INFINITY;
    this.#options.onChange();
  }

  // --- looking ----------------------------------------------------------------------------------------------------

  endpointOf(uuid: string, port: number, atMs: number): Endpoint | undefined {
    const guest = this.#guests.get(uuid);
    if (guest === undefined) return undefined;
    if (guest.forwarded !== undefined) return guest.forwarded;
    return this.#hasLease(guest, atMs) ? { address: guest.lease, port } : undefined;
  }

  addressesOf(uuid: string, atMs: number): GuestAddress[] {
    const guest = this.#guests.get(uuid);
    if (guest === undefined) return [];
    if (guest.forwarded !== undefined) return [{ address: guest.forwarded.address, source: 'forward' }];
    return this.#hasLease(guest, atMs) ? [{ address: guest.lease, source: 'lease', interface: 'vnet0' }] : [];
  }

  consoleOf(uuid: string, atMs: number): string {
    const guest = this.#mustExist(uuid);
    if (guest.metadata === undefined || guest.metadata.adopted === true) {
      throw new Fault('refused', `host ${this.#options.host}: virtscale did not make domain ${guest.name}`);
    }
    return guest.readyAtMs <= atMs && guest.running ? `${guest.console}${guest.name}: ready\n` : guest.console;
  }

  #hasLease(guest: GuestState, atMs: number): boolean {
    return guest.running && atMs >= guest.startedAtMs + this.#options.leaseMs;
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  #freeEndpoint(addressPrefix: string, coming: readonly string[] = this.#options.coming()): Endpoint {
    const taken = new Set([...Array.from(this.#guests.values(), ({ forwarded }) => forwarded?.address), ...coming]);
    for (let last = 1; last <= 254; last += 1) {
      const address = `${addressPrefix}.${last}`;
      if (!taken.has(address)) return { address, port: 8080 };
    }
    throw new Fault('refused', `host ${this.#options.host}: no free address left for a forwarded port`);
  }

  #mustExist(uuid: string): GuestState {
    const guest = this.#guests.get(uuid);
    if (guest === undefined) throw new Fault('refused', `host ${this.#options.host}: no domain ${uuid}`);
    return guest;
  }

  #mustRun(done: string, uuid: string): GuestState {
    const guest = this.#guests.get(uuid);
    if (guest?.running === true) return guest;
    const what = guest === undefined ? `there is no domain ${uuid}` : `domain ${guest.name} does not run`;
    throw new Fault('conflict', `host ${this.#options.host}: ${what}, so it cannot be ${done}`);
  }

  #mustBeOurs(call: HypervisorCall, guest: GuestState): void {
    if (guest.metadata !== undefined) return;
    this.#options.notes.violate(`${call} of ${guest.name} (${guest.uuid}), which is not virtscale's`);
    throw new Fault('conflict', `host ${this.#options.host}: domain ${guest.name} is not virtscale's`);
  }

  /** What no sequence of calls may bring about, however the answers got lost. */
  #check(): void {
    const disks = new Map<string, string>();
    const addresses = new Map<string, string>();
    for (const guest of this.#guests.values()) {
      for (const [seen, key, what] of [
        [disks, guest.disk, 'disk'],
        [addresses, guest.forwarded?.address, 'address'],
      ] as const) {
        const other = key === undefined ? undefined : seen.get(key);
        if (other !== undefined) {
          this.#options.notes.violate(`two domains of one ${what}: ${other} and ${guest.name} on ${key}`);
        }
        if (key !== undefined) seen.set(key, guest.name);
      }
    }
  }
}
