// The embedded host: a private, unprivileged libvirtd with its own folders, which virtscale starts, watches over, finds
// again with its guests running, and ends without a trace. Knows no VM: it is reached by its libvirt URI as any host.
//
//   startEmbeddedHost ─▶ up ──libvirtd ends──▶ down ──pause──▶ up        (guests go on all the while)
//                        │                      └─too often─▶ given up
//                        ├─stop()────▶ libvirtd ended, guests go on
//                        └─stopAll()─▶ nothing left
import { type Account, unprivilegedAccount } from './account.ts';
import { EmbeddedHostError } from './embedded-host-error.ts';
import { destroyGuests, endLeftovers } from './guests.ts';
import { type AccelVerdict, probeKvm } from './kvm-probe.ts';
import { ensureShortPath, findLayout, type Layout, makeLayout, removeShortPath } from './layout.ts';
import {
  bringUpLibvirtd,
  endLibvirtd,
  findLibvirtd,
  type LibvirtdSetup,
  type RunningLibvirtd,
  socketUri,
} from './libvirtd.ts';
import { isRunning } from './processes.ts';
import { findPrograms } from './programs.ts';

export interface EmbeddedHostOptions {
  /** The host's things live below it. Several hosts on one machine have several of these. */
  readonly stateDir: string;
  /** For the log lines. Default `embedded`. */
  readonly name?: string;
  /** Also listen on this loopback address, port 16509, without authentication: whoever may connect controls the guests. */
  readonly tcpAddress?: string;
  /** A loopback address where guests that migrate to this host arrive; no two hosts share one. Default: `tcpAddress`. */
  readonly migrationAddress?: string;
  /** Gives up the start. */
  readonly signal?: AbortSignal;
  readonly log?: (line: string) => void;
}

/** Told whenever libvirtd has ended without being asked to. */
export interface EmbeddedHostExit {
  readonly pid: number;
  /** False: it has ended too often, and is not started again. */
  readonly restarting: boolean;
}

export interface EmbeddedHost {
  readonly name: string;
  readonly uri: string;
  /** The host's folder; may lie elsewhere than `stateDir` when root's guests could not get there. */
  readonly dir: string;
  /** For the disks: the account that guests run as owns it. */
  readonly poolDir: string;
  /** The account of libvirtd and guests when it is not this process's own. */
  readonly runAs: Account | undefined;
  readonly accel: 'kvm' | 'qemu';
  readonly accelReason: string;
  readonly libvirtVersion: string;
  readonly qemuVersion: string;
  /** True when its libvirtd ran already, perhaps with guests. */
  readonly reused: boolean;
  /** libvirtd's; another one after a restart. */
  readonly pid: number;
  /** Calls `listener` for every unwanted end of libvirtd, until the returned function is called. */
  onExit(listener: (exit: EmbeddedHostExit) => void): () => void;
  /** Ends libvirtd; guests go on, and the next start finds them. */
  stop(): Promise<void>;
  /** Stops watching and leaves libvirtd and guests running. */
  release(): void;
  /** Ends every guest, then libvirtd; no process is left. Disks and definitions stay. */
  stopAll(): Promise<void>;
}

const RESTART_MIN_MS = 50;
const RESTART_MAX_MS = 10_000;
/** One that ran for so long had started well: the next pause is short again. */
const LASTING_MS = 30_000;
const MAX_FAILURES = 10;
/** How often an adopted libvirtd, which is not our child, and the short path (/tmp is cleaned) are looked at. */
const LOOK_EVERY_MS = 250;

class WatchedHost implements EmbeddedHost {
  readonly name: string;
  readonly accel: 'kvm' | 'qemu';
  readonly accelReason: string;
  readonly reused: boolean;
  readonly #setup: LibvirtdSetup;
  readonly #log: (line: string) => void;
  readonly #listeners = new Set<(exit: EmbeddedHostExit) => void>();
  #running: RunningLibvirtd;
  #upSince = performance.now();
  #failures = 0;
  #watching = true;
  /** Two timers: an end that comes while a look is under way must not have its restart replaced by the next look. */
  #lookTimer: NodeJS.Timeout | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #restart: Promise<void> | undefined;

  constructor(
    name: string,
    setup: LibvirtdSetup,
    running: RunningLibvirtd,
    verdict: AccelVerdict,
    log: (line: string) => void,
  ) {
    this.name = name;
    this.#setup = setup;
    this.#running = running;
    this.#log = log;
    this.reused = running.child === undefined;
    this.accel = verdict.accel;
    this.accelReason = verdict.reason;
    this.#watch();
  }

  get uri(): string {
    return socketUri(this.#setup.layout);
  }
  get dir(): string {
    return this.#setup.layout.dir;
  }
  get poolDir(): string {
    return this.#setup.layout.poolDir;
  }
  get runAs(): Account | undefined {
    return this.#setup.account;
  }
  get libvirtVersion(): string {
    return this.#setup.programs.libvirtVersion;
  }
  get qemuVersion(): string {
    return this.#setup.programs.qemuVersion;
  }
  get pid(): number {
    return this.#running.pid;
  }

  onExit(listener: (exit: EmbeddedHostExit) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #watch(): void {
    const running = this.#running;
    running.child?.once('exit', () => this.#onEnd(running));
    if (running.child?.exitCode != null || running.child?.signalCode != null) this.#onEnd(running);
    const look = async (): Promise<void> => {
      await ensureShortPath(this.dir).catch(() => undefined);
      if (!running.child && !(await isRunning(running.pid, this.#setup.layout.configFile))) this.#onEnd(running);
      else if (this.#watching && this.#running === running) again();
    };
    const again = (): void => {
      clearTimeout(this.#lookTimer);
      this.#lookTimer = setTimeout(() => void look(), LOOK_EVERY_MS).unref();
    };
    again();
  }

  #onEnd(ended: RunningLibvirtd): void {
    const known = this.#restart !== undefined || this.#restartTimer !== undefined;
    if (!this.#watching || ended !== this.#running || known) return;
    if (performance.now() - this.#upSince >= LASTING_MS) this.#failures = 0;
    this.#failed(ended.pid, `libvirtd (pid ${ended.pid}) has ended`);
  }

  #failed(pid: number, what: string): void {
    this.#failures += 1;
    const restarting = this.#failures <= MAX_FAILURES;
    const pauseMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** (this.#failures - 1));
    this.#log(`${this.name}: ${what}; ${restarting ? `starting it again in ${pauseMs} ms` : 'giving up on it'}`);
    for (const listener of this.#listeners) listener({ pid, restarting });
    if (!restarting) return;
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = undefined;
      this.#restart = this.#startAgain(pid).finally(() => {
        this.#restart = undefined;
      });
    }, pauseMs).unref();
  }

  async #startAgain(pid: number): Promise<void> {
    try {
      await ensureShortPath(this.dir);
      const running = await bringUpLibvirtd(this.#setup, this.#log);
      if (!this.#watching) return;
      this.#running = running;
      this.#upSince = performance.now();
      this.#log(`${this.name}: libvirtd runs again (pid ${running.pid})`);
      // Not within this very restart: an end seen at once is to be taken for a new one.
      setImmediate(() => this.#watching && this.#watch());
    } catch (error) {
      if (this.#watching) this.#failed(pid, (error as Error).message);
    }
  }

  release(): void {
    this.#watching = false;
    clearTimeout(this.#lookTimer);
    clearTimeout(this.#restartTimer);
  }

  async stop(): Promise<void> {
    this.release();
    await this.#restart;
    await stopDaemon(this.#setup.layout);
  }

  async stopAll(): Promise<void> {
    this.release();
    await this.#restart;
    await stopEverything(this.#setup.layout, this.#log);
  }
}

async function stopDaemon(layout: Layout): Promise<void> {
  const pid = await findLibvirtd(layout);
  if (pid !== undefined) await endLibvirtd(layout, pid);
}

async function stopEverything(layout: Layout, log: (line: string) => void): Promise<void> {
  if ((await findLibvirtd(layout)) !== undefined) await destroyGuests(layout, log);
  await stopDaemon(layout);
  await endLeftovers(layout);
  await removeShortPath(layout);
}

/**
 * Starts the host of `stateDir`, or takes the one that runs. Its libvirtd is a process of its own: it and its guests
 * outlive this one, and are watched over while this one lives.
 * @throws EmbeddedHostError when something is missing, too old or not allowed; the signal's reason when aborted
 */
export async function startEmbeddedHost(options: EmbeddedHostOptions): Promise<EmbeddedHost> {
  const { stateDir, name = 'embedded', tcpAddress, migrationAddress = tcpAddress, signal, log = () => {} } = options;
  signal?.throwIfAborted();
  const programs = await findPrograms(process.getuid?.() === 0);
  const account = await unprivilegedAccount(log);
  const layout = await makeLayout(stateDir, account);
  const setup: LibvirtdSetup = { layout, programs, account, tcpAddress, migrationAddress };
  const [running, verdict] = await Promise.all([
    bringUpLibvirtd(setup, log, signal),
    probeKvm({ qemu: programs.qemu, qemuVersion: programs.qemuVersion, account, dir: layout.dir, signal }),
  ]);
  return new WatchedHost(name, setup, running, verdict, log);
}

/**
 * Ends the host of `stateDir` whoever started it: every guest, then libvirtd. False when there is no such host.
 * @throws EmbeddedHostError `no-stop` when a process would not end
 */
export async function stopEmbeddedHost(stateDir: string, log: (line: string) => void = () => {}): Promise<boolean> {
  const layout = await findLayout(stateDir, process.getuid?.() === 0);
  if (!layout) return false;
  await stopEverything(layout, log);
  return true;
}

export { EmbeddedHostError };
