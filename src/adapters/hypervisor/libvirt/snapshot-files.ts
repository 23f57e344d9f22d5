// The files of a VM's snapshots in the pool: which are needed, those that nothing needs deleted, and layers that stand for no snapshot
// any more merged into what lies below them. Not here: taking and reverting (libvirt-snapshots, external-revert).

import { setTimeout as sleep } from 'node:timers/promises';
import {
  BlockJobType,
  type CallOptions,
  type Domain,
  DomainXmlFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  SnapshotCreateFlags,
  type StorageVolume,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { HostPool } from './host-pool.ts';
import type { PoolVolumes } from './pool-volumes.ts';
import { domainDisks, type ReadSnapshot, readSnapshot, snapshotOnFile } from './snapshot-xml.ts';
import { readSnapshotPart, snapshotPart, volumeName } from './volume-names.ts';
import { diskXml, readVolume } from './volume-xml.ts';

/** libvirt's SECURE: with what it would leave out otherwise, so that it can be written back. */
const WHOLE = DomainXmlFlags.SECURE;
/** `virDomainSnapshotListFlags`: parents first. */
const PARENTS_FIRST = 1024;
const MERGE_LOOK_MS = 50;
const MERGE_LIMIT_MS = 300_000;
const COMMIT_ACTIVE = 4;
const ABORT_PIVOT = 2;

export interface FoundSnapshot extends ReadSnapshot {
  readonly xml: string;
}

/** One volume of the VM's own: its disk, a layer over it, a memory. */
interface OwnFile {
  readonly volume: StorageVolume;
  readonly path: string;
  readonly backing: string | undefined;
}

export class SnapshotFiles {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;
  readonly #volumes: PoolVolumes;

  constructor(client: LibvirtClient, pool: HostPool, volumes: PoolVolumes) {
    this.#client = client;
    this.#pool = pool;
    this.#volumes = volumes;
  }

  /** Parents before their children. */
  async snapshots(domain: Domain, call: CallOptions): Promise<readonly FoundSnapshot[]> {
    const client = this.#client;
    const found = await client.listSnapshots(domain, PARENTS_FIRST, call);
    const read = await Promise.all(
      found.map(async (snap) => {
        try {
          const [xml, { current }] = await Promise.all([
            client.snapshotXml(snap, WHOLE, call),
            client.call('DOMAIN_SNAPSHOT_IS_CURRENT', { snap, flags: 0 }, call),
          ]);
          return [{ xml, ...readSnapshot(xml, current === 1) }];
        } catch (error) {
          // Deleted since the list was made.
          if (isLibvirtError(error, ErrorCode.NO_DOMAIN_SNAPSHOT)) return [];
          throw error;
        }
      }),
    );
    return read.flat();
  }

  /**
   * Puts right what libvirt has written into snapshots below one whose metadata it deleted: where their disk lies has not changed.
   * `before`: what was known of those that have no mark of ours.
   */
  async putRight(domain: Domain, call: CallOptions, before: readonly FoundSnapshot[] = []): Promise<void> {
    for (const { disks, isWrong, snapshot, xml } of await this.snapshots(domain, call)) {
      const was = before.find((one) => one.snapshot.name === snapshot.name);
      const [disk] = snapshot.operation === undefined ? (was?.disks ?? disks) : disks;
      if (disk?.path === undefined || (!isWrong && disk.path === disks[0]?.path)) continue;
      await this.redefine(domain, snapshotOnFile(xml, disk.target, disk.path), snapshot.isCurrent, call);
    }
  }

  async path(domain: Domain, id: string, part: 'layer' | 'memory', call: CallOptions): Promise<string> {
    const pool = await this.#pool.need(call);
    return `${await this.#pool.folder(pool, call)}/${snapshotPart(domain.name, id, part)}`;
  }

  /** The VM's own volumes: what lies in the pool under its name. */
  async own(domain: Domain, call: CallOptions): Promise<readonly OwnFile[]> {
    const pool = await this.#pool.lookUp(call);
    if (pool === undefined) return [];
    await this.#pool.refreshIfPossible(pool, call);
    const volumes = (await this.#client.listVolumes(pool, call)).filter(
      ({ name }) => name === volumeName(domain.name) || readSnapshotPart(name)?.vmName === domain.name,
    );
    const files = await Promise.all(
      volumes.map(async (volume) => {
        try {
          const { backingPath: backing, path } = readVolume(await this.#client.volumeXml(volume, 0, call));
          return path === undefined ? [] : [{ volume, path, backing }];
        } catch (error) {
          if (isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) return [];
          throw error;
        }
      }),
    );
    return files.flat();
  }

  /** Deletes layers and memories of the VM that neither the domain nor a snapshot needs, at any depth. The disk itself always stays. */
  async tidy(domain: Domain, call: CallOptions): Promise<void> {
    // In this order: what is begun after a look at the files is not among them.
    const own = await this.own(domain, call);
    const parts = own.filter(({ volume }) => readSnapshotPart(volume.name) !== undefined);
    if (parts.length === 0) return;
    const needed = await this.#needed(domain, own, call);
    for (const { path, volume } of parts) if (!needed.has(path)) await this.#volumes.delete(volume, call);
  }

  async #needed(domain: Domain, own: readonly OwnFile[], call: CallOptions): Promise<ReadonlySet<string>> {
    const snapshots = await this.snapshots(domain, call);
    const xmls = await this.#domainXmls(domain, call);
    const disks = xmls.flatMap((xml) => domainDisks(xml));
    const needed = new Set([
      ...disks.flatMap(({ below, path }) => [...(path === undefined ? [] : [path]), ...below]),
      ...snapshots.flatMap((snapshot) => this.#filesOf(snapshot)),
    ]);
    const backingOf = new Map(own.map(({ backing, path }) => [path, backing]));
    for (const path of needed) {
      const below = backingOf.get(path);
      // A set visits what is added while it is walked through.
      if (below !== undefined) needed.add(below);
    }
    return needed;
  }

  /** Not the layer that an external one began: that is the next one's, or the domain's. */
  #filesOf({ disks, memoryPath, snapshot }: FoundSnapshot): readonly string[] {
    const frozen = disks.flatMap(({ path }) => path ?? []);
    return snapshot.kind === 'external' && memoryPath !== undefined ? [...frozen, memoryPath] : frozen;
  }

  async #domainXmls(domain: Domain, call: CallOptions): Promise<readonly string[]> {
    const defined = await this.#client.domainXml(domain, DomainXmlFlags.INACTIVE, call);
    const running = await this.#client.domainXml(domain, 0, call);
    return [defined, running];
  }

  /** @throws Fault `gone` when the file of the VM's is not there any more. */
  async mustBeThere(domain: Domain, path: string, call: CallOptions): Promise<void> {
    if ((await this.own(domain, call)).some((file) => file.path === path)) return;
    throw new Fault('gone', `host ${this.#pool.host}: ${domain.name}: there is no file ${path} any more`);
  }

  /** An empty layer over a frozen file, in place of one that an interrupted try left. The VM must be off. */
  async makeLayer(domain: Domain, id: string, frozen: string, call: CallOptions): Promise<void> {
    const pool = await this.#pool.need(call);
    const name = snapshotPart(domain.name, id, 'layer');
    await this.#pool.refreshIfPossible(pool, call);
    const left = await this.#volumes.find(pool, name, call);
    if (left !== undefined) await this.#volumes.delete(left, call);
    const xml = diskXml(name, { path: frozen, format: 'qcow2' }, undefined);
    const made = readVolume(await this.#client.volumeXml(await this.#client.createVolume(pool, xml, 0, call), 0, call));
    // What a crash of libvirtd leaves half-made is listed as if it were good.
    if (made.backingPath === frozen && made.format === 'qcow2' && made.capacityBytes > 0) return;
    throw this.#pool.refused(`the layer over ${frozen} came out wrong`, 'Look at the file with `qemu-img check`.');
  }

  /** Of the VM's volumes those that lie directly over this file. */
  async above(domain: Domain, path: string, call: CallOptions): Promise<readonly string[]> {
    return (await this.own(domain, call)).flatMap((file) => (file.backing === path ? [file.volume.name] : []));
  }

  // --- merging ------------------------------------------------------------------------------------------------------------------

  /**
   * Merges, while the VM runs, what no snapshot stands for. One that is off keeps its layers until it runs again: libvirt merges
   * only through QEMU. What cannot be merged now is tried again with the next snapshot. Never throws libvirt's errors.
   */
  async merge(domain: Domain, call: CallOptions): Promise<void> {
    try {
      for (;;) {
        const pair = await this.#mergeable(domain, call);
        if (pair === undefined || !(await this.#mergeOne(domain, pair, call))) return;
        await this.tidy(domain, call);
      }
    } catch (error) {
      if (!isLibvirtError(error)) throw error;
    }
  }

  /** A job that an interrupted merge left would keep every snapshot from being taken. */
  async endMerges(domain: Domain, call: CallOptions): Promise<void> {
    for (const { target } of domainDisks(await this.#client.domainXml(domain, 0, call))) {
      const job = await this.#job(domain, target, call);
      if (job?.type !== BlockJobType.ACTIVE_COMMIT && job?.type !== BlockJobType.COMMIT) continue;
      await this.#client.call('DOMAIN_BLOCK_JOB_ABORT', { dom: domain, path: target, flags: 0 }, call);
    }
  }

  async #mergeable(domain: Domain, call: CallOptions): Promise<Merge | undefined> {
    const [own, snapshots, xml] = [
      await this.own(domain, call),
      await this.snapshots(domain, call),
      await this.#client.domainXml(domain, 0, call),
    ];
    const isOwn = (path: string): boolean => own.some((file) => file.path === path);
    const overlays = (path: string): number => own.filter(({ backing }) => backing === path).length;
    const holds = (path: string, kind: 'internal' | 'external'): boolean =>
      snapshots.some(({ disks, snapshot }) => snapshot.kind === kind && disks.some((disk) => disk.path === path));
    for (const { below, path, target } of domainDisks(xml)) {
      const chain = [...(path === undefined ? [] : [path]), ...below];
      for (const [index, upper] of chain.entries()) {
        const lower = chain[index + 1];
        if (lower === undefined || !isOwn(lower) || !isOwn(upper)) break;
        const isFree = !holds(lower, 'external') && overlays(lower) === 1 && overlays(upper) === (index === 0 ? 0 : 1);
        // Merging copies the disk's content, not the internal snapshots beside it.
        if (isFree && !holds(upper, 'internal')) return { target, upper, lower, isActive: index === 0 };
      }
    }
    return undefined;
  }

  async #mergeOne(domain: Domain, { isActive, lower, target, upper }: Merge, call: CallOptions): Promise<boolean> {
    const flags = isActive ? COMMIT_ACTIVE : 0;
    const top = isActive ? undefined : upper;
    const commit = { dom: domain, disk: target, base: lower, top, bandwidth: 0n, flags };
    await this.#client.call('DOMAIN_BLOCK_COMMIT', commit, call);
    const endMs = performance.now() + MERGE_LIMIT_MS;
    for (;;) {
      const job = await this.#job(domain, target, call);
      if (job === undefined) break;
      if (isActive && job.cur === job.end && job.end > 0n && (await this.#pivot(domain, target, call))) break;
      if (performance.now() > endMs) {
        await this.endMerges(domain, call);
        return false;
      }
      await sleep(MERGE_LOOK_MS, undefined, call.signal && { signal: call.signal });
    }
    const now = domainDisks(await this.#client.domainXml(domain, 0, call)).find((disk) => disk.target === target);
    if (now === undefined || now.path === upper || now.below.includes(upper)) return false;
    for (const { disks, snapshot, xml } of await this.snapshots(domain, call)) {
      if (!disks.some((disk) => disk.target === target && disk.path === upper)) continue;
      await this.redefine(domain, snapshotOnFile(xml, target, lower), snapshot.isCurrent, call);
    }
    return true;
  }

  /** False: the copy is not level yet after all. */
  async #pivot(domain: Domain, target: string, call: CallOptions): Promise<boolean> {
    try {
      await this.#client.call('DOMAIN_BLOCK_JOB_ABORT', { dom: domain, path: target, flags: ABORT_PIVOT }, call);
      return true;
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.BLOCK_COPY_ACTIVE) && !/not ready/i.test(String(error))) throw error;
      return false;
    }
  }

  async #job(domain: Domain, target: string, call: CallOptions) {
    try {
      const info = await this.#client.call('DOMAIN_GET_BLOCK_JOB_INFO', { dom: domain, path: target, flags: 0 }, call);
      return info.found === 0 ? undefined : info;
    } catch (error) {
      // It does not run.
      if (isLibvirtError(error, ErrorCode.OPERATION_INVALID)) return undefined;
      throw error;
    }
  }

  async redefine(domain: Domain, xml: string, isCurrent: boolean, call: CallOptions): Promise<void> {
    const flags = SnapshotCreateFlags.REDEFINE | (isCurrent ? SnapshotCreateFlags.CURRENT : 0);
    await this.#client.createSnapshot(domain, xml, flags, call);
  }
}

interface Merge {
  readonly target: string;
  readonly upper: string;
  readonly lower: string;
  readonly isActive: boolean;
}
