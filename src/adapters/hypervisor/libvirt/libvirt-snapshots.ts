// The snapshots of a libvirt host's VMs: which way one is taken, taking, listing, reverting, deleting, one act per VM at a time.
// Not here: XML (snapshot-xml), files and merging (snapshot-files), external ones taken back by hand (external-revert).

import { createHash } from 'node:crypto';
import type { Snapshot, SnapshotKind } from '../../../core/snapshot.ts';
import {
  AffectFlags,
  type CallOptions,
  type Domain,
  DomainState,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  MetadataType,
  SnapshotCreateFlags,
  SnapshotDeleteFlags,
  SnapshotRevertFlags,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { RevertWish, Snapshots, SnapshotWish } from '../../../ports/snapshots.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import { absent, byUuid } from './domain-lookups.ts';
import { revertExternal } from './external-revert.ts';
import { isNobodyThere } from './guest-agent.ts';
import { orAborted } from './or-aborted.ts';
import type { FoundSnapshot, SnapshotFiles } from './snapshot-files.ts';
import { type DiskFile, domainDisks, markedFile, snapshotXml } from './snapshot-xml.ts';
import { METADATA_PREFIX, METADATA_URI } from './vm-metadata.ts';

/** An agent that is there freezes within this, or is told to let go. */
const FREEZE_MS = 5000;
const ID_LENGTH = 8;

export interface LibvirtSnapshotsParts {
  readonly host: string;
  /** Memory and disks are copied on it; a stuck guest must not hold up other work, so agents are asked on one of their own. */
  readonly work: LibvirtClient;
  readonly guests: LibvirtClient;
  readonly catalog: DomainCatalog;
  readonly files: SnapshotFiles;
  readonly guarded: <T>(
    what: string,
    signal: AbortSignal,
    work: (call: CallOptions & { readonly signal: AbortSignal }) => Promise<T>,
  ) => Promise<T>;
}

type Call = CallOptions & { readonly signal: AbortSignal };

export class LibvirtSnapshots implements Snapshots {
  readonly #parts: LibvirtSnapshotsParts;
  /** The last act on each VM that has one under way. */
  readonly #acting = new Map<string, Promise<unknown>>();

  constructor(parts: LibvirtSnapshotsParts) {
    this.#parts = parts;
  }

  list(uuid: string, signal: AbortSignal): Promise<readonly Snapshot[]> {
    return this.#parts.guarded(`list the snapshots of ${uuid}`, signal, async (call) => {
      const found = await this.#parts.files.snapshots(await this.#domain(uuid, call), call);
      return found.map(({ snapshot }) => snapshot);
    });
  }

  freeze(uuid: string, signal: AbortSignal): Promise<boolean> {
    const { guarded, guests } = this.#parts;
    return guarded(`freeze ${uuid}`, signal, async (call) => {
      const quick = { ...call, timeoutMs: FREEZE_MS };
      try {
        await guests.call('DOMAIN_FSFREEZE', { dom: byUuid(uuid), mountpoints: [], flags: 0 }, quick);
        return true;
      } catch (error) {
        // Whether it heard of it is not known: thawing does no harm.
        await this.#thaw(uuid, call).catch(() => undefined);
        if (signal.aborted || isLibvirtError(error, ErrorCode.NO_DOMAIN)) throw error;
        return false;
      }
    });
  }

  thaw(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#parts.guarded(`thaw ${uuid}`, signal, (call) => this.#thaw(uuid, call));
  }

  async #thaw(uuid: string, call: Call): Promise<void> {
    const { guests, work } = this.#parts;
    const quick = { ...call, timeoutMs: FREEZE_MS };
    try {
      await guests.call('DOMAIN_FSTHAW', { dom: byUuid(uuid), mountpoints: [], flags: 0 }, quick);
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN, ErrorCode.ARGUMENT_UNSUPPORTED)) return;
      if (!isNobodyThere(error)) throw error;
      // What does not run has nothing that is frozen.
      const { state } = await work.domainState(byUuid(uuid), call);
      if (state === DomainState.RUNNING) throw error;
    }
  }

  take(uuid: string, wish: SnapshotWish, signal: AbortSignal): Promise<Snapshot> {
    return this.#act(`take snapshot ${wish.name} of ${uuid}`, uuid, signal, async (domain, call) => {
      const before = await this.#taken(domain, wish, call);
      if (before !== undefined) return before;
      const { files, work } = this.#parts;
      await files.endMerges(domain, call);
      await files.putRight(domain, call);
      // What an earlier try left half made stands in the way of its files.
      await files.tidy(domain, call);
      const { state } = await work.domainState(domain, call);
      const isOff = state === DomainState.SHUTOFF || state === DomainState.CRASHED;
      const runs = !isOff && (wish.resumes || state !== DomainState.PAUSED);
      const disks = domainDisks(await work.domainXml(domain, 0, call));
      const hasMemory = wish.memory && !isOff;
      const kind = await this.#kindOf(domain, wish, { disks, isOff }, call);
      const id = idOf(domain.uuid, wish);
      const layers = new Map<string, string>();
      if (kind === 'external') {
        for (const [index, { target }] of disks.entries()) {
          const own = index === 0 ? id : idOf(domain.uuid, wish, target);
          layers.set(target, await files.path(domain, own, 'layer', call));
        }
      }
      const memoryPath = kind === 'external' && hasMemory ? await files.path(domain, id, 'memory', call) : undefined;
      const consistency = hasMemory || isOff ? 'application' : wish.frozen ? 'filesystem' : 'crash';
      const file = markedFile(disks);
      const xml = snapshotXml({
        name: wish.name,
        kind,
        ...(wish.description !== undefined && { description: wish.description }),
        mark: {
          operation: wish.operation,
          state: isOff ? 'stopped' : runs ? 'running' : 'paused',
          consistency,
          ...(file !== undefined && { file }),
        },
        disks,
        layers,
        ...(memoryPath !== undefined && { memoryPath }),
      });
      const diskOnly = kind === 'external' && memoryPath === undefined;
      const flags = diskOnly ? SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.ATOMIC : 0;
      try {
        await work.createSnapshot(domain, xml, flags, call);
      } catch (error) {
        // A try whose end nobody saw may have come to it.
        const after = await this.#taken(domain, wish, call).catch(() => undefined);
        if (after !== undefined) return after;
        await files.tidy(domain, { timeoutMs: FREEZE_MS }).catch(() => undefined);
        throw error;
      }
      // The pool must know of files that QEMU made, for whoever asks what lies above what.
      await files.own(domain, call);
      return (await this.#need(domain, wish.name, call)).snapshot;
    });
  }

  /** @throws Fault `conflict` when one of that name is somebody else's. */
  async #taken(domain: Domain, { name, operation }: SnapshotWish, call: Call): Promise<Snapshot | undefined> {
    const found = (await this.#parts.files.snapshots(domain, call)).find(({ snapshot }) => snapshot.name === name);
    if (found === undefined || found.snapshot.operation === operation) return found?.snapshot;
    throw new Fault('conflict', `host ${this.#parts.host}: ${domain.name} has a snapshot ${name} already`, {
      advice: 'Choose another name, or delete that one.',
    });
  }

  /** @throws Fault `refused` when the kind that is asked for, or any, is impossible. */
  async #kindOf(
    domain: Domain,
    wish: SnapshotWish,
    { disks, isOff }: { readonly disks: readonly DiskFile[]; readonly isOff: boolean },
    call: Call,
  ): Promise<SnapshotKind> {
    const other = disks.find(({ format }) => format !== 'qcow2');
    const notInternal =
      !isOff && !wish.memory
        ? 'an internal one of a VM that runs has its memory always'
        : other && `disk ${other.target} is ${other.format ?? 'of no known format'}, and only qcow2 holds any`;
    if (wish.kind !== 'external' && notInternal === undefined) return 'internal';
    if (wish.kind === 'internal') throw this.#refused(domain, `no internal snapshot is possible: ${notInternal}`);
    const metadata = await this.#parts.catalog.lookUp(domain, call).catch(absent);
    const noFile = disks.find(({ path }) => path === undefined);
    const notExternal =
      metadata === undefined || metadata.adopted === true
        ? 'virtscale did not make its disks, so it puts nothing above them'
        : noFile && `disk ${noFile.target} is no file`;
    if (notExternal === undefined) return 'external';
    const why = notInternal === undefined ? notExternal : `${notExternal}; and ${notInternal}`;
    throw this.#refused(domain, `no external snapshot is possible: ${why}`);
  }

  revert(uuid: string, name: string, wish: RevertWish, signal: AbortSignal): Promise<Snapshot> {
    return this.#act(`revert ${uuid} to snapshot ${name}`, uuid, signal, async (domain, call) => {
      const { files, host, work } = this.#parts;
      await files.putRight(domain, call);
      const found = await this.#need(domain, name, call);
      await files.endMerges(domain, call);
      if (found.snapshot.kind === 'external') {
        const id = idOf(uuid, { name, operation: `revert ${wish.operation}` });
        await revertExternal({ client: work, host, files }, domain, found, { ...wish, id }, call);
      } else {
        await this.#revertInternal(domain, found, wish, call);
      }
      await files.tidy(domain, call);
      return (await this.#need(domain, name, call)).snapshot;
    });
  }

  /** libvirt does it, with the definition of then; what virtscale knows of the VM is of now. */
  async #revertInternal(domain: Domain, found: FoundSnapshot, wish: RevertWish, call: Call): Promise<void> {
    const { files, host, work } = this.#parts;
    const { name } = found.snapshot;
    for (const path of found.disks.flatMap((disk) => disk.path ?? [])) {
      const layers = await files.above(domain, path, call);
      const frozenBy = (await files.snapshots(domain, call)).filter(
        ({ disks, snapshot }) => snapshot.kind === 'external' && disks.some((disk) => disk.path === path),
      );
      // Also one that nothing lies over any more: what it froze would be written on.
      if (layers.length === 0 && frozenBy.length === 0) continue;
      const names = frozenBy.map(({ snapshot }) => snapshot.name);
      const by = names.length === 0 ? `files (${layers.join(', ')})` : `external snapshots (${names.join(', ')})`;
      throw new Fault(
        'conflict',
        `host ${host}: ${name} lies inside a file that ${by} depend on: to go back would spoil them`,
        {
          advice: 'Delete the external snapshots that were taken after it while the VM runs, then go back.',
        },
      );
    }
    const snap = { name, dom: domain };
    const before = await this.#metadataOf(domain, call);
    const { hasMemory, state } = found.snapshot;
    const target = hasMemory ? state : wish.power;
    const flags = { running: SnapshotRevertFlags.RUNNING, paused: SnapshotRevertFlags.PAUSED, stopped: 0 }[target];
    await work.revertSnapshot(snap, flags, call);
    if (before !== undefined) await this.#writeMetadata(domain, before, call);
  }

  delete(uuid: string, name: string, signal: AbortSignal): Promise<void> {
    return this.#act(`delete snapshot ${name} of ${uuid}`, uuid, signal, async (domain, call) => {
      const { files, work } = this.#parts;
      const before = await files.snapshots(domain, call);
      const found = before.find(({ snapshot }) => snapshot.name === name);
      if (found !== undefined) {
        await files.endMerges(domain, call);
        // External ones are files, which are looked after here. An internal one in a file that is frozen goes with that file.
        const active = domainDisks(await work.domainXml(domain, 0, call)).map(({ path }) => path);
        const isInActive = found.disks.every(({ path }) => active.includes(path));
        const flags = found.snapshot.kind === 'external' || !isInActive ? SnapshotDeleteFlags.METADATA_ONLY : 0;
        try {
          await work.deleteSnapshot({ name, dom: domain }, flags, call);
        } catch (error) {
          if (!isLibvirtError(error, ErrorCode.NO_DOMAIN_SNAPSHOT)) throw error;
        }
      }
      await files.putRight(domain, call, before);
      await files.tidy(domain, call);
      await files.merge(domain, call);
    });
  }

  // --- inside ---------------------------------------------------------------------------------------------------------------------

  #act<T>(
    what: string,
    uuid: string,
    signal: AbortSignal,
    work: (domain: Domain, call: Call) => Promise<T>,
  ): Promise<T> {
    const previous = this.#acting.get(uuid) ?? Promise.resolve();
    const turn = this.#parts.guarded(what, signal, async (call) => {
      await orAborted(previous, signal);
      return work(await this.#domain(uuid, call), call);
    });
    const settled = Promise.allSettled([previous, turn]).finally(() => {
      if (this.#acting.get(uuid) === settled) this.#acting.delete(uuid);
    });
    this.#acting.set(uuid, settled);
    return turn;
  }

  async #domain(uuid: string, call: Call): Promise<Domain> {
    const domain = await this.#parts.work.domainByUuid(uuid, call).catch(absent);
    if (domain !== undefined) return domain;
    throw new Fault('gone', `host ${this.#parts.host}: there is no domain ${uuid}`);
  }

  async #need(domain: Domain, name: string, call: Call): Promise<FoundSnapshot> {
    const found = (await this.#parts.files.snapshots(domain, call)).find(({ snapshot }) => snapshot.name === name);
    if (found !== undefined) return found;
    throw new Fault('gone', `host ${this.#parts.host}: ${domain.name} has no snapshot ${name}`);
  }

  async #metadataOf(domain: Domain, call: Call): Promise<string | undefined> {
    try {
      const what = { type: MetadataType.ELEMENT, uri: METADATA_URI, flags: AffectFlags.AFFECT_CONFIG };
      return await this.#parts.work.getMetadata(domain, what, call);
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN_METADATA)) return undefined;
      throw error;
    }
  }

  async #writeMetadata(domain: Domain, metadata: string, call: Call): Promise<void> {
    const { work } = this.#parts;
    const { active } = await work.call('DOMAIN_IS_ACTIVE', { dom: domain }, call);
    const flags = AffectFlags.AFFECT_CONFIG | (active === 1 ? AffectFlags.AFFECT_LIVE : 0);
    const what = { type: MetadataType.ELEMENT, metadata, key: METADATA_PREFIX, uri: METADATA_URI, flags };
    await work.setMetadata(domain, what, call);
  }

  #refused(domain: Domain, what: string): Fault {
    return new Fault('refused', `host ${this.#parts.host}: ${domain.name}: ${what}`);
  }
}

/** The same for each try of one operation, and nobody else's. */
function idOf(uuid: string, wish: Pick<SnapshotWish, 'name' | 'operation'>, ...more: readonly string[]): string {
  const what = [uuid, wish.operation, wish.name, ...more].join('\n');
  return createHash('sha256').update(what).digest('hex').slice(0, ID_LENGTH);
}
