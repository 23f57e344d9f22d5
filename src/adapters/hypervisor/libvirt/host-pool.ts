// The storage pool of a host that takes disks and images: found, made if it may be, started, refreshed.
// Not here: the volumes in it (pool-volumes).

import {
  type CallOptions,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  type PoolInfo,
  type StoragePool,
  StoragePoolBuildFlags,
  StoragePoolState,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import { orAborted } from './or-aborted.ts';
import { poolPathOf, poolXml } from './volume-xml.ts';

export interface PoolOptions {
  readonly name: string;
  /** When given, a pool of type dir is made there if there is none of that name. */
  readonly path?: string;
}

export class HostPool {
  readonly host: string;
  readonly #client: LibvirtClient;
  readonly #pool: PoolOptions;
  #making: Promise<unknown> | undefined;

  constructor(client: LibvirtClient, host: string, pool: PoolOptions) {
    this.host = host;
    this.#client = client;
    this.#pool = pool;
  }

  get name(): string {
    return this.#pool.name;
  }

  /** Size and free space, read anew; undefined when there is no such pool (and none may be made). */
  async capacity(options: CallOptions): Promise<PoolInfo | undefined> {
    const pool = await this.lookUp(options);
    if (pool === undefined) return undefined;
    await this.refreshIfPossible(pool, options);
    return this.#client.poolInfo(pool, options);
  }

  /** A pool that is being written to cannot be refreshed; what libvirt knew of it before will do. */
  async refreshIfPossible(pool: StoragePool, options: CallOptions): Promise<void> {
    try {
      await this.#client.refreshPool(pool, options);
    } catch (error) {
      if (!isLibvirtError(error)) throw error;
    }
  }

  async folder(pool: StoragePool, options: CallOptions): Promise<string> {
    const folder = poolPathOf(await this.#client.poolXml(pool, 0, options));
    if (folder === undefined) throw this.refused(`pool ${pool.name} has no folder`, 'Use a storage pool of type dir.');
    return folder;
  }

  async need(options: CallOptions): Promise<StoragePool> {
    const pool = await this.lookUp(options);
    if (pool !== undefined) return pool;
    const { name } = this.#pool;
    const advice = `Make it: virsh pool-define-as ${name} dir --target /var/lib/libvirt/images; virsh pool-start ${name}; or give the host a pool path.`;
    throw this.refused(`there is no storage pool ${name}`, advice);
  }

  /** The pool, running; made if it may be. One making at a time. */
  async lookUp(options: CallOptions): Promise<StoragePool | undefined> {
    let pool = await this.#find(options);
    if (pool === undefined && this.#pool.path !== undefined) {
      // Others wait for it too, so it is not bound to this caller's signal.
      this.#making ??= this.#make(this.#pool.path, { timeoutMs: options.timeoutMs }).finally(() => {
        this.#making = undefined;
      });
      await orAborted(this.#making, options.signal);
      pool = await this.#find(options);
    }
    if (pool === undefined) return undefined;
    const { state } = await this.#client.poolInfo(pool, options);
    if (state === StoragePoolState.INACTIVE) await this.#start(pool, options);
    return pool;
  }

  async #find(options: CallOptions): Promise<StoragePool | undefined> {
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
    await this.#start(pool, options);
  }

  async #start(pool: StoragePool, options: CallOptions): Promise<void> {
    try {
      await this.#client.createPool(pool, 0, options);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID)) throw error;
    }
  }

  refused(what: string, advice: string): Fault {
    return new Fault('refused', `host ${this.host}: ${what}`, { advice });
  }

  full(): Fault {
    const advice = 'Free space on its file system, or point `pool` at another one.';
    return this.refused(`no space left in the storage pool ${this.name}`, advice);
  }
}
