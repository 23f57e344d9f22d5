// Whether this machine can hold a bed of whole hosts: rights, programs, kernel. Tried, not guessed; leaves nothing behind.
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { newBedName } from './bed-name.ts';
import { PATH, run } from './command.ts';

export type BedVerdict =
  | { readonly ok: true }
  /** `rights` and `kernel` are what a machine is; `programs` can be installed. */
  | { readonly ok: false; readonly lacks: 'rights' | 'programs' | 'kernel'; readonly reason: string };

/** Programs and the Debian packages that bring them. */
const PROGRAMS: Readonly<Record<string, string>> = {
  libvirtd: 'libvirt-daemon-system',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  tini: 'tini',
  ip: 'iproute2',
  dnsmasq: 'dnsmasq-base',
  sshd: 'openssh-server',
  'ssh-keygen': 'openssh-client',
  openssl: 'openssl',
  setpriv: 'util-linux',
  nsenter: 'util-linux',
  unshare: 'util-linux',
};

/** Folders that the hosts' own are laid over. */
const FOLDERS = ['/etc/libvirt', '/var/lib/libvirt', '/var/log/libvirt', '/var/cache/libvirt'];

export async function canHoldHosts(): Promise<BedVerdict> {
  if (process.getuid?.() !== 0) {
    return { ok: false, lacks: 'rights', reason: 'whole hosts in namespaces of their own need root' };
  }
  const missing = await missingPackages();
  if (missing.length > 0) {
    const reason = `missing packages: apt-get install --no-install-recommends ${missing.join(' ')}`;
    return { ok: false, lacks: 'programs', reason };
  }
  try {
    await run(['unshare', '--mount', '--uts', '--ipc', '--pid', '--net', '--fork', '--mount-proc', 'true']);
  } catch (error) {
    return { ok: false, lacks: 'rights', reason: `root may not make namespaces here: ${(error as Error).message}` };
  }
  return await kernelVerdict();
}

async function missingPackages(): Promise<readonly string[]> {
  const found = await Promise.all(
    Object.entries(PROGRAMS).map(async ([program, name]) => ((await isInPath(program)) ? [] : [name])),
  );
  const folders = await Promise.all(FOLDERS.map(isThere));
  return [...new Set([...found.flat(), ...(folders.includes(false) ? ['libvirt-daemon-system'] : [])])];
}

/** Bridges and veth pairs are modules that a small kernel may lack. */
async function kernelVerdict(): Promise<BedVerdict> {
  if (!(await isThere('/dev/net/tun'))) {
    return { ok: false, lacks: 'kernel', reason: 'no /dev/net/tun: VMs could not be put on a bridge' };
  }
  const space = `${await newBedName('h')}-try`;
  try {
    await run(['ip', 'netns', 'add', space]);
    await run(['ip', '-n', space, 'link', 'add', 'br0', 'type', 'bridge']);
    await run(['ip', '-n', space, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
    return { ok: true };
  } catch (error) {
    return { ok: false, lacks: 'kernel', reason: `the kernel lacks bridges or veth: ${(error as Error).message}` };
  } finally {
    await run(['ip', 'netns', 'del', space]).catch(() => undefined);
  }
}

async function isInPath(program: string): Promise<boolean> {
  const found = await Promise.all(PATH.split(':').map((folder) => isThere(join(folder, program))));
  return found.includes(true);
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
