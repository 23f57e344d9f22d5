// Looks at and ends processes by what /proc says of them: a pid alone proves nothing, it may have a new owner.
// Not a process supervisor.
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;

/** The command line of a process; empty when there is none, or it is a zombie. */
export async function commandLine(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text.split('\0').filter((argument) => argument !== '');
}

/** True while `pid` is a live process with `mark` in one of its arguments. */
export async function isRunning(pid: number, mark: string): Promise<boolean> {
  return (await commandLine(pid)).some((argument) => argument.includes(mark));
}

/** Every live process that has `mark` in one of its arguments, except this one. */
export async function processesWith(mark: string): Promise<{ pid: number; argv: string[] }[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid) && pid !== process.pid);
  const all = await Promise.all(pids.map(async (pid) => ({ pid, argv: await commandLine(pid) })));
  return all.filter(({ argv }) => argv.some((argument) => argument.includes(mark)));
}

export async function readPid(file: string): Promise<number | undefined> {
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Waits until the process is gone (or is no longer the one with `mark`). False when `limitMs` has passed before. */
export async function waitForEnd(pid: number, mark: string, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (await isRunning(pid, mark)) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** SIGTERM, and SIGKILL after `graceMs`. False when the process outlives even that by a second. */
export async function endProcess(pid: number, mark: string, graceMs: number): Promise<boolean> {
  if (!(await isRunning(pid, mark))) return true;
  send(pid, 'SIGTERM');
  // A stopped process (SIGSTOP) sees no SIGTERM before it goes on.
  send(pid, 'SIGCONT');
  if (await waitForEnd(pid, mark, graceMs)) return true;
  send(pid, 'SIGKILL');
  return await waitForEnd(pid, mark, 1_000);
}
