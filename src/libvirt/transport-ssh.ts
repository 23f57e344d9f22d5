/**
 * Connects to a daemon through the system's ssh, so that ~/.ssh/config, agents and jump hosts work as everywhere.
 * One child process per connection, started without a shell, ended with it. What it runs is transport-ssh-command.ts.
 *
 *   running ──stdout ends, or ssh ends──▶ ending (its last words come) ──▶ ended
 *      └──destroy()──▶ SIGTERM ──still there──▶ SIGKILL
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { ConnectionError } from './errors.ts';
import { type ConnectTransportOptions, type Transport, type TransportHandlers, withinLimits } from './transport.ts';
import { sshArguments, sshEnvironment } from './transport-ssh-command.ts';
import { sshFault, sshSilence } from './transport-ssh-fault.ts';
import type { SshTarget } from './uri.ts';

const MAX_SAID_BYTES = 4_096;
/** How long an ssh may take to end, or to say why it does, after one sign that it is ending. */
const LAST_WORDS_MS = 500;
const KILL_AFTER_MS = 1_000;

/** The pipe through a running ssh. */
class SshTransport implements Transport {
  readonly #target: SshTarget;
  readonly #child: ChildProcessWithoutNullStreams;
  #handlers: TransportHandlers | undefined;
  #said = Buffer.alloc(0);
  #heard = false;
  #destroyed = false;
  #fault: ConnectionError | undefined;
  #lastWords: NodeJS.Timeout | undefined;

  constructor(target: SshTarget, child: ChildProcessWithoutNullStreams) {
    this.#target = target;
    this.#child = child;
    child.stderr.on('data', (chunk: Buffer) => {
      this.#said = Buffer.concat([this.#said, chunk]).subarray(-MAX_SAID_BYTES);
    });
    // Broken pipes: why is told by the end of the child.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => this.#onEnding());
    child.stdout.on('end', () => this.#onEnding());
    child.once('exit', () => this.#onEnding());
    child.once('close', () => this.#onEnded());
  }

  /** A background ssh (ControlPersist) may hold the pipes open after ours has ended: do not wait for `close` for ever. */
  #onEnding(): void {
    this.#lastWords ??= setTimeout(() => this.#onEnded(), LAST_WORDS_MS);
  }

  #onEnded(): void {
    clearTimeout(this.#lastWords);
    if (this.#fault !== undefined || this.#destroyed) return;
    const { exitCode: status, signalCode: signal } = this.#child;
    this.#fault = sshFault(this.#target, { status, signal, said: this.#said.toString() });
    this.#endChild();
    this.#handlers?.onEnd(this.#fault);
  }

  #endChild(): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    endGroup(this.#child);
  }

  write(...chunks: readonly Uint8Array[]): boolean {
    const { stdin } = this.#child;
    if (this.#destroyed || this.#fault !== undefined || !stdin.writable) return false;
    stdin.cork();
    let ready = true;
    for (const chunk of chunks) ready = stdin.write(chunk);
    stdin.uncork();
    return ready;
  }

  get congested(): boolean {
    return this.#child.stdin.writableNeedDrain;
  }

  pause(): void {
    this.#child.stdout.pause();
  }

  resume(): void {
    this.#child.stdout.resume();
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#handlers = undefined;
    clearTimeout(this.#lastWords);
    this.#endChild();
  }

  start(handlers: TransportHandlers): void {
    if (this.#fault !== undefined) {
      handlers.onEnd(this.#fault);
      return;
    }
    this.#handlers = handlers;
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#heard = true;
      this.#handlers?.onData(chunk);
    });
    this.#child.stdin.on('drain', () => this.#handlers?.onDrain());
  }

  explain(error: ConnectionError): ConnectionError {
    if (this.#fault !== undefined) return this.#fault;
    const isSilent = error.kind === 'timed-out' && !this.#heard;
    return isSilent ? sshSilence(this.#target, error, this.#said.toString()) : error;
  }
}

/** Ends ssh and what it has started (ProxyCommand), by force when asking does not help. They are a group of their own. */
const endGroup = (child: ChildProcessWithoutNullStreams): void => {
  const send = (signal: NodeJS.Signals): void => {
    // Only while it has not been waited for: its number cannot be another's yet.
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      child.kill(signal);
    }
  };
  send('SIGTERM');
  const timer = setTimeout(() => send('SIGKILL'), KILL_AFTER_MS);
  child.once('exit', () => clearTimeout(timer));
  if (child.exitCode !== null || child.signalCode !== null) clearTimeout(timer);
};

/**
 * Starts ssh. That it runs is all that is known then: whether the machine lets us in, the first answer tells, or the end
 * of ssh, whose words are in the error ({@link Transport.explain}). Nobody is asked for a password: it is always told
 * `BatchMode=yes`, and has no terminal.
 * @throws ConnectionError of kind unreachable when the program cannot be started; or the signal's reason.
 */
export const connectSsh = (target: SshTarget, options: ConnectTransportOptions): Promise<Transport> =>
  withinLimits<Transport>(target.host, options, (done, fail) => {
    const child = spawn(target.program, sshArguments(target, options.timeoutMs), {
      stdio: ['pipe', 'pipe', 'pipe'],
      // A session of its own: no terminal to ask at, no Ctrl-C meant for us, and one group to end.
      detached: true,
      env: sshEnvironment(process.env),
    });
    const transport = new SshTransport(target, child);
    child.once('spawn', () => done(transport));
    child.on('error', (error: NodeJS.ErrnoException) => {
      const advice =
        target.program === 'ssh'
          ? 'install an ssh client (openssh-client)'
          : 'command= is the path of one program, without arguments';
      const why = error.code === 'ENOENT' ? `there is no such program; ${advice}` : error.message;
      // No `cause`: its ENOENT would be taken for a missing socket.
      fail(new ConnectionError('unreachable', `cannot run '${target.program}': ${why}`));
    });
    return () => transport.destroy();
  });
