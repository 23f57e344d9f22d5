// The hypervisor port on libvirt: one connection to look and to pull plugs, one for work that takes its time, and one more to
// look with where there are many domains.
// Not here: XML (domain-xml), disks (overlay-disks), the poll (host-poll), what errors mean (libvirt-faults).

import type { Endpoint, HostObservation } from '../../../core/model.ts';
import {
  type CallOptions,
  type Domain,
  DomainUndefineFlags,
  ErrorCode,
  formatVersion,
  isLibvirtError,
  LibvirtClient,
} from '../../../libvirt/index.ts';
import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type { HostInfo, Hypervisor, VmSpec } from '../../../ports/hypervisor.ts';
import { type AccelVerdict, probeAccel } from './accel-probe.ts';
import { ChangeFeed } from './change-feed.ts';
import { DomainCatalog } from './domain-catalog.ts';
import { domainXml, type GuestNetwork } from './domain-xml.ts';
import { canBind, freeAddress } from './forward-addresses.ts';
import { guestAddress } from './guest-address.ts';
import { GuestShutdown } from './guest-shutdown.ts';
import { HostPoll } from './host-poll.ts';
import { faultOf } from './libvirt-faults.ts';
import { orAborted } from './or-aborted.ts';
import { OverlayDisks, type PoolOptions } from './overlay-disks.ts';

export interface LibvirtHypervisorOptions {
  /** The host's name in the configuration. */
  readonly host: string;
  readonly uri: string;
  readonly clock: Clock;
  readonly pool: PoolOptions;
  readonly network: GuestNetwork;
  /** What an earlier probe found out. Absent: a probe guest is run once; libvirt's own word on KVM is not enough. */
  readonly accel?: AccelVerdict;
  /** Folder on the host for guests' serial output; absent: a pty each. */
  readonly consoleDir?: string;
  /** Deadline of each single call of libvirt; the caller's signal may be earlier. Default 10 000; work that starts QEMU or copies: 60 000. */
  readonly callTimeoutMs?: number;
  readonly workTimeoutMs?: number;
  /** Source of jitter for reconnecting, in [0, 1). */
  readonly random?: () => number;
}

/** Procedures that virtscale needs came with it: Debian 12, Ubuntu 24.04, RHEL 9.2. */
const LIBVIRT_LEAST = 9_000_000;
const KEEPALIVE = { keepaliveIntervalMs: 3000, keepaliveCount: 3, connectTimeoutMs: 5000, backoffMaxMs: 2000 } as const;
/** Given up from the right when a libvirt says that it does not know one. */
const UNDEFINE_FLAGS = [
  DomainUndefineFlags.MANAGED_SAVE,
  DomainUndefineFlags.SNAPSHOTS_METADATA,
  DomainUndefineFlags.NVRAM,
  DomainUndefineFlags.CHECKPOINTS_METADATA,
] as const;

export class LibvirtHypervisor implements Hypervisor {
  readonly host: string;
  readonly #options: LibvirtHypervisorOptions;
  readonly #control: LibvirtClient;
  readonly #work: LibvirtClient;
  readonly #counters: LibvirtClient;
  readonly #catalog: DomainCatalog;
  readonly #disks: OverlayDisks;
  readonly #poll: HostPoll;
  readonly #feed: ChangeFeed;
  readonly #closing = new AbortController();
  readonly #shutdowns: GuestShutdown;
  /** Choosing an address and defining the domain that has it: one after another. */
  #defining: Promise<unknown> = Promise.resolve();
  #probing: Promise<AccelVerdict> | undefined;

  constructor(options: LibvirtHypervisorOptions) {
    const { clock, host, pool, random, uri } = options;
    this.host = host;
    this.#options = options;
    this.#control = new LibvirtClient({ uri, random, ...KEEPALIVE });
    this.#work = new LibvirtClient({ uri, random, ...KEEPALIVE });
    this.#counters = new LibvirtClient({ uri, random, ...KEEPALIVE });
    this.#catalog = new DomainCatalog(this.#control);
    this.#disks = new OverlayDisks(this.#work, host, pool, isLocal(uri));
    const pools = new OverlayDisks(this.#control, host, pool, false);
    this.#poll = new HostPoll(this.#control, this.#counters, clock, this.#catalog, pools);
    this.#shutdowns = new GuestShutdown(this.#control, this.#work, clock, this.#closing.signal);
    this.#feed = new ChangeFeed(this.#control, this.#catalog);
  }

  info(signal: AbortSignal): Promise<HostInfo> {
    return this.#guarded('info', signal, async () => {
      const call = this.#call(signal);
      const [libvirt, qemu] = await Promise.all([
        this.#control.libVersion(call),
        this.#control.hypervisorVersion(call),
      ]);
      if (libvirt < LIBVIRT_LEAST) {
        const message = `host ${this.host}: libvirt ${formatVersion(libvirt)} is too old`;
        const advice = `virtscale needs libvirt ${formatVersion(LIBVIRT_LEAST)} or later (Debian 12, Ubuntu 24.04, RHEL 9.2); upgrade the host.`;
        throw new Fault('refused', message, { advice });
      }
      const { kind, reason } = await this.#accel(signal);
      return { libvirt: formatVersion(libvirt), qemu: formatVersion(qemu), accel: kind, accelReason: reason };
    });
  }

  /** Probed once per life of this adapter. The probe goes on when a caller gives up: with a broken KVM it takes its time. */
  async #accel(signal: AbortSignal | undefined): Promise<AccelVerdict> {
    const { accel, pool, random, uri } = this.#options;
    if (accel !== undefined) return accel;
    this.#probing ??= this.#disks
      .capacity({ signal: this.#closing.signal })
      .then(() => probeAccel({ uri, random, ...KEEPALIVE }, pool.name, this.#closing.signal))
      .catch((error: unknown) => {
        this.#probing = undefined;
        throw error;
      });
    return orAborted(this.#probing, signal);
  }

  observe(signal: AbortSignal): Promise<HostObservation> {
    return this.#guarded('observe', signal, async () => {
      const call = this.#call(signal);
      this.#feed.start();
      const startedAtMs = this.#options.clock.nowMs();
      const [domains, capacity] = await Promise.all([this.#poll.domains(call), this.#poll.capacity(call)]);
      return { host: this.host, startedAtMs, endedAtMs: this.#options.clock.nowMs(), capacity, domains };
    });
  }

  changes(signal: AbortSignal): AsyncIterable<void> {
    return this.#feed.changes(signal);
  }

  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#guarded(`create the disk of ${spec.name}`, signal, async () => {
      await this.#disks.create(spec, this.#longCall(signal));
      this.#poll.forgetCapacity();
    });
  }

  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    const previous = this.#defining;
    const turn = this.#guarded(`define ${spec.name}`, signal, async () => {
      await orAborted(previous, signal);
      return this.#define(spec, this.#longCall(signal));
    });
    this.#defining = Promise.allSettled([previous, turn]);
    return turn;
  }

  async #define(spec: VmSpec, call: CallOptions): Promise<{ readonly endpoint?: Endpoint }> {
    const { consoleDir, network } = this.#options;
    const domains = await this.#work.listDomains(0, call);
    const known = domains.find(({ uuid }) => uuid === spec.uuid);
    const clash = domains.find(({ name, uuid }) => (name === spec.name) !== (uuid === spec.uuid));
    if (clash !== undefined) throw this.#taken(spec, clash);
    const before = known && (await this.#catalog.lookUp(known, call));
    if (known !== undefined && before === undefined) throw this.#taken(spec, known);
    const endpoint =
      network.kind === 'forward' ? (before?.endpoint ?? (await this.#freeEndpoint(domains, network, call))) : undefined;
    const diskPath = await this.#disks.pathOf(spec.name, call);
    const xml = domainXml(spec, {
      accel: (await this.#accel(call.signal)).kind,
      network,
      diskPath,
      ...(endpoint && { endpoint }),
      ...(consoleDir === undefined ? {} : { consoleDir }),
    });
    await this.#work.defineDomain(xml, 0, call);
    this.#catalog.put(spec.uuid, endpoint ? { ...spec.metadata, endpoint } : spec.metadata);
    return endpoint ? { endpoint } : {};
  }

  async #freeEndpoint(
    domains: readonly Domain[],
    network: Extract<GuestNetwork, { kind: 'forward' }>,
    call: CallOptions,
  ): Promise<Endpoint> {
    // Whoever cannot be asked might have any address: then none is given away.
    const all = await Promise.all(domains.map((domain) => this.#catalog.lookUp(domain, call).catch(absent)));
    const taken = new Set(all.flatMap((metadata) => metadata?.endpoint?.address ?? []));
    return freeAddress(network.addressPrefix, network.port, taken, canBind);
  }

  start(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`start ${uuid}`, signal, async () => {
      const call = this.#longCall(signal);
      try {
        await this.#work.createDomain(byUuid(uuid), 0, call);
      } catch (error) {
        if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID)) throw error;
        if (!(await this.#isActive(uuid, call))) throw error;
      }
    });
  }

  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return this.#guarded(`find the address of ${uuid}`, signal, async () => {
      const call = this.#call(signal);
      const metadata = await this.#catalog.lookUp(byUuid(uuid), call).catch(absent);
      if (metadata?.endpoint !== undefined) return metadata.endpoint;
      const address = await guestAddress(this.#work, byUuid(uuid), call);
      return address === undefined ? undefined : { address, port };
    });
  }

  shutdown(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`shut down ${uuid}`, signal, async () => {
      const domain = await this.#control.domainByUuid(uuid, this.#call(signal)).catch(absent);
      if (domain !== undefined && domain.id >= 0) await this.#shutdowns.ask(domain, this.#call(signal));
    });
  }

  destroy(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`destroy ${uuid}`, signal, async () => {
      const call = this.#longCall(signal);
      if (!(await this.#isActive(uuid, call))) return;
      await this.#mustBeOurs(uuid, call);
      await this.#control
        .destroyDomain(byUuid(uuid), 0, call)
        .catch(unless(ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID));
    });
  }

  undefine(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`undefine ${uuid}`, signal, async () => {
      const call = this.#call(signal);
      const active = await this.#state(uuid, call);
      if (active === undefined) return;
      await this.#mustBeOurs(uuid, call);
      // libvirt would let it run on without a definition.
      if (active) throw new Fault('conflict', `host ${this.host}: domain ${uuid} runs, so it is not undefined`);
      for (let count: number = UNDEFINE_FLAGS.length; ; count -= 1) {
        const flags = UNDEFINE_FLAGS.slice(0, count).reduce((sum, flag) => sum | flag, 0);
        try {
          return await this.#work.undefineDomain(byUuid(uuid), flags, call);
        } catch (error) {
          if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return;
          if (count === 0 || !isLibvirtError(error, ErrorCode.INVALID_ARG)) throw error;
        }
      }
    });
  }

  deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`delete the disk of ${vmName}`, signal, async () => {
      await this.#disks.remove(vmName, this.#longCall(signal));
      this.#poll.forgetCapacity();
    });
  }

  listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return this.#guarded('list disks', signal, () => this.#disks.list(this.#longCall(signal)));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#control.close(), this.#work.close(), this.#counters.close()]);
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  #call(signal: AbortSignal): CallOptions {
    return { signal, timeoutMs: this.#options.callTimeoutMs ?? 10_000 };
  }

  #longCall(signal: AbortSignal): CallOptions {
    return { signal, timeoutMs: this.#options.workTimeoutMs ?? 60_000 };
  }

  /** Whatever goes wrong inside comes out as a Fault; nothing begins for a caller who has given up. */
  async #guarded<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const said = `host ${this.host}: ${what}`;
    try {
      signal.throwIfAborted();
      return await work();
    } catch (error) {
      if (this.#closing.signal.aborted) throw new Fault('unreachable', `${said}: closed`, { cause: error });
      throw faultOf(error, said, signal);
    }
  }

  /** Undefined when there is no such domain; else whether it has a QEMU. */
  async #state(uuid: string, call: CallOptions): Promise<boolean | undefined> {
    try {
      const { active } = await this.#control.call('DOMAIN_IS_ACTIVE', { dom: byUuid(uuid) }, call);
      return active === 1;
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return undefined;
      throw error;
    }
  }

  async #isActive(uuid: string, call: CallOptions): Promise<boolean> {
    return (await this.#state(uuid, call)) === true;
  }

  /** The last net: what the engine asks by mistake about somebody else's domain is not done. */
  async #mustBeOurs(uuid: string, call: CallOptions): Promise<void> {
    const metadata = await this.#catalog.lookUp(byUuid(uuid), call).catch(absent);
    if (metadata !== undefined) return;
    if ((await this.#state(uuid, call)) === undefined) return;
    throw new Fault('conflict', `host ${this.host}: domain ${uuid} has no virtscale metadata: it is somebody else's`);
  }

  #taken(spec: VmSpec, by: Domain): Fault {
    return new Fault(
      'conflict',
      `host ${this.host}: ${spec.name} (${spec.uuid}) cannot be defined: there is ${by.name} (${by.uuid})`,
      { advice: `Rename or remove that domain (virsh undefine ${by.name}), if it is not needed.` },
    );
  }
}

/** libvirt finds a domain by its uuid alone. */
function byUuid(uuid: string): Domain {
  return { uuid, name: '', id: -1 };
}

function absent(error: unknown): undefined {
  if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return undefined;
  throw error;
}

/** Swallows libvirt's errors of these codes. */
function unless(...codes: readonly number[]): (error: unknown) => void {
  return (error) => {
    if (!isLibvirtError(error, ...codes)) throw error;
  };
}

/** A unix socket leads to a daemon on this machine. */
function isLocal(uri: string): boolean {
  return /^[a-z]+(\+unix)?:\/\/\//i.test(uri);
}
