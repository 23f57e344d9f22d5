// One private libvirtd process in session mode: its configuration, its start, whether it answers, its end.
// Does not watch over it: embedded-host.ts does.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chown, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '../../../libvirt/index.ts';
import { type Account, commandAs } from './account.ts';
import { EmbeddedHostError } from './embedded-host-error.ts';
import type { Layout } from './layout.ts';
import { endProcess, isRunning, readPid } from './processes.ts';
import { type Programs, SYSTEM_PATH } from './programs.ts';

const START_LIMIT_MS = 15_000;
/** A running libvirtd that has not answered for so long is taken for hung. */
const ANSWER_LIMIT_MS = 5_000;
const POLL_MS = 10;
/** libvirtd waits for its workers; one of them may hang in a stuck QEMU. */
const END_GRACE_MS = 5_000;
const LOG_TAIL_BYTES = 4_000;

export interface LibvirtdSetup {
  readonly layout: Layout;
  readonly programs: Programs;
  readonly account: Account | undefined;
  /** Also listen on this address, port 16509, without authentication. */
  readonly tcpAddress: string | undefined;
  /** Where a QEMU that takes in a migrating guest listens, for as long as that takes. */
  readonly migrationAddress: string | undefined;
}

export interface RunningLibvirtd {
  readonly pid: number;
  /** The process that we started (tini, whose only child libvirtd is); undefined when libvirtd ran already. */
  readonly child: ChildProcess | undefined;
}

export function socketUri(layout: Layout): string {
  return `qemu+unix:///session?socket=${layout.socket}`;
}

/** Written under a new name and moved, so that no link planted in the account's folder is followed. */
async function put(path: string, text: string, account: Account | undefined): Promise<void> {
  const fresh = `${path}.${process.pid}`;
  await rm(fresh, { force: true });
  await writeFile(fresh, text, { flag: 'wx', mode: 0o644 });
  if (account) await chown(fresh, account.uid, account.gid);
  await rename(fresh, path);
}

const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

function daemonConfig({ layout, tcpAddress }: LibvirtdSetup, hostUuid: string): string {
  const lines = [
    `host_uuid = "${hostUuid}"`,
    `unix_sock_dir = "${join(layout.shortDir, 'r/libvirt')}"`,
    'auth_unix_rw = "none"',
    `log_outputs = "3:file:${layout.libvirtdLog}"`,
    'max_clients = 200',
    'max_client_requests = 20',
    'max_workers = 40',
    'keepalive_interval = 5',
  ];
  if (tcpAddress !== undefined) {
    lines.push('listen_tls = 0', 'listen_tcp = 1', 'auth_tcp = "none"', `listen_addr = "${tcpAddress}"`);
  }
  return `${lines.join('\n')}\n`;
}

function driverConfig({ migrationAddress: address }: LibvirtdSetup): string {
  const lines = [
    'stdio_handler = "file"', // no virtlogd needed
    'security_driver = "none"',
  ];
  // Without these a migration between embedded hosts dials the machine's host name. libvirt refuses 127.0.0.1 here.
  if (address !== undefined) lines.push(`migration_address = "${address}"`, `migration_host = "${address}"`);
  return `${lines.join('\n')}\n`;
}

/** Writes the configuration of libvirtd and of its QEMU driver. True when it differs from what was there. */
async function configure(setup: LibvirtdSetup): Promise<boolean> {
  const { layout, account } = setup;
  const driverFile = join(layout.dir, 'c/libvirt/qemu.conf');
  const [before, driverBefore] = await Promise.all([textOf(layout.configFile), textOf(driverFile)]);
  const hostUuid = /^host_uuid = "([0-9a-f-]{36})"$/m.exec(before)?.[1] ?? randomUUID();
  const [wanted, driverWanted] = [daemonConfig(setup, hostUuid), driverConfig(setup)];
  if (driverBefore !== driverWanted) await put(driverFile, driverWanted, account);
  if (before !== wanted) await put(layout.configFile, wanted, undefined);
  return before !== wanted || driverBefore !== driverWanted;
}

async function answers(layout: Layout, limitMs: number): Promise<boolean> {
  try {
    const connection = await Connection.open({ uri: socketUri(layout), connectTimeoutMs: limitMs });
    await connection.close();
    return true;
  } catch {
    return false;
  }
}

/** The pid of this host's libvirtd, when one runs. */
export async function findLibvirtd(layout: Layout): Promise<number | undefined> {
  const pid = await readPid(layout.pidFile);
  return pid !== undefined && (await isRunning(pid, layout.configFile)) ? pid : undefined;
}

/** Ends libvirtd alone: its guests go on. */
export async function endLibvirtd(layout: Layout, pid: number): Promise<void> {
  if (await endProcess(pid, layout.configFile, END_GRACE_MS)) return;
  throw new EmbeddedHostError('no-stop', `libvirtd (pid ${pid}) does not end`, 'See in `dmesg` what it hangs on');
}

async function launch(setup: LibvirtdSetup): Promise<ChildProcess> {
  const { layout, programs, account, tcpAddress } = setup;
  const in_ = (name: string): string => join(layout.shortDir, name);
  const libvirtd = [programs.libvirtd, '-f', layout.configFile, '-p', layout.pidFile];
  if (tcpAddress !== undefined) libvirtd.push('--listen');
  // QEMU leaves its parent. Under tini as sub-reaper it is still reaped at once when it ends; where the machine's
  // init is slow at that, libvirt waits for seconds on the zombie.
  const [program, ...args] = await commandAs(account, [programs.tini, '-s', '--', ...libvirtd]);
  const output = await open(layout.outputFile, 'w');
  try {
    const child = spawn(program, args, {
      cwd: layout.dir,
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      env: {
        PATH: SYSTEM_PATH,
        LC_ALL: 'C',
        HOME: in_('h'),
        XDG_RUNTIME_DIR: in_('r'),
        XDG_CONFIG_HOME: in_('c'),
        XDG_DATA_HOME: in_('d'),
        XDG_CACHE_HOME: in_('k'),
      },
    });
    child.on('error', () => {}); // also seen as an exit: waitUntilReady reports it
    child.unref();
    return child;
  } finally {
    await output.close();
  }
}

async function waitUntilReady(setup: LibvirtdSetup, child: ChildProcess, signal?: AbortSignal): Promise<number> {
  const { layout } = setup;
  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline) {
    signal?.throwIfAborted();
    const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    const pid = await findLibvirtd(layout);
    if (pid !== undefined && (await answers(layout, 1_000))) return pid;
    // Ended and another one there: somebody else started it in the same moment, and that one will answer.
    if (ended && pid === undefined) break;
    await sleep(POLL_MS);
  }
  if (child.pid !== undefined && child.exitCode === null) process.kill(child.pid, 'SIGTERM');
  const said = `${await textOf(layout.outputFile)}${await textOf(layout.libvirtdLog)}`.slice(-LOG_TAIL_BYTES).trim();
  throw new EmbeddedHostError(
    'no-start',
    `libvirtd did not come up in ${layout.dir}${said === '' ? '' : `; it said: ${said}`}`,
    `Look into ${layout.libvirtdLog}; a used address (--listen) and a full disk are the usual reasons`,
  );
}

/**
 * Makes sure that this host's libvirtd runs and answers: takes the one that runs, restarts one that hangs or was
 * configured otherwise (its guests go on), or starts it.
 */
export async function bringUpLibvirtd(
  setup: LibvirtdSetup,
  log: (line: string) => void,
  signal?: AbortSignal,
): Promise<RunningLibvirtd> {
  const { layout } = setup;
  const changed = await configure(setup);
  const present = await findLibvirtd(layout);
  if (present !== undefined) {
    const well = await answers(layout, ANSWER_LIMIT_MS);
    if (well && !changed) return { pid: present, child: undefined };
    log(`libvirtd (pid ${present}) ${well ? 'was configured otherwise' : 'does not answer'}: starting it again`);
    await endLibvirtd(layout, present);
  }
  signal?.throwIfAborted();
  const child = await launch(setup);
  const pid = await waitUntilReady(setup, child, signal);
  return { pid, child: child.exitCode === null ? child : undefined };
}
