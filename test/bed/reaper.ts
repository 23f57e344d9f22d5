// Removes beds of hosts, one's own or those whose owner has died, by what carries their name: namespaces with all that
// runs in them, cgroups, folders. Needs no record of what was made, so half-made beds go as well.
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BEDS_FOLDER, type BedKind, bedNameIn, ownerLives } from './bed-name.ts';
import { run } from './command.ts';
import { bedCgroups, removeHostCgroup } from './cpu-quota.ts';

const END_LIMIT_MS = 10_000;
const LOOK_EVERY_MS = 20;

/** Names of folders of this user's beds. */
export async function bedFolders(kind: BedKind): Promise<readonly string[]> {
  const names = (await readdir(BEDS_FOLDER)).filter((name) => bedNameIn(name, kind) === name);
  const own = await Promise.all(
    names.map(async (name) => {
      const info = await lstat(join(BEDS_FOLDER, name)).catch(() => undefined);
      return info?.isDirectory() === true && info.uid === process.getuid?.();
    }),
  );
  return names.filter((_, index) => own[index]);
}

/** Removes what beds of dead owners have left behind. Returns their names. */
export async function removeAbandonedHostBeds(): Promise<readonly string[]> {
  const traces = [...(await networkSpaces()), ...(await bedCgroups()), ...(await bedFolders('h'))];
  const names = new Set(traces.flatMap((trace) => bedNameIn(trace, 'h') ?? []));
  const removed: string[] = [];
  for (const name of names) {
    if (await ownerLives(name)) continue;
    await removeHostBed(name);
    removed.push(name);
  }
  return removed;
}

/** @throws Error when something of it cannot be ended or removed */
export async function removeHostBed(bed: string): Promise<void> {
  const spaces = (await networkSpaces()).filter((space) => space.startsWith(`${bed}-`));
  await Promise.all(spaces.map(endAllIn));
  for (const space of spaces) await run(['ip', 'netns', 'del', space]);
  const cgroups = (await bedCgroups()).filter((name) => name.startsWith(`${bed}-`));
  await Promise.all(cgroups.map(removeHostCgroup));
  await rm(join(BEDS_FOLDER, bed), { recursive: true, force: true, maxRetries: 5 });
}

async function networkSpaces(): Promise<readonly string[]> {
  const text = await run(['ip', 'netns', 'list']);
  return text.split('\n').flatMap((line) => line.split(' ')[0] || []);
}

/** Kills whatever runs in the namespace; a host's init takes everything of its host with it. */
async function endAllIn(space: string): Promise<void> {
  for (const deadline = performance.now() + END_LIMIT_MS; ; await sleep(LOOK_EVERY_MS)) {
    const pids = (await run(['ip', 'netns', 'pids', space])).split('\n').filter(Boolean).map(Number);
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`${space}: processes ${pids.join(', ')} do not end`);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It was quicker.
      }
    }
  }
}
