/**
 * Typed verbs on storage pools and volumes, sizes in bytes. Transfers of content use a connection of their own each.
 */
import type { CallOptions } from '../session.ts';
import type { TransferOptions } from '../stream.ts';
import type { StoragePool, StorageVolume } from '../structs.ts';
import { long } from './domain.ts';
import { GuestVerbs } from './guest.ts';

export interface PoolInfo {
  /** A number of `StoragePoolState`. */
  readonly state: number;
  readonly capacityBytes: number;
  readonly allocationBytes: number;
  readonly availableBytes: number;
}

export interface VolumeInfo {
  /** A number of `StorageVolumeType`. */
  readonly type: number;
  readonly capacityBytes: number;
  readonly allocationBytes: number;
}

/** A part of a volume; length 0 means to its end. */
export interface ByteRange {
  readonly offset?: number | undefined;
  readonly length?: number | undefined;
}

/** The wire form of a range of a volume. */
export const streamArgs = (vol: StorageVolume, { offset = 0, length = 0 }: ByteRange) => ({
  vol,
  offset: BigInt(offset),
  length: BigInt(length),
  flags: 0,
});

export abstract class StorageVerbs extends GuestVerbs {
  async listPools(flags = 0, options?: CallOptions): Promise<readonly StoragePool[]> {
    return (await this.call('CONNECT_LIST_ALL_STORAGE_POOLS', { need_results: 1, flags }, options)).pools;
  }

  /** @throws LibvirtError NO_STORAGE_POOL when there is none. */
  async lookupPoolByName(name: string, options?: CallOptions): Promise<StoragePool> {
    return (await this.call('STORAGE_POOL_LOOKUP_BY_NAME', { name }, options)).pool;
  }

  /** @throws LibvirtError NO_STORAGE_POOL when there is none. */
  async lookupPoolByPath(targetPath: string, options?: CallOptions): Promise<StoragePool> {
    return (await this.call('STORAGE_POOL_LOOKUP_BY_TARGET_PATH', { path: targetPath }, options)).pool;
  }

  async definePool(xml: string, flags = 0, options?: CallOptions): Promise<StoragePool> {
    return (await this.call('STORAGE_POOL_DEFINE_XML', { xml, flags }, options)).pool;
  }

  /** Starts a defined pool. */
  async createPool(pool: StoragePool, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_POOL_CREATE', { pool, flags }, options);
  }

  /** Makes the pool's folder, or whatever it lies on. */
  async buildPool(pool: StoragePool, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_POOL_BUILD', { pool, flags }, options);
  }

  async refreshPool(pool: StoragePool, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_POOL_REFRESH', { pool, flags: 0 }, options);
  }

  async poolInfo(pool: StoragePool, options?: CallOptions): Promise<PoolInfo> {
    const info = await this.call('STORAGE_POOL_GET_INFO', { pool }, options);
    return {
      state: info.state,
      capacityBytes: Number(info.capacity),
      allocationBytes: Number(info.allocation),
      availableBytes: Number(info.available),
    };
  }

  async poolXml(pool: StoragePool, flags = 0, options?: CallOptions): Promise<string> {
    return (await this.call('STORAGE_POOL_GET_XML_DESC', { pool, flags }, options)).xml;
  }

  /** Stops a pool; its content stays. */
  async destroyPool(pool: StoragePool, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_POOL_DESTROY', { pool }, options);
  }

  async undefinePool(pool: StoragePool, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_POOL_UNDEFINE', { pool }, options);
  }

  async listVolumes(pool: StoragePool, options?: CallOptions): Promise<readonly StorageVolume[]> {
    return (await this.call('STORAGE_POOL_LIST_ALL_VOLUMES', { pool, need_results: 1, flags: 0 }, options)).vols;
  }

  /** @throws LibvirtError NO_STORAGE_VOL when there is none. */
  async volumeByName(pool: StoragePool, name: string, options?: CallOptions): Promise<StorageVolume> {
    return (await this.call('STORAGE_VOL_LOOKUP_BY_NAME', { pool, name }, options)).vol;
  }

  /** @throws LibvirtError NO_STORAGE_VOL when no pool has it. */
  async volumeByPath(path: string, options?: CallOptions): Promise<StorageVolume> {
    return (await this.call('STORAGE_VOL_LOOKUP_BY_PATH', { path }, options)).vol;
  }

  /** @throws LibvirtError STORAGE_VOL_EXIST when the name is taken. */
  async createVolume(pool: StoragePool, xml: string, flags = 0, options?: CallOptions): Promise<StorageVolume> {
    return (await this.call('STORAGE_VOL_CREATE_XML', { pool, xml, flags }, options)).vol;
  }

  /** A full copy of `source`, made by the daemon. Interrupted by its death, it looks finished. Default deadline 10 minutes. */
  async createVolumeFrom(
    pool: StoragePool,
    xml: string,
    source: StorageVolume,
    flags = 0,
    options?: CallOptions,
  ): Promise<StorageVolume> {
    const args = { pool, xml, clonevol: source, flags };
    return (await this.call('STORAGE_VOL_CREATE_XML_FROM', args, long(options))).vol;
  }

  /** `flags` of `StorageVolumeResizeFlags`. */
  async resizeVolume(vol: StorageVolume, capacityBytes: number, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_VOL_RESIZE', { vol, capacity: BigInt(capacityBytes), flags }, options);
  }

  /** Deletes a volume, even one that others have as their backing file: libvirt does not look. */
  async deleteVolume(vol: StorageVolume, flags = 0, options?: CallOptions): Promise<void> {
    await this.call('STORAGE_VOL_DELETE', { vol, flags }, options);
  }

  async volumeInfo(vol: StorageVolume, options?: CallOptions): Promise<VolumeInfo> {
    const { type, capacity, allocation } = await this.call('STORAGE_VOL_GET_INFO', { vol }, options);
    return { type, capacityBytes: Number(capacity), allocationBytes: Number(allocation) };
  }

  /** The volume's path on the host. */
  async volumePath(vol: StorageVolume, options?: CallOptions): Promise<string> {
    return (await this.call('STORAGE_VOL_GET_PATH', { vol }, options)).name;
  }

  async volumeXml(vol: StorageVolume, flags = 0, options?: CallOptions): Promise<string> {
    return (await this.call('STORAGE_VOL_GET_XML_DESC', { vol, flags }, options)).xml;
  }

  /**
   * Writes the source's bytes into the volume; resolves with their number. A length that the source does not keep to
   * is a StreamLengthError. `timeoutMs` limits each wait for the daemon.
   */
  abstract uploadVolume(
    vol: StorageVolume,
    range: ByteRange,
    source: AsyncIterable<Uint8Array>,
    options?: TransferOptions,
  ): Promise<number>;

  /** Reads the volume's bytes; leaving the loop early stops the transfer. */
  abstract downloadVolume(vol: StorageVolume, range?: ByteRange, options?: TransferOptions): AsyncIterable<Uint8Array>;
}
