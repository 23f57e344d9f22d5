// One poll of a host: every domain with its state and CPU counter, and the host's capacity; the pool's space at a slower beat.
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
  type PoolInfo,
} from '../../../libvirt/index.ts';
import type { Clock } from '../../../ports/clock.ts';
import type { ObserveWants } from '../../../ports/hypervisor.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import type { DomainStatsReader } from './domain-stats.ts';
import { CpuUse } from './host-facts.ts';
import type { HostPool } from './host-pool.ts';

/** The pool's space changes slowly, and asking for it costs a look at every volume. */
const POOL_EVERY_MS = 10_000;
/** Counters of domains that are nobody's of ours are read at every fifth poll, each at another one. */
const FOREIGN_EVERY_POLLS = 5;
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

/** What was last read of a domain, and in which run of it. */
interface Reading {
  readonly id: number;
  readonly observation: DomainObservation;
}

export class HostPoll {
  readonly #client: LibvirtClient;
  readonly #second: LibvirtClient;
  readonly #clock: Clock;
  readonly #catalog: DomainCatalog;
  readonly #stats: DomainStatsReader;
  readonly #pool: HostPool;
  readonly #cpuUse: CpuUse;
  readonly #sizes = new Map<string, Size>();
  readonly #readings = new Map<string, Reading>();
  #polls = 0;
  #space: { readonly value: PoolInfo | undefined; readonly atMs: number } | undefined;

  /** `second` is a connection to the same host; it is opened when there are many domains. */
  constructor(parts: {
    readonly client: LibvirtClient;
    readonly second: LibvirtClient;
    readonly clock: Clock;
    readonly catalog: DomainCatalog;
    readonly stats: DomainStatsReader;
    readonly pool: HostPool;
  }) {
    this.#client = parts.client;
    this.#second = parts.second;
    this.#clock = parts.clock;
    this.#catalog = parts.catalog;
    this.#stats = parts.stats;
    this.#pool = parts.pool;
    this.#cpuUse = new CpuUse(parts.client);
  }

  async domains(options: CallOptions, wants: ObserveWants = {}): Promise<readonly DomainObservation[]> {
    const { isWatched, wantsStats } = wants;
    const listed = await this.#client.listDomains(0, options);
    const measured = wantsStats === undefined ? [] : listed.filter(({ id, uuid }) => id >= 0 && wantsStats(uuid));
    this.#stats.look(measured);
    this.#polls += 1;
    const readNow = (domain: Domain, index: number): boolean => {
      if (isWatched === undefined || isWatched(domain.uuid) || !this.#catalog.isForeign(domain.uuid)) return true;
      // Started or stopped since: what was read belongs to another run.
      if (this.#readings.get(domain.uuid)?.id !== domain.id) return true;
      return (this.#polls + index) % FOREIGN_EVERY_POLLS === 0;
    };
    const [infos] = await Promise.all([this.#infos(listed, readNow, options), this.#catalog.refresh(listed, options)]);
    const seen = new Set(listed.map(({ uuid }) => uuid));
    for (const known of [this.#sizes, this.#readings]) {
      for (const uuid of known.keys()) if (!seen.has(uuid)) known.delete(uuid);
    }
    const statsOf = new Map(measured.map((domain) => [domain.uuid, this.#stats.of(domain)]));
    return infos.flatMap((observation) => {
      if (observation === undefined) return [];
      const metadata = this.#catalog.metadataOf(observation.uuid);
      const stats = statsOf.get(observation.uuid);
      return [{ ...observation, ...(metadata && { metadata }), ...(stats && { stats }) }];
    });
  }

  /** One observation for each, in order; undefined for a domain that went away since it was listed. */
  async #infos(
    listed: readonly Domain[],
    readNow: (domain: Domain, index: number) => boolean,
    options: CallOptions,
  ): Promise<readonly (DomainObservation | undefined)[]> {
    const seen: (DomainObservation | undefined)[] = listed.map(({ name, uuid }) => {
      const known = this.#readings.get(uuid)?.observation;
      return known && { ...known, name };
    });
    const due = [...listed.entries()].filter(([index, domain]) => readNow(domain, index));
    const remaining = due.values();
    const work = async (client: LibvirtClient): Promise<void> => {
      for (const [index, domain] of remaining) {
        const observation = await this.#observe(client, domain, options);
        seen[index] = observation;
        if (observation !== undefined) this.#readings.set(domain.uuid, { id: domain.id, observation });
      }
    };
    const clients = due.length < SHARE_FROM ? [this.#client] : [this.#client, this.#second];
    await Promise.all(clients.flatMap((client) => Array.from({ length: WORKERS_PER_CONNECTION }, () => work(client))));
    return seen;
  }

  async #observe(client: LibvirtClient, domain: Domain, options: CallOptions): Promise<DomainObservation | undefined> {
    try {
      const info = await client.domainInfo(domain, options);
      const readAtMs = this.#clock.nowMs();
      // Ours have what they were given; what others keep back by a balloon they may want again at any time.
      const memoryKiB = this.#catalog.isForeign(domain.uuid) ? info.maxMemoryKiB : info.memoryKiB;
      const size = { vcpus: info.vcpus, memoryMiB: Math.round(memoryKiB / 1024) };
      this.#sizes.set(domain.uuid, size);
      const state = observedState(info.state, domain);
      const paused = info.state === DomainState.PAUSED ? { paused: true } : {};
      return { uuid: domain.uuid, name: domain.name, state, ...paused, ...size, ...cpuOf(info, state), readAtMs };
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
      const paused = state === DomainState.PAUSED ? { paused: true } : {};
      return { ...base, state: observedState(state, domain), ...paused, readAtMs: this.#clock.nowMs() };
    } catch (error) {
      if (!isLibvirtError(error)) throw error;
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return undefined;
      return { ...base, state: 'unknown', readAtMs: this.#clock.nowMs() };
    }
  }

  async capacity(options: CallOptions): Promise<HostCapacity> {
    const [node, memory, cpuRatio, pool] = await Promise.all([
      this.#client.nodeInfo(options),
      this.#client.nodeMemoryStats(options),
      this.#cpuUse.read(options),
      this.#poolSpace(options),
    ]);
    // The node info's memory can be that of one NUMA cell alone; it serves where there are no memory stats.
    const totalKiB = memory['total'] ?? node.memoryKiB;
    const freeKiB = (memory['free'] ?? 0) + (memory['buffers'] ?? 0) + (memory['cached'] ?? 0);
    return {
      cpus: node.cpus,
      memoryMiB: Math.round(totalKiB / 1024),
      memoryFreeMiB: Math.min(Math.round(totalKiB / 1024), Math.round(freeKiB / 1024)),
      diskGiB: (pool?.capacityBytes ?? 0) / GIB,
      diskFreeGiB: (pool?.availableBytes ?? 0) / GIB,
      ...(cpuRatio === undefined ? {} : { cpuRatio }),
    };
  }

  async #poolSpace(options: CallOptions): Promise<PoolInfo | undefined> {
    const known = this.#space;
    if (known !== undefined && this.#clock.nowMs() - known.atMs < POOL_EVERY_MS) return known.value;
    const value = await this.#pool.capacity(options);
    this.#space = { value, atMs: this.#clock.nowMs() };
    return value;
  }

  /** The next poll asks anew. */
  forgetSpace(): void {
    this.#space = undefined;
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
