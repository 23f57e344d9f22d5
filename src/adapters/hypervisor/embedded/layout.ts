// Where an embedded host keeps its things: the folders, their owners, and the short path its sockets are reached by.
// Makes folders; starts nothing.
//
//   dir/            root's or the user's own: libvirtd.conf, its output, the probe's verdict
//     c d h k r     libvirtd's: XDG config, data, home, cache and runtime folder (sockets, pid, log)
//     pool/         disks
//
// Beside the hosts of a daemon, once for all of them: guest-images/.
//
// The path of a guest agent's socket is c/libvirt/qemu/channel/target/domain-ID-NAME/org.qemu.guest_agent.0, and the
// kernel allows 107 bytes: only 22 are left for the way to c. So a longer one is reached through a symlink in /run or /tmp.
import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readlink, realpath, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Account } from './account.ts';
import { EmbeddedHostError } from './embedded-host-error.ts';

export interface Layout {
  /** The real folder of this host. */
  readonly dir: string;
  /** The same folder by a path short enough for sockets; may be `dir` itself. */
  readonly shortDir: string;
  readonly poolDir: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly configFile: string;
  readonly libvirtdLog: string;
  readonly outputFile: string;
}

const LONGEST_SHORT_DIR = 20;
const PRIVATE_FOLDERS = ['c', 'c/libvirt', 'd', 'h', 'k', 'r', 'r/libvirt', 'pool'];
/** Where root puts a host whose state folder other accounts cannot enter, as everything below /root. */
const ROOTS_FOLDER = '/var/lib/virtscale';

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

/** True when an account that is neither owner nor in the group may pass through `path` and all above it. */
async function isOpenToOthers(path: string): Promise<boolean> {
  for (let at = path; ; at = dirname(at)) {
    const info = await stat(at).catch(() => undefined);
    if (info && (info.mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** The nearest folder that exists is resolved, so that one host has one name whatever symlinks lead to it. */
async function resolved(stateDir: string): Promise<string> {
  const absolute = resolve(stateDir);
  let existing = absolute;
  while ((await lstat(existing).catch(() => undefined)) === undefined && existing !== dirname(existing)) {
    existing = dirname(existing);
  }
  return join(await realpath(existing), absolute.slice(existing.length));
}

/**
 * The folder of the host that belongs to `stateDir`: always the same one for the same user.
 * @param asRoot root's guests run under another account, which must be able to get there
 */
export async function hostFolder(stateDir: string, asRoot: boolean): Promise<string> {
  return await placeFor(join(await resolved(stateDir), 'embedded'), 'host', asRoot);
}

/**
 * The folder for images that all embedded hosts of a daemon share, made when it is not there. Not a cache: VMs' disks are
 * overlays of what lies in it.
 * @throws EmbeddedHostError `bad-folder`
 */
export async function makeImagesFolder(stateDir: string, asRoot: boolean): Promise<string> {
  const dir = await placeFor(join(await resolved(stateDir), 'guest-images'), 'images', asRoot);
  await madeOrRefused(dir, async () => {
    await mkdir(dir, { recursive: true, mode: asRoot ? 0o755 : 0o700 });
    if (asRoot) await openPath(dir);
  });
  return dir;
}

/** `inside`, or where the account of root's guests cannot get there, a folder of that kind which it can enter. */
async function placeFor(inside: string, kind: string, asRoot: boolean): Promise<string> {
  if (!asRoot || (await isOpenToOthers(dirname(inside)))) return inside;
  return join(ROOTS_FOLDER, `${kind}-${hashOf(inside)}`);
}

function layoutOf(dir: string, shortDir: string): Layout {
  return {
    dir,
    shortDir,
    poolDir: join(dir, 'pool'),
    socket: join(shortDir, 'r/libvirt/libvirt-sock'),
    pidFile: join(dir, 'r/libvirtd.pid'),
    configFile: join(dir, 'libvirtd.conf'),
    libvirtdLog: join(dir, 'r/libvirtd.log'),
    outputFile: join(dir, 'libvirtd.out'),
  };
}

/** Makes (or finds) the symlink to `dir`. Only one of our own or root's is trusted: /tmp belongs to everybody. */
export async function ensureShortPath(dir: string): Promise<string> {
  if (dir.length <= LONGEST_SHORT_DIR) return dir;
  const uid = process.getuid?.() ?? 0;
  const name = `vs-${hashOf(`${uid}:${dir}`)}`;
  const problems: string[] = [];
  for (const parent of uid === 0 ? ['/run', '/tmp'] : ['/tmp', '/var/tmp']) {
    const link = join(parent, name);
    try {
      const info = await lstat(link).catch(() => undefined);
      if (info?.isSymbolicLink() && info.uid === uid && (await readlink(link)) !== dir) await rm(link);
      await symlink(dir, link).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      const made = await lstat(link);
      if (made.uid === uid && made.isSymbolicLink() && (await readlink(link)) === dir) return link;
      problems.push(`${link} belongs to somebody else`);
    } catch (error) {
      problems.push(String(error));
    }
  }
  throw new EmbeddedHostError(
    'bad-folder',
    `the path ${dir} is too long for libvirt's sockets, and no short link to it could be made (${problems.join('; ')})`,
    `Choose a state folder of at most ${LONGEST_SHORT_DIR - '/embedded'.length} characters`,
  );
}

/** Removes the symlink again; the folder stays. */
export async function removeShortPath(layout: Layout): Promise<void> {
  if (layout.shortDir !== layout.dir) await rm(layout.shortDir, { force: true });
}

/** The layout of a host that may or may not exist; makes nothing but the short path. */
export async function findLayout(stateDir: string, asRoot: boolean): Promise<Layout | undefined> {
  const dir = await hostFolder(stateDir, asRoot);
  const info = await stat(dir).catch(() => undefined);
  return info?.isDirectory() ? layoutOf(dir, await ensureShortPath(dir)) : undefined;
}

/**
 * Makes every folder of the host, owned by the account that libvirtd runs as.
 * @throws EmbeddedHostError `bad-folder`
 */
export async function makeLayout(stateDir: string, account: Account | undefined): Promise<Layout> {
  const dir = await hostFolder(stateDir, account !== undefined);
  await madeOrRefused(dir, async () => {
    await mkdir(dir, { recursive: true, mode: account ? 0o755 : 0o700 });
    if (account) await openPath(dir);
    for (const name of PRIVATE_FOLDERS) {
      const path = join(dir, name);
      await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      if (account) await chown(path, account.uid, account.gid);
    }
  });
  if (account && !(await isOpenToOthers(dir))) {
    throw new EmbeddedHostError(
      'bad-folder',
      `the account '${account.user}', which guests run as, cannot get to ${dir}`,
      'Choose a state folder outside closed ones with --state-dir, or start virtscale as an ordinary user',
    );
  }
  return layoutOf(dir, await ensureShortPath(dir));
}

async function madeOrRefused(dir: string, make: () => Promise<void>): Promise<void> {
  try {
    await make();
  } catch (error) {
    throw new EmbeddedHostError(
      'bad-folder',
      `the embedded host's folder ${dir} cannot be made: ${(error as Error).message}`,
      'Choose another state folder with --state-dir',
      { cause: error },
    );
  }
}

/** A umask of 077 must not lock the account out of folders that were just made for it. */
async function openPath(dir: string): Promise<void> {
  await chmod(dir, 0o755);
  if (dirname(dir) === ROOTS_FOLDER) await chmod(ROOTS_FOLDER, 0o755);
}
