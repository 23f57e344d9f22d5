// What a libvirtd that died while disks were being copied leaves in the QEMU of the source, and does not look for when it is back:
// the copying job and the nodes of the target's disk. With them there every further move with copied disks fails.

import type { CallOptions, Domain, LibvirtClient } from '../../../libvirt/index.ts';
import { isLibvirtError } from '../../../libvirt/index.ts';

/** libvirt 9 names the nodes so, and QEMU says this when they are there already. */
const LEFT = /Duplicate nodes with node-name='migration-/;
const TRIES = 20;
const AGAIN_MS = 50;

export function isAboutLeftovers(error: unknown): boolean {
  return isLibvirtError(error) && LEFT.test(error.message);
}

/** No move of the domain may be under way. What cannot be removed stays: the next move fails as the one before did. */
export async function removeLeftovers(
  client: LibvirtClient,
  domain: Domain,
  diskTargets: readonly string[],
  call: CallOptions,
): Promise<void> {
  const ask = async (execute: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> => {
    const cmd = JSON.stringify({ execute, arguments: args });
    const { result } = await client.call('DOMAIN_MONITOR_COMMAND', { dom: domain, cmd, flags: 0 }, call);
    return (JSON.parse(result) as { readonly return?: unknown }).return;
  };
  for (let tries = 0; tries < TRIES; tries += 1) {
    const jobs = (await ask('query-block-jobs')) as readonly { readonly device: string; readonly type: string }[];
    const copying = jobs.filter(({ type }) => type === 'mirror');
    if (copying.length === 0) break;
    for (const { device } of copying) await ask('block-job-cancel', { device, force: true });
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  for (const target of diskTargets) {
    for (const part of ['format', 'storage']) await ask('blockdev-del', { 'node-name': `migration-${target}-${part}` });
  }
}
