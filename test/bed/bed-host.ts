// One whole host of a bed: on, off, its libvirtd held down, killed, stopped; its cable pulled; programs run in it.
// Not here: what it is made of (host-settings, bed-network, cpu-quota), and its removal (reaper).
//
//   start ─▶ on ──powerOff──▶ off ──powerOn──▶ on       (a power-off kills libvirtd, sshd and every VM at once)
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, open, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processesWith } from '../../src/adapters/hypervisor/embedded/processes.ts';
import { Connection } from '../../src/libvirt/index.ts';
import { hostSpace, setCable, startOwned } from './bed-network.ts';
import { type Command, type CommandOptions, run } from './command.ts';
import { type CpuController, setHostQuota, throttledPeriods } from './cpu-quota.ts';
import type { Credentials } from './credentials.ts';
import type { HostPlace } from './host-settings.ts';

export interface HostUris {
  /** From everywhere on this machine. */
  readonly unix: string;
  /** These only from inside the bed's namespaces: see `HostBed.ctl`. */
  readonly tcp: string;
  readonly tls: string;
  readonly ssh: string;
}

export interface BedHostOptions extends HostPlace {
  readonly bed: string;
  /** From 1. */
  readonly number: number;
  readonly credentials: Credentials;
  readonly cgroup: { readonly folder: string; readonly controller: CpuController } | undefined;
}

const INIT = join(import.meta.dirname, 'host-init.sh');
const START_LIMIT_MS = 20_000;
const LOOK_EVERY_MS = 20;
const LOG_TAIL_BYTES = 1500;
/** Enters the cgroup named first, then becomes the rest of its arguments. */
const INTO_CGROUP = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"';

export class BedHost {
  readonly name: string;
  readonly address: string;
  readonly uris: HostUris;
  readonly poolDir: string;
  readonly #options: BedHostOptions;
  #child: ChildProcess | undefined;

  constructor(options: BedHostOptions) {
    const { address, credentials, dir, name } = options;
    this.#options = options;
    this.name = name;
    this.address = address;
    this.poolDir = join(dir, 'pool');
    const { knownHosts, pkiDir, sshKey } = credentials;
    this.uris = {
      unix: `qemu+unix:///system?socket=${this.socket}`,
      tcp: `qemu+tcp://${address}/system`,
      tls: `qemu+tls://${address}/system?pkipath=${pkiDir}`,
      ssh: `qemu+ssh://root@${address}/system?keyfile=${sshKey}&known_hosts=${knownHosts}&no_tty=1`,
    };
  }

  get socket(): string {
    return join(this.#options.dir, 'run/libvirt-sock');
  }

  /** Switches it on and waits until libvirtd and sshd answer. @throws Error with the end of its logs */
  async powerOn(signal: AbortSignal): Promise<void> {
    const { bed, cgroup, dir, name, number } = this.#options;
    if (this.#child !== undefined) return;
    await rm(join(dir, 'sshd.pid'), { force: true });
    await setCable(bed, number, 'up');
    const spaces = ['--mount', '--uts', '--ipc', '--pid', ...(cgroup?.controller.version === 1 ? ['--cgroup'] : [])];
    const unshare = ['unshare', ...spaces, '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
    const init = ['tini', '-s', '--', 'sh', INIT, dir, name, cgroup?.folder ?? ''];
    const command = ['nsenter', `--net=/run/netns/${hostSpace(bed, name)}`, ...unshare, ...init] as const;
    const child = await startOwned(this.#inCgroup(command), join(dir, 'init.out'));
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    await this.#untilUp(signal);
  }

  async #untilUp(signal: AbortSignal): Promise<void> {
    for (const deadline = performance.now() + START_LIMIT_MS; ; await sleep(LOOK_EVERY_MS, undefined, { signal })) {
      if (this.#child === undefined)
        throw new Error(`host ${this.name} has ended while it started: ${await this.#logs()}`);
      if ((await exists(join(this.#options.dir, 'sshd.pid'))) && (await this.answers())) return;
      if (performance.now() > deadline) {
        throw new Error(`host ${this.name} is not up after ${START_LIMIT_MS} ms: ${await this.#logs()}`);
      }
    }
  }

  /** Whether its libvirtd answers on the unix socket, within `limitMs`. */
  async answers(limitMs = 2_000): Promise<boolean> {
    if (!(await exists(this.socket))) return false;
    try {
      const connection = await Connection.open({ uri: this.uris.unix, connectTimeoutMs: limitMs });
      await connection.close();
      return true;
    } catch {
      return false;
    }
  }

  /** As if somebody pulled the plug. Disks stay. */
  async powerOff(): Promise<void> {
    const { bed, dir, number } = this.#options;
    const child = this.#child;
    this.#child = undefined;
    await setCable(bed, number, 'down');
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    // What a real machine's /run would not have after its next start.
    for (const name of await readdir(join(dir, 'run')))
      await rm(join(dir, 'run', name), { recursive: true, force: true });
  }

  /** Ends libvirtd and keeps it down until `release`. VMs go on. */
  async hold(): Promise<void> {
    await writeFile(join(this.#options.dir, 'hold'), '');
    await this.killLibvirtd();
  }

  async release(signal: AbortSignal): Promise<void> {
    await rm(join(this.#options.dir, 'hold'), { force: true });
    await this.#untilUp(signal);
  }

  /** SIGKILL; it is started again 0.2 s later. VMs go on. */
  async killLibvirtd(): Promise<void> {
    process.kill(await this.libvirtdPid(), 'SIGKILL');
  }

  /** SIGSTOP: it hangs, connections and all, until `continueLibvirtd`. */
  async stopLibvirtd(): Promise<void> {
    process.kill(await this.libvirtdPid(), 'SIGSTOP');
  }

  async continueLibvirtd(): Promise<void> {
    process.kill(await this.libvirtdPid(), 'SIGCONT');
  }

  /** Pulls the network cable, or puts it back. The unix socket does not notice. */
  async setCable(state: 'up' | 'down'): Promise<void> {
    await setCable(this.#options.bed, this.#options.number, state);
  }

  /** Changes its quota, in percent of one CPU. @throws Error where the bed has none */
  async limitCpu(percent: number): Promise<void> {
    const { controller, folder } = this.#quotas();
    await setHostQuota(controller, folder, percent);
  }

  /** How often it, or one VM of it, has wanted more CPU than its quota allows, in periods of 100 ms. */
  async throttledPeriods(vmName?: string): Promise<number> {
    const { folder } = this.#quotas();
    return await throttledPeriods(vmName === undefined ? folder : join(folder, `vm-${vmName}`));
  }

  #quotas(): NonNullable<BedHostOptions['cgroup']> {
    const { cgroup } = this.#options;
    if (cgroup === undefined) throw new Error(`host ${this.name} has no CPU quota`);
    return cgroup;
  }

  /** As this machine's processes see it. */
  async libvirtdPid(): Promise<number> {
    return await this.#pidOf('libvirtd', join(this.#options.dir, 'libvirtd.pid'));
  }

  /** Runs a program on the host: in its namespaces, under its quota. Resolves with what it wrote to standard output. */
  async in(command: Command, options: CommandOptions = {}): Promise<string> {
    const pid = await this.#pidOf('tini', this.#options.dir);
    const enter = [
      'nsenter',
      `--target=${pid}`,
      '--mount',
      '--uts',
      '--ipc',
      '--net',
      '--pid',
      '--',
      ...command,
    ] as const;
    return await run(this.#inCgroup(enter), options);
  }

  #inCgroup(command: Command): Command {
    const { cgroup } = this.#options;
    return cgroup === undefined ? command : ['sh', '-c', INTO_CGROUP, 'sh', join(cgroup.folder, 'host'), ...command];
  }

  async #pidOf(program: string, mark: string): Promise<number> {
    const found = (await processesWith(mark)).filter(({ argv }) => basename(argv[0] ?? '') === program);
    const pid = Math.min(...found.map((process) => process.pid));
    if (!Number.isFinite(pid)) throw new Error(`no ${program} runs on host ${this.name}`);
    return pid;
  }

  async #logs(): Promise<string> {
    const names = ['init.out', 'libvirtd.out', 'libvirtd.log', 'sshd.log'];
    const tails = await Promise.all(names.map((name) => tailOf(join(this.#options.dir, name))));
    return names.map((name, index) => `\n--- ${name}\n${tails[index]}`).join('');
  }
}

async function tailOf(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const { buffer, bytesRead } = await file.read({
        buffer: Buffer.alloc(LOG_TAIL_BYTES),
        position: Math.max(0, size - LOG_TAIL_BYTES),
      });
      return buffer.toString('utf8', 0, bytesRead).trim();
    } finally {
      await file.close();
    }
  } catch {
    return '(none)';
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
