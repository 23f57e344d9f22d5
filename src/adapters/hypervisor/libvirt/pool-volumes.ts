// Volumes of a pool: found, made in place of what an interrupted try left, filled, and deleted when nothing refers to them.
// Not here: what they are for (vm-disks, placed-images, console-logs).

import {
  type CallOptions,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  type StoragePool,
  type StorageVolume,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import { userOf } from './domain-references.ts';
import type { HostPool } from './host-pool.ts';

export class PoolVolumes {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;

  constructor(client: LibvirtClient, pool: HostPool) {
    this.#client = client;
    this.#pool = pool;
  }

  async find(pool: StoragePool, name: string, options: CallOptions): Promise<StorageVolume | undefined> {
    try {
      return await this.#client.volumeByName(pool, name, options);
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) return undefined;
      throw error;
    }
  }

  /** Makes a volume; one of that name is deleted before, unless a domain refers to it. */
  async replace(pool: StoragePool, name: string, xml: string, options: CallOptions): Promise<StorageVolume> {
    const left = await this.find(pool, name, options);
    if (left !== undefined) await this.deleteUnused([left], options);
    try {
      return await this.#client.createVolume(pool, xml, 0, options);
    } catch (error) {
      // libvirt says it with several numbers.
      if (!isLibvirtError(error) || !/already exists|exists already/i.test(error.message)) throw error;
    }
    // A file is there that libvirt did not know of (its maker was cut off): let libvirt find it, then replace it.
    await this.#client.refreshPool(pool, options);
    const unlisted = await this.find(pool, name, options);
    if (unlisted !== undefined) await this.deleteUnused([unlisted], options);
    return this.#client.createVolume(pool, xml, 0, options);
  }

  /** All or none. @throws Fault `conflict` when any domain of the host, ours or not, refers to one. */
  async deleteUnused(volumes: readonly StorageVolume[], options: CallOptions): Promise<void> {
    if (volumes.length === 0) return;
    const paths = await pathsOf(this.#client, volumes, options);
    const user = await userOf(this.#client, paths, this.#pool.name, options);
    if (user !== undefined) {
      const what = `disk ${paths[0]} is in use by domain ${user.name} (${user.uuid})`;
      throw new Fault('conflict', `host ${this.#pool.host}: ${what}`, {
        advice: `Remove that domain first (virsh undefine ${user.name}), if it is not needed.`,
      });
    }
    for (const volume of volumes) await this.delete(volume, options);
  }

  /** Whoever refers to it. An absent one is no error. */
  async delete(volume: StorageVolume, options: CallOptions): Promise<void> {
    try {
      await this.#client.deleteVolume(volume, 0, options);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) throw error;
    }
  }

  /** At most `length` bytes from `offset`; `length` must not be 0. */
  async read(volume: StorageVolume, offset: number, length: number, options: CallOptions): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#client.downloadVolume(volume, { offset, length }, options)) pieces.push(piece);
    return Buffer.concat(pieces);
  }
}

/** Where they are on the host; those that have gone are left out. */
export async function pathsOf(
  client: LibvirtClient,
  volumes: readonly StorageVolume[],
  options: CallOptions,
): Promise<readonly string[]> {
  const paths = await Promise.all(
    volumes.map(async (volume) => {
      try {
        return [await client.volumePath(volume, options)];
      } catch (error) {
        if (isLibvirtError(error, ErrorCode.NO_STORAGE_VOL)) return [];
        throw error;
      }
    }),
  );
  return paths.flat();
}
