// Pulls a VM's plug as an accident would: its QEMU is killed, and nobody is told. Only for VMs of the demo's own host.

import { readdir, readFile } from 'node:fs/promises';

/** Returns the id of the process it killed. */
export async function killVm(uuid: string): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const words = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words[words.indexOf('-uuid') + 1] !== uuid || !words[0]?.includes('qemu')) continue;
    process.kill(Number(entry), 'SIGKILL');
    return Number(entry);
  }
  throw new Error(`no QEMU runs with uuid ${uuid}`);
}
