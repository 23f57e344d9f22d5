// The VMs' disks: overlays of images in one storage pool of the host, made, verified, listed and deleted.
// A disk that any domain of the host refers to is never touched. Not here: the port's words (libvirt-hypervisor).

import { open } from 'node:fs/promises';
import type { Image } from '../../../core/model.ts';
import {
  type CallOptions,
  type Domain,
  DomainXmlFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  type PoolInfo,
  type StoragePool,
  StoragePoolBuildFlags,
  StoragePoolState,
  type StorageVolume,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import { orAborted } from './or-aborted.ts';
import { overlayXml, poolPathOf, poolXml, readVolume, vmNameOf, volumeName } from './volume-xml.ts';
import { allBelow, parseXml } from './xml-tree.ts';

export interface PoolOptions {
  readonly name: string;
  /** When given, a pool of type dir is made there if there is none of that name. */
  readonly path?: string;
}

/** Less than an empty overlay takes. */
const POOL_LEAST_BYTES = 1024 * 1024;
const GIB = 1024 ** 3;
const QCOW2_MAGIC = Buffer.from([0x51, 0x46, 0x49, 0xfb]);

export class OverlayDisks {
  readonly #client: LibvirtClient;
  readonly #host: string;
  readonly #pool: PoolOptions;
  readonly #hostIsHere: boolean;
  #making: Promise<unknown> | undefined;

  /** `hostIsHere`: paths on the host are paths of this machine too, so images can be looked at before libvirt is asked. */
  constructor(client: LibvirtClient, host: string, pool: PoolOptions, hostIsHere: boolean) {
    this.#client = client;
    this.#host = host;
    this.#pool = pool;
    this.#hostIsHere = hostIsHere;
  }

  /** Size and free space, read anew; undefined when there is no such pool (and none may be made). */
  async capacity(options: CallOptions): Promise<PoolInfo | undefined> {
    const pool = await this.#lookUp(options);
    if (pool === undefined) return undefined;
    try {
      await this.#client.refreshPool(pool, options);
    } catch (error) {
      // A pool that is being written to cannot be refreshed; what it said before will do.
      if (!isLibvirtError(error)) throw error;
    }
    return this.#client.poolInfo(pool, options);
  }

  /** Where the disk of this VM is or would be. */
  async pathOf(vmName: string, options: CallOptions): Promise<string> {
    const pool = await this.#need(options);
    const folder = poolPathOf(await this.#client.poolXml(pool, 0, options));
    if (folder === undefined) throw this.#refused(`pool ${pool.name} has no folder`, 'Use a storage pool of type dir.');
    return `${folder}/${volumeName(vmName)}`;
  }

  async create(spec: VmSpec, options: CallOptions): Promise<void> {
    const { image, name } = spec;
    if (this.#hostIsHere) await this.#lookAtImage(image);
    const pool = await this.#need(options);
    const left = await this.#find(pool, name, options);
    if (left !== undefined) await this.#deleteUnused(left, options);
    const { availableBytes } = await this.#client.poolInfo(pool, options);
    if (availableBytes < POOL_LEAST_BYTES) throw this.#full(pool);
    const xml = overlayXml(name, image, spec.flavor.diskGiB);
    let volume: StorageVolume;
    try {
      volume = await this.#client.createVolume(pool, xml, 0, options);
    } catch (error) {
      // libvirt says it with several numbers.
      if (!isLibvirtError(error) || !/already exists|exists already/i.test(error.message)) throw error;
      volume = await this.#createOverUnlisted(pool, name, xml, options);
    }
    await this.#verify(volume, spec, options);
  }

  /** A file is there that libvirt did not know of (its maker was cut off): let libvirt find it, then replace it. */
  async #createOverUnlisted(
    pool: StoragePool,
    vmName: string,
    xml: string,
    options: CallOptions,
  ): Promise<StorageVolume> {
    await this.#client.refreshPool(pool, options);
    const left = await this.#find(pool, vmName, options);
    if (left !== undefined) await this.#deleteUnused(left, options);
    return this.#client.createVolume(pool, xml, 0, options);
  }

  async remove(vmName: string, options: CallOptions): Promise<void> {
    const pool = await this.#lookUp(options);
    const volume = pool && (await this.#find(pool, vmName, options));
    if (volume !== undefined) await this.#deleteUnused(volume, options);
  }

  async list(options: CallOptions): Promise<readonly string[]> {
    const pool = await this.#lookUp(options);
    if (pool === undefined) return [];
    await this.#client.refreshPool(pool, options);
    const volumes = await this.#client.listVolumes(pool, options);
    return volumes.flatMap(({ name }) => vmNameOf(name) ?? []).sort();
  }

  // --- the pool ---------------------------------------------------------------------------------------------------

  async #need(options: CallOptions): Promise<StoragePool> {
    const pool = await this.#lookUp(options);
    if (pool !== undefined) return pool;
    const { name } = this.#pool;
    const advice = `Make it: virsh pool-define-as ${name} dir --target /var/lib/libvirt/images; virsh pool-start ${name}; or give the host a pool path.`;
    throw this.#refused(`there is no storage pool ${name}`, advice);
  }

  /** The pool, running; made if it may be. One making at a time. */
  async #lookUp(options: CallOptions): Promise<StoragePool | undefined> {
    let pool = await this.#findPool(options);
    if (pool === undefined && this.#pool.path !== undefined) {
      // Others wait for it too, so it is not bound to this caller's signal.
      this.#making ??= this.#make(this.#pool.path, { timeoutMs: options.timeoutMs }).finally(() => {
        this.#making = undefined;
      });
      await orAborted(this.#making, options.signal);
      pool = await this.#findPool(options);
    }
    if (pool === undefined) return undefined;
    const { state } = await this.#client.poolInfo(pool, options);
    if (state === StoragePoolState.INACTIVE) await this.#startPool(pool, options);
    return pool;
  }

  async #findPool(options: CallOptions): Promise<StoragePool | undefined> {
    try {
      return await this.#client.lookupPoolByName(this.#pool.name, options);
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_STORAGE_POOL)) return undefined;
      throw error;
    }
  }

  async #make(path: string, options: CallOptions): Promise<void> {
    const pool = await this.#client.definePool(poolXml(this.#pool.name, path), 0, options);
    await this.#client.buildPool(pool, StoragePoolBuildFlags.NEW, options);
    await this.#client.call('STORAGE_POOL_SET_AUTOSTART', { pool, autostart: 1 }, options);
    await this.#startPool(pool, options);
  }

  async #startPool(pool: StoragePool, options: CallOptions): Promise<void> {
    try {
      await this.#client.createPool(pool, 0, options);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID)) throw error;
    }
  }

  // --- looking before and after ---------------------------------------------------------------------------------------

  async #lookAtImage({ format, name, path }: Image): Promise<void> {
    const head = Buffer.alloc(QCOW2_MAGIC.length);
    let length: number;
    try {
      await using file = await open(path, 'r');
      length = (await file.read(head, 0, head.length, 0)).bytesRead;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT' || code === 'ENOTDIR') {
        throw this.#refused(`image ${name}: there is no file ${path}`, 'Put the image there, or correct its path.');
      }
      if (code === 'EISDIR')
        throw this.#refused(`image ${name}: ${path} is a folder`, 'Correct the path of the image.');
      // What we may not read, libvirt may: its answer counts.
      return;
    }
    const isQcow2 = head.equals(QCOW2_MAGIC);
    if (length === 0) throw this.#refused(`image ${name}: ${path} is empty`, 'Build or download it again.');
    if (format === 'qcow2' && !isQcow2) {
      throw this.#refused(`image ${name}: ${path} is not qcow2`, 'Correct its format, or build or download it again.');
    }
    if (format === 'raw' && isQcow2) {
      throw this.#refused(`image ${name}: ${path} is said to be raw and is qcow2`, 'Set its format to qcow2.');
    }
  }

  /** What a crash of libvirtd leaves half-made is listed as if it were good: only what says all it should say, is. */
  async #verify(volume: StorageVolume, { flavor, image }: VmSpec, options: CallOptions): Promise<void> {
    const found = readVolume(await this.#client.volumeXml(volume, 0, options));
    const wantedBytes = (flavor.diskGiB ?? 0) * GIB;
    const good =
      found.format === 'qcow2' &&
      found.backingPath === image.path &&
      found.backingFormat === image.format &&
      found.capacityBytes >= Math.max(wantedBytes, 1);
    if (good) return;
    await this.#client.deleteVolume(volume, 0, options);
    throw this.#refused(
      `the overlay of ${image.path} came out wrong (${found.format} of ${found.capacityBytes} bytes on ${found.backingPath})`,
      'Look at the image with `qemu-img check`.',
    );
  }

  async #find(pool: StoragePool, vmName: string, options: CallOptions): Promise<StorageVolume | undefined> {
    try {
      return await this.#client.volumeByName(pool, volumeName(vmName), options);
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) return undefined;
      throw error;
    }
  }

  async #deleteUnused(volume: StorageVolume, options: CallOptions): Promise<void> {
    const path = await this.#client.volumePath(volume, options);
    const user = await this.#userOf(path, options);
    if (user !== undefined) {
      throw new Fault('conflict', `host ${this.#host}: disk ${path} is in use by domain ${user.name} (${user.uuid})`, {
        advice: `Remove that domain first (virsh undefine ${user.name}), if it is not needed.`,
      });
    }
    try {
      await this.#client.deleteVolume(volume, 0, options);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) throw error;
    }
  }

  /** The first domain of the host, ours or not, whose XML names this file, as a disk or below one. */
  async #userOf(path: string, options: CallOptions): Promise<Domain | undefined> {
    const domains = await this.#client.listDomains(0, options);
    const users = await Promise.all(
      domains.map(async (domain) => ((await this.#refersTo(domain, path, options)) ? domain : undefined)),
    );
    return users.find((user) => user !== undefined);
  }

  async #refersTo(domain: Domain, path: string, options: CallOptions): Promise<boolean> {
    try {
      // The definition, and what runs now: they can differ.
      const xmls = [await this.#client.domainXml(domain, DomainXmlFlags.INACTIVE, options)];
      if (domain.id >= 0) xmls.push(await this.#client.domainXml(domain, 0, options));
      return xmls.some((xml) => refersTo(xml, path, this.#pool.name));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return false;
      throw error;
    }
  }

  #full(pool: StoragePool): Fault {
    return this.#refused(
      `no space left in the storage pool ${pool.name}`,
      'Free space on its file system, or point `pool` at another one.',
    );
  }

  #refused(what: string, advice: string): Fault {
    return new Fault('refused', `host ${this.#host}: ${what}`, { advice });
  }
}

/** By path, or by pool and volume, of a disk or of what lies below one. */
function refersTo(xml: string, path: string, pool: string): boolean {
  const volume = path.slice(path.lastIndexOf('/') + 1);
  // Cheap, before a whole XML is parsed; a name with characters that XML escapes cannot be looked for like this.
  if (!/[&<>'"]/.test(volume) && !xml.includes(volume)) return false;
  return allBelow(parseXml(xml), 'source').some(
    ({ attributes }) =>
      attributes['file'] === path ||
      attributes['dev'] === path ||
      (attributes['pool'] === pool && attributes['volume'] === volume),
  );
}
