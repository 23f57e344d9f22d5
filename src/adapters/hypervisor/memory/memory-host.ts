// One simulated machine: its domains, disks, counters, and the queue of calls that are under way on it.
// The state outlives every adapter instance, as real VMs outlive the daemon. Not here: the port (memory-hypervisor).

import type { Endpoint, HostCapacity, HostName, VmMetadata } from '../../../core/model.ts';
import { Fault } from '../../../ports/fault.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import { countCpu, type GuestState, type LoadFunction, reportedCpuTimeNs } from './memory-guest.ts';
import { CallQueue, type Ticket } from './memory-queue.ts';
import { type HypervisorCall, type Trouble, type TroubleKind, TroubleScript } from './memory-script.ts';

export interface MemoryHostOptions {
  readonly name: HostName;
  /** Engine time at which the machine comes into being; from then on the adapter passes the time in. */
  readonly startMs: number;
  readonly cpus?: number;
  readonly memoryMiB?: number;
  readonly diskGiB?: number;
  /** `forward`: the endpoint is known when the domain is defined. `lease`: some time after the start. */
  readonly network?: 'forward' | 'lease';
  /** First three bytes of the guests' addresses. */
  readonly addressPrefix?: string;
  /** Call → answer, without troubles. The effect is half way. */
  readonly latencyMs?: number | ((call: HypervisorCall) => number);
  /** Start → serves. */
  readonly bootMs?: number | ((uuid: string) => number);
  /** Start → address known (network `lease`). */
  readonly leaseMs?: number;
  /** Asked to shut down → off. */
  readonly guestShutdownMs?: number;
  /** CPU in use while the guest boots, 0..1. */
  readonly bootLoad?: number;
}

export interface MemoryDomain {
  readonly uuid: string;
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly disk: string | undefined;
  readonly metadata: VmMetadata | undefined;
  readonly running: boolean;
  readonly startedAtMs: number;
  readonly serves: boolean;
  readonly endpoint: Endpoint | undefined;
}

interface DiskState {
  readonly vmName: string;
  /** False: an interrupted clone. Nobody can see that from outside; to boot from it is a violation. */
  readonly complete: boolean;
  readonly image: string;
}

const GIB_PER_OVERLAY = 0.1;
const MAX_NOTES = 1000;

export class MemoryHost {
  readonly name: HostName;
  readonly script = new TroubleScript();
  /** What must never happen, and did. A simulation fails when this is not empty. */
  readonly violations: string[] = [];
  /** Asked for and refused: harmless here because the adapter stopped it, but worth a look. */
  readonly refusals: string[] = [];
  load: LoadFunction = () => 0;
  bootMs: number | ((uuid: string) => number);
  guestShutdownMs: number;

  readonly #options: MemoryHostOptions;
  readonly #domains = new Map<string, GuestState>();
  readonly #disks = new Map<string, DiskState>();
  readonly #images = new Map<string, 'absent' | 'corrupt'>();
  readonly #queue: CallQueue;
  readonly #watchers = new Set<() => void>();
  #leases = 0;
  #nowMs: number;

  constructor(options: MemoryHostOptions) {
    this.name = options.name;
    this.#options = options;
    this.#queue = new CallQueue(this.script, options.name);
    this.#nowMs = options.startMs;
    this.bootMs = options.bootMs ?? 2000;
    this.guestShutdownMs = options.guestShutdownMs ?? 500;
  }

  // --- time -----------------------------------------------------------------------------------------------------

  latencyMs(call: HypervisorCall): number {
    const latency = this.#options.latencyMs ?? 2;
    return typeof latency === 'number' ? latency : latency(call);
  }

  /** Queues a call; its effect happens when the machine's time passes `atMs`. */
  submit<T>(atMs: number, effect: (atMs: number) => T): Ticket<T> {
    return this.#queue.submit(atMs, true, effect);
  }

  /** Lets something happen on the machine at a time of its own: a stranger's act, a death. */
  schedule(atMs: number, act: (host: MemoryHost, atMs: number) => void): void {
    this.#queue.submit(atMs, false, (dueMs) => act(this, dueMs));
  }

  /** Brings the machine's own time to `nowMs`: everything due until then happens, in order. */
  advance(nowMs: number): void {
    this.#queue.advance(nowMs, (atMs) => this.#passTime(atMs));
    this.#passTime(nowMs);
  }

  #passTime(nowMs: number): void {
    if (nowMs <= this.#nowMs) return;
    for (const domain of this.#domains.values()) {
      if (!domain.running) continue;
      const endMs = Math.min(nowMs, domain.shutdownAtMs);
      countCpu(domain, endMs, this.load, this.#options.bootLoad ?? 1);
      if (domain.shutdownAtMs <= nowMs) this.#stop(domain);
    }
    this.#nowMs = nowMs;
  }

  // --- troubles and strangers -----------------------------------------------------------------------------------

  /** Adds a trouble to the script; may be called at any time. */
  trouble(trouble: Trouble): void {
    this.script.add(trouble);
    this.#wake();
  }

  /** Ends every trouble (or those of one kind) now. Calls that hang go on. */
  heal(nowMs: number, kind?: TroubleKind): void {
    this.script.clear(kind);
    this.#queue.release(nowMs);
    this.#wake();
  }

  setImage(path: string, state: 'good' | 'absent' | 'corrupt'): void {
    if (state === 'good') this.#images.delete(path);
    else this.#images.set(path, state);
  }

  /** QEMU dies. The definition stays. */
  kill(uuid: string): void {
    const domain = this.#domains.get(uuid);
    if (domain?.running === true) this.#stop(domain);
  }

  /** A stranger destroys and undefines a domain; its disk stays. */
  strangerRemoves(uuid: string): void {
    this.kill(uuid);
    this.#domains.delete(uuid);
    this.#wake();
  }

  /** A domain that virtscale did not make. */
  strangerDefines(domain: {
    uuid: string;
    name: string;
    vcpus?: number;
    memoryMiB?: number;
    disk?: string;
    running?: boolean;
  }): void {
    this.#insert({
      uuid: domain.uuid,
      name: domain.name,
      vcpus: domain.vcpus ?? 1,
      memoryMiB: domain.memoryMiB ?? 128,
      disk: domain.disk,
      metadata: undefined,
      forwarded: undefined,
    });
    if (domain.running === true) this.boot(domain.uuid, this.#nowMs);
  }

  /** What an interrupted clone leaves: a disk that is listed as if it were good. */
  leaveHalfMadeDisk(vmName: string): void {
    this.#disks.set(vmName, { vmName, complete: false, image: '' });
  }

  /** The counter starts again from 0 though the domain goes on. */
  resetCounter(uuid: string): void {
    const domain = this.#domains.get(uuid);
    if (domain !== undefined) domain.cpuTimeNs = 0;
  }

  // --- the machine's own acts: each is what libvirt would do, and throws what it would answer ------------------------

  makeDisk(spec: VmSpec, atMs: number): void {
    const user = this.#userOfDisk(spec.name);
    if (user !== undefined) {
      this.#refuse(`createDisk ${spec.name}: domain ${user.name} (${user.uuid}) refers to it`);
      throw new Fault('conflict', `host ${this.name}: disk of ${spec.name} is used by domain ${user.name}`);
    }
    const image = this.#images.get(spec.image.path);
    if (image !== undefined) {
      throw new Fault('refused', `host ${this.name}: image ${spec.image.name} (${spec.image.path}) is ${image}`);
    }
    if (this.script.active('disk-full', atMs) !== undefined || this.#diskFreeGiB() <= 0) {
      throw new Fault('refused', `host ${this.name}: no space left in the pool`, {
        advice: 'Free space in the storage pool.',
      });
    }
    this.#disks.set(spec.name, { vmName: spec.name, complete: true, image: spec.image.path });
  }

  defineDomain(spec: VmSpec): { endpoint?: Endpoint } {
    for (const other of this.#domains.values()) {
      const same = other.name === spec.name && other.uuid === spec.uuid;
      const neither = other.name !== spec.name && other.uuid !== spec.uuid;
      if (neither || (same && other.metadata !== undefined)) continue;
      const what = `define ${spec.name} (${spec.uuid}): ${other.name} (${other.uuid}) is there`;
      if (other.metadata === undefined) this.#refuse(what);
      else this.#violate(`second domain of one name or uuid: ${what}`);
      throw new Fault('conflict', `host ${this.name}: ${what}`);
    }
    const known = this.#domains.get(spec.uuid);
    const forwarded = known?.forwarded ?? (this.#options.network === 'lease' ? undefined : this.#freeEndpoint());
    const metadata = forwarded === undefined ? spec.metadata : { ...spec.metadata, endpoint: forwarded };
    if (known === undefined) {
      const { vcpus, memoryMiB } = spec.flavor;
      this.#insert({ uuid: spec.uuid, name: spec.name, vcpus, memoryMiB, disk: spec.name, metadata, forwarded });
    } else {
      known.metadata = metadata;
    }
    this.#check();
    this.#wake();
    return forwarded === undefined ? {} : { endpoint: forwarded };
  }

  boot(uuid: string, atMs: number): void {
    const domain = this.#domains.get(uuid);
    if (domain === undefined) throw new Fault('refused', `host ${this.name}: no domain ${uuid}`);
    if (domain.running) return;
    if (domain.metadata !== undefined && domain.disk !== undefined) {
      const disk = this.#disks.get(domain.disk);
      if (disk === undefined) throw new Fault('refused', `host ${this.name}: domain ${domain.name} has no disk`);
      if (!disk.complete) this.#violate(`${domain.name} booted from a half-made disk`);
    }
    domain.running = true;
    domain.startedAtMs = atMs;
    domain.bootedAtMs = atMs + (typeof this.bootMs === 'number' ? this.bootMs : this.bootMs(uuid));
    domain.readyAtMs = this.script.hits('never-ready', uuid, atMs) ? Number.POSITIVE_INFINITY : domain.bootedAtMs;
    domain.shutdownAtMs = Number.POSITIVE_INFINITY;
    domain.cpuTimeNs = 0;
    domain.countedToMs = atMs;
    this.#check();
    this.#wake();
  }

  askToShutDown(uuid: string, atMs: number): void {
    const domain = this.#domains.get(uuid);
    if (domain?.running !== true || this.script.hits('ignores-shutdown', uuid, atMs)) return;
    domain.shutdownAtMs = Math.min(domain.shutdownAtMs, atMs + this.guestShutdownMs);
  }

  pullPlug(uuid: string): void {
    const domain = this.#domains.get(uuid);
    if (domain?.running !== true) return;
    this.#mustBeOurs('destroy', domain);
    this.#stop(domain);
  }

  forget(uuid: string): void {
    const domain = this.#domains.get(uuid);
    if (domain === undefined) return;
    this.#mustBeOurs('undefine', domain);
    if (domain.running) {
      this.#refuse(`undefine ${domain.name}: it runs`);
      throw new Fault('conflict', `host ${this.name}: domain ${domain.name} runs`);
    }
    this.#domains.delete(uuid);
    this.#wake();
  }

  dropDisk(vmName: string): void {
    const user = this.#userOfDisk(vmName);
    if (user !== undefined) {
      this.#refuse(`deleteDisk ${vmName}: domain ${user.name} (${user.uuid}) refers to it`);
      throw new Fault('conflict', `host ${this.name}: disk of ${vmName} is used by domain ${user.name}`);
    }
    this.#disks.delete(vmName);
  }

  // --- looking ---------------------------------------------------------------------------------------------------

  diskNames(): string[] {
    return [...this.#disks.keys()].sort();
  }

  /** What is really there now: for the invariants of a simulation, not for the engine. */
  domains(nowMs: number): MemoryDomain[] {
    this.advance(nowMs);
    return [...this.#domains.values()].map((domain) => ({
      uuid: domain.uuid,
      name: domain.name,
      vcpus: domain.vcpus,
      memoryMiB: domain.memoryMiB,
      disk: domain.disk,
      metadata: domain.metadata,
      running: domain.running,
      startedAtMs: domain.startedAtMs,
      serves: domain.running && domain.readyAtMs <= nowMs && !this.script.hits('unready', domain.uuid, nowMs),
      endpoint: domain.forwarded,
    }));
  }

  /** Reported as libvirt does without cgroups: in steps of 10 ms. */
  cpuTimeNs(uuid: string): number | undefined {
    const domain = this.#domains.get(uuid);
    if (domain?.running !== true) return undefined;
    return reportedCpuTimeNs(domain);
  }

  endpointOf(uuid: string, port: number, atMs: number): Endpoint | undefined {
    const domain = this.#domains.get(uuid);
    if (domain === undefined) return undefined;
    if (domain.forwarded !== undefined) return domain.forwarded;
    if (!domain.running || atMs < domain.startedAtMs + (this.#options.leaseMs ?? 1000)) return undefined;
    return { address: domain.lease, port };
  }

  capacity(atMs: number): HostCapacity {
    const memoryMiB = this.#options.memoryMiB ?? 16_384;
    let usedMiB = 0;
    for (const domain of this.#domains.values()) if (domain.running) usedMiB += domain.memoryMiB;
    return {
      cpus: this.#options.cpus ?? 8,
      memoryMiB,
      memoryFreeMiB: Math.max(0, memoryMiB - usedMiB),
      diskGiB: this.#options.diskGiB ?? 100,
      diskFreeGiB: this.script.active('disk-full', atMs) === undefined ? this.#diskFreeGiB() : 0,
    };
  }

  /** Calls `onChange` whenever something changed; returns how to stop that. */
  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  // --- inside ------------------------------------------------------------------------------------------------------

  #diskFreeGiB(): number {
    return Math.max(0, (this.#options.diskGiB ?? 100) - this.#disks.size * GIB_PER_OVERLAY);
  }

  #insert(domain: Pick<GuestState, 'uuid' | 'name' | 'vcpus' | 'memoryMiB' | 'disk' | 'metadata' | 'forwarded'>): void {
    this.#leases += 1;
    this.#domains.set(domain.uuid, {
      ...domain,
      lease: `10.${(this.#leases >> 16) & 255}.${(this.#leases >> 8) & 255}.${this.#leases & 255}`,
      running: false,
      startedAtMs: 0,
      bootedAtMs: 0,
      readyAtMs: Number.POSITIVE_INFINITY,
      shutdownAtMs: Number.POSITIVE_INFINITY,
      cpuTimeNs: 0,
      countedToMs: 0,
    });
  }

  #freeEndpoint(): Endpoint {
    const taken = new Set([...this.#domains.values()].map((domain) => domain.forwarded?.address));
    for (let last = 1; last <= 254; last += 1) {
      const address = `${this.#options.addressPrefix ?? '127.0.1'}.${last}`;
      if (!taken.has(address)) return { address, port: 8080 };
    }
    throw new Fault('refused', `host ${this.name}: no free address left for a forwarded port`);
  }

  #stop(domain: GuestState): void {
    domain.running = false;
    domain.shutdownAtMs = Number.POSITIVE_INFINITY;
    this.#wake();
  }

  #userOfDisk(vmName: string): GuestState | undefined {
    for (const domain of this.#domains.values()) if (domain.disk === vmName) return domain;
    return undefined;
  }

  #mustBeOurs(call: HypervisorCall, domain: GuestState): void {
    if (domain.metadata !== undefined) return;
    this.#violate(`${call} of ${domain.name} (${domain.uuid}), which is not virtscale's`);
    throw new Fault('conflict', `host ${this.name}: domain ${domain.name} is not virtscale's`);
  }

  /** What no sequence of calls may bring about, however the answers got lost. */
  #check(): void {
    const disks = new Map<string, string>();
    const addresses = new Map<string, string>();
    for (const domain of this.#domains.values()) {
      for (const [seen, key, what] of [
        [disks, domain.disk, 'disk'],
        [addresses, domain.forwarded?.address, 'address'],
      ] as const) {
        const other = key === undefined ? undefined : seen.get(key);
        if (other !== undefined) this.#violate(`two domains of one ${what}: ${other} and ${domain.name} on ${key}`);
        if (key !== undefined) seen.set(key, domain.name);
      }
    }
  }

  #violate(what: string): void {
    const text = `${this.name}: ${what}`;
    if (this.violations.length < MAX_NOTES && !this.violations.includes(text)) this.violations.push(text);
  }

  #refuse(what: string): void {
    if (this.refusals.length < MAX_NOTES) this.refusals.push(`${this.name}: ${what}`);
  }

  #wake(): void {
    for (const onChange of [...this.#watchers]) onChange();
  }
}
