// What guests wrote to their serial consoles: a file each, in the pool's folder, so that it can be read wherever the host is.
// virtlogd, where libvirt uses it (the default), keeps each within 2 MiB and renames full ones. With stdio_handler = "file" nobody does:
// on this very machine (embedded hosts) a large one is emptied here; on a far host with that setting a log may grow as long as its VM runs.

import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions, LibvirtClient, StoragePool } from '../../../libvirt/index.ts';
import type { HostPool } from './host-pool.ts';
import type { PoolVolumes } from './pool-volumes.ts';
import { consoleName, isConsole } from './volume-names.ts';
import { readVolume } from './volume-xml.ts';

/** A log that takes more than this on disk is emptied. */
const LARGEST_BYTES = 8 * 1024 * 1024;
const BLOCK_BYTES = 512;

export class ConsoleLogs {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;
  readonly #volumes: PoolVolumes;

  constructor(client: LibvirtClient, pool: HostPool, volumes: PoolVolumes) {
    this.#client = client;
    this.#pool = pool;
    this.#volumes = volumes;
  }

  /** The last `maxBytes` that this VM wrote; empty when there is nothing. */
  async tail(vmName: string, maxBytes: number, options: CallOptions): Promise<Uint8Array> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined || maxBytes <= 0) return new Uint8Array(0);
    const name = consoleName(vmName);
    // QEMU makes the file behind libvirt's back.
    if (!(await this.#volumes.find(pool, name, options))) await this.#pool.refreshIfPossible(pool, options);
    const now = withoutHole(await this.#tailOf(pool, name, maxBytes, options));
    if (now.length === 0 || now.length >= maxBytes) return now;
    // It may have been begun just now, because the one before was full.
    const before = await this.#tailOf(pool, `${name}.0`, maxBytes - now.length, options);
    return Buffer.concat([before, now]);
  }

  async #tailOf(pool: StoragePool, name: string, maxBytes: number, options: CallOptions): Promise<Buffer> {
    const volume = await this.#volumes.find(pool, name, options);
    if (volume === undefined) return Buffer.alloc(0);
    const { physicalBytes } = readVolume(await this.#client.volumeXml(volume, 0, options));
    const length = Math.min(maxBytes, physicalBytes);
    // libvirt takes a length of 0 for "to the end".
    return length === 0 ? Buffer.alloc(0) : this.#volumes.read(volume, physicalBytes - length, length, options);
  }
}

/**
 * Empties logs that have grown large in a folder of this machine; QEMU goes on behind the hole that this leaves. The folder may belong
 * to the guests' account: nothing that leads out of it is followed.
 */
export async function emptyLargeLogs(folder: string, largestBytes = LARGEST_BYTES): Promise<void> {
  for (const name of await readdir(folder)) {
    if (isConsole(name)) await emptyIfLarge(join(folder, name), largestBytes).catch(() => undefined);
  }
}

async function emptyIfLarge(path: string, largestBytes: number): Promise<void> {
  await using file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const found = await file.stat();
  const isPlain = found.isFile() && found.nlink === 1;
  if (isPlain && found.blocks * BLOCK_BYTES > largestBytes) await file.truncate(0);
}

/** What was emptied begins with zeros up to where QEMU went on. */
function withoutHole(bytes: Buffer): Buffer {
  const from = bytes.findIndex((byte) => byte !== 0);
  return from === -1 ? Buffer.alloc(0) : bytes.subarray(from);
}
