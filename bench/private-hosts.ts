// Several embedded hosts side by side and a configuration with which one daemon takes them, for benchmarks over real libvirtds.
// Not here: the daemon (bench-daemon), what runs on the hosts.

import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DemoFiles, writeDemoFiles } from '../demo/demo-config.ts';
import {
  type EmbeddedHost,
  startEmbeddedHost,
  stopEmbeddedHost,
} from '../src/adapters/hypervisor/embedded/embedded-host.ts';
import { LibvirtClient } from '../src/libvirt/index.ts';
import type { BenchOptions } from './options.ts';

/** More at a time than there are cores brings nothing: each asks its QEMU what it can. */
const AT_A_TIME = 2;
const DISK_BYTES = 1024 * 1024;
/** cli; hlt; jmp to the hlt: a guest that stands still as soon as it has read its first sector. */
const HALT = [0xfa, 0xf4, 0xeb, 0xfd];

export interface PrivateHost {
  readonly name: string;
  readonly embedded: EmbeddedHost;
  /** Where its guests' ports are forwarded from: `PREFIX.N`. */
  readonly forwardPrefix: string;
}

/** The image that the configuration calls `halt` (and `backend`, so that none is built). */
export interface HaltImage {
  readonly path: string;
  readonly format: 'raw';
  readonly bytes: number;
}

/** Name of the hosts' storage pool, as the daemon makes it on embedded ones. */
export const POOL = 'virtscale';
export const FLAVOR = { name: 'tiny', memoryMiB: 32 } as const;

export class PrivateHosts {
  readonly files: DemoFiles;
  readonly image: HaltImage;
  readonly all: PrivateHost[] = [];

  private constructor(files: DemoFiles, image: HaltImage) {
    this.files = files;
    this.image = image;
  }

  /** On failure nothing is left. */
  static async start(count: number, { say, signal }: BenchOptions): Promise<PrivateHosts> {
    const plans = Array.from({ length: count }, (_, index) => ({
      name: `h${String(index + 1).padStart(2, '0')}`,
      // Not those that a daemon gives out by itself.
      forwardPrefix: `127.${64 + (process.pid % 128)}.${index + 1}`,
    }));
    const files = await writeDemoFiles();
    const image: HaltImage = { path: join(files.folder, 'halt.raw'), format: 'raw', bytes: DISK_BYTES };
    const hosts = new PrivateHosts(files, image);
    try {
      await writeFile(files.config, configText(plans, image));
      await writeHaltImage(image);
      say(`starting ${count} libvirtds`);
      await inTurn(plans, AT_A_TIME, async ({ forwardPrefix, name }) => {
        const embedded = await startEmbeddedHost({
          stateDir: join(files.stateDir, name),
          name,
          migrationAddress: `${forwardPrefix}.255`,
          signal,
        });
        // The daemon watches over it.
        embedded.release();
        hosts.all.push({ name, embedded, forwardPrefix });
      });
      hosts.all.sort((a, b) => (a.name < b.name ? -1 : 1));
      return hosts;
    } catch (error) {
      await hosts.stop(plans.map(({ name }) => name));
      throw error;
    }
  }

  /** Ends every guest and libvirtd and removes all files. */
  async stop(names: readonly string[] = this.all.map(({ name }) => name)): Promise<void> {
    const ends = await Promise.allSettled(names.map((name) => stopEmbeddedHost(join(this.files.stateDir, name))));
    await rm(this.files.folder, { recursive: true, force: true, maxRetries: 5 });
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}

/** Asks a host's libvirt past the daemon. */
export async function asked<T>(uri: string, ask: (client: LibvirtClient) => Promise<T>): Promise<T> {
  const client = new LibvirtClient({ uri });
  try {
    return await ask(client);
  } finally {
    await client.close();
  }
}

/** All of `items`, `atATime` of them at once. */
export async function inTurn<T>(
  items: readonly T[],
  atATime: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const left = items.entries();
  const worker = async () => {
    for (const [index, item] of left) await work(item, index);
  };
  const ends = await Promise.allSettled(Array.from({ length: atATime }, worker));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function configText(
  hosts: readonly Pick<PrivateHost, 'name' | 'forwardPrefix'>[],
  { format, path }: HaltImage,
): string {
  // JSON is YAML.
  return JSON.stringify({
    hosts: hosts.map(({ forwardPrefix, name }) => ({ name, embedded: true, network: { forward: forwardPrefix } })),
    images: ['backend', 'halt'].map((name) => ({ name, path, format })),
    flavors: [{ name: FLAVOR.name, vcpus: 1, memory: `${FLAVOR.memoryMiB}M` }],
    placement: { algorithm: 'round-robin', overcommit: { cpus: 100 } },
  });
}

async function writeHaltImage({ bytes, path }: HaltImage): Promise<void> {
  const disk = Buffer.alloc(bytes);
  disk.set(HALT);
  disk.writeUInt16LE(0xaa55, 510);
  await writeFile(path, disk);
  await chmod(path, 0o644);
}
