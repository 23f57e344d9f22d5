// Ends every guest of an embedded host, for when nothing of it is to be left. Not the life cycle of single VMs.
import { basename } from 'node:path';
import { LibvirtClient, ListDomainsFlags } from '../../../libvirt/index.ts';
import { EmbeddedHostError } from './embedded-host-error.ts';
import type { Layout } from './layout.ts';
import { socketUri } from './libvirtd.ts';
import { endProcess, processesWith } from './processes.ts';

const ASK_LIMIT_MS = 5_000;
const DESTROY_LIMIT_MS = 15_000;
const QEMU_GRACE_MS = 3_000;
const OURS = /^(qemu-|libvirtd$|tini$)/;

/** Asks libvirtd to destroy all active domains, so that it has them on record as destroyed. Never throws. */
export async function destroyGuests(layout: Layout, log: (line: string) => void): Promise<void> {
  try {
    const client = new LibvirtClient({ uri: socketUri(layout), connectTimeoutMs: ASK_LIMIT_MS });
    try {
      const active = await client.listDomains(ListDomainsFlags.ACTIVE, { timeoutMs: ASK_LIMIT_MS });
      const ended = active.map((domain) => client.destroyDomain(domain, 0, { timeoutMs: DESTROY_LIMIT_MS }));
      await Promise.allSettled(ended);
    } finally {
      await client.close();
    }
  } catch (error) {
    log(`libvirtd did not destroy the guests (${(error as Error).message}): ending their processes`);
  }
}

/**
 * Ends what is left of the host's processes: QEMUs, which carry the host's folder in their arguments, and helpers.
 * @throws EmbeddedHostError `no-stop` naming those that would not end
 */
export async function endLeftovers(layout: Layout): Promise<void> {
  const marks = [`${layout.dir}/`, `${layout.shortDir}/`];
  const left = new Map<number, string>();
  for (const mark of marks) {
    for (const { pid, argv } of await processesWith(mark)) if (OURS.test(basename(argv[0] ?? ''))) left.set(pid, mark);
  }
  const results = await Promise.all(
    [...left].map(async ([pid, mark]) => ({ pid, ended: await endProcess(pid, mark, QEMU_GRACE_MS) })),
  );
  const stubborn = results.filter(({ ended }) => !ended).map(({ pid }) => pid);
  if (stubborn.length === 0) return;
  throw new EmbeddedHostError(
    'no-stop',
    `processes ${stubborn.join(', ')} do not end`,
    'See in `dmesg` what they hang on',
  );
}
