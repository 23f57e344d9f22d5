// Which processes are left of something that was given a folder of its own. Not here: ending them.

import { readdir, readFile } from 'node:fs/promises';

/** Command lines of the processes that have to do with `folder`. */
export async function processesOf(folder: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(folder)).map((line) => line.replaceAll('\0', ' '));
}
