// The balancer port for anything that reads its servers from a file: the file is written whole, then a command makes the balancer read it.
// Nobody tells how many sessions are left. Not here: the text (render), running commands (run-command).

import { open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Balancer, BalancerServer, ServerSessions } from '../../../ports/balancer.ts';
import { Fault } from '../../../ports/fault.ts';
import { FILE_HEAD, type FileFormat, renderServers } from './render.ts';
import { runCommand } from './run-command.ts';

export interface FileBalancerOptions {
  /** In virtscale's configuration. */
  readonly name: string;
  /** Absolute. It is virtscale's alone. */
  readonly file: string;
  readonly format: FileFormat;
  /** What the section is called. */
  readonly backend: string;
  /** Program and arguments. Absent: somebody else watches the file. */
  readonly reload?: readonly string[];
  /** Of the command. */
  readonly reloadTimeoutMs?: number;
  /** From the end of a command to the next. */
  readonly reloadPauseMs?: number;
}

const RELOAD_MS = 10_000;
/** HAProxy 2.6 forgets a reload that it is asked for within some 20 ms of another one: seen on 2.6.12. */
const RELOAD_PAUSE_MS = 1_000;

export class FileBalancer implements Balancer {
  readonly name: string;
  readonly #options: FileBalancerOptions;
  readonly #closing = new AbortController();
  /** What the balancer has certainly read. Unknown at first: a daemon before may have ended between writing and reloading. */
  #read: string | undefined;
  /** When a command may run again, on the monotonic clock. */
  #reloadAtMs = 0;

  constructor(options: FileBalancerOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** Clients are routed so once the reload command has done its work: `nginx -s reload` ends some ms before nginx is through. */
  async apply(servers: readonly BalancerServer[], signal: AbortSignal): Promise<readonly ServerSessions[]> {
    const { backend, file, format } = this.#options;
    const either = AbortSignal.any([signal, this.#closing.signal]);
    if (either.aborted) throw new Fault('aborted', `${file}: cancelled`);
    const text = renderServers(format, backend, servers);
    const written = await this.#current();
    if (written !== text) await this.#write(text).catch((error: unknown) => this.#refuse('write', error));
    if (this.#read !== text || written !== text) {
      this.#read = undefined;
      await this.#reload(either);
      this.#read = text;
    }
    return servers.map(({ name }) => ({ name }));
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  async #reload(signal: AbortSignal): Promise<void> {
    const { reload = [], reloadPauseMs = RELOAD_PAUSE_MS, reloadTimeoutMs = RELOAD_MS } = this.#options;
    const pauseMs = this.#reloadAtMs - performance.now();
    if (pauseMs > 0) {
      await sleep(pauseMs, undefined, { signal }).catch((cause: unknown) => {
        throw new Fault('aborted', `${this.#options.file}: cancelled before the reload`, { cause });
      });
    }
    try {
      await runCommand(reload, reloadTimeoutMs, signal);
    } finally {
      this.#reloadAtMs = performance.now() + reloadPauseMs;
    }
  }

  /** What the file says now; undefined: there is none. */
  async #current(): Promise<string | undefined> {
    const text = await readFile(this.#options.file, 'utf8').catch((error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? undefined : this.#refuse('read', error),
    );
    if (text === undefined || text === '' || text.startsWith(FILE_HEAD)) return text;
    throw new Fault('refused', `${this.#options.file} was not written by virtscale, and is left as it is`, {
      advice: 'Name a file of its own in `file`, and include it from the configuration; or remove this one.',
    });
  }

  /** Whole or not at all: a reader never sees half of it. A link stays a link. */
  async #write(text: string): Promise<void> {
    const file = await realpath(this.#options.file).catch(() => this.#options.file);
    // Neither `*.conf` nor `*.cfg`: no include takes it for part of the configuration.
    const draft = join(dirname(file), `.${basename(file)}.${process.pid}.draft`);
    try {
      const handle = await open(draft, 'w', 0o644);
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(draft, file);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }

  #refuse(verb: string, cause: unknown): never {
    const { file } = this.#options;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Fault('refused', `cannot ${verb} ${file}: ${reason}`, {
      advice: `virtscale's user must be able to write in ${dirname(file)}.`,
      cause,
    });
  }
}
