// Fetches and unpacks distribution packages into a folder, without installing them and without being root.
// Debian and Ubuntu (apt and dpkg) only.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const DOWNLOAD_LIMIT_MS = 300_000;

/** Metapackages for a small kernel, best first; each depends on the package of one kernel version. */
const KERNEL_METAPACKAGES = [
  'linux-image-cloud-amd64',
  'linux-image-virtual',
  'linux-image-amd64',
  'linux-image-generic',
];

/** One apt: the machine's package lists, or private ones kept in a folder of ours when those are missing or too old. */
export class Apt {
  /** @param {{ folder: string, log: (line: string) => void, signal?: AbortSignal | undefined }} options */
  constructor({ folder, log, signal }) {
    this.folder = folder;
    this.log = log;
    this.signal = signal;
    this.options = ['-o', 'APT::Sandbox::User=root', '-q'];
    this.private = false;
  }

  async exec(program, args, cwd = this.folder) {
    const { stdout } = await run(program, args, {
      cwd,
      signal: this.signal,
      timeout: DOWNLOAD_LIMIT_MS,
      maxBuffer: 64 << 20,
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    });
    return stdout;
  }

  /** Package lists of our own: `apt-get update` into a private folder needs no rights. */
  async usePrivateLists() {
    if (this.private) return;
    this.private = true;
    this.log('package lists of this machine are missing or too old: fetching private ones');
    const lists = join(this.folder, 'apt-lists');
    const cache = join(this.folder, 'apt-cache');
    mkdirSync(join(lists, 'partial'), { recursive: true });
    mkdirSync(join(cache, 'archives', 'partial'), { recursive: true });
    this.options.push('-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${cache}`);
    await this.exec('apt-get', [...this.options, 'update']);
  }

  async show(name) {
    try {
      return await this.exec('apt-cache', [...this.options, '--no-all-versions', 'show', name]);
    } catch {
      return '';
    }
  }

  /** @returns {Promise<{ packages: string[], meta: string } | undefined>} the packages with a kernel and its modules */
  async findKernel() {
    for (const meta of KERNEL_METAPACKAGES) {
      const depends = /^Depends: (.*)$/m.exec(await this.show(meta))?.[1] ?? '';
      const image = /\blinux-image-(?:unsigned-)?\d[^\s,]*/.exec(depends)?.[0];
      if (image === undefined) continue;
      // Ubuntu keeps the modules in a package of their own; Debian has them in the image's.
      const modules = /\blinux-modules-\d[^\s,]*/.exec(`${depends} ${await this.show(image)}`)?.[0];
      return { packages: modules === undefined ? [image] : [image, modules], meta };
    }
    return undefined;
  }

  /** Downloads packages by name and unpacks each into `into`. Returns what was unpacked, as file names of packages. */
  async unpack(names, into) {
    const downloads = join(this.folder, 'debs');
    mkdirSync(downloads, { recursive: true });
    mkdirSync(into, { recursive: true });
    const missing = names.filter((name) => !readdirSync(downloads).some((file) => file.startsWith(`${name}_`)));
    await this.exec('apt-get', [...this.options, 'download', ...missing], downloads);
    const files = readdirSync(downloads).filter((file) => names.some((name) => file.startsWith(`${name}_`)));
    for (const file of files) await this.exec('dpkg-deb', ['-x', join(downloads, file), into]);
    return files;
  }
}

/** @throws Error naming the first program of `names` that is not there and the package that has it */
export function requirePrograms(names) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  for (const [program, from] of Object.entries(names)) {
    if (!folders.some((folder) => folder !== '' && existsSync(join(folder, program)))) {
      throw new Error(`the guest image needs the program ${program} (package ${from}), which is not installed`);
    }
  }
}
