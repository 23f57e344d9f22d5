// The hypervisor port on libvirt: one connection to look and to pull plugs, one for work that takes its time, one for what guests
// must answer, and one more to look with where there are many domains. Images travel on connections of their own.
// Not here: XML (domain-xml), disks and images (vm-disks, placed-images), the poll (host-poll), what errors mean (libvirt-faults).

import type { Endpoint, HostObservation, Image, ImageContent, VmMetadata } from '../../../core/model.ts';
import { type CallOptions, ErrorCode, isLibvirtError, LibvirtClient } from '../../../libvirt/index.ts';
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
import { ImageTransfers } from '../image-transfers.ts';
import type { AccelVerdict } from './accel-probe.ts';
import { AccelSource } from './accel-source.ts';
import { ChangeFeed } from './change-feed.ts';
import { type ClusterLink, clusterLinkOf, clusterMac } from './cluster-cards.ts';
import { ConsoleLogs, emptyLargeLogs } from './console-logs.ts';
import { Definitions } from './definitions.ts';
import { DomainCatalog } from './domain-catalog.ts';
import { DomainHardware } from './domain-hardware.ts';
import { absent, byUuid, isActive, unless } from './domain-lookups.ts';
import { DomainStatsReader } from './domain-stats.ts';
import type { GuestNetwork } from './domain-xml.ts';
import { Forking } from './forking.ts';
import { guestAddress, guestAddresses } from './guest-address.ts';
import { GuestAgent } from './guest-agent.ts';
import { GuestExec } from './guest-exec.ts';
import { GuestIdentities } from './guest-identity.ts';
import { GuestShutdown } from './guest-shutdown.ts';
import { HostFacts } from './host-facts.ts';
import { HostPoll } from './host-poll.ts';
import { HostPool, type PoolOptions } from './host-pool.ts';
import { faultOf } from './libvirt-faults.ts';
import { LibvirtSnapshots } from './libvirt-snapshots.ts';
import { LibvirtMigration } from './migration.ts';
import { migrationUriOf } from './migration-uri.ts';
import { Ownership } from './ownership.ts';
import { PlacedImages } from './placed-images.ts';
import { PoolVolumes } from './pool-volumes.ts';
import { Power } from './power.ts';
import { SnapshotFiles } from './snapshot-files.ts';
import type { IsReady } from './template-maker.ts';
import { Templates } from './templates.ts';
import { VmDisks } from './vm-disks.ts';

export interface LibvirtHypervisorOptions {
  /** The host's name in the configuration. */
  readonly host: string;
  readonly uri: string;
  readonly clock: Clock;
  readonly pool: PoolOptions;
  readonly network: GuestNetwork;
  /** Where cluster networks are. Absent: where the guests' first card is; with forwarded ports, among the hosts of this machine. */
  readonly clusterLink?: ClusterLink;
  /** What an earlier probe found out. Absent: a probe guest is run once; libvirt's own word on KVM is not enough. */
  readonly accel?: AccelVerdict;
  /** Whether guests' serial output is kept in the pool's folder. Default true. */
  readonly consoleLog?: boolean;
  /** As the libvirt of other hosts reaches this one. Absent: derived from `uri` where that is possible. */
  readonly migrationUri?: string;
  /** Hosts of the same name have the same files under their pools. Absent: a storage of its own. */
  readonly sharedStorage?: string;
  /** Deadline of each single call of libvirt; the caller's signal may be earlier. Default 10 000; work that starts QEMU or copies: 60 000. */
  readonly callTimeoutMs?: number;
  readonly workTimeoutMs?: number;
  /** Source of jitter for reconnecting, in [0, 1). */
  readonly random?: () => number;
}

const KEEPALIVE = { keepaliveIntervalMs: 3000, keepaliveCount: 3, connectTimeoutMs: 5000, backoffMaxMs: 2000 } as const;
/** How often console logs are looked at that nobody else keeps small. */
const LOGS_EVERY_MS = 60_000;

/** Memory and whole disks are copied; who asks says when to give up. */
const SNAPSHOT_TIMEOUT_MS = 600_000;

type SignalledCall = CallOptions & { readonly signal: AbortSignal };

export class LibvirtHypervisor implements Hypervisor {
  readonly host: string;
  readonly guest: GuestCommands;
  readonly hardware: Hardware;
  readonly snapshots: LibvirtSnapshots;
  readonly migration: LibvirtMigration;
  readonly #options: LibvirtHypervisorOptions;
  readonly #control: LibvirtClient;
  readonly #work: LibvirtClient;
  readonly #counters: LibvirtClient;
  /** For programs in guests, which may run for hours. */
  readonly #commands: LibvirtClient;
  /** For what a stuck guest can hold up, and what must not wait behind restores and copies. */
  readonly #guests: LibvirtClient;
  readonly #catalog: DomainCatalog;
  readonly #disks: VmDisks;
  readonly #images: PlacedImages;
  readonly #transfers = new ImageTransfers();
  readonly #consoles: ConsoleLogs;
  readonly #definitions: Definitions;
  readonly #ownership: Ownership;
  readonly #power: Power;
  readonly #facts: HostFacts;
  readonly #poll: HostPoll;
  readonly #feed: ChangeFeed;
  readonly #closing = new AbortController();
  readonly #shutdowns: GuestShutdown;
  readonly #isHere: boolean;
  readonly #agent: GuestAgent;
  readonly #identities: GuestIdentities;
  readonly #forking: Forking;
  #logsLookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LibvirtHypervisorOptions) {
    const { clock, consoleLog = true, host, network, pool, random, uri } = options;
    this.host = host;
    this.#options = options;
    const connect = (): LibvirtClient => new LibvirtClient({ uri, random, ...KEEPALIVE });
    const control = connect();
    const work = connect();
    this.#control = control;
    this.#work = work;
    this.#counters = connect();
    const guests = connect();
    this.#guests = guests;
    this.#commands = connect();
    const isHere = isLocal(uri);
    this.#isHere = isHere;
    const catalog = new DomainCatalog(control);
    this.#catalog = catalog;
    const hostPool = new HostPool(work, host, pool);
    const volumes = new PoolVolumes(work, hostPool);
    this.#images = new PlacedImages(work, hostPool, volumes);
    const templates = new Templates(work, hostPool, volumes);
    const clusterLink = clusterLinkOf(network, options.clusterLink);
    const diskParts = { client: work, pool: hostPool, volumes, images: this.#images, templates, hostIsHere: isHere };
    const disks = new VmDisks({ ...diskParts, clusterLink });
    this.#disks = disks;
    this.#consoles = new ConsoleLogs(work, hostPool, volumes);
    const closing = this.#closing.signal;
    const accel = new AccelSource(options.accel, hostPool, { uri, random, ...KEEPALIVE }, closing);
    this.#facts = new HostFacts(control, host, accel);
    const definitions = new Definitions({
      host,
      control,
      work,
      catalog,
      disks,
      network,
      clusterLink,
      consoleLog,
      accel,
    });
    this.#definitions = definitions;
    this.#ownership = new Ownership(work, catalog, host);
    this.#power = new Power(control, work, host);
    const stats = new DomainStatsReader(guests, clock, closing);
    const second = this.#counters;
    this.#poll = new HostPoll({
      client: control,
      second,
      clock,
      catalog,
      stats,
      pool: new HostPool(control, host, pool),
    });
    this.#shutdowns = new GuestShutdown(control, work, clock, closing);
    this.#feed = new ChangeFeed(control, catalog);
    const guestsShareLink = network.kind !== 'forward';
    this.#agent = new GuestAgent(guests);
    this.#identities = new GuestIdentities({ host, client: guests, agent: this.#agent, clock, guestsShareLink });
    const facts = this.#facts;
    const agent = this.#agent;
    this.guest = new GuestExec({
      host,
      agent: new GuestAgent(this.#commands),
      callTimeoutMs: options.callTimeoutMs ?? 10_000,
      closing,
      guarded: (what, signal, work) => this.#guarded(what, signal, work),
    });
    this.hardware = new DomainHardware({
      ...{ host, control, work, guests, agent, definitions, network },
      guarded: (what, signal, run) => this.#guarded(what, signal, () => run(this.#longCall(signal))),
      forgetSpace: () => this.#poll.forgetSpace(),
    });
    this.migration = new LibvirtMigration({
      host,
      uri: migrationUriOf(uri, options.migrationUri),
      storage: options.sharedStorage,
      control,
      work,
      connect,
      pool: hostPool,
      volumes,
      images: this.#images,
      definitions,
      network,
      accel,
      catalog,
      closing,
      callTimeoutMs: options.callTimeoutMs ?? 10_000,
      workTimeoutMs: options.workTimeoutMs ?? 60_000,
    });
    this.snapshots = new LibvirtSnapshots({
      ...{ host, work, guests, catalog },
      files: new SnapshotFiles(work, hostPool, volumes),
      guarded: (what, signal, run) =>
        this.#guarded(what, signal, () => run({ signal, timeoutMs: SNAPSHOT_TIMEOUT_MS })),
    });
    const forking = { control, work, catalog, pool: hostPool, templates, disks, definitions, facts, agent };
    this.#forking = new Forking({ ...forking, guestsShareLink, isHere, closing });
  }

  info(signal: AbortSignal): Promise<HostInfo> {
    return this.#guarded('info', signal, () => this.#facts.info(this.#call(signal)));
  }

  /**
   * With `isWatched` the counters of domains that are neither ours nor watched are read at every fifth poll (`readAtMs` tells);
   * without it everybody's are read each time.
   */
  observe(signal: AbortSignal, wants?: ObserveWants): Promise<HostObservation> {
    return this.#guarded('observe', signal, async () => {
      const call = this.#call(signal);
      this.#feed.start();
      const startedAtMs = this.#options.clock.nowMs();
      const [domains, capacity] = await Promise.all([this.#poll.domains(call, wants), this.#poll.capacity(call)]);
      const endedAtMs = this.#options.clock.nowMs();
      void this.#keepLogsSmall(endedAtMs);
      return { host: this.host, startedAtMs, endedAtMs, capacity, domains };
    });
  }

  async #keepLogsSmall(nowMs: number): Promise<void> {
    if (!this.#isHere || nowMs - this.#logsLookedAtMs < LOGS_EVERY_MS) return;
    this.#logsLookedAtMs = nowMs;
    try {
      await emptyLargeLogs(await this.#disks.folder({ signal: this.#closing.signal }));
    } catch {
      // No pool yet, or files that are not ours to shorten: virtlogd keeps those small.
    }
  }

  changes(signal: AbortSignal): AsyncIterable<void> {
    return this.#feed.changes(signal);
  }

  placeImage(
    image: Image & { readonly content: ImageContent },
    read: ImageReader,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#guarded(`bring image ${image.name}`, signal, async () => {
      await this.#transfers.join(image.content.sha256, onBytes, signal, (tell, wanted) =>
        this.#images.place(image, read, tell, this.#longCall(wanted)),
      );
      this.#poll.forgetSpace();
    });
  }

  listImages(signal: AbortSignal): Promise<readonly PlacedImage[]> {
    return this.#guarded('list images', signal, () => this.#images.list(this.#longCall(signal)));
  }

  removeImage(sha256: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`remove image ${sha256}`, signal, async () => {
      await this.#images.remove(sha256, this.#longCall(signal));
      this.#poll.forgetSpace();
    });
  }

  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#guarded(`create the disk of ${spec.name}`, signal, async () => {
      const call = this.#longCall(signal);
      if (spec.template !== undefined) await this.#forking.prepare(spec.template, call);
      await this.#disks.create(spec, call);
      this.#poll.forgetSpace();
    });
  }

  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    return this.#guarded(`define ${spec.name}`, signal, () => this.#definitions.define(spec, this.#longCall(signal)));
  }

  start(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`start ${uuid}`, signal, async () => {
      const call = this.#longCall(signal);
      try {
        await this.#work.createDomain(byUuid(uuid), 0, call);
      } catch (error) {
        if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID)) throw error;
        if (!(await isActive(this.#control, uuid, call))) throw error;
      }
    });
  }

  templateKey(spec: TemplateSpec, signal: AbortSignal): Promise<string> {
    const what = `tell the template of image ${spec.image.name}`;
    return this.#guarded(what, signal, () => this.#forking.keyOf(spec, this.#longCall(signal)));
  }

  makeTemplate(spec: TemplateSpec, isReady: IsReady, signal: AbortSignal): Promise<SavedTemplate> {
    return this.#guarded(`make a template of image ${spec.image.name}`, signal, async () => {
      const made = await this.#forking.make(spec, isReady, this.#longCall(signal));
      this.#poll.forgetSpace();
      return made;
    });
  }

  listTemplates(signal: AbortSignal): Promise<readonly SavedTemplate[]> {
    return this.#guarded('list templates', signal, () => this.#forking.list(this.#longCall(signal)));
  }

  removeTemplate(key: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`remove template ${key}`, signal, async () => {
      await this.#forking.remove(key, this.#longCall(signal));
      this.#poll.forgetSpace();
    });
  }

  fork(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#guarded(`fork ${spec.name}`, signal, () => this.#forking.fork(spec, this.#longCall(signal)));
  }

  personalise(uuid: string, identity: GuestIdentity, signal: AbortSignal): Promise<void> {
    const what = `make ${uuid} its own`;
    return this.#guarded(what, signal, () => this.#identities.give(uuid, identity, this.#longCall(signal)));
  }

  save(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`save ${uuid}`, signal, async () => {
      await this.#identities.prepare(uuid, this.#call(signal));
      await this.#power.save(byUuid(uuid), this.#longCall(signal));
    });
  }

  agentAnswers(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    const what = `ask the agent of ${uuid}`;
    return this.#guarded(what, signal, () => this.#agent.answers(uuid, timeoutMs, this.#call(signal)));
  }

  pause(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`pause ${uuid}`, signal, async () => {
      await this.#identities.prepare(uuid, this.#call(signal));
      await this.#power.pause(byUuid(uuid), this.#call(signal));
    });
  }

  resume(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`resume ${uuid}`, signal, () => this.#power.resume(byUuid(uuid), this.#call(signal)));
  }

  reboot(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`reboot ${uuid}`, signal, () => this.#power.reboot(byUuid(uuid), this.#call(signal)));
  }

  reset(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`reset ${uuid}`, signal, () => this.#power.reset(byUuid(uuid), this.#call(signal)));
  }

  addresses(uuid: string, signal: AbortSignal): Promise<readonly GuestAddress[]> {
    return this.#guarded(`find the addresses of ${uuid}`, signal, async () => {
      const call = this.#call(signal);
      const [metadata, found] = await Promise.all([
        this.#catalog.lookUp(byUuid(uuid), call).catch(absent),
        guestAddresses(this.#work, byUuid(uuid), call),
      ]);
      const forwarded = metadata?.endpoint;
      return forwarded === undefined ? found : [{ address: forwarded.address, source: 'forward' }, ...found];
    });
  }

  console(uuid: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#guarded(`read the console of ${uuid}`, signal, async () => {
      const call = this.#call(signal);
      const domain = await this.#control.domainByUuid(uuid, call);
      const metadata = await this.#catalog.lookUp(domain, call);
      if (metadata === undefined || metadata.adopted === true) {
        const message = `host ${this.host}: virtscale did not make domain ${domain.name}, and keeps no log of its console`;
        throw new Fault('refused', message, { advice: `Look with: virsh console ${domain.name}` });
      }
      return this.#consoles.tail(domain.name, maxBytes, call);
    });
  }

  adopt(uuid: string, metadata: VmMetadata, signal: AbortSignal): Promise<void> {
    return this.#guarded(`adopt ${uuid}`, signal, () => this.#ownership.adopt(uuid, metadata, this.#call(signal)));
  }

  release(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`release ${uuid}`, signal, () => this.#ownership.release(uuid, this.#call(signal)));
  }

  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return this.#guarded(`find the address of ${uuid}`, signal, async () => {
      const call = this.#call(signal);
      const metadata = await this.#catalog.lookUp(byUuid(uuid), call).catch(absent);
      if (metadata?.endpoint !== undefined) return metadata.endpoint;
      const ownCards = new Set(metadata?.networks?.map(({ id }) => clusterMac(uuid, id)));
      const address = await guestAddress(this.#work, byUuid(uuid), call, ownCards);
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
      if (!(await isActive(this.#control, uuid, call))) return;
      await this.#definitions.mustBeOurs(uuid, call);
      await this.#control
        .destroyDomain(byUuid(uuid), 0, call)
        .catch(unless(ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID));
    });
  }

  undefine(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`undefine ${uuid}`, signal, () => this.#definitions.undefine(uuid, this.#call(signal)));
  }

  deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`delete the disk of ${vmName}`, signal, async () => {
      await this.#disks.remove(vmName, this.#longCall(signal));
      await this.#forking.sweep();
      this.#poll.forgetSpace();
    });
  }

  listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return this.#guarded('list disks', signal, () => this.#disks.list(this.#longCall(signal)));
  }

  async close(): Promise<void> {
    await this.#forking.close();
    this.#closing.abort();
    const clients = [this.#control, this.#work, this.#counters, this.#guests, this.#commands];
    await Promise.all([...clients.map((client) => client.close()), this.migration.close()]);
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  #call(signal: AbortSignal): SignalledCall {
    return { signal, timeoutMs: this.#options.callTimeoutMs ?? 10_000 };
  }

  #longCall(signal: AbortSignal): SignalledCall {
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
}

/** A unix socket leads to a daemon on this machine. */
function isLocal(uri: string): boolean {
  return /^[a-z]+(\+unix)?:\/\/\//i.test(uri);
}
