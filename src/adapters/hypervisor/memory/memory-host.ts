// One simulated machine: its time, its troubles, its capacity, and the queue of calls that are under way on it.
// The state outlives every adapter instance, as real VMs outlive the daemon. Not here: the port (memory-hypervisor).

import type { DomainStats, Endpoint, HostCapacity, HostName, ImageContent } from '../../../core/model.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import type { MigrationOrder } from '../../../ports/migration.ts';
import { basicPrograms, type MemoryProgram } from './memory-commands.ts';
import { MemoryDomains } from './memory-domains.ts';
import { type LoadFunction, type MemoryDomain, reportedCpuTimeNs } from './memory-guest.ts';
import { MemoryHardware } from './memory-hardware.ts';
import { MemoryMoves } from './memory-moves.ts';
import { MemoryNotes } from './memory-notes.ts';
import { type MemoryDisk, MemoryPool } from './memory-pool.ts';
import { CallQueue, type Ticket } from './memory-queue.ts';
import { type HypervisorCall, type Trouble, type TroubleKind, TroubleScript } from './memory-script.ts';
import { MemorySnapshots } from './memory-snapshots.ts';
import { MemoryTemplates } from './memory-templates.ts';

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

export type { MemoryDisk, MemoryDomain };

/** From saved memory to a guest that serves. */
const RESTORE_MS = 300;

export class MemoryHost {
  readonly name: HostName;
  readonly script = new TroubleScript();
  /** What guests can run, by name; a test may add its own. */
  readonly programs: Map<string, MemoryProgram> = basicPrograms();
  readonly guests: MemoryDomains;
  readonly pool: MemoryPool;
  readonly templates: MemoryTemplates;
  readonly hardware: MemoryHardware;
  readonly moves: MemoryMoves = new MemoryMoves(this);
  /** From the call to the moment when the guest stands still. */
  moveMs = 800;
  /** Its disks lie where those of other hosts do that say the same. */
  sharedStorage: string | undefined;
  #advancing = false;
  readonly snapshots: MemorySnapshots;
  load: LoadFunction = () => 0;
  bootMs: number | ((uuid: string) => number);
  guestShutdownMs: number;

  readonly #options: MemoryHostOptions;
  readonly #notes: MemoryNotes;
  readonly #queue: CallQueue;
  readonly #watchers = new Set<() => void>();
  #nowMs: number;

  constructor(options: MemoryHostOptions) {
    const { addressPrefix = '127.0.1', diskGiB = 100, leaseMs = 1000, name, network = 'forward', startMs } = options;
    const notes = new MemoryNotes(name);
    this.name = name;
    this.#options = options;
    this.#notes = notes;
    this.guests = new MemoryDomains({
      host: name,
      script: this.script,
      notes,
      addressPrefix,
      network,
      leaseMs,
      diskOf: (vmName) => this.pool.disk(vmName),
      onChange: () => this.#wake(),
      coming: () => this.moves.coming(),
    });
    this.pool = new MemoryPool({ host: name, diskGiB, notes, userOf: (vmName) => this.guests.userOfDisk(vmName) });
    this.templates = new MemoryTemplates(name, (key) => this.pool.userOfTemplate(key));
    this.hardware = new MemoryHardware({
      host: name,
      guestOf: (uuid) => this.guests.get(uuid),
      diskGiB: (vmName) => this.pool.disk(vmName)?.diskGiB,
      isFull: (atMs) => this.#isFull(atMs),
      onChange: () => this.#wake(),
    });
    this.snapshots = new MemorySnapshots({
      host: name,
      guestOf: (uuid) => this.guests.get(uuid),
      answers: (uuid, atMs) => this.domains(atMs).some((one) => one.uuid === uuid && one.serves),
      isFull: (atMs) => this.#isFull(atMs),
      stop: (uuid) => this.guests.kill(uuid),
      start: (uuid, atMs, from) => this.guests.boot(uuid, atMs, from === 'memory' ? RESTORE_MS : this.#bootMs(uuid)),
      pause: (uuid, atMs) => this.guests.pause(uuid, atMs),
    });
    this.#queue = new CallQueue(this.script, name);
    this.#nowMs = startMs;
    this.bootMs = options.bootMs ?? 2000;
    this.guestShutdownMs = options.guestShutdownMs ?? 500;
  }

  /** What must never happen, and did. A simulation fails when this is not empty. */
  get violations(): string[] {
    return this.#notes.violations;
  }

  /** Asked for and refused: harmless here because the adapter stopped it, but worth a look. */
  get refusals(): string[] {
    return this.#notes.refusals;
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
    if (this.#advancing) return;
    this.#advancing = true;
    // What other machines send here, they do in their own time.
    for (const source of this.moves.sources) source.advance(nowMs);
    this.#queue.advance(nowMs, (atMs) => this.#passTime(atMs));
    this.#passTime(nowMs);
    this.#advancing = false;
  }

  #passTime(nowMs: number): void {
    if (nowMs <= this.#nowMs) return;
    this.guests.passTime(nowMs, { load: this.load, bootLoad: this.#options.bootLoad ?? 1 });
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

  /** How an image that lies on the host is: every path leads to a good one of no size unless told otherwise. */
  setImage(path: string, state: 'good' | 'absent' | 'corrupt', virtualBytes = 0): void {
    this.pool.setFile(path, state, virtualBytes);
  }

  /** QEMU dies. The definition stays. */
  kill(uuid: string): void {
    this.guests.kill(uuid);
  }

  /** A stranger destroys and undefines a domain; its disk stays. */
  strangerRemoves(uuid: string): void {
    this.kill(uuid);
    this.guests.remove(uuid);
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
    this.guests.insert({
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
    this.pool.leaveHalfMade(vmName);
  }

  /** The counter starts again from 0 though the domain goes on. */
  resetCounter(uuid: string): void {
    const guest = this.guests.get(uuid);
    if (guest !== undefined) guest.cpuTimeNs = 0;
  }

  // --- the machine's acts that depend on its troubles and paces; the others are `guests` and `pool` themselves ----------

  finishImage(content: ImageContent, atMs: number): void {
    this.pool.finishImage(content, this.#isFull(atMs));
  }

  makeDisk(spec: VmSpec, atMs: number): void {
    if (spec.template !== undefined) this.templates.mustBeThere(spec.template);
    this.pool.makeDisk(spec, this.#isFull(atMs));
  }

  /** For a guest that comes: as large as it was, with nothing below or the same image. */
  makeMovedDisk(vmName: string, { cloudInit, disks, image }: MigrationOrder, atMs: number): void {
    this.pool.makeMoved(vmName, disks === 'changes' ? image?.sha256 : undefined, cloudInit, this.#isFull(atMs));
  }

  /** A guest whose memory was saved goes on from there. */
  boot(uuid: string, atMs: number): void {
    const wakes = this.guests.get(uuid)?.saved === true;
    this.guests.boot(uuid, atMs, wakes ? RESTORE_MS : this.#bootMs(uuid));
  }

  fork({ template, uuid }: VmSpec, atMs: number): void {
    this.templates.mustBeThere(template);
    this.guests.fork(uuid, atMs, RESTORE_MS);
  }

  /** How long a template boots. */
  get templateMs(): number {
    return this.#bootMs('template') + RESTORE_MS;
  }

  reboot(uuid: string, atMs: number): void {
    this.guests.reboot(uuid, atMs, this.guestShutdownMs, this.#bootMs(uuid));
  }

  reset(uuid: string, atMs: number): void {
    this.guests.reset(uuid, atMs, this.#bootMs(uuid));
  }

  askToShutDown(uuid: string, atMs: number): void {
    this.guests.askToShutDown(uuid, atMs, this.guestShutdownMs);
  }

  // --- looking ---------------------------------------------------------------------------------------------------

  diskNames(): string[] {
    return this.pool.diskNames();
  }

  /** What is really there under that VM name: for tests, not for the engine. */
  disk(vmName: string): MemoryDisk | undefined {
    return this.pool.disk(vmName);
  }

  /** What is really there now: for the invariants of a simulation, not for the engine. */
  domains(nowMs: number): MemoryDomain[] {
    this.advance(nowMs);
    return [...this.guests.all()].map((guest) => {
      const paused = guest.running && guest.pausedAtMs !== undefined;
      const ready = guest.running && !paused && guest.readyAtMs <= nowMs;
      return {
        uuid: guest.uuid,
        name: guest.name,
        vcpus: guest.vcpus,
        memoryMiB: guest.memoryMiB,
        disk: guest.disk,
        metadata: guest.metadata,
        running: guest.running,
        paused,
        startedAtMs: guest.startedAtMs,
        serves: ready && !this.script.hits('unready', guest.uuid, nowMs),
        hostname: guest.hostname,
        endpoint: guest.forwarded,
      };
    });
  }

  /** Reported as libvirt does without cgroups: in steps of 10 ms. */
  cpuTimeNs(uuid: string): number | undefined {
    const guest = this.guests.get(uuid);
    return guest?.running === true ? reportedCpuTimeNs(guest) : undefined;
  }

  /** Counters that grow with the CPU's: who works, talks. */
  statsOf(uuid: string, atMs: number): DomainStats {
    const worked = this.cpuTimeNs(uuid) ?? 0;
    const load = Math.min(1, Math.max(0, this.load(uuid, atMs)));
    return {
      readAtMs: atMs,
      memoryPercent: 20 + 60 * load,
      networkBytes: Math.round(worked / 100),
      diskBytes: Math.round(worked / 1000),
      delayNs: 0,
    };
  }

  endpointOf(uuid: string, port: number, atMs: number): Endpoint | undefined {
    return this.guests.endpointOf(uuid, port, atMs);
  }

  capacity(atMs: number): HostCapacity {
    const { cpus = 8, diskGiB = 100, memoryMiB = 16_384 } = this.#options;
    let usedMiB = 0;
    let busy = 0;
    for (const guest of this.guests.all()) {
      if (!guest.running) continue;
      usedMiB += guest.memoryMiB;
      if (guest.pausedAtMs !== undefined) continue;
      busy += guest.vcpus * (atMs < guest.bootedAtMs ? (this.#options.bootLoad ?? 1) : this.load(guest.uuid, atMs));
    }
    return {
      cpus,
      memoryMiB,
      memoryFreeMiB: Math.max(0, memoryMiB - usedMiB),
      diskGiB,
      diskFreeGiB: this.#isFull(atMs) ? 0 : this.pool.freeGiB(),
      cpuRatio: Math.min(1, Math.max(0, busy / cpus)),
    };
  }

  /** Calls `onChange` whenever something changed; returns how to stop that. */
  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  // --- inside ------------------------------------------------------------------------------------------------------

  #bootMs(uuid: string): number {
    return typeof this.bootMs === 'number' ? this.bootMs : this.bootMs(uuid);
  }

  #isFull(atMs: number): boolean {
    return this.script.active('disk-full', atMs) !== undefined;
  }

  #wake(): void {
    for (const onChange of [...this.#watchers]) onChange();
  }
}
