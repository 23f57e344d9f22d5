// A server of the benchmarks as a process of its own, so that its CPU time is its own: started, listened to, ended.
// Not here: what it serves (memory-daemon, constant-server).

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
/** USER_HZ of Linux: the unit of /proc/PID/stat. */
const TICKS_PER_SECOND = 100;

/** The first message of every such server. */
export interface ReadyMessage {
  readonly kind: 'ready';
  readonly url: string;
}

export class ChildServer {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** `program`: a file that listens, then sends a {@link ReadyMessage}, and ends when its channel to the parent does. */
  static async start(program: string, options: object, signal: AbortSignal): Promise<ChildServer> {
    const child = fork(program, [JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${program} ended with ${code}`)));
    ended.catch(() => undefined);
    try {
      const [message] = (await Promise.race([once(child, 'message', { signal: inTime }), ended])) as [ReadyMessage];
      return new ChildServer(child, message.url);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Calls back for every further message. */
  onMessage(listener: (message: unknown) => void): void {
    this.#child.on('message', listener);
  }

  /** CPU time of all its threads so far, user and system, to 10 ms. */
  async cpuSeconds(): Promise<number> {
    const text = await readFile(`/proc/${this.#child.pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the times are the 14th and 15th field.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    if (this.#child.connected) this.#child.disconnect();
    await exit;
    clearTimeout(late);
  }
}

/** The child's side: says where it listens, and calls `end` when the parent is gone or wants it to end. */
export function announce(url: string, end: () => Promise<void>): void {
  // Ctrl-C reaches the parent, which ends its servers in order.
  process.on('SIGINT', () => undefined);
  process.once('disconnect', () => void end().finally(() => process.exit(0)));
  const message: ReadyMessage = { kind: 'ready', url };
  process.send?.(message);
}
