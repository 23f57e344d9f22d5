// Reads an image from a file of another machine, by the system's ssh with whatever its user has set up (keys, ~/.ssh/config).
// No shell on this side; the one on the other side gets one quoted word. Not here: taking it in (image-intake.ts).

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageSource } from '../../core/catalog.ts';
import { Fault } from '../../ports/fault.ts';
import { abortFault } from './image-faults.ts';
import type { OpenedImage, OpenImageOptions } from './image-source.ts';

export interface SshProgram {
  /** Found in PATH unless it is a path. */
  readonly program: string;
  /** Before ours, such as `-F FILE`. */
  readonly arguments: readonly string[];
}

export const SYSTEM_SSH: SshProgram = { program: 'ssh', arguments: [] };

type SshSource = Extract<ImageSource, { kind: 'ssh' }>;
type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Of what ssh and the other side say, the last so many characters are kept. */
const STDERR_MAX = 2000;
/** A process that was asked to end and does not is killed after this. */
const KILL_AFTER_MS = 1000;
/** After its end, what it said is waited for so long. */
const WORDS_MS = 500;
/** ssh's own exit status when it is not that of the remote command. */
const SSH_FAILED = 255;

/** A name, an address or an alias of ~/.ssh/config. Nothing that ssh would take for an option or for more than a host. */
const HOST = /^[a-z\d_:][a-z\d_.:-]*$/i;
const USER = /^[a-z\d_][a-z\d_.-]*$/i;

/** Throws `Fault('refused')` for a host, user or path that must not reach ssh. */
export function sshArguments({ user, host, path }: SshSource, name: string): readonly string[] {
  const bad = (text: string): Fault => new Fault('refused', `cannot fetch the image ${name}: ${text}`);
  if (host.length > 253 || !HOST.test(host)) throw bad(`${JSON.stringify(host)} is no host`);
  if (user !== undefined && (user.length > 64 || !USER.test(user))) throw bad(`${JSON.stringify(user)} is no user`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  if (!path.startsWith('/') || /[\u0000-\u001f\u007f]/.test(path)) throw bad(`${JSON.stringify(path)} is no full path`);
  return [
    '-T',
    '-o',
    'BatchMode=yes',
    // A connection shared with later ones would stay behind.
    '-o',
    'ControlMaster=no',
    '-o',
    'ConnectTimeout=15',
    '-o',
    'ServerAliveInterval=10',
    '-o',
    'ServerAliveCountMax=3',
    ...(user === undefined ? [] : ['-l', user]),
    '--',
    host,
    `cat -- '${path.replaceAll("'", `'\\''`)}'`,
  ];
}

/** Throws `Fault('refused')`; while it is read also `unreachable` and `aborted`. */
export async function openImageFromSsh(
  source: SshSource,
  { name, signal }: OpenImageOptions,
  ssh: SshProgram,
): Promise<OpenedImage> {
  const ours = sshArguments(source, name);
  if (signal.aborted) throw abortFault(name, signal);
  const child = spawn(ssh.program, [...ssh.arguments, ...ours], { stdio: ['ignore', 'pipe', 'pipe'] });
  const run = new SshRun(child);
  const stop = (): void => run.stop();
  signal.addEventListener('abort', stop, { once: true });
  return {
    bytes: read(run, source, name, signal),
    async close() {
      signal.removeEventListener('abort', stop);
      run.stop();
      await Promise.race([run.ended, sleep(2 * KILL_AFTER_MS, undefined, { ref: false })]);
    },
  };
}

interface Outcome {
  readonly status: number | null;
  readonly error?: Error;
}

class SshRun {
  readonly stdout: Readable;
  readonly ended: Promise<Outcome>;
  readonly #child: Child;
  #said = '';

  constructor(child: Child) {
    this.#child = child;
    this.stdout = child.stdout;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-STDERR_MAX);
    });
    child.on('error', () => {});
    this.ended = once(child, 'exit').then(
      ([status]): Outcome => ({ status: status as number | null }),
      (error: unknown): Outcome => ({ status: null, error: error instanceof Error ? error : new Error(String(error)) }),
    );
  }

  /** What came on its stderr, on one line, once it has ended: its end may come a moment later, or never if it left a child behind. */
  async lastWords(): Promise<string> {
    if (!this.#child.stderr.readableEnded) {
      await Promise.race([
        once(this.#child.stderr, 'close').catch(() => {}),
        sleep(WORDS_MS, undefined, { ref: false }),
      ]);
    }
    return this.#said.trim().replaceAll(/\s*[\r\n]+\s*/g, '; ');
  }

  stop(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), KILL_AFTER_MS);
    void this.ended.then(() => clearTimeout(kill));
    // Nobody reads on: a pipe that is full would keep it from ending.
    this.stdout.destroy();
  }
}

async function* read(run: SshRun, source: SshSource, name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let failed: Error | undefined;
  try {
    for await (const chunk of run.stdout) yield chunk as Buffer;
  } catch (error) {
    // How ssh ended says more about it.
    failed = error instanceof Error ? error : new Error(String(error));
  }
  const outcome = await run.ended;
  if (signal.aborted) throw abortFault(name, signal);
  if (outcome.status !== 0) throw sshFault(outcome, await run.lastWords(), source, name);
  if (failed !== undefined) {
    throw new Fault('unreachable', `the connection to ${source.host} failed: ${failed.message}`, { cause: failed });
  }
}

function sshFault({ status, error }: Outcome, said: string, { host, path }: SshSource, name: string): Fault {
  const fetching = `cannot fetch the image ${name} from ${host}`;
  if (error !== undefined) {
    const advice = 'Install the ssh client (openssh-client).';
    return new Fault('refused', `${fetching}: ssh cannot be started: ${error.message}`, { advice, cause: error });
  }
  const text = said === '' ? `ssh ended with ${status ?? 'a signal'}` : said;
  if (status !== null && status !== SSH_FAILED) return new Fault('refused', `${fetching}:${path}: ${text}`);
  if (/host key verification failed|permission denied|too many authentication/i.test(said)) {
    const advice = `Connect once by hand, as the user that the daemon runs as, until 'ssh -o BatchMode=yes ${host} true' says nothing.`;
    return new Fault('refused', `${fetching}: ${text}`, { advice });
  }
  return new Fault('unreachable', `${fetching}: ${text}`);
}
