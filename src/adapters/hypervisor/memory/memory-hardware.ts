// What simulated domains are made of, and what libvirt and the guest would do when it is changed: each act throws what it would answer.
// Not here: domains and their power (memory-domains), the port's calls (memory-hypervisor).

import type { NicKind, Sizes, VmHardware } from '../../../core/hardware.ts';
import { Fault } from '../../../ports/fault.ts';
import type { FileSystemGrowth } from '../../../ports/hardware.ts';
import type { GuestState } from './memory-guest.ts';

export interface MemoryHardwareOptions {
  readonly host: string;
  readonly guestOf: (uuid: string) => GuestState | undefined;
  /** Gives the file system in the guest no more than it had. */
  readonly diskGiB: (vmName: string) => number | undefined;
  readonly isFull: (atMs: number) => boolean;
  readonly onChange: () => void;
}

interface Nic {
  readonly mac: string;
  readonly kind: NicKind;
  now: boolean;
  next: boolean;
}

interface Made {
  next: Sizes;
  now: Sizes | undefined;
  online: number;
  diskBytes: number;
  /** What the file system in the guest has of it. */
  fileSystemBytes: number;
  readonly nics: Nic[];
  slots: number;
  /** The start that `now` is of. */
  startedAtMs: number;
}

const GIB = 1024 ** 3;

export class MemoryHardware {
  /** The balloon of these guests does not move. */
  readonly stuckBalloons = new Set<string>();
  /** These have no agent. */
  readonly agentless = new Set<string>();
  readonly #options: MemoryHardwareOptions;
  readonly #made = new Map<string, Made>();

  constructor(options: MemoryHardwareOptions) {
    this.#options = options;
  }

  /** Defined, or gone and defined anew. */
  begins(uuid: string, sizes: Sizes, spareNics: number): void {
    this.#made.set(uuid, this.#new(sizes, spareNics, uuid));
  }

  look(uuid: string, atMs: number): VmHardware {
    const [guest, made] = this.#of(uuid);
    const { diskBytes, next, nics, now, online } = made;
    const used = nics.filter((nic) => nic.now && nic.kind !== 'forward').length;
    return {
      running: guest.running,
      saved: guest.saved && !guest.running,
      next,
      ...(now && { now }),
      ...(now && this.#hasAgent(guest, atMs) && { onlineVcpus: online }),
      ...(guest.disk !== undefined && { diskBytes }),
      nics: nics.filter((nic) => nic.now || nic.next).map((nic) => ({ ...nic })),
      freeSlots: guest.running ? Math.max(0, made.slots - used) : 0,
    };
  }

  growDisk(uuid: string, bytes: number, atMs: number): void {
    const [guest, made] = this.#ours(uuid);
    if (guest.disk === undefined) throw this.#refused(`domain ${guest.name} has no disk that can be grown`);
    if (bytes === made.diskBytes) return;
    if (bytes < made.diskBytes) throw this.#refused(`the disk of ${guest.name} has ${made.diskBytes} bytes already`);
    if (!guest.running) this.#mustNotBeSaved(guest);
    if (this.#options.isFull(atMs)) throw this.#refused('no space left in the pool');
    made.diskBytes = bytes;
  }

  growFileSystem(uuid: string, atMs: number): FileSystemGrowth {
    const [guest, made] = this.#of(uuid);
    if (!guest.running) return { grown: false, text: 'it does not run' };
    if (!this.#hasAgent(guest, atMs)) return { grown: false, text: 'no agent answers in the guest: grow it by hand' };
    made.fileSystemBytes = made.diskBytes;
    return { grown: true, text: `the file system in the guest has grown: ${made.fileSystemBytes} bytes` };
  }

  define(uuid: string, sizes: Sizes): void {
    const [guest, made] = this.#ours(uuid);
    this.#mustNotBeSaved(guest);
    if (sizes.vcpus > sizes.maxVcpus || sizes.memoryMiB > sizes.maxMemoryMiB)
      throw this.#refused('more than its maximum');
    made.next = sizes;
    if (!guest.running) this.#tell(guest, sizes);
  }

  setMemory(uuid: string, memoryMiB: number): void {
    const [guest, made] = this.#ours(uuid);
    const now = this.#now(guest, made);
    if (memoryMiB > now.maxMemoryMiB) throw this.#refused(`${memoryMiB} MiB are more than its maximum`);
    if (this.stuckBalloons.has(uuid)) return;
    made.now = { ...now, memoryMiB };
    this.#tell(guest, made.now);
  }

  setVcpus(uuid: string, vcpus: number, atMs: number): void {
    const [guest, made] = this.#ours(uuid);
    const now = this.#now(guest, made);
    if (vcpus > now.maxVcpus) throw this.#refused(`${vcpus} vCPUs are more than its maximum`);
    if (vcpus > now.vcpus) {
      made.now = { ...now, vcpus };
      this.#tell(guest, made.now);
    }
    if (!this.#hasAgent(guest, atMs)) {
      throw new Fault('busy', `host ${this.#options.host}: no agent answers in ${guest.name}`);
    }
    made.online = vcpus;
  }

  attachNic(uuid: string, mac: string, live: boolean, atMs: number): void {
    const [guest, made] = this.#ours(uuid);
    if (!guest.running) this.#mustNotBeSaved(guest);
    const plugs = live && guest.running;
    const known = made.nics.find((nic) => nic.mac === mac);
    if (plugs && known?.now !== true && this.look(uuid, atMs).freeSlots === 0) {
      throw this.#refused(`domain ${guest.name} has no free slot`);
    }
    if (known === undefined) made.nics.push({ mac, kind: 'user', now: plugs, next: true });
    else Object.assign(known, { now: known.now || plugs, next: true });
  }

  detachNic(uuid: string, mac: string, live: boolean): void {
    const [, made] = this.#ours(uuid);
    const nic = made.nics.find((one) => one.mac === mac);
    if (nic?.kind === 'forward') throw this.#refused(`card ${mac} is the one it is reached by`);
    if (nic === undefined) return;
    nic.next = false;
    if (live) nic.now = false;
  }

  /** What the file system in the guest has: for tests, not for the engine. */
  fileSystemBytes(uuid: string): number | undefined {
    return this.#made.get(uuid)?.fileSystemBytes;
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  #of(uuid: string): readonly [GuestState, Made] {
    const guest = this.#options.guestOf(uuid);
    if (guest === undefined) throw new Fault('gone', `host ${this.#options.host}: no domain ${uuid}`);
    const sizes = {
      vcpus: guest.vcpus,
      maxVcpus: guest.vcpus,
      memoryMiB: guest.memoryMiB,
      maxMemoryMiB: guest.memoryMiB,
    };
    const made = this.#made.get(uuid) ?? this.#new(sizes, 0, uuid);
    this.#made.set(uuid, made);
    this.#catchUp(guest, made);
    return [guest, made];
  }

  #ours(uuid: string): readonly [GuestState, Made] {
    const [guest, made] = this.#of(uuid);
    if (guest.metadata === undefined) {
      throw new Fault('conflict', `host ${this.#options.host}: domain ${guest.name} is not virtscale's`);
    }
    return [guest, made];
  }

  /** Each start brings what was defined by then. Nothing is defined unseen, so what is defined now was defined then. */
  #catchUp(guest: GuestState, made: Made): void {
    if (!guest.running) {
      made.now = undefined;
      for (const nic of made.nics) nic.now = false;
      return;
    }
    if (made.now !== undefined && made.startedAtMs === guest.startedAtMs) return;
    made.startedAtMs = guest.startedAtMs;
    made.now = made.next;
    made.online = made.next.vcpus;
    for (const nic of made.nics) nic.now = nic.next;
    this.#tell(guest, made.next);
  }

  #new(sizes: Sizes, spareNics: number, uuid: string): Made {
    const guest = this.#options.guestOf(uuid);
    const diskBytes = ((guest?.disk && this.#options.diskGiB(guest.disk)) || 1) * GIB;
    const mac = `52:54:00:${uuid.slice(-6).replace(/(..)(..)(..)/, '$1:$2:$3')}`;
    return {
      next: sizes,
      now: undefined,
      online: sizes.vcpus,
      diskBytes,
      fileSystemBytes: diskBytes,
      nics: [{ mac, kind: guest?.forwarded === undefined ? 'network' : 'forward', now: false, next: true }],
      // The first card of a network has a place of its own.
      slots: spareNics + (guest?.forwarded === undefined ? 1 : 0),
      startedAtMs: Number.NaN,
    };
  }

  #now(guest: GuestState, { now }: Made): Sizes {
    if (now !== undefined) return now;
    throw new Fault('conflict', `host ${this.#options.host}: domain ${guest.name} does not run`);
  }

  #hasAgent({ pausedAtMs, readyAtMs, running, uuid }: GuestState, atMs: number): boolean {
    return running && pausedAtMs === undefined && readyAtMs <= atMs && !this.agentless.has(uuid);
  }

  #mustNotBeSaved(guest: GuestState): void {
    if (guest.saved && !guest.running) throw this.#refused(`the memory of ${guest.name} is saved`);
  }

  /** As the polls see it. */
  #tell(guest: GuestState, { memoryMiB, vcpus }: Sizes): void {
    guest.vcpus = vcpus;
    guest.memoryMiB = memoryMiB;
    this.#options.onChange();
  }

  #refused(what: string): Fault {
    return new Fault('refused', `host ${this.#options.host}: ${what}`);
  }
}
