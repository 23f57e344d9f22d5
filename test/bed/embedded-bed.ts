// A bed of embedded hosts side by side: unprivileged libvirtds, each with folders and loopback addresses of its own. No daemon.
// Nothing of it is left after `stop`; what a killed owner leaves, the next start removes. Not here: whole hosts (host-bed).
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type EmbeddedHost,
  startEmbeddedHost,
  stopEmbeddedHost,
} from '../../src/adapters/hypervisor/embedded/embedded-host.ts';
import { BEDS_FOLDER, newBedName, ownerLives } from './bed-name.ts';
import { bedFolders } from './reaper.ts';

export interface EmbeddedBedOptions {
  /** 1 to 16. */
  readonly hosts: number;
  readonly signal?: AbortSignal;
  readonly log?: (line: string) => void;
}

export interface BedEmbeddedHost {
  readonly name: string;
  readonly host: EmbeddedHost;
  /** VM N may answer on `PREFIX.N`. Another bed seldom has the same one; VMs then take addresses that are free. */
  readonly forwardPrefix: string;
  /** Where guests that migrate to it arrive. */
  readonly migrationAddress: string;
}

export interface EmbeddedBed {
  readonly name: string;
  readonly dir: string;
  readonly hosts: readonly BedEmbeddedHost[];
  /** Ends every guest and every libvirtd, and removes the folders. May be called again. */
  stop(): Promise<void>;
}

const HOSTS_MAX = 16;
const NAMES = 'abcdefghijklmnop';

/** @throws EmbeddedHostError saying what is missing; then nothing is left of the bed */
export async function startEmbeddedBed(options: EmbeddedBedOptions): Promise<EmbeddedBed> {
  const { hosts: count, signal, log = () => {} } = options;
  if (!Number.isInteger(count) || count < 1 || count > HOSTS_MAX) throw new Error(`a bed has 1 to ${HOSTS_MAX} hosts`);
  for (const abandoned of await removeAbandoned()) log(`removed ${abandoned}, whose owner has died`);
  const name = await newBedName('e');
  const dir = join(BEDS_FOLDER, name);
  await mkdir(dir);
  // Root's guests run under another account, which must get to their folders.
  await chmod(dir, process.getuid?.() === 0 ? 0o755 : 0o700);
  const starts = [...NAMES.slice(0, count)].map((host, index) => startHost(dir, host, index + 1, signal, log));
  try {
    await Promise.allSettled(starts);
    const hosts = await Promise.all(starts);
    let stopping: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      for (const { host } of hosts) host.release();
      await removeEmbeddedBed(name);
    };
    return {
      name,
      dir,
      hosts,
      stop: () => {
        stopping ??= stop();
        return stopping;
      },
    };
  } catch (error) {
    await removeEmbeddedBed(name);
    throw error;
  }
}

async function startHost(
  dir: string,
  name: string,
  number: number,
  signal: AbortSignal | undefined,
  log: (line: string) => void,
): Promise<BedEmbeddedHost> {
  const forwardPrefix = `127.${64 + (process.pid % 128)}.${number}`;
  const migrationAddress = `${forwardPrefix}.255`;
  const host = await startEmbeddedHost({
    stateDir: join(dir, name),
    name,
    migrationAddress,
    log,
    ...(signal && { signal }),
  });
  return { name, host, forwardPrefix, migrationAddress };
}

/** Removes beds of this user whose owner has died. Returns their names. */
async function removeAbandoned(): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of await bedFolders('e')) {
    if (await ownerLives(name)) continue;
    await removeEmbeddedBed(name);
    removed.push(name);
  }
  return removed;
}

async function removeEmbeddedBed(name: string): Promise<void> {
  const dir = join(BEDS_FOLDER, name);
  const hosts = await readdir(dir);
  await Promise.all(hosts.map((host) => stopEmbeddedHost(join(dir, host))));
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
}
