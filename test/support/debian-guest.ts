// A Debian disk such as clouds hand out: partition table, boot loader, kernel, systemd, cloud-init, ssh and the guest agent, and nobody's
// name or keys on it. Made by root from Debian's packages, once per machine and recipe. Not the product's guest image (guest/).

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '../bed/command.ts';

export type DebianGuest =
  | { readonly ok: true; readonly path: string }
  /** What this machine is not or has not. A missing program is an error instead: it can be installed. */
  | { readonly ok: false; readonly reason: string };

/** Shared by all tests of this machine and user. */
const IMAGES = `/tmp/virtscale-test-debian-${process.getuid?.() ?? 0}`;
const BUILD = 'build-';
const BUILD_LIMIT_S = 280;

const SUITE = 'bookworm';
/** `cloud-guest-utils` and `fdisk`: cloud-init grows the root partition with them. netplan writes the network's files, as in Debian's own. */
const PACKAGES = [
  ...['linux-image-cloud-amd64', 'grub-pc-bin', 'zstd', 'systemd-sysv', 'udev', 'dbus', 'iproute2', 'netplan.io'],
  ...['cloud-init', 'cloud-guest-utils', 'fdisk', 'qemu-guest-agent', 'openssh-server', 'sudo'],
];
/** Nobody reads them there, and each file takes time to unpack. */
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/i18n/*'];

const SECTOR = 512;
const MIB = 1024 * 1024;
const DISK_MIB = 1024;
/** Of the partition table; the kernel finds its root by it. */
const DISK_ID = 0x76697274;
const ROOT_PARTITION = `PARTUUID=${DISK_ID.toString(16)}-01`;

/** Beside the console: what only makes a boot under emulation shorter, by a third of what comes before cloud-init (see guest/build.mjs). */
const KERNEL_ARGS =
  'console=ttyS0,115200 quiet nokaslr noreplace-smp rodata=off init_on_alloc=0 tsc=reliable no_timer_check nowatchdog ' +
  'random.trust_cpu=on cryptomgr.notests apparmor=0 audit=0';

/** There before the packages come. An initramfs with the root disk's driver alone is quicker made and quicker unpacked. */
const FILES_BEFORE: Readonly<Record<string, string>> = {
  'etc/initramfs-tools/conf.d/test': 'MODULES=list\n',
  'usr/share/initramfs-tools/modules.d/test': 'virtio_pci\nvirtio_blk\n',
};
const FILES_AFTER: Readonly<Record<string, string>> = {
  'etc/fstab': `${ROOT_PARTITION} / ext4 rw,discard,errors=remount-ro 0 1\n`,
  'etc/machine-id': '',
  // Where cloud-init looks for what it is told is left as Debian has it. Without the rest it is done sooner.
  'etc/cloud/cloud.cfg.d/10_test.cfg':
    'manage_etc_hosts: true\nlocale: false\napt_preserve_sources_list: true\nssh_genkeytypes: [ed25519]\n' +
    'grub_dpkg: { enabled: false }\nssh: { emit_keys_to_console: false }\n',
  'boot/grub/load.cfg': `set root=(hd0,msdos1)\nlinux /vmlinuz root=${ROOT_PARTITION} ro ${KERNEL_ARGS}\ninitrd /initrd.img\nboot\n`,
};
/** Of the machine that it was made on, or work that one boot has no use for. */
const REMOVED = [
  ...['etc/hostname', 'etc/resolv.conf', 'etc/systemd/system/timers.target.wants'],
  ...['etc/systemd/system/multi-user.target.wants/e2scrub_reap.service', 'etc/ssh/ssh_host_ed25519_key'],
  ...['etc/ssh/ssh_host_ed25519_key.pub', 'etc/ssh/ssh_host_ecdsa_key', 'etc/ssh/ssh_host_ecdsa_key.pub'],
  ...['etc/ssh/ssh_host_rsa_key', 'etc/ssh/ssh_host_rsa_key.pub'],
];

/**
 * The disk, as qcow2; made when it is not there yet (about a minute, and 120 MB from Debian's mirror).
 * @throws Error when a program is missing, or anything but the mirror fails
 */
export async function debianGuest(log: (line: string) => void): Promise<DebianGuest> {
  const recipe = createHash('sha256')
    .update(await readFile(import.meta.filename))
    .digest('hex');
  const path = join(IMAGES, recipe.slice(0, 12), 'debian.qcow2');
  if (await isThere(path)) return { ok: true, path };
  if (process.getuid?.() !== 0) return { ok: false, reason: 'making a Debian disk from its packages needs root' };
  const started = performance.now();
  log(`making a Debian disk with cloud-init in ${dirname(path)}`);
  await mkdir(IMAGES, { recursive: true, mode: 0o755 });
  await removeAbandoned();
  const work = await mkdtemp(join(IMAGES, `${BUILD}${process.pid}-`));
  try {
    const made = join(work, 'image');
    await mkdir(made);
    await installPackages(join(work, 'root'));
    await finishRoot(join(work, 'root'));
    await makeDisk(join(work, 'root'), join(work, 'disk.raw'));
    const convert = [
      'convert',
      '-c',
      '-o',
      'compression_type=zstd',
      '-O',
      'qcow2',
      '-f',
      'raw',
      join(work, 'disk.raw'),
    ];
    await run(['qemu-img', ...convert, join(made, 'debian.qcow2')], { timeoutMs: 120_000 });
    await Promise.all([chmod(made, 0o755), chmod(join(made, 'debian.qcow2'), 0o644)]);
    // Whoever is second with the same recipe uses the first one's.
    await rename(made, dirname(path)).catch(async (error: unknown) => {
      if (!(await isThere(path))) throw error;
    });
    log(`made in ${Math.round((performance.now() - started) / 1000)} s`);
    return { ok: true, path };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    if (/Failed to fetch|Could not (resolve|connect)|Unable to connect/.test(said)) {
      return { ok: false, reason: `Debian's mirror cannot be reached: ${/E: .*/.exec(said)?.[0] ?? said}` };
    }
    throw error;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function installPackages(root: string): Promise<void> {
  const put = Object.entries(FILES_BEFORE).map(
    ([file, text]) => `mkdir -p "$1/${dirname(file)}"; printf '${text.replaceAll('\n', '\\n')}' >"$1/${file}"`,
  );
  const dpkg = ['force-unsafe-io', ...LEFT_OUT.map((files) => `path-exclude=${files}`)];
  await run(
    [
      // Ends its children too, which a kill from here would not.
      ...(['timeout', '--kill-after=10', String(BUILD_LIMIT_S)] as const),
      ...['mmdebstrap', '--mode=root', '--variant=minbase', `--include=${PACKAGES.join(',')}`],
      ...dpkg.map((option) => `--dpkgopt=${option}`),
      `--essential-hook=${put.join('; ')}`,
      ...[SUITE, root],
    ],
    { timeoutMs: (BUILD_LIMIT_S + 20) * 1000, env: proxies() },
  );
}

async function finishRoot(root: string): Promise<void> {
  for (const file of REMOVED) await rm(join(root, file), { recursive: true, force: true });
  for (const [file, text] of Object.entries(FILES_AFTER)) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), text);
  }
  const modules = ['biosdisk', 'part_msdos', 'ext2', 'linux'];
  const grub = [
    'grub-mkimage',
    '-O',
    'i386-pc',
    '-p',
    '/boot/grub',
    '-c',
    '/boot/grub/load.cfg',
    '-o',
    '/boot/core.img',
  ];
  await run(['chroot', root, ...grub, ...modules], { timeoutMs: 60_000 });
}

/** A partition table with one partition, GRUB before it as the BIOS and GRUB's own first sector look for it, and the file system in it. */
async function makeDisk(root: string, disk: string): Promise<void> {
  await writeFile(disk, '');
  await truncate(disk, DISK_MIB * MIB);
  const ext4 = ['-q', '-F', '-t', 'ext4', '-m', '0', '-E', `offset=${MIB},root_owner=0:0`, '-d', root];
  await run(['mke2fs', ...ext4, disk, `${DISK_MIB - 1}M`], { timeoutMs: 120_000 });
  const first = Buffer.alloc(SECTOR);
  (await readFile(join(root, 'usr/lib/grub/i386-pc/boot.img'))).copy(first, 0, 0, 440);
  first.writeUInt32LE(DISK_ID, 440);
  // Active, of Linux's type, from 1 MiB to the end; cylinders and heads are told by no BIOS any more.
  first.set([0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff], 446);
  first.writeUInt32LE(MIB / SECTOR, 454);
  first.writeUInt32LE(((DISK_MIB - 1) * MIB) / SECTOR, 458);
  first.writeUInt16LE(0xaa55, 510);
  const core = await readFile(join(root, 'boot/core.img'));
  if (SECTOR + core.length > MIB) throw new Error(`GRUB has ${core.length} bytes: too many before the partition`);
  await using file = await open(disk, 'r+');
  await file.write(first, 0, SECTOR, 0);
  await file.write(core, 0, core.length, SECTOR);
}

/** What killed tests left half made. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(IMAGES)) {
    const pid = /^build-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !(await isThere(`/proc/${pid}`))) {
      await rm(join(IMAGES, name), { recursive: true, force: true });
    }
  }
}

function proxies(): Readonly<Record<string, string>> {
  const names = ['http_proxy', 'https_proxy', 'no_proxy'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

const isThere = (path: string): Promise<boolean> =>
  access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
