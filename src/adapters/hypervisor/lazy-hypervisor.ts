// A host that must first be brought up (an embedded libvirtd to start, a guest image to build): that happens at the first call.
// While it does not succeed the host is simply unreachable, with the reason, and the next call tries again.

import type { Endpoint, HostObservation, Image, ImageContent, VmMetadata } from '../../core/model.ts';
import { Fault, isFault } from '../../ports/fault.ts';
import type { GuestCommands } from '../../ports/guest-commands.ts';
import type { Hardware } from '../../ports/hardware.ts';
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
} from '../../ports/hypervisor.ts';
import type { MigrationDriver } from '../../ports/migration.ts';
import type { Snapshots } from '../../ports/snapshots.ts';

export class LazyHypervisor implements Hypervisor {
  readonly host: string;
  readonly guest: GuestCommands = {
    exec: async (uuid, argv, options, signal) => (await this.#get(signal)).guest.exec(uuid, argv, options, signal),
  };
  readonly hardware: Hardware = {
    look: async (uuid, signal) => (await this.#get(signal)).hardware.look(uuid, signal),
    growDisk: async (uuid, bytes, signal) => (await this.#get(signal)).hardware.growDisk(uuid, bytes, signal),
    growFileSystem: async (uuid, signal) => (await this.#get(signal)).hardware.growFileSystem(uuid, signal),
    define: async (uuid, sizes, signal) => (await this.#get(signal)).hardware.define(uuid, sizes, signal),
    setMemory: async (uuid, mib, signal) => (await this.#get(signal)).hardware.setMemory(uuid, mib, signal),
    setVcpus: async (uuid, vcpus, signal) => (await this.#get(signal)).hardware.setVcpus(uuid, vcpus, signal),
    attachNic: async (uuid, mac, live, signal) => (await this.#get(signal)).hardware.attachNic(uuid, mac, live, signal),
    detachNic: async (uuid, mac, live, signal) => (await this.#get(signal)).hardware.detachNic(uuid, mac, live, signal),
  };
  readonly snapshots: Snapshots = {
    list: async (uuid, signal) => (await this.#get(signal)).snapshots.list(uuid, signal),
    freeze: async (uuid, signal) => (await this.#get(signal)).snapshots.freeze(uuid, signal),
    thaw: async (uuid, signal) => (await this.#get(signal)).snapshots.thaw(uuid, signal),
    take: async (uuid, wish, signal) => (await this.#get(signal)).snapshots.take(uuid, wish, signal),
    revert: async (uuid, name, wish, signal) => (await this.#get(signal)).snapshots.revert(uuid, name, wish, signal),
    delete: async (uuid, name, signal) => (await this.#get(signal)).snapshots.delete(uuid, name, signal),
  };
  readonly migration: MigrationDriver = {
    offer: async (signal) => (await this.#get(signal)).migration.offer(signal),
    describe: async (uuid, signal) => (await this.#get(signal)).migration.describe(uuid, signal),
    prepare: async (order, signal) => (await this.#get(signal)).migration.prepare(order, signal),
    move: async (uuid, arrival, options, signal) =>
      (await this.#get(signal)).migration.move(uuid, arrival, options, signal),
    cancel: async (uuid, signal) => (await this.#get(signal)).migration.cancel(uuid, signal),
    figures: async (uuid, signal) => (await this.#get(signal)).migration.figures(uuid, signal),
    look: async (uuid, signal) => (await this.#get(signal)).migration.look(uuid, signal),
    forget: (uuid) => this.#ready?.migration.forget(uuid),
  };
  readonly #bringUp: () => Promise<Hypervisor>;
  #coming: Promise<Hypervisor> | undefined;
  #wake: (() => void)[] = [];
  #ready: Hypervisor | undefined;

  /** `bringUp` runs at most once at a time; it is not aborted with the call that began it, since others wait for it too. */
  constructor(host: string, bringUp: () => Promise<Hypervisor>) {
    this.host = host;
    this.#bringUp = bringUp;
  }

  #get(signal: AbortSignal): Promise<Hypervisor> {
    if (this.#ready) return Promise.resolve(this.#ready);
    this.#coming ??= this.#bringUp()
      .then((hypervisor) => {
        this.#ready = hypervisor;
        for (const wake of this.#wake.splice(0)) wake();
        return hypervisor;
      })
      .catch((error: unknown) => {
        this.#coming = undefined;
        if (isFault(error)) throw error;
        const message = error instanceof Error ? error.message : String(error);
        throw new Fault('unreachable', message, { cause: error });
      });
    return abortable(this.#coming, signal);
  }

  async info(signal: AbortSignal): Promise<HostInfo> {
    return (await this.#get(signal)).info(signal);
  }

  async observe(signal: AbortSignal, wants?: ObserveWants): Promise<HostObservation> {
    return (await this.#get(signal)).observe(signal, wants);
  }

  async *changes(signal: AbortSignal): AsyncIterable<void> {
    if (!this.#ready) {
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    if (this.#ready && !signal.aborted) yield* this.#ready.changes(signal);
  }

  async placeImage(
    image: Image & { readonly content: ImageContent },
    read: ImageReader,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    return (await this.#get(signal)).placeImage(image, read, onBytes, signal);
  }

  async listImages(signal: AbortSignal): Promise<readonly PlacedImage[]> {
    return (await this.#get(signal)).listImages(signal);
  }

  async removeImage(sha256: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).removeImage(sha256, signal);
  }

  async createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).createDisk(spec, signal);
  }

  async define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    return (await this.#get(signal)).define(spec, signal);
  }

  async start(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).start(uuid, signal);
  }

  async templateKey(spec: TemplateSpec, signal: AbortSignal): Promise<string> {
    return (await this.#get(signal)).templateKey(spec, signal);
  }

  async makeTemplate(
    spec: TemplateSpec,
    isReady: (endpoint: Endpoint | undefined, signal: AbortSignal) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<SavedTemplate> {
    return (await this.#get(signal)).makeTemplate(spec, isReady, signal);
  }

  async listTemplates(signal: AbortSignal): Promise<readonly SavedTemplate[]> {
    return (await this.#get(signal)).listTemplates(signal);
  }

  async removeTemplate(key: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).removeTemplate(key, signal);
  }

  async fork(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).fork(spec, signal);
  }

  async personalise(uuid: string, identity: GuestIdentity, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).personalise(uuid, identity, signal);
  }

  async save(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).save(uuid, signal);
  }

  async agentAnswers(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    return (await this.#get(signal)).agentAnswers(uuid, timeoutMs, signal);
  }

  async pause(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).pause(uuid, signal);
  }

  async resume(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).resume(uuid, signal);
  }

  async reboot(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).reboot(uuid, signal);
  }

  async reset(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).reset(uuid, signal);
  }

  async addresses(uuid: string, signal: AbortSignal): Promise<readonly GuestAddress[]> {
    return (await this.#get(signal)).addresses(uuid, signal);
  }

  async console(uuid: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return (await this.#get(signal)).console(uuid, maxBytes, signal);
  }

  async adopt(uuid: string, metadata: VmMetadata, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).adopt(uuid, metadata, signal);
  }

  async release(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).release(uuid, signal);
  }

  async endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return (await this.#get(signal)).endpoint(uuid, port, signal);
  }

  async shutdown(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).shutdown(uuid, signal);
  }

  async destroy(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).destroy(uuid, signal);
  }

  async undefine(uuid: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).undefine(uuid, signal);
  }

  async deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    return (await this.#get(signal)).deleteDisk(vmName, signal);
  }

  async listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return (await this.#get(signal)).listDisks(signal);
  }

  async close(): Promise<void> {
    await this.#ready?.close();
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(new Fault('aborted', 'the call was cancelled'));
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(new Fault('aborted', 'the call was cancelled'));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
