// CPU quotas of a bed's hosts and their VMs, by cgroups of the bed's own (v1 or v2, whichever has the cpu controller).
// libvirt's own cgroups are switched off in the beds: on v1 several libvirtds on one machine would share them.
//
//   BED-h1/          the host's quota
//     host/          everything of the host that is no VM: libvirtd, sshd, commands
//     vm-NAME/       one VM's quota; made and removed by vm-quota-hook.sh
import { access, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bedNameIn } from './bed-name.ts';

/** Percent of one CPU: 150 is one and a half. */
export interface CpuQuotas {
  /** What a host and all its VMs may use together. */
  readonly hostPercent?: number;
  /** What each VM may use; not more than its host. */
  readonly vmPercent?: number;
}

export interface CpuController {
  readonly version: 1 | 2;
  readonly folder: string;
}

const PERIOD_US = 100_000;
const REMOVE_LIMIT_MS = 3_000;

/** The cpu controller of this machine, or why there is none that can be used. */
export async function findCpuController(): Promise<CpuController | { readonly reason: string }> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const v1 = mounts.find(([, , type, options]) => type === 'cgroup' && options?.split(',').includes('cpu'));
  if (v1?.[1] !== undefined) return { version: 1, folder: v1[1] };
  const v2 = mounts.find(([, , type]) => type === 'cgroup2')?.[1];
  if (v2 === undefined) return { reason: 'no cgroup file system is mounted' };
  const children = await readFile(join(v2, 'cgroup.subtree_control'), 'utf8').catch(() => '');
  if (!children.split(/\s+/).includes('cpu'))
    return { reason: `${v2} does not hand the cpu controller on to its children` };
  return { version: 2, folder: v2 };
}

/** The cgroup of one host, with its quota. @throws Error when the machine does not allow it */
export async function makeHostCgroup(controller: CpuController, name: string, quotas: CpuQuotas): Promise<string> {
  const folder = join(controller.folder, name);
  await mkdir(join(folder, 'host'), { recursive: true });
  if (quotas.hostPercent !== undefined) await setHostQuota(controller, folder, quotas.hostPercent);
  if (controller.version === 2) await writeFile(join(folder, 'cgroup.subtree_control'), '+cpu');
  return folder;
}

/** v1 refuses less than a VM of it has. */
export async function setHostQuota(controller: CpuController, folder: string, percent: number): Promise<void> {
  const { file, text } = quotaSetting(controller, percent);
  await writeFile(join(folder, file), text);
}

/** How often the cgroup has wanted more than its quota, in periods of 100 ms. */
export async function throttledPeriods(folder: string): Promise<number> {
  const text = await readFile(join(folder, 'cpu.stat'), 'utf8');
  return Number(/^nr_throttled (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
}

/** The file of a cgroup and what to write into it. v1's period is 100 ms by default. */
export function quotaSetting(
  { version }: CpuController,
  percent: number,
): { readonly file: string; readonly text: string } {
  const quotaUs = Math.round((percent / 100) * PERIOD_US);
  return version === 1
    ? { file: 'cpu.cfs_quota_us', text: `${quotaUs}` }
    : { file: 'cpu.max', text: `${quotaUs} ${PERIOD_US}` };
}

/** Cgroups of beds that are there, by their names. */
export async function bedCgroups(): Promise<readonly string[]> {
  const controller = await findCpuController();
  if ('reason' in controller) return [];
  const names = await readdir(controller.folder);
  return names.filter((name) => bedNameIn(name, 'h') !== undefined);
}

/** Removes a host's cgroup. Its processes must have been ended; the kernel takes a moment to see that. */
export async function removeHostCgroup(name: string): Promise<void> {
  const controller = await findCpuController();
  if ('reason' in controller) return;
  const folder = join(controller.folder, name);
  for (const deadline = performance.now() + REMOVE_LIMIT_MS; ; await sleep(20)) {
    try {
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        if (entry.isDirectory()) await rmdir(join(folder, entry.name));
      }
      return await rmdir(folder);
    } catch (error) {
      if (await isAbsent(folder)) return;
      if (performance.now() > deadline) throw error;
    }
  }
}

const isAbsent = (path: string): Promise<boolean> =>
  access(path).then(
    () => false,
    () => true,
  );
