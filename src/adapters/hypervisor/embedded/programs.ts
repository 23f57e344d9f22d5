// Finds the programs an embedded host is made of and checks that they are new enough. Installs nothing.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedHostError } from './embedded-host-error.ts';

const run = promisify(execFile);

export interface Programs {
  /** Absolute paths. */
  readonly libvirtd: string;
  readonly qemu: string;
  readonly qemuImg: string;
  readonly tini: string;
  /** e.g. "9.0.0" */
  readonly libvirtVersion: string;
  readonly qemuVersion: string;
}

/** What is tried in CI: Debian 12's. Earlier ones lack calls that virtscale leans on. */
const OLDEST = { libvirtd: '9.0.0', qemu: '7.2.0' } as const;
const VERSION_LIMIT_MS = 10_000;

/** Package names as Debian and Ubuntu have them. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  libvirtd: 'libvirt-daemon',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  tini: 'tini',
  setpriv: 'util-linux',
};

/** Folders that an ordinary user's PATH may lack. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

async function find(program: string): Promise<string | undefined> {
  for (const folder of `${process.env['PATH'] ?? ''}:${SYSTEM_PATH}`.split(':')) {
    const path = join(folder, program);
    const usable =
      folder.startsWith('/') &&
      (await access(path, constants.X_OK).then(
        () => true,
        () => false,
      ));
    if (usable) return path;
  }
  return undefined;
}

async function versionOf(path: string): Promise<string> {
  const { stdout } = await run(path, ['--version'], { timeout: VERSION_LIMIT_MS });
  const version = /\b(\d+\.\d+\.\d+)\b/.exec(stdout)?.[1];
  if (version === undefined) {
    throw new EmbeddedHostError('too-old', `${path} does not tell its version`, `Reinstall it`);
  }
  return version;
}

/** Negative when `a` is the earlier version. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * @param asRoot root needs setpriv as well
 * @throws EmbeddedHostError `missing-program` (all missing ones named at once) or `too-old`
 */
export async function findPrograms(asRoot: boolean): Promise<Programs> {
  const names = ['libvirtd', 'qemu-system-x86_64', 'qemu-img', 'tini', ...(asRoot ? ['setpriv'] : [])];
  const found = new Map<string, string>();
  for (const name of names) {
    const path = await find(name);
    if (path !== undefined) found.set(name, path);
  }
  const missing = names.filter((name) => !found.has(name));
  if (missing.length > 0) {
    const packages = missing.map((name) => PACKAGE_OF[name] ?? name);
    if (missing.includes('libvirtd')) packages.push('libvirt-daemon-driver-qemu');
    throw new EmbeddedHostError(
      'missing-program',
      `the embedded host needs ${missing.join(', ')}, which this machine does not have`,
      `On Debian or Ubuntu: apt-get install --no-install-recommends ${packages.join(' ')}`,
    );
  }
  const path = (name: string): string => found.get(name) ?? name;
  const [libvirtVersion, qemuVersion] = await Promise.all([
    versionOf(path('libvirtd')),
    versionOf(path('qemu-system-x86_64')),
  ]);
  for (const [name, version, oldest] of [
    ['libvirt', libvirtVersion, OLDEST.libvirtd],
    ['QEMU', qemuVersion, OLDEST.qemu],
  ] as const) {
    if (compareVersions(version, oldest) < 0) {
      throw new EmbeddedHostError(
        'too-old',
        `this machine has ${name} ${version}, and ${oldest} is the oldest that works`,
        'Debian 12 and Ubuntu 24.04 have new enough ones',
      );
    }
  }
  return {
    libvirtd: path('libvirtd'),
    qemu: path('qemu-system-x86_64'),
    qemuImg: path('qemu-img'),
    tini: path('tini'),
    libvirtVersion,
    qemuVersion,
  };
}
