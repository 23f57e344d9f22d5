// A host's adapter as one daemon's life sees it: every call is told to the invariants, and death may come before or after each.
// Not here: the simulated host (src/adapters/hypervisor/memory).

import type { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import type { HypervisorCall } from '../../src/adapters/hypervisor/memory/memory-script.ts';
import type { Endpoint, HostObservation, Image, ImageContent, VmMetadata } from '../../src/core/model.ts';
import { isFault } from '../../src/ports/fault.ts';
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
} from '../../src/ports/hypervisor.ts';
import type { Invariants } from './invariants.ts';
import { type Life, never } from './mortal.ts';
import type { Trace } from './trace.ts';

/** Calls that change nothing: dying before or after one is dying before or after what comes next. */
const LOOKS: ReadonlySet<string> = new Set<HypervisorCall>([
  'info',
  'observe',
  'endpoint',
  'addresses',
  'console',
  'listDisks',
  'listImages',
  'templateKey',
  'listTemplates',
  'agentAnswers',
  'look',
  'offer',
  'describe',
  'figures',
  'lookAtCopy',
  'listSnapshots',
]);

export interface MortalHypervisorOptions {
  readonly inner: MemoryHypervisor;
  readonly life: Life;
  readonly invariants: Invariants;
  readonly trace: Trace;
  /** Engine time minus the time of the simulated hosts. */
  readonly offsetMs: number;
}

export class MortalHypervisor implements Hypervisor {
  readonly host: string;
  readonly guest: Hypervisor['guest'];
  readonly hardware: Hypervisor['hardware'];
  readonly snapshots: Hypervisor['snapshots'];
  readonly migration: Hypervisor['migration'];
  readonly #options: MortalHypervisorOptions;

  constructor(options: MortalHypervisorOptions) {
    this.host = options.inner.host;
    this.#options = options;
    const { hardware, migration, snapshots } = options.inner;
    this.snapshots = {
      list: (uuid, signal) => this.#call('listSnapshots', uuid, () => snapshots.list(uuid, signal)),
      freeze: (uuid, signal) => this.#call('freeze', uuid, () => snapshots.freeze(uuid, signal)),
      thaw: (uuid, signal) => this.#call('thaw', uuid, () => snapshots.thaw(uuid, signal)),
      take: (uuid, wish, signal) => this.#call('takeSnapshot', uuid, () => snapshots.take(uuid, wish, signal)),
      revert: (uuid, name, wish, signal) =>
        this.#call('revertSnapshot', uuid, () => snapshots.revert(uuid, name, wish, signal)),
      delete: (uuid, name, signal) => this.#call('deleteSnapshot', uuid, () => snapshots.delete(uuid, name, signal)),
    };
    this.migration = {
      offer: (signal) => this.#call('offer', '', () => migration.offer(signal)),
      describe: (uuid, signal) => this.#call('describe', uuid, () => migration.describe(uuid, signal)),
      prepare: (order, signal) => this.#call('prepare', order.source.uuid, () => migration.prepare(order, signal)),
      move: (uuid, arrival, how, signal) => this.#call('move', uuid, () => migration.move(uuid, arrival, how, signal)),
      cancel: (uuid, signal) => this.#call('cancelMove', uuid, () => migration.cancel(uuid, signal)),
      figures: (uuid, signal) => this.#call('figures', uuid, () => migration.figures(uuid, signal)),
      look: (uuid, signal) => this.#call('lookAtCopy', uuid, () => migration.look(uuid, signal)),
      forget: (uuid) => migration.forget(uuid),
    };
    this.guest = {
      exec: (uuid, argv, wishes, signal) =>
        this.#call('exec', uuid, () => options.inner.guest.exec(uuid, argv, wishes, signal)),
    };
    this.hardware = {
      look: (uuid, signal) => this.#call('look', uuid, () => hardware.look(uuid, signal)),
      growDisk: (uuid, bytes, signal) => this.#call('growDisk', uuid, () => hardware.growDisk(uuid, bytes, signal)),
      growFileSystem: (uuid, signal) => this.#call('growFileSystem', uuid, () => hardware.growFileSystem(uuid, signal)),
      define: (uuid, sizes, signal) => this.#call('redefine', uuid, () => hardware.define(uuid, sizes, signal)),
      setMemory: (uuid, mib, signal) => this.#call('setMemory', uuid, () => hardware.setMemory(uuid, mib, signal)),
      setVcpus: (uuid, vcpus, signal) => this.#call('setVcpus', uuid, () => hardware.setVcpus(uuid, vcpus, signal)),
      attachNic: (uuid, mac, live, signal) =>
        this.#call('attachNic', uuid, () => hardware.attachNic(uuid, mac, live, signal)),
      detachNic: (uuid, mac, live, signal) =>
        this.#call('detachNic', uuid, () => hardware.detachNic(uuid, mac, live, signal)),
    };
  }

  crash(): void {
    this.#options.inner.crash();
  }

  info(signal: AbortSignal): Promise<HostInfo> {
    return this.#call('info', '', () => this.#options.inner.info(signal));
  }

  async observe(signal: AbortSignal, wants?: ObserveWants): Promise<HostObservation> {
    const { invariants } = this.#options;
    try {
      const seen = await this.#call('observe', '', () => this.#options.inner.observe(signal, wants));
      invariants.observed(this.host, seen);
      return inEngineTime(seen, this.#options.offsetMs);
    } catch (error) {
      invariants.notObserved(this.host);
      throw error;
    }
  }

  async *changes(signal: AbortSignal): AsyncIterable<void> {
    for await (const change of this.#options.inner.changes(signal)) {
      if (this.#options.life.dead) return;
      yield change;
    }
  }

  placeImage(
    image: Image & { readonly content: ImageContent },
    read: ImageReader,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#call('placeImage', image.name, () => this.#options.inner.placeImage(image, read, onBytes, signal));
  }

  listImages(signal: AbortSignal): Promise<readonly PlacedImage[]> {
    return this.#call('listImages', '', () => this.#options.inner.listImages(signal));
  }

  removeImage(sha256: string, signal: AbortSignal): Promise<void> {
    return this.#call('removeImage', sha256, () => this.#options.inner.removeImage(sha256, signal));
  }

  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#call('createDisk', spec.name, () => this.#options.inner.createDisk(spec, signal));
  }

  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    return this.#call('define', spec.name, () => this.#options.inner.define(spec, signal));
  }

  start(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('start', uuid, () => this.#options.inner.start(uuid, signal));
  }

  templateKey(spec: TemplateSpec, signal: AbortSignal): Promise<string> {
    return this.#call('templateKey', spec.image.name, () => this.#options.inner.templateKey(spec, signal));
  }

  makeTemplate(
    spec: TemplateSpec,
    isReady: (endpoint: Endpoint | undefined, signal: AbortSignal) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<SavedTemplate> {
    return this.#call('makeTemplate', spec.image.name, () => this.#options.inner.makeTemplate(spec, isReady, signal));
  }

  listTemplates(signal: AbortSignal): Promise<readonly SavedTemplate[]> {
    return this.#call('listTemplates', '', () => this.#options.inner.listTemplates(signal));
  }

  removeTemplate(key: string, signal: AbortSignal): Promise<void> {
    return this.#call('removeTemplate', key, () => this.#options.inner.removeTemplate(key, signal));
  }

  fork(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#call('fork', spec.name, () => this.#options.inner.fork(spec, signal));
  }

  personalise(uuid: string, identity: GuestIdentity, signal: AbortSignal): Promise<void> {
    return this.#call('personalise', uuid, () => this.#options.inner.personalise(uuid, identity, signal));
  }

  save(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('save', uuid, () => this.#options.inner.save(uuid, signal));
  }

  agentAnswers(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#call('agentAnswers', uuid, () => this.#options.inner.agentAnswers(uuid, timeoutMs, signal));
  }

  pause(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('pause', uuid, () => this.#options.inner.pause(uuid, signal));
  }

  resume(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('resume', uuid, () => this.#options.inner.resume(uuid, signal));
  }

  reboot(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('reboot', uuid, () => this.#options.inner.reboot(uuid, signal));
  }

  reset(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('reset', uuid, () => this.#options.inner.reset(uuid, signal));
  }

  addresses(uuid: string, signal: AbortSignal): Promise<readonly GuestAddress[]> {
    return this.#call('addresses', uuid, () => this.#options.inner.addresses(uuid, signal));
  }

  console(uuid: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#call('console', uuid, () => this.#options.inner.console(uuid, maxBytes, signal));
  }

  adopt(uuid: string, metadata: VmMetadata, signal: AbortSignal): Promise<void> {
    return this.#call('adopt', uuid, () => this.#options.inner.adopt(uuid, metadata, signal));
  }

  release(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('release', uuid, () => this.#options.inner.release(uuid, signal));
  }

  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return this.#call('endpoint', uuid, () => this.#options.inner.endpoint(uuid, port, signal));
  }

  shutdown(uuid: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('shutdown', this.host, { uuid });
    return this.#call('shutdown', uuid, () => this.#options.inner.shutdown(uuid, signal));
  }

  destroy(uuid: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('destroy', this.host, { uuid });
    return this.#call('destroy', uuid, () => this.#options.inner.destroy(uuid, signal));
  }

  undefine(uuid: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('undefine', this.host, { uuid });
    return this.#call('undefine', uuid, () => this.#options.inner.undefine(uuid, signal));
  }

  deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('deleteDisk', this.host, { name: vmName });
    return this.#call('deleteDisk', vmName, () => this.#options.inner.deleteDisk(vmName, signal));
  }

  listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return this.#call('listDisks', '', () => this.#options.inner.listDisks(signal));
  }

  close(): Promise<void> {
    return this.#options.inner.close();
  }

  async #call<T>(name: string, subject: string, work: () => Promise<T>): Promise<T> {
    const { life, trace } = this.#options;
    if (life.retired) trace.violation(`${name} on ${this.host} after the daemon had stopped`);
    const quiet = LOOKS.has(name);
    if (!quiet) await life.point(`before ${name}`);
    if (life.dead) return never();
    try {
      const value = await life.guard(work());
      trace.count(`call ${name} ok`);
      if (!quiet) {
        trace.line(`${this.host} ${name} ${subject}`);
        await life.point(`after ${name}`);
      }
      return value;
    } catch (error) {
      const kind = isFault(error) ? error.kind : 'bug';
      if (!isFault(error)) trace.violation(`${this.host} ${name} threw no Fault: ${String(error)}`);
      trace.count(`call ${name} ${kind}`);
      trace.line(`${this.host} ${name} ${subject} failed: ${kind} ${error instanceof Error ? error.message : ''}`);
      await life.point(`after failed ${name}`);
      throw error;
    }
  }
}

function inEngineTime(seen: HostObservation, offsetMs: number): HostObservation {
  return {
    ...seen,
    startedAtMs: seen.startedAtMs + offsetMs,
    endedAtMs: seen.endedAtMs + offsetMs,
    domains: seen.domains.map((domain) => ({ ...domain, readAtMs: domain.readAtMs + offsetMs })),
  };
}
