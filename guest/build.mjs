// Builds the guest image from the distribution's packages, as any user: a kernel, an initramfs and a small ext4 root
// in a qcow2. Runs on the Node of the machine (18 or later), so it is plain JavaScript. Not a general image builder.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { packCpio } from './cpio.mjs';
import { extractKernel } from './kernel-image.mjs';
import { collectModules } from './kernel-modules.mjs';
import { fillMpi, mpiPackages } from './mpi.mjs';
import { Apt, requirePrograms } from './packages.mjs';

const run = promisify(execFile);
const HERE = dirname(fileURLToPath(import.meta.url));

/** Changes when readers of image.json must change. */
const FORMAT = 1;

/** In the initramfs: what the root disk and the first answer over HTTP need. */
const EARLY_MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net', 'ext4'];
/** On the root disk, loaded after the backend is started: agent channel, balloon, power button. */
const LATE_MODULES = ['virtio_console', 'virtio_balloon', 'button', 'evdev'];

/**
 * Initcalls that a guest of this kind has no use for, and that take long under emulation: kernel tracing's files, and
 * the type information that only BPF programs need. A name that a kernel does not have is passed over.
 */
const NEEDLESS_INITCALLS = [
  'tracer_init_tracefs',
  'init_kprobe_trace',
  'btf_module_init',
  'bpf_rstat_kfunc_init',
  'kfunc_init',
  'bpf_prog_test_run_init',
  'bpf_tcp_ca_kfunc_init',
  'cubictcp_register',
];

/**
 * Emulated, a boot's time goes to translating kernel code and to patching it, which throws translations away. So: what
 * patches itself less (`noreplace-smp`, retpolines left in: no `mitigations=off`), what is not write-protected
 * (`rodata=off`), and what is not run at all. Under KVM none of it matters.
 */
const KERNEL_ARGS = [
  'console=ttyS0',
  'quiet',
  'panic=1',
  'nokaslr',
  'noreplace-smp',
  'rodata=off',
  'init_on_alloc=0',
  'tsc=reliable',
  'no_timer_check',
  'nowatchdog',
  'rcupdate.rcu_expedited=1',
  'random.trust_cpu=on',
  'cryptomgr.notests',
  'apparmor=0',
  'audit=0',
  'ipv6.disable=1',
  'i8042.noaux',
  '8250.nr_uarts=1',
  `initcall_blacklist=${NEEDLESS_INITCALLS.join(',')}`,
];

/** QEMU's user-mode network always gives the guest this one; a guest on any other network asks by DHCP. */
const USER_NETWORK_ARGS = ['virtscale.ip=10.0.2.15/24,10.0.2.2,10.0.2.3'];

const BUSYBOX_LINKS =
  'sh ash awk basename cat chmod cp cut date dd df dirname dmesg du echo env expr false find free fsfreeze grep head ' +
  'hostname hwclock id ifconfig ip kill less ln ls lsmod mkdir mknod mount mv nc nproc ping printf ps pwd rm route sed ' +
  'seq setsid sleep sort stat sync tail tar tee test top touch tr true udhcpc umount uname uniq uptime usleep vi wc wget which ' +
  'xargs';
/** What differs between the images. `mpi`: also ssh, Open MPI and a C compiler, for the nodes of virtual clusters. */
const KINDS = {
  backend: { diskSize: '64M', memoryMiB: { least: 96, suggested: 128 } },
  mpi: { diskSize: '1G', memoryMiB: { least: 192, suggested: 256 } },
};

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** SHA-256 over everything the image is made from, except the packages: another hash is another image. */
export function sourceHash() {
  const hash = createHash('sha256');
  for (const folder of ['.', 'src', 'rootfs', 'mpi']) {
    for (const name of readdirSync(join(HERE, folder)).sort()) {
      if (/\.(mjs|c|h|sh)$|^(shutdown|rc|mpicc|ssh)$/.test(name))
        hash.update(`${folder}/${name}\0`).update(readFileSync(join(HERE, folder, name)));
    }
  }
  return hash.digest('hex');
}

/** The manifest of a finished image made from these very sources, or undefined. */
async function readManifest(outDir, sources, kind) {
  try {
    const manifest = JSON.parse(await readFile(join(outDir, 'image.json'), 'utf8'));
    const whole = Object.keys(manifest.files ?? {}).every((name) => existsSync(join(outDir, name)));
    const fits = manifest.format === FORMAT && manifest.sources === sources && manifest.name === kind;
    return fits && whole ? manifest : undefined;
  } catch {
    return undefined;
  }
}

async function compile(sources, target, signal) {
  const files = sources.map((source) => join(HERE, 'src', source));
  await run('gcc', ['-O2', '-static', '-s', '-o', target, ...files], { signal });
}

async function sharedLibraries(program) {
  const { stdout } = await run('ldd', [program]);
  const missing = [...stdout.matchAll(/^\s*(\S+) => not found/gm)].map((m) => m[1]);
  if (missing.length > 0) {
    throw new Error(`${basename(program)} needs ${missing.join(', ')}: install qemu-system-x86, which brings them`);
  }
  const libraries = [...stdout.matchAll(/=> (\/\S+)/g)].map((m) => m[1]);
  const loader = /^\s*(\/lib\S*ld-linux\S*)/m.exec(stdout)?.[1] ?? '/lib64/ld-linux-x86-64.so.2';
  return { libraries, loader };
}

async function writeInitramfs(target, init, modules) {
  const folder = 0o040755;
  const names = modules.map(({ name }) => `/modules/${name}.ko\n`).join('');
  const archive = packCpio([
    { path: 'dev', mode: folder },
    { path: 'modules', mode: folder },
    { path: 'init', mode: 0o100755, data: await readFile(init) },
    ...modules.map(({ name, data }) => ({ path: `modules/${name}.ko`, mode: 0o100644, data })),
    { path: 'modules/order', mode: 0o100644, data: Buffer.from(names) },
  ]);
  // Not compressed: QEMU hands it over at memory speed, and unpacking would be the slow part under emulation.
  await writeFile(target, archive);
}

async function fillRoot(root, { init, backend, unpacked, modules }) {
  for (const folder of 'bin sbin dev proc sys run tmp etc var root lib64 lib/x86_64-linux-gnu modules-late'.split(
    ' ',
  )) {
    await mkdir(join(root, folder), { recursive: true });
  }
  const put = async (from, to, mode = 0o755) => {
    await copyFile(from, join(root, to));
    await chmod(join(root, to), mode);
  };
  const busybox = ['bin/busybox', 'usr/bin/busybox'].map((p) => join(unpacked, p)).find(existsSync);
  if (busybox === undefined) throw new Error('the package busybox-static has no busybox program');
  await put(busybox, 'bin/busybox');
  for (const name of BUSYBOX_LINKS.split(' ')) await symlink('busybox', join(root, 'bin', name));
  for (const name of ['poweroff', 'reboot', 'halt']) await symlink('../bin/busybox', join(root, 'sbin', name));
  await symlink('../run', join(root, 'var/run'));
  await symlink('../run/resolv.conf', join(root, 'etc/resolv.conf'));
  await put(init, 'sbin/init');
  await put(backend, 'bin/backend');
  await put(join(HERE, 'rootfs/shutdown'), 'sbin/shutdown');
  await put(join(HERE, 'rootfs/udhcpc.sh'), 'etc/udhcpc.sh');
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n');
  const agent = join(unpacked, 'usr/sbin/qemu-ga');
  await put(agent, 'sbin/qemu-ga');
  // This machine's own, from the package that has mke2fs: a root disk that has grown is taken into use with it.
  const resize = ['/usr/sbin/resize2fs', '/sbin/resize2fs'].find(existsSync);
  if (resize === undefined) throw new Error('the guest image needs the program resize2fs (package e2fsprogs)');
  await put(resize, 'sbin/resize2fs');
  const { libraries: agents, loader } = await sharedLibraries(agent);
  const { libraries: resizes } = await sharedLibraries(resize);
  for (const library of new Set([...agents, ...resizes]))
    await put(library, join('lib/x86_64-linux-gnu', basename(library)));
  await put(loader, join('lib64', basename(loader)));
  for (const { name, data } of modules) await writeFile(join(root, 'modules-late', `${name}.ko`), data);
  const order = modules.map(({ name }) => `/modules-late/${name}.ko\n`).join('');
  await writeFile(join(root, 'modules-late/order'), order);
}

async function makeDisk(root, work, target, { diskSize, signal }) {
  const raw = join(work, 'root.raw');
  const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
  const ext4 = [
    '-q',
    '-t',
    'ext4',
    '-O',
    '^has_journal',
    '-m',
    '0',
    '-E',
    // What mke2fs leaves for later, each guest would write anew into its own disk.
    'root_owner=0:0,lazy_itable_init=0',
    '-d',
    root,
    raw,
    diskSize,
  ];
  await run('mke2fs', ext4, { signal, env: { ...process.env, PATH: path } });
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, target], { signal });
}

async function buildInto(out, work, { kind, log, signal, sources }) {
  const apt = new Apt({ folder: work, log, signal });
  const unpacked = join(work, 'unpacked');
  let kernel = await apt.findKernel();
  if (kernel === undefined) {
    await apt.usePrivateLists();
    kernel = await apt.findKernel();
  }
  if (kernel === undefined)
    throw new Error('apt knows no kernel package (linux-image-cloud-amd64 or linux-image-virtual)');
  const fetchAll = async () => {
    const more = kind === 'mpi' ? await mpiPackages(apt) : [];
    const names = [...kernel.packages, 'qemu-guest-agent', 'busybox-static', ...more];
    log(`fetching ${names.join(', ')}`);
    return await apt.unpack(names, unpacked);
  };
  let packages;
  try {
    packages = await fetchAll();
  } catch (error) {
    if (signal?.aborted || apt.private) throw error;
    await apt.usePrivateLists();
    kernel = (await apt.findKernel()) ?? kernel;
    packages = await fetchAll();
  }

  log('compiling the backend and init');
  const [init, backend] = [join(work, 'init'), join(work, 'backend')];
  await Promise.all([compile(['init.c', 'own.c'], init, signal), compile(['backend.c'], backend, signal)]);

  log('packing the initramfs and the root disk');
  const moduleRoot = ['lib/modules', 'usr/lib/modules'].map((p) => join(unpacked, p)).find(existsSync);
  const version = moduleRoot && readdirSync(moduleRoot)[0];
  if (version === undefined) throw new Error(`${kernel.packages.join(' and ')} have no kernel modules`);
  const all = collectModules(join(moduleRoot, version), [...EARLY_MODULES, ...LATE_MODULES]);
  const early = collectModules(join(moduleRoot, version), EARLY_MODULES);
  const late = all.filter(({ name }) => !early.some((module) => module.name === name));
  await writeInitramfs(join(out, 'initrd.img'), init, early);
  const root = join(work, 'root');
  await fillRoot(root, { init, backend, unpacked, modules: late });
  if (kind === 'mpi') await fillMpi(root, { unpacked, scripts: join(HERE, 'mpi'), signal });
  const { diskSize, memoryMiB } = KINDS[kind];
  await makeDisk(root, work, join(out, 'root.qcow2'), { diskSize, signal });
  const packed = await readFile(join(unpacked, 'boot', `vmlinuz-${version}`));
  const kernelFile = extractKernel(packed);
  const kernelName = kernelFile ? 'vmlinux' : 'vmlinuz';
  await writeFile(join(out, kernelName), kernelFile ?? packed);

  const files = {};
  for (const name of [kernelName, 'initrd.img', 'root.qcow2']) {
    await chmod(join(out, name), 0o644);
    files[name] = sha256(await readFile(join(out, name)));
  }
  const manifest = {
    format: FORMAT,
    name: kind,
    kernelVersion: version,
    kernel: kernelName,
    initrd: 'initrd.img',
    disk: 'root.qcow2',
    kernelArgs: KERNEL_ARGS.join(' '),
    userNetworkArgs: USER_NETWORK_ARGS.join(' '),
    memoryMiB,
    httpPort: 80,
    builtFrom: packages.sort(),
    sources,
    files,
  };
  await writeFile(join(out, 'image.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** Puts the finished folder in its place. Whoever is second with the same image uses the first one's. */
async function publish(made, outDir, sources, kind) {
  const old = `${made}.old`;
  if (existsSync(outDir)) await rename(outDir, old).catch(() => {});
  try {
    await rename(made, outDir);
  } catch (error) {
    if ((await readManifest(outDir, sources, kind)) === undefined) throw error;
  }
  await rm(old, { recursive: true, force: true });
}

/**
 * Makes sure that `outDir` holds the guest image of these sources; builds it when it does not (a few seconds, and about
 * 30 MB of packages from the distribution's mirror; of the kind `mpi` some 20 s and 80 MB).
 *
 * @param {{ outDir: string, kind?: 'backend' | 'mpi', log?: (line: string) => void, signal?: AbortSignal }} options
 * @returns {Promise<object>} image.json with the folder and `built`; see build.d.mts
 * @throws Error naming the missing program, the package that cannot be had, or the step that failed
 */
export async function buildGuestImage({ outDir, kind = 'backend', log = () => {}, signal }) {
  const target = resolve(outDir);
  const sources = sourceHash();
  const present = await readManifest(target, sources, kind);
  if (present !== undefined) return { ...present, dir: target, built: false };
  if (process.arch !== 'x64') throw new Error(`the guest image is for x86-64 machines; this one is ${process.arch}`);
  requirePrograms({
    'apt-get': 'apt, so Debian or Ubuntu',
    'dpkg-deb': 'dpkg',
    gcc: 'gcc and libc6-dev',
    mke2fs: 'e2fsprogs',
    'qemu-img': 'qemu-utils',
    ldd: 'libc-bin',
  });
  const started = Date.now();
  log(`building the guest image in ${target}`);
  await mkdir(dirname(target), { recursive: true });
  const work = await mkdtemp(`${target}.build-`);
  try {
    const made = join(work, 'image');
    await mkdir(made, { mode: 0o755 });
    const manifest = await buildInto(made, work, { kind, log, signal, sources });
    await publish(made, target, sources, kind);
    log(`guest image ready: kernel ${manifest.kernelVersion}, ${((Date.now() - started) / 1000).toFixed(1)} s`);
    return { ...manifest, dir: target, built: true };
  } finally {
    await rm(work, { recursive: true, force: true, maxRetries: 3 });
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) {
  const [outDir, kind = 'backend'] = process.argv.slice(2);
  if (outDir === undefined || outDir.startsWith('-') || !(kind in KINDS)) {
    console.error('usage: node guest/build.mjs FOLDER [backend|mpi]   builds the guest image into FOLDER');
    process.exit(2);
  }
  try {
    await buildGuestImage({ outDir, kind, log: (line) => console.log(line) });
  } catch (error) {
    console.error(`guest image: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
