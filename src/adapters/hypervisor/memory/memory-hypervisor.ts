// The hypervisor port on a simulated host: what calls cost, which get lost, what an observation looks like from outside.
// The state is the MemoryHost's: a second MemoryHypervisor on the same host is a daemon that was started again.

import { createHash } from 'node:crypto';
import type {
  DomainObservation,
  Endpoint,
  HostCapacity,
  HostObservation,
  Image,
  ImageContent,
  VmMetadata,
} from '../../../core/model.ts';
import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type { GuestCommands } from '../../../ports/guest-commands.ts';
import type { Hardware } from '../../../ports/hardware.ts';
import type {
  GuestAddress,
  GuestIdentity,
  HostInfo,
  Hypervisor,
  ImageReader,
  ObserveWants,
  PlacedImage,
  SavedTemplate,
  TemplateSpec,
  VmSpec,
} from '../../../ports/hypervisor.ts';
import type { Snapshots } from '../../../ports/snapshots.ts';
import { ImageTransfers } from '../image-transfers.ts';
import { commandsOf } from './memory-commands.ts';
import type { MemoryHardware } from './memory-hardware.ts';
import type { MemoryHost } from './memory-host.ts';
import { MemoryMigration } from './memory-migration.ts';
import { snapshotsOf } from './memory-snapshots.ts';
import { MemoryWire } from './memory-wire.ts';

export class MemoryHypervisor implements Hypervisor {
  readonly host: string;
  readonly guest: GuestCommands;
  readonly hardware: Hardware;
  readonly migration: MemoryMigration;
  readonly snapshots: Snapshots;
  readonly #host: MemoryHost;
  readonly #clock: Clock;
  readonly #wire: MemoryWire;
  readonly #transfers = new ImageTransfers();
  /** How busy the host is, follows from two readings. */
  #hasLooked = false;

  constructor(host: MemoryHost, clock: Clock) {
    this.host = host.name;
    this.#host = host;
    this.#clock = clock;
    this.#wire = new MemoryWire(host, clock);
    this.snapshots = snapshotsOf(host.snapshots, this.#wire);
    this.guest = commandsOf(host, this.#wire, clock);
    this.hardware = hardwareOf(host.hardware, this.#wire);
    this.migration = new MemoryMigration(host, clock, this.#wire);
  }

  /** The daemon that holds this adapter dies: what it sent is carried out, no answer comes back, nothing more is sent. */
  crash(): void {
    this.#wire.crashed = true;
  }

  info(signal: AbortSignal): Promise<HostInfo> {
    return this.#wire.call('info', signal, () => ({
      libvirt: '9.0.0',
      qemu: '7.2.0',
      accel: 'qemu' as const,
      accelReason: 'a simulated host',
      arch: 'x86_64',
      cpuModel: 'Simulated',
    }));
  }

  async observe(signal: AbortSignal, wants?: ObserveWants): Promise<HostObservation> {
    const startedAtMs = this.#clock.nowMs();
    const seen = await this.#wire.call('observe', signal, (atMs) => ({
      capacity: this.#capacity(atMs),
      domains: this.#observeDomains(atMs, wants?.wantsStats),
    }));
    return { host: this.host, startedAtMs, endedAtMs: this.#clock.nowMs(), ...seen };
  }

  async *changes(signal: AbortSignal): AsyncIterable<void> {
    let changed = false;
    let wake: (() => void) | undefined;
    const signalled = (): void => {
      changed = true;
      wake?.();
    };
    const unwatch = this.#host.watch(signalled);
    signal.addEventListener('abort', signalled);
    try {
      while (!signal.aborted) {
        if (!changed) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        changed = false;
        if (signal.aborted) return;
        if (!this.#wire.crashed && !this.#wire.closed && !this.#wire.silent(this.#clock.nowMs())) yield;
      }
    } finally {
      unwatch();
      signal.removeEventListener('abort', signalled);
    }
  }

  async placeImage(
    image: Image & { readonly content: ImageContent },
    read: ImageReader,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { sha256 } = image.content;
    try {
      await this.#transfers.join(sha256, onBytes, signal, (tell, wanted) => this.#bring(image, read, tell, wanted));
    } catch (error) {
      throw signal.aborted ? this.#wire.aborted('placeImage') : error;
    }
  }

  async #bring(
    { content, name }: Image & { readonly content: ImageContent },
    read: ImageReader,
    tell: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    // Only to look; what is scripted for the call meets what follows.
    if (await this.#wire.call('listImages', signal, () => this.#host.pool.isPlaced(content.sha256), undefined, false))
      return;
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of read(signal)) {
      if (this.#wire.crashed) return this.#wire.never();
      if (signal.aborted) throw this.#wire.aborted('placeImage');
      hash.update(chunk);
      bytes += chunk.length;
      tell(bytes);
    }
    const sha256 = hash.digest('hex');
    await this.#wire.call('placeImage', signal, (atMs) => {
      if (bytes !== content.fileBytes || sha256 !== content.sha256) {
        const what = `${bytes} bytes with checksum ${sha256} came, not ${content.fileBytes} with ${content.sha256}`;
        throw new Fault('refused', `host ${this.host}: image ${name}: ${what}`);
      }
      this.#host.finishImage(content, atMs);
    });
  }

  listImages(signal: AbortSignal): Promise<readonly PlacedImage[]> {
    return this.#wire.call('listImages', signal, () => this.#host.pool.images());
  }

  removeImage(sha256: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('removeImage', signal, () => this.#host.pool.dropImage(sha256));
  }

  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#wire.call(
      'createDisk',
      signal,
      (atMs) => this.#host.makeDisk(spec, atMs),
      () => this.#host.leaveHalfMadeDisk(spec.name),
    );
  }

  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    return this.#wire.call('define', signal, () => {
      const isNew = this.#host.guests.get(spec.uuid) === undefined;
      const defined = this.#host.guests.define(spec);
      const { memoryMiB, vcpus, maxMemoryMiB = 0, maxVcpus = 0, spareNics = 0 } = spec.flavor;
      const above = { maxVcpus: Math.max(vcpus, maxVcpus), maxMemoryMiB: Math.max(memoryMiB, maxMemoryMiB) };
      if (isNew) this.#host.hardware.begins(spec.uuid, { vcpus, memoryMiB, ...above }, spareNics);
      return defined;
    });
  }

  start(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('start', signal, (atMs) => this.#host.boot(uuid, atMs));
  }

  templateKey(spec: TemplateSpec, signal: AbortSignal): Promise<string> {
    return this.#wire.call('templateKey', signal, () => this.#host.templates.keyOf(spec));
  }

  /** The boot of a template is nothing but time. */
  async makeTemplate(
    spec: TemplateSpec,
    isReady: (endpoint: Endpoint | undefined, signal: AbortSignal) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<SavedTemplate> {
    const { templates } = this.#host;
    if (!(await this.#wire.call('listTemplates', signal, () => templates.has(spec), undefined, false))) {
      await this.#clock.sleep(this.#host.templateMs, signal);
      if (signal.aborted || !(await isReady(undefined, signal))) throw this.#wire.aborted('makeTemplate');
    }
    return this.#wire.call('makeTemplate', signal, () => templates.finish(spec));
  }

  listTemplates(signal: AbortSignal): Promise<readonly SavedTemplate[]> {
    return this.#wire.call('listTemplates', signal, () => this.#host.templates.list());
  }

  removeTemplate(key: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('removeTemplate', signal, () => this.#host.templates.remove(key));
  }

  fork(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#wire.call('fork', signal, (atMs) => this.#host.fork(spec, atMs));
  }

  personalise(uuid: string, { hostname }: GuestIdentity, signal: AbortSignal): Promise<void> {
    return this.#wire.call('personalise', signal, (atMs) => this.#host.guests.personalise(uuid, hostname, atMs));
  }

  save(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('save', signal, () => this.#host.guests.save(uuid));
  }

  agentAnswers(uuid: string, _timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#wire.call('agentAnswers', signal, (atMs) => {
      const serves = this.#host.domains(atMs).some((one) => one.uuid === uuid && one.serves);
      return serves && !this.#host.script.hits('agentless', uuid, atMs);
    });
  }

  pause(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('pause', signal, (atMs) => this.#host.guests.pause(uuid, atMs));
  }

  resume(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('resume', signal, (atMs) => this.#host.guests.resume(uuid, atMs));
  }

  reboot(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('reboot', signal, (atMs) => this.#host.reboot(uuid, atMs));
  }

  reset(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('reset', signal, (atMs) => this.#host.reset(uuid, atMs));
  }

  addresses(uuid: string, signal: AbortSignal): Promise<readonly GuestAddress[]> {
    return this.#wire.call('addresses', signal, (atMs) => this.#host.guests.addressesOf(uuid, atMs));
  }

  console(uuid: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#wire.call('console', signal, (atMs) => {
      const bytes = new TextEncoder().encode(this.#host.guests.consoleOf(uuid, atMs));
      return bytes.subarray(Math.max(0, bytes.length - maxBytes));
    });
  }

  adopt(uuid: string, metadata: VmMetadata, signal: AbortSignal): Promise<void> {
    return this.#wire.call('adopt', signal, () => this.#host.guests.adopt(uuid, metadata));
  }

  release(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('release', signal, () => this.#host.guests.release(uuid));
  }

  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return this.#wire.call('endpoint', signal, (atMs) => this.#host.endpointOf(uuid, port, atMs));
  }

  shutdown(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('shutdown', signal, (atMs) => this.#host.askToShutDown(uuid, atMs));
  }

  destroy(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('destroy', signal, () => this.#host.guests.pullPlug(uuid));
  }

  undefine(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('undefine', signal, () => this.#host.guests.forget(uuid));
  }

  deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    return this.#wire.call('deleteDisk', signal, () => this.#host.pool.dropDisk(vmName));
  }

  listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return this.#wire.call('listDisks', signal, () => this.#host.diskNames());
  }

  close(): Promise<void> {
    this.#wire.closed = true;
    return Promise.resolve();
  }

  #observeDomains(atMs: number, wantsStats: (uuid: string) => boolean = () => false): DomainObservation[] {
    return this.#host.domains(atMs).map((domain) => {
      const cpuTimeNs = this.#host.script.hits('stats-absent', domain.uuid, atMs)
        ? undefined
        : this.#host.cpuTimeNs(domain.uuid);
      const metadata = this.#host.script.hits('metadata-absent', domain.uuid, atMs) ? undefined : domain.metadata;
      return {
        uuid: domain.uuid,
        name: domain.name,
        state: domain.running ? 'running' : 'stopped',
        ...(domain.paused ? { paused: true } : {}),
        vcpus: domain.vcpus,
        memoryMiB: domain.memoryMiB,
        readAtMs: atMs,
        ...(domain.running && wantsStats(domain.uuid) && { stats: this.#host.statsOf(domain.uuid, atMs) }),
        ...(cpuTimeNs === undefined ? {} : { cpuTimeNs }),
        ...(metadata === undefined ? {} : { metadata }),
      };
    });
  }

  #capacity(atMs: number): HostCapacity {
    const { cpuRatio, ...capacity } = this.#host.capacity(atMs);
    const isFirst = !this.#hasLooked;
    this.#hasLooked = true;
    return isFirst || cpuRatio === undefined ? capacity : { ...capacity, cpuRatio };
  }
}

function hardwareOf(made: MemoryHardware, wire: MemoryWire): Hardware {
  return {
    look: (uuid, signal) => wire.call('look', signal, (atMs) => made.look(uuid, atMs)),
    growDisk: (uuid, bytes, signal) => wire.call('growDisk', signal, (atMs) => made.growDisk(uuid, bytes, atMs)),
    growFileSystem: (uuid, signal) => wire.call('growFileSystem', signal, (atMs) => made.growFileSystem(uuid, atMs)),
    define: (uuid, sizes, signal) => wire.call('redefine', signal, () => made.define(uuid, sizes)),
    setMemory: (uuid, mib, signal) => wire.call('setMemory', signal, () => made.setMemory(uuid, mib)),
    setVcpus: (uuid, vcpus, signal) => wire.call('setVcpus', signal, (atMs) => made.setVcpus(uuid, vcpus, atMs)),
    attachNic: (uuid, mac, live, signal) =>
      wire.call('attachNic', signal, (atMs) => made.attachNic(uuid, mac, live, atMs)),
    detachNic: (uuid, mac, live, signal) => wire.call('detachNic', signal, () => made.detachNic(uuid, mac, live)),
  };
}
