// The daemon as a child process, started and stopped as a user would. Not here: talking to it (daemon-api).

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

export const CLI = join(import.meta.dirname, '..', 'src', 'cli.ts');
const COMPLAINTS_SHOWN = 4000;
/** The daemon promises to end within 5 s of SIGTERM. */
const STOP_PATIENCE_MS = 8000;

export interface DaemonProcess {
  readonly pid: number;
  /** Resolves when it has ended, with words for people. */
  readonly ended: Promise<string>;
  /** SIGTERM, and SIGKILL when that does not help in time. Returns false when it had to be killed. */
  stop(): Promise<boolean>;
  /** Lets it run on after this process has ended. */
  leave(): void;
}

/**
 * `program`: another way to run virtscale than from source. Its standard output, one JSON object per line, goes into `files.log`; what it has to
 * say besides goes into `files.errors`.
 */
export async function startDaemon(
  args: readonly string[],
  files: { readonly log: string; readonly errors: string },
  program: readonly [string, ...string[]] = [process.execPath, CLI],
): Promise<DaemonProcess> {
  const [command, ...first] = program;
  const log = await open(files.log, 'a');
  const errors = await open(files.errors, 'a');
  try {
    // A process group of its own: Ctrl-C reaches the demo alone, which then stops things in order.
    const child = spawn(command, [...first, ...args], { detached: true, stdio: ['ignore', log.fd, errors.fd] });
    await once(child, 'spawn');
    return watchDaemon(child, files.errors);
  } finally {
    await log.close();
    await errors.close();
  }
}

function watchDaemon(child: ChildProcess, errorFile: string): DaemonProcess {
  const ended = once(child, 'exit').then(async () => {
    const how = child.signalCode === null ? `status ${child.exitCode}` : child.signalCode;
    const complaints = (await readFile(errorFile, 'utf8').catch(() => '')).trim().slice(-COMPLAINTS_SHOWN);
    return `the daemon ended with ${how}${complaints === '' ? '' : `:\n${complaints}`}`;
  });
  return {
    pid: child.pid ?? 0,
    ended,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return true;
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE_MS);
      await ended;
      clearTimeout(late);
      return child.exitCode !== null || child.signalCode !== 'SIGKILL';
    },
    leave() {
      child.unref();
    },
  };
}

/** A TCP port of 127.0.0.1 that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP port to be had on 127.0.0.1');
  return address.port;
}
