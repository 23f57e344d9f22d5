// From the configuration's hosts to hypervisors, and the guest image that virtscale builds for embedded ones.
// Composition only: an embedded host comes up, and its guest image is built, when its hypervisor is first used.

import { join } from 'node:path';
import {
  type EmbeddedHost,
  EmbeddedHostError,
  startEmbeddedHost,
} from './adapters/hypervisor/embedded/embedded-host.ts';
import { ensureGuestImage, type GuestImage } from './adapters/hypervisor/embedded/guest-image.ts';
import { makeImagesFolder } from './adapters/hypervisor/embedded/layout.ts';
import { LazyHypervisor } from './adapters/hypervisor/lazy-hypervisor.ts';
import type { GuestNetwork } from './adapters/hypervisor/libvirt/domain-xml.ts';
import { LibvirtHypervisor } from './adapters/hypervisor/libvirt/libvirt-hypervisor.ts';
import type { DaemonConfig, HostConfig } from './config/daemon-config.ts';
import type { Image } from './core/model.ts';
import type { Log } from './engine/log.ts';
import type { Clock } from './ports/clock.ts';
import { Fault } from './ports/fault.ts';
import type { Hypervisor } from './ports/hypervisor.ts';

export interface ConfiguredHost {
  readonly hypervisor: Hypervisor;
  readonly uri: string;
}

const EMBEDDED_POOL = 'virtscale';
/** Guests that migrate to an embedded host arrive at this number below its forward prefix, which no VM is given. */
const MIGRATION_NUMBER = 255;
/** Where a forwarded guest answers on its own address; ports below 1024 would need root. */
const FORWARDED_PORT = 8080;

export class Hosts {
  readonly all: readonly ConfiguredHost[];
  readonly #config: DaemonConfig;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #embedded: EmbeddedHost[] = [];
  readonly #onBuilt: (image: Image) => Promise<void>;
  readonly #stop = new AbortController();
  readonly #lazy: LazyHypervisor[] = [];

  /** `onBuilt` is called when an image has been built, or found to be built. */
  constructor(config: DaemonConfig, clock: Clock, log: Log, onBuilt: (image: Image) => Promise<void>) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#onBuilt = onBuilt;
    this.all = config.hosts.map((host) => this.#make(host));
  }

  /**
   * Begins to bring embedded hosts up. Resolves when each has come up, its images built, or has failed to for the first time;
   * after that the engine's polls go on trying.
   */
  async prepare(): Promise<void> {
    await Promise.allSettled(this.#lazy.map((hypervisor) => hypervisor.info(this.#stop.signal)));
  }

  /** Lets go of connections and of embedded hosts; those run on with their VMs and are found again at the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.all.map(({ hypervisor }) => hypervisor.close()));
    for (const host of this.#embedded) host.release();
  }

  #make(host: HostConfig): ConfiguredHost {
    if (host.kind === 'embedded') {
      const hypervisor = new LazyHypervisor(host.name, () => this.#bringUp(host));
      this.#lazy.push(hypervisor);
      return { hypervisor, uri: 'embedded' };
    }
    const { migrationUri, name, pool, uri } = host;
    const sharedStorage = pool.shared;
    const network: GuestNetwork = host.network.kind === 'forward' ? forward(host.network.prefix) : host.network;
    const hypervisor = new LibvirtHypervisor({
      host: name,
      uri,
      clock: this.#clock,
      pool,
      network,
      ...(migrationUri !== undefined && { migrationUri }),
      ...(sharedStorage !== undefined && { sharedStorage }),
    });
    return { hypervisor, uri };
  }

  async #bringUp({ name, forwardPrefix }: Extract<HostConfig, { kind: 'embedded' }>): Promise<Hypervisor> {
    const say = (line: string) => this.#log.info({ host: name }, line);
    try {
      const host = await startEmbeddedHost({
        stateDir: join(this.#config.stateDir, name),
        name,
        migrationAddress: `${forwardPrefix}.${MIGRATION_NUMBER}`,
        log: say,
        signal: this.#stop.signal,
      });
      this.#embedded.push(host);
      const { accel, accelReason: reason, libvirtVersion, qemuVersion, reused, pid } = host;
      this.#log.info(
        { host: name, accel, libvirt: libvirtVersion, qemu: qemuVersion, pid, reused },
        `embedded host ${reused ? 'found again' : 'started'}; ${accel === 'kvm' ? 'KVM' : 'emulation'}: ${reason}`,
      );
      const kernelArgs = await this.#buildImages(say);
      return new LibvirtHypervisor({
        host: name,
        uri: host.uri,
        clock: this.#clock,
        pool: { name: EMBEDDED_POOL, path: host.poolDir },
        network: { ...forward(forwardPrefix), kernelArgs },
        accel: { kind: accel, reason },
      });
    } catch (error) {
      if (!(error instanceof EmbeddedHostError)) throw error;
      this.#log.error({ host: name, err: error }, error.message);
      throw new Fault('unreachable', error.message, { cause: error });
    }
  }

  /** All embedded hosts share what is built. Returns the kernel arguments that guests need on the user-mode network. */
  async #buildImages(log: (line: string) => void): Promise<string> {
    const wanted = this.#config.images.filter((image) => image.kind === 'built');
    if (wanted.length === 0) return '';
    const dir = await makeImagesFolder(this.#config.stateDir, process.getuid?.() === 0);
    const { signal } = this.#stop;
    let args = '';
    for (const { guest: kind, name } of wanted) {
      const built = await ensureGuestImage({ dir, kind, log, signal });
      await this.#onBuilt(imageOf(name, built));
      args = built.userNetworkArgs;
    }
    return args;
  }
}

function forward(addressPrefix: string): Extract<GuestNetwork, { kind: 'forward' }> {
  return { kind: 'forward', addressPrefix, port: FORWARDED_PORT };
}

function imageOf(name: string, { dir, disk, kernel, initrd, kernelArgs }: GuestImage): Image {
  return {
    name,
    path: join(dir, disk),
    format: 'qcow2',
    direct: { kernel: join(dir, kernel), initrd: join(dir, initrd), args: kernelArgs },
  };
}
