// One poll of a host: every domain with its state and CPU counter, and the host's capacity at a slower beat.
// Only calls that no stuck QEMU can hold up. Not here: when to poll (engine), metadata's caching (domain-catalog).

import type { DomainObservation, HostCapacity, DomainState as ObservedState } from '../../../core/model.ts';
import {
  type CallOptions,
  type Domain,
  type DomainInfo,
  DomainState,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import type { Clock } from '../../../ports/clock.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import type { OverlayDisks } from './overlay-disks.ts';

/** Capacity changes slowly, and asking for it costs a look at every volume of the pool. */
const CAPACITY_EVERY_MS = 10_000;
const GIB = 1024 ** 3;
/** As many calls as a connection holds in flight; more workers would only keep its queue full. */
const WORKERS_PER_CONNECTION = 4;
/** From so many domains on, a second connection takes half of them: a quarter less time for a hundred. */
const SHARE_FROM = 16;

/** Size of a domain as last told: what to say when its counters cannot be read just now. */
interface Size {
  readonly vcpus: number;
  readonly memoryMiB: number;
}

export class HostPoll {
  readonly #client: LibvirtClient;
  readonly #second: LibvirtClient;
  readonly #clock: Clock;
  readonly #catalog: DomainCatalog;
  readonly #disks: OverlayDisks;
  readonly #sizes = new Map<string, Size>();
  #capacity: { readonly value: HostCapacity; readonly atMs: number } | undefined;

  /** `second` is a connection to the same host; it is opened when there are many domains. */
  constructor(client: LibvirtClient, second: LibvirtClient, clock: Clock, catalog: DomainCatalog, disks: OverlayDisks) {
    this.#client = client;
    this.#second = second;
    this.#clock = clock;
    this.#catalog = catalog;
    this.#disks = disks;
  }

  async domains(options: CallOptions): Promise<readonly DomainObservation[]> {
    const listed = await this.#client.listDomains(0, options);
    const [infos] = await Promise.all([this.#infos(listed, options), this.#catalog.refresh(listed, options)]);
    const seen = new Set(listed.map(({ uuid }) => uuid));
    for (const uuid of this.#sizes.keys()) if (!seen.has(uuid)) this.#sizes.delete(uuid);
    return infos.flatMap((observation) => {
      if (observation === undefined) return [];
      const metadata = this.#catalog.metadataOf(observation.uuid);
      return [metadata === undefined ? observation : { ...observation, metadata }];
    });
  }

  /** One observation for each, in order; undefined for a domain that went away since it was listed. */
  async #infos(listed: readonly Domain[], options: CallOptions): Promise<readonly (DomainObservation | undefined)[]> {
    const seen: (DomainObservation | undefined)[] = [];
    const remaining = listed.entries();
    const work = async (client: LibvirtClient): Promise<void> => {
      for (const [index, domain] of remaining) seen[index] = await this.#observe(client, domain, options);
    };
    const clients = listed.length < SHARE_FROM ? [this.#client] : [this.#client, this.#second];
    await Promise.all(clients.flatMap((client) => Array.from({ length: WORKERS_PER_CONNECTION }, () => work(client))));
    return seen;
  }

  async #observe(client: LibvirtClient, domain: Domain, options: CallOptions): Promise<DomainObservation | undefined> {
    try {
      const info = await client.domainInfo(domain, options);
      const readAtMs = this.#clock.nowMs();
      const size = { vcpus: info.vcpus, memoryMiB: Math.round(info.maxMemoryKiB / 1024) };
      this.#sizes.set(domain.uuid, size);
      const state = observedState(info.state, domain);
      return { uuid: domain.uuid, name: domain.name, state, ...size, ...cpuOf(info, state), readAtMs };
    } catch (error) {
      if (!isLibvirtError(error)) throw error;
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return undefined;
      // Its QEMU ended between two steps of libvirt: there is no counter, and the state is asked by itself.
      return this.#observeState(domain, options);
    }
  }

  async #observeState(domain: Domain, options: CallOptions): Promise<DomainObservation | undefined> {
    const size = this.#sizes.get(domain.uuid) ?? { vcpus: 1, memoryMiB: 0 };
    const base = { uuid: domain.uuid, name: domain.name, ...size };
    try {
      const { state } = await this.#client.domainState(domain, options);
      return { ...base, state: observedState(state, domain), readAtMs: this.#clock.nowMs() };
    } catch (error) {
      if (!isLibvirtError(error)) throw error;
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return undefined;
      return { ...base, state: 'unknown', readAtMs: this.#clock.nowMs() };
    }
  }

  async capacity(options: CallOptions): Promise<HostCapacity> {
    const known = this.#capacity;
    if (known !== undefined && this.#clock.nowMs() - known.atMs < CAPACITY_EVERY_MS) return known.value;
    const [node, memory, pool] = await Promise.all([
      this.#client.nodeInfo(options),
      this.#client.nodeMemoryStats(options),
      this.#disks.capacity(options),
    ]);
    // The node info's memory can be that of one NUMA cell alone; it serves where there are no memory stats.
    const totalKiB = memory['total'] ?? node.memoryKiB;
    const freeKiB = (memory['free'] ?? 0) + (memory['buffers'] ?? 0) + (memory['cached'] ?? 0);
    const value = {
      cpus: node.cpus,
      memoryMiB: Math.round(totalKiB / 1024),
      memoryFreeMiB: Math.min(Math.round(totalKiB / 1024), Math.round(freeKiB / 1024)),
      diskGiB: (pool?.capacityBytes ?? 0) / GIB,
      diskFreeGiB: (pool?.availableBytes ?? 0) / GIB,
    };
    this.#capacity = { value, atMs: this.#clock.nowMs() };
    return value;
  }

  /** The next poll asks anew. */
  forgetCapacity(): void {
    this.#capacity = undefined;
  }
}

function cpuOf(info: DomainInfo, state: ObservedState): { readonly cpuTimeNs?: number } {
  return state === 'running' ? { cpuTimeNs: Number(info.cpuTimeNs) } : {};
}

/** Whether there is a QEMU that holds the disk. libvirt numbers an active domain's id from 1. */
function observedState(state: number, domain: Domain): ObservedState {
  switch (state) {
    case DomainState.RUNNING:
    case DomainState.BLOCKED:
    case DomainState.PAUSED:
    case DomainState.SHUTDOWN:
    case DomainState.PMSUSPENDED:
      return 'running';
    case DomainState.SHUTOFF:
      return 'stopped';
    case DomainState.CRASHED:
      return domain.id >= 0 ? 'running' : 'stopped';
    default:
      return 'unknown';
  }
}
