// What makes the guest image one for virtual clusters: ssh between nodes, Open MPI 4, and a C compiler, from the distribution's packages.
// Unpacked, not installed: no package's own scripts run. Not here: kernel, init and all that both images have (build.mjs).
import { execFile } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Whose dependencies come along, and those that come alone: what they depend on is for other languages. */
const WHOLE = ['openmpi-bin', 'gcc', 'libc6-dev', 'dropbear-bin', 'openssh-sftp-server'];
const ALONE = ['libopenmpi-dev'];
/** Sanitizers, tools that nobody calls here, what only a package's own scripts need, and what MPI would need for other networks than TCP. */
const NOT_WANTED =
  /^(?:lib(?:[alt]|hwa|ub)san\d|libitm|libcc1|libgprofng|libhwloc-plugins|libfabric|libibverbs|libpsm|libucx|libnl-|libstdc|debconf|perl|adduser|init-system|lsb-|libc-dev-bin|libcrypt-dev|rpcsvc|libtirpc|libnsl|openssh-client|passwd|.*-base$)/;

/** Paths in the packages, with one `*` in a name for what changes with the version. Their shared libraries are found by themselves. */
const PROGRAMS = [
  ...['usr/bin/orterun', 'usr/bin/orted'],
  ...[
    'usr/bin/dbclient',
    'usr/bin/dropbearkey',
    'usr/bin/dropbearconvert',
    'usr/sbin/dropbear',
    'usr/lib/openssh/sftp-server',
  ],
  ...['usr/bin/x86_64-linux-gnu-gcc-*', 'usr/bin/x86_64-linux-gnu-as', 'usr/bin/x86_64-linux-gnu-ld.bfd'],
  ...[
    'usr/lib/gcc/x86_64-linux-gnu/*/cc1',
    'usr/lib/gcc/x86_64-linux-gnu/*/collect2',
    'usr/lib/gcc/x86_64-linux-gnu/*/liblto_plugin.so',
  ],
];
/** What programs that are compiled there load, although nothing here does. */
const LIBRARIES = ['libmpi.so.40', 'libm.so.6', 'libgcc_s.so.1', 'libpthread.so.0', 'libnss_files.so.2'];
const FOLDERS = ['usr/include', 'usr/lib/gcc/x86_64-linux-gnu/*/include', 'usr/share/openmpi'];
const MPI_FOLDER = 'usr/lib/x86_64-linux-gnu/openmpi';
/** Of Open MPI's plugins those that a launch by ssh, TCP, memory within a node, and files need. Each costs time at every start. */
const PLUGINS = {
  allocator: 'basic bucket',
  bml: 'r2',
  btl: 'self tcp vader',
  coll: 'basic inter libnbc self tuned',
  errmgr: 'default_app default_hnp default_orted',
  ess: 'env hnp pmi singleton',
  fbtl: 'posix',
  fcoll: 'individual two_phase vulcan',
  fs: 'ufs',
  grpcomm: 'direct',
  io: 'ompio',
  iof: 'hnp orted',
  odls: 'default',
  oob: 'tcp',
  osc: 'pt2pt sm',
  plm: 'isolated rsh',
  pmix: 'ext3x isolated',
  pml: 'ob1',
  rcache: 'grdma',
  reachable: 'weighted',
  regx: 'fwd naive',
  rmaps: 'ppr rank_file round_robin seq',
  rml: 'oob',
  routed: 'direct radix',
  schizo: 'ompi orte',
  sharedfp: 'individual lockedfile sm',
  shmem: 'mmap posix',
  state: 'app hnp novm orted',
  topo: 'basic',
};
/** Ranks yield the CPU while they wait: a node has few, and its launcher needs one of them too. */
const MPI_SETTINGS = `
pml = ob1
btl = self,vader,tcp
btl_vader_single_copy_mechanism = none
mpi_yield_when_idle = 1
hwloc_base_binding_policy = none
rmaps_base_oversubscribe = 1
plm_rsh_agent = ssh
`;
/** For linking. */
const FILES = [
  ...[
    'crt1.o',
    'Scrt1.o',
    'crti.o',
    'crtn.o',
    'libc.so',
    'libc_nonshared.a',
    'libm.so',
    'libpthread.a',
    'libmvec.so',
  ].map((name) => `usr/lib/x86_64-linux-gnu/${name}`),
  ...['crtbegin.o', 'crtend.o', 'crtbeginS.o', 'crtendS.o', 'libgcc.a', 'libgcc_s.so', 'libgcc_eh.a'].map(
    (name) => `usr/lib/gcc/x86_64-linux-gnu/*/${name}`,
  ),
  ...['lib/libmpi.so', 'include/mpi.h', 'include/mpi_portable_platform.h'].map((name) => `${MPI_FOLDER}/${name}`),
];
const LINKS = {
  'usr/bin/gcc': 'x86_64-linux-gnu-gcc-*',
  'usr/bin/cc': 'gcc',
  'usr/bin/as': 'x86_64-linux-gnu-as',
  'usr/bin/ld': 'x86_64-linux-gnu-ld.bfd',
  'usr/bin/mpiexec': 'mpirun',
  'usr/lib/sftp-server': 'openssh/sftp-server',
};
const LIBRARY_FOLDERS = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'];
const SCRIPTS = { rc: 'etc/rc', mpicc: 'usr/bin/mpicc', ssh: 'usr/bin/ssh' };
/** busybox has more of these than the small image names. */
const MORE_LINKS = 'bc clear diff gunzip gzip md5sum nohup nslookup od sha256sum tac time timeout uuencode';

/** @returns {Promise<string[]>} the packages, as this machine's apt names them */
export async function mpiPackages(apt) {
  const kinds = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((kind) => `--no-${kind}`);
  const text = await apt.exec('apt-cache', [...apt.options, 'depends', '--recurse', ...kinds, ...WHOLE]);
  const depends = new Map();
  let of;
  for (const line of text.split('\n')) {
    const [, name] = /^ {1,2}(?:Pre)?Depends: ([a-z0-9][^\s<>:]*)$/.exec(line) ?? [];
    if (name !== undefined) of.push(name);
    if (!/^[a-z0-9]/.test(line)) continue;
    of = [];
    depends.set(line.trim(), of);
  }
  const wanted = new Set([...WHOLE, ...ALONE]);
  for (const name of wanted) {
    for (const next of ALONE.includes(name) ? [] : (depends.get(name) ?? []))
      if (!NOT_WANTED.test(next)) wanted.add(next);
  }
  return [...wanted].sort();
}

/** The paths below `root` that a pattern names. */
function matching(root, pattern) {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return existsSync(join(root, pattern)) ? [pattern] : [];
  const [last] = rest;
  const folder = dirname(`${first}x`);
  const begin = basename(`${first}x`).slice(0, -1);
  if (!existsSync(join(root, folder))) return [];
  const [nameEnd, ...below] = last.split('/');
  const names = readdirSync(join(root, folder)).filter((name) => name.startsWith(begin) && name.endsWith(nameEnd));
  return names.map((name) => [folder, name, ...below].join('/')).filter((path) => existsSync(join(root, path)));
}

function allOf(root, pattern) {
  const found = matching(root, pattern);
  if (found.length === 0) throw new Error(`the packages have no ${pattern}`);
  return found;
}

/** By what is written in the files themselves: the packages are perhaps of another release than this machine's libraries. */
async function addLibraries(unpacked, root, programs, signal) {
  const done = new Set();
  let waiting = programs;
  while (waiting.length > 0) {
    const files = waiting.map((path) => join(unpacked, path));
    const { stdout } = await run('readelf', ['-d', ...files], {
      signal,
      maxBuffer: 16 << 20,
      env: { ...process.env, LC_ALL: 'C' },
    });
    const names = new Set([...stdout.matchAll(/\(NEEDED\).*\[([^\]]+)\]/g)].map((match) => match[1]));
    waiting = [];
    for (const name of names) {
      if (done.has(name) || name.startsWith('ld-linux')) continue;
      done.add(name);
      const path = LIBRARY_FOLDERS.map((folder) => `${folder}/${name}`).find((each) =>
        existsSync(join(unpacked, each)),
      );
      if (path === undefined) throw new Error(`the packages have no library ${name}`);
      await put(unpacked, root, path);
      waiting.push(path);
    }
  }
}

/** A file with the links that lead to it. */
async function put(unpacked, root, path) {
  const [from, target] = [join(unpacked, path), join(root, path)];
  await mkdir(dirname(target), { recursive: true });
  await rm(target, { force: true });
  if (!lstatSync(from).isSymbolicLink()) return await copyFile(from, target);
  const to = readlinkSync(from);
  await symlink(to, target);
  await put(unpacked, root, to.startsWith('/') ? to.slice(1) : join(dirname(path), to));
}

async function replaceLink(target, to) {
  await mkdir(dirname(target), { recursive: true });
  await rm(target, { force: true });
  await symlink(to, target);
}

/**
 * Adds ssh, MPI and the compiler to the root of the small image.
 * @throws Error naming what the packages do not have
 */
export async function fillMpi(root, { unpacked, scripts, signal }) {
  const plugins = Object.entries(PLUGINS).flatMap(([kind, names]) =>
    names.split(' ').map((name) => `${MPI_FOLDER}/lib/openmpi3/mca_${kind}_${name}.so`),
  );
  plugins.push('usr/lib/x86_64-linux-gnu/pmix2/lib/pmix/pmix_mca_pcompress_zlib.so');
  const programs = [...PROGRAMS, ...plugins].flatMap((pattern) => allOf(unpacked, pattern));
  const libraries = LIBRARIES.flatMap((name) =>
    LIBRARY_FOLDERS.flatMap((folder) => matching(unpacked, `${folder}/${name}`)).filter((path) => !path.endsWith('.a')),
  );
  for (const path of [...programs, ...libraries]) await put(unpacked, root, path);
  await addLibraries(unpacked, root, [...programs, ...libraries], signal);
  const loader = allOf(unpacked, 'lib64/ld-linux-x86-64.so.2')[0];
  await put(unpacked, root, loader);
  for (const path of FOLDERS.flatMap((pattern) => allOf(unpacked, pattern)))
    await cp(join(unpacked, path), join(root, path), { recursive: true, verbatimSymlinks: true, force: true });
  for (const path of FILES.flatMap((pattern) => matching(unpacked, pattern))) await put(unpacked, root, path);
  for (const [path, to] of Object.entries(LINKS)) {
    const [found] = to.includes('*')
      ? programs.filter((each) => each.startsWith(`${dirname(path)}/${to.split('*')[0]}`))
      : [to];
    await replaceLink(join(root, path), to.includes('*') ? basename(found) : to);
  }
  const mpirun = ['-o', join(root, 'usr/bin/mpirun'), join(scripts, 'mpirun.c')];
  await run('gcc', ['-O2', '-static', '-s', ...mpirun], { signal });
  await mkdir(join(root, 'etc/openmpi'), { recursive: true });
  await writeFile(join(root, 'etc/openmpi/openmpi-mca-params.conf'), MPI_SETTINGS.trimStart());
  for (const [name, path] of Object.entries(SCRIPTS)) {
    await copyFile(join(scripts, name), join(root, path));
    await chmod(join(root, path), 0o755);
  }
  for (const name of MORE_LINKS.split(' ')) await symlink('busybox', join(root, 'bin', name)).catch(() => {});
  for (const folder of ['root/.ssh', 'etc/dropbear', 'home', 'shared'])
    await mkdir(join(root, folder), { recursive: true });
  await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  await writeFile(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n');
  await writeFile(join(root, 'etc/shells'), '/bin/sh\n');
}
