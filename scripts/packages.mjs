// Which programs real VMs need, which distribution packages bring them, and how those are installed. Runs on Node 18+.
// Nothing is done when all is there.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * `program`: found in PATH or the system's folders; `file`: below a library folder, `folder`: anywhere, for what has no program.
 * `tests`: only the tests need it; `root`: only those that root alone can run (whole hosts in namespaces).
 */
const NEEDS = [
  { package: 'libvirt-daemon', program: 'libvirtd', why: 'runs and watches the virtual machines' },
  {
    package: 'libvirt-daemon-driver-qemu',
    file: 'libvirt/connection-driver/libvirt_driver_qemu.so',
    why: "libvirt's way to QEMU",
  },
  { package: 'qemu-system-x86', program: 'qemu-system-x86_64', why: 'the virtual machines themselves' },
  { package: 'qemu-utils', program: 'qemu-img', why: 'makes disk images' },
  { package: 'tini', program: 'tini', why: 'reaps ended virtual machines at once' },
  { package: 'gcc', program: 'gcc', why: "compiles the guest image's backend" },
  { package: 'libc6-dev', file: 'libc.a', why: 'the C library it is compiled with' },
  { package: 'e2fsprogs', program: 'mke2fs', why: "makes the guest image's file system" },
  { package: 'util-linux', program: 'setpriv', why: 'runs virtual machines unprivileged when started by root' },
  { package: 'openssh-server', program: 'sshd', why: 'a host to be reached by ssh', tests: true },
  { package: 'openssh-client', program: 'ssh', why: 'reaches it', tests: true },
  { package: 'netcat-openbsd', program: 'nc', why: "the far end of libvirt's ssh", tests: true },
  { package: 'openssl', program: 'openssl', why: 'certificates for TLS', tests: true },
  {
    package: 'libvirt-clients',
    program: 'virsh',
    why: "a second opinion on what we do, and the benchmarks' peer",
    tests: true,
  },
  { package: 'haproxy', program: 'haproxy', why: 'a balancer to put virtual machines into', tests: true },
  { package: 'nginx-light', program: 'nginx', why: 'another one', tests: true },
  { package: 'prometheus', program: 'prometheus', why: 'a Prometheus to ask', tests: true },
  {
    package: 'libvirt-daemon-system',
    folder: '/etc/libvirt/qemu',
    why: "a system's own libvirt",
    tests: true,
    root: true,
  },
  { package: 'dnsmasq-base', program: 'dnsmasq', why: 'addresses for guests on a bridge', tests: true, root: true },
  { package: 'iproute2', program: 'ip', why: 'hosts with networks of their own', tests: true, root: true },
  { package: 'mmdebstrap', program: 'mmdebstrap', why: 'a guest with cloud-init', tests: true, root: true },
];

const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function hasProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...SYSTEM_FOLDERS];
  return folders.some((folder) => isExecutable(join(folder, name)));
}

/** Debian keeps libraries in a folder per architecture, others in lib64 or lib. */
function hasLibraryFile(name) {
  const folders = ['/usr/lib', '/usr/lib64'];
  try {
    for (const entry of readdirSync('/usr/lib'))
      if (entry.endsWith('-linux-gnu')) folders.push(join('/usr/lib', entry));
  } catch {
    // No /usr/lib: then it is in none of them.
  }
  return folders.some((folder) => existsSync(join(folder, name)));
}

function isThere(need) {
  if (need.program) return hasProgram(need.program);
  return need.file ? hasLibraryFile(need.file) : existsSync(need.folder);
}

/**
 * @param also packages that are wanted although only the tests need them otherwise
 * @returns {{ package: string, why: string }[]} what this machine lacks
 */
export function missingPackages(tests = false, also = []) {
  const isRoot = process.getuid?.() === 0;
  const isWanted = (need) => tests || !need.tests || also.includes(need.package);
  return NEEDS.filter((need) => isWanted(need) && (isRoot || !need.root) && !isThere(need));
}

const POLICY = '/usr/sbin/policy-rc.d';

/** Nothing that is installed for us begins to serve: Debian asks this file before it starts a service. */
function withoutStartingServices(work) {
  if (process.getuid?.() !== 0 || existsSync(POLICY)) return work();
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return work();
  } finally {
    rmSync(POLICY, { force: true });
  }
}

function aptGet(args) {
  const command = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=120', ...args];
  const asRoot = process.getuid?.() === 0 ? command : ['sudo', 'env', 'DEBIAN_FRONTEND=noninteractive', ...command];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(asRoot[0], asRoot.slice(1), { stdio: 'inherit', env }).status === 0;
}

function hasPackageLists() {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => name.includes('_Packages'));
  } catch {
    return false;
  }
}

/**
 * Installs what is missing, having said what and why.
 * @returns {boolean} false when it could not; then it has said what is to be done
 */
export function installMissingPackages(tests = false, also = []) {
  const missing = missingPackages(tests, also);
  if (missing.length === 0) return true;
  const names = missing.map((need) => need.package);
  const width = Math.max(...names.map((name) => name.length));
  const who = tests ? 'The tests on real virtual machines need' : 'Real virtual machines need';
  console.log(`${who} these packages of your distribution, which are not there yet:`);
  for (const need of missing) console.log(`  ${need.package.padEnd(width)}  ${need.why}`);

  const install = ['install', '-y', '--no-install-recommends', ...names];
  const byHand = `apt-get update && apt-get install --no-install-recommends ${names.join(' ')}`;
  if (!hasProgram('apt-get')) {
    console.error(
      'This machine has no apt-get. Install what these packages are called in your distribution, then try again.',
    );
    return false;
  }
  if (process.getuid?.() !== 0 && !hasProgram('sudo')) {
    console.error(`Installing needs root, and there is no sudo. As root: ${byHand}`);
    return false;
  }
  console.log(`Installing them with apt-get${process.getuid?.() === 0 ? '' : ' (sudo may ask for your password)'} ...`);
  const installed = withoutStartingServices(
    () => (hasPackageLists() && aptGet(install)) || (aptGet(['update']) && aptGet(install)),
  );
  const still = missingPackages(tests, also);
  if (installed && still.length === 0) return true;
  const lacking = still.map((need) => need.package).join(', ');
  console.error(
    `Could not install ${lacking || names.join(', ')}; apt-get's own messages are above. By hand, as root: ${byHand}`,
  );
  return false;
}
