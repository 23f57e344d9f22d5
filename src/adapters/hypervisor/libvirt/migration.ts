// The port `migration` on libvirt: peer to peer, the target's copy left paused. Moves run on a connection of their own, since each
// holds a call of it for as long as it takes. Not here: what the target makes ready (migration-target), the XML (migration-xml).

import type { Copy, MoveFigures } from '../../../core/migration.ts';
import {
  type CallOptions,
  type Domain,
  DomainState,
  DomainXmlFlags,
  ErrorCode,
  isLibvirtError,
  JobStatsFlags,
  JobType,
  type LibvirtClient,
  MigrateFlags,
  type ParamValue,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type {
  MigrationArrival,
  MigrationDriver,
  MigrationOffer,
  MigrationOrder,
  MigrationSource,
  MoveOptions,
} from '../../../ports/migration.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import { byUuid } from './domain-lookups.ts';
import { faultOf } from './libvirt-faults.ts';
import { isAboutLeftovers, removeLeftovers } from './migration-leftovers.ts';
import { type MigrationTargetParts, prepareArrival } from './migration-target.ts';
import { disksOf, networkText } from './migration-xml.ts';
import { imageOfBase } from './volume-names.ts';
import { readVolume } from './volume-xml.ts';

export interface LibvirtMigrationParts extends Omit<MigrationTargetParts, 'uri'> {
  /** As other hosts reach this one; absent: nobody has said, and it cannot be derived. */
  readonly uri: string | undefined;
  readonly storage: string | undefined;
  readonly control: LibvirtClient;
  /** Opens one more connection. */
  readonly connect: () => LibvirtClient;
  readonly catalog: DomainCatalog;
  /** The adapter was closed. */
  readonly closing: AbortSignal;
  readonly callTimeoutMs: number;
  readonly workTimeoutMs: number;
}

/** libvirt's own patience ends moves; this is for a host that neither moves nor answers. */
const MOVE_CALL_MS = 24 * 3_600_000;
const ACTIVE_JOBS: readonly number[] = [JobType.BOUNDED, JobType.UNBOUNDED];

export class LibvirtMigration implements MigrationDriver {
  readonly #parts: LibvirtMigrationParts;
  #mover: LibvirtClient | undefined;

  constructor(parts: LibvirtMigrationParts) {
    this.#parts = parts;
  }

  async offer(_signal: AbortSignal): Promise<MigrationOffer> {
    const { storage, uri } = this.#parts;
    return { ...(uri !== undefined && { uri }), ...(storage !== undefined && { storage }) };
  }

  describe(uuid: string, signal: AbortSignal): Promise<MigrationSource> {
    return this.#guarded(`look at ${uuid} before it moves`, signal, async () => {
      const { accel, control, network, pool, work } = this.#parts;
      const call = this.#call(signal);
      const domain = await this.#found(uuid, call);
      await this.#mustBeMovable(domain, call);
      const folder = await pool.folder(await pool.need(call), call);
      const [xml, persistentXml] = await Promise.all([
        control.domainXml(domain, DomainXmlFlags.SECURE | DomainXmlFlags.MIGRATABLE, call),
        control.domainXml(domain, DomainXmlFlags.SECURE | DomainXmlFlags.INACTIVE, call),
      ]);
      const found = disksOf(xml, folder);
      if ('problem' in found) throw this.#refused(`${domain.name} cannot be moved: ${found.problem}`);
      const written = found.disks.filter(({ isReadOnly }) => !isReadOnly);
      const disks = await Promise.all(
        written.map(async ({ target, volume }) => {
          const info = await work.call('DOMAIN_GET_BLOCK_INFO', { dom: domain, path: target, flags: 0 }, call);
          const [capacityBytes, allocatedBytes] = [Number(info.capacity), Number(info.allocation)];
          const below = await this.#imageBelow(volume, call);
          return { target, volume, capacityBytes, allocatedBytes, ...(below !== undefined && { below }) };
        }),
      );
      const readOnly = found.disks.filter(({ isReadOnly }) => isReadOnly).map(({ volume }) => volume);
      const { kind } = await accel.get(signal);
      const { name } = domain;
      return { uuid, name, accel: kind, network: networkText(network), folder, disks, readOnly, xml, persistentXml };
    });
  }

  /** Of a placed image the name says what it is, by the first digits of its checksum. */
  async #imageBelow(volume: string, call: CallOptions): Promise<string | undefined> {
    const { pool, volumes, work } = this.#parts;
    const found = await volumes.find(await pool.need(call), volume, call);
    const { backingPath } = readVolume(found === undefined ? '<volume/>' : await work.volumeXml(found, 0, call));
    return backingPath === undefined ? undefined : imageOfBase(backingPath.slice(backingPath.lastIndexOf('/') + 1));
  }

  async #mustBeMovable(domain: Domain, call: CallOptions): Promise<void> {
    const { catalog, control } = this.#parts;
    const metadata = await catalog.lookUp(domain, call);
    if (metadata === undefined || metadata.adopted === true) {
      throw this.#refused(
        `virtscale did not make domain ${domain.name}, and knows not what belongs to it`,
        'Move it by hand: virsh migrate.',
      );
    }
    const { state } = await control.domainState(domain, call);
    if (state !== DomainState.RUNNING) {
      const what = state === DomainState.PAUSED ? 'is paused' : 'does not run';
      throw new Fault('conflict', `host ${this.#parts.host}: ${domain.name} ${what}, and only what runs can be moved`, {
        advice: state === DomainState.PAUSED ? 'Resume it first.' : 'Start it first.',
      });
    }
    const snapshots = await control.listSnapshots(domain, 0, call);
    if (snapshots.length === 0) return;
    const names = snapshots.map(({ name }) => name).join(', ');
    throw this.#refused(
      `${domain.name} has snapshots (${names}), which libvirt cannot move along`,
      'Delete its snapshots first.',
    );
  }

  prepare(order: MigrationOrder, signal: AbortSignal): Promise<MigrationArrival> {
    return this.#guarded(`make ready for ${order.source.name}`, signal, () => {
      const { host, uri, workTimeoutMs: timeoutMs } = this.#parts;
      if (uri === undefined) {
        const what = `nobody has said how other hosts' libvirt reaches it`;
        throw new Fault('refused', `host ${host}: ${what}`, {
          advice: 'Give it a migrationUri in the configuration, such as qemu+tls://HOST/system.',
        });
      }
      return prepareArrival(order, { ...this.#parts, uri }, { signal, timeoutMs });
    });
  }

  move(uuid: string, arrival: MigrationArrival, options: MoveOptions, signal: AbortSignal): Promise<void> {
    return this.#guarded(`move ${uuid} to ${arrival.uri}`, signal, async () => {
      const { bandwidthMiBps, disks, diskTargets } = options;
      const { LIVE, PERSIST_DEST, UNDEFINE_SOURCE, PAUSED, AUTO_CONVERGE, ABORT_ON_ERROR } = MigrateFlags;
      const copying = {
        shared: MigrateFlags.UNSAFE,
        changes: MigrateFlags.NON_SHARED_INC,
        whole: MigrateFlags.NON_SHARED_DISK,
      };
      const flags = LIVE | PERSIST_DEST | UNDEFINE_SOURCE | PAUSED | AUTO_CONVERGE | ABORT_ON_ERROR | copying[disks];
      const params = {
        destination_xml: arrival.xml,
        persistent_xml: arrival.persistentXml,
        ...(disks !== 'shared' && { migrate_disks: diskTargets }),
        ...(bandwidthMiBps !== undefined && { bandwidth: BigInt(bandwidthMiBps) }),
      };
      this.#mover ??= this.#parts.connect();
      const how = { destUri: arrival.uri, params, flags };
      const mover = this.#mover;
      const call = { signal, timeoutMs: MOVE_CALL_MS };
      try {
        await mover.migrateP2p(byUuid(uuid), how, call);
      } catch (error) {
        if (!isAboutLeftovers(error)) throw error;
        await removeLeftovers(this.#parts.work, byUuid(uuid), diskTargets, this.#call(signal));
        await mover.migrateP2p(byUuid(uuid), how, call);
      }
    });
  }

  cancel(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#guarded(`call off the moving of ${uuid}`, signal, async () => {
      try {
        await this.#parts.control.abortJob(byUuid(uuid), this.#call(signal));
      } catch (error) {
        if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID, ErrorCode.NO_DOMAIN)) throw error;
      }
    });
  }

  figures(uuid: string, signal: AbortSignal): Promise<MoveFigures | undefined> {
    return this.#guarded(`ask how far ${uuid} is`, signal, async () => {
      const { control } = this.#parts;
      try {
        const now = await control.jobStats(byUuid(uuid), 0, this.#call(signal));
        if (ACTIVE_JOBS.includes(now.type)) return figuresOf(now.params);
        const done = await control.jobStats(byUuid(uuid), JobStatsFlags.COMPLETED, this.#call(signal));
        return done.type === JobType.COMPLETED ? figuresOf(done.params) : undefined;
      } catch (error) {
        const isNothing = [ErrorCode.OPERATION_INVALID, ErrorCode.OPERATION_UNSUPPORTED, ErrorCode.NO_DOMAIN];
        if (isLibvirtError(error, ...isNothing)) return undefined;
        throw error;
      }
    });
  }

  /** The job is asked for before and after: one that begins or ends in between makes what is seen worth nothing. */
  look(uuid: string, signal: AbortSignal): Promise<Copy> {
    return this.#guarded(`look for ${uuid}`, signal, async () => {
      const { control } = this.#parts;
      const call = this.#call(signal);
      try {
        const before = await this.#isBusy(uuid, call);
        const { state } = await control.domainState(byUuid(uuid), call);
        const { persistent } = await control.call('DOMAIN_IS_PERSISTENT', { dom: byUuid(uuid) }, call);
        const after = await this.#isBusy(uuid, call);
        return { state: copyState(state), busy: before || after, persistent: persistent === 1 };
      } catch (error) {
        if (!isLibvirtError(error, ErrorCode.NO_DOMAIN)) throw error;
        return { state: 'absent', busy: false, persistent: false };
      }
    });
  }

  async #isBusy(uuid: string, call: CallOptions): Promise<boolean> {
    try {
      const { type } = await this.#parts.control.call('DOMAIN_GET_JOB_INFO', { dom: byUuid(uuid) }, call);
      return ACTIVE_JOBS.includes(type);
    } catch (error) {
      // It does not run.
      if (isLibvirtError(error, ErrorCode.OPERATION_INVALID)) return false;
      // It is arriving: of that libvirt tells figures at the source alone.
      if (isLibvirtError(error, ErrorCode.OPERATION_UNSUPPORTED)) return true;
      throw error;
    }
  }

  forget(uuid: string): void {
    this.#parts.definitions.release(uuid);
  }

  async close(): Promise<void> {
    await this.#mover?.close();
  }

  async #found(uuid: string, call: CallOptions): Promise<Domain> {
    try {
      return await this.#parts.control.domainByUuid(uuid, call);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.NO_DOMAIN)) throw error;
      throw new Fault('gone', `host ${this.#parts.host}: there is no domain ${uuid}`, { cause: error });
    }
  }

  #refused(what: string, advice?: string): Fault {
    return new Fault('refused', `host ${this.#parts.host}: ${what}`, advice === undefined ? {} : { advice });
  }

  #call(signal: AbortSignal): CallOptions & { readonly signal: AbortSignal } {
    return { signal, timeoutMs: this.#parts.callTimeoutMs };
  }

  async #guarded<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const said = `host ${this.#parts.host}: ${what}`;
    try {
      signal.throwIfAborted();
      return await work();
    } catch (error) {
      if (this.#parts.closing.aborted) throw new Fault('unreachable', `${said}: closed`, { cause: error });
      throw faultOf(error, said, signal);
    }
  }
}

/** One that is shutting down, or whose guest sleeps, holds its disk as one that runs does. */
function copyState(state: number): Copy['state'] {
  if (state === DomainState.SHUTOFF) return 'off';
  return state === DomainState.PAUSED ? 'paused' : 'running';
}

function figuresOf(params: Readonly<Record<string, ParamValue>>): MoveFigures {
  const number = (name: string): number | undefined => {
    const value = params[name];
    return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
  };
  const totalBytes = number('data_total') ?? 0;
  const left = number('data_remaining') ?? 0;
  const bytesPerSecond = number('memory_bps') ?? number('disk_bps');
  const downtimeMs = number('downtime');
  return {
    doneBytes: Math.max(0, totalBytes - left),
    totalBytes,
    ...(bytesPerSecond !== undefined && { bytesPerSecond }),
    ...(bytesPerSecond !== undefined && bytesPerSecond > 0 && { remainingMs: (left / bytesPerSecond) * 1000 }),
    ...(downtimeMs !== undefined && { downtimeMs }),
  };
}
