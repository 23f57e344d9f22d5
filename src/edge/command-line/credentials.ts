// The tokens that `virtscale login` got, one per daemon, in a file of the user's that nobody else may read.
// Not here: which token a command takes (client-context).

import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from '@hono/zod-openapi';
import { CommandFailure } from './command-failure.ts';

const MAX_BYTES = 1024 * 1024;
/** Rights of the group and of others: with any of them it is no secret. */
const OTHERS = 0o077;

const credentialSchema = z.object({ name: z.string(), token: z.string(), expiresAt: z.string().optional() });
const fileSchema = z.record(z.string(), credentialSchema);

export type Credential = z.infer<typeof credentialSchema>;

export class Credentials {
  readonly #path: string | undefined;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#path = pathOf(env);
  }

  /** What was kept for the daemon at this address and has not expired. Throws `CommandFailure` for a file that others may read. */
  of(daemon: URL, now = new Date()): Credential | undefined {
    const kept = this.#read()[daemon.origin];
    const isOver = kept?.expiresAt !== undefined && Date.parse(kept.expiresAt) <= now.getTime();
    return isOver ? undefined : kept;
  }

  keep(daemon: URL, credential: Credential): void {
    this.#write({ ...this.#read(), [daemon.origin]: credential });
  }

  forget(daemon: URL): void {
    const { [daemon.origin]: gone, ...rest } = this.#read();
    if (gone !== undefined) this.#write(rest);
  }

  #read(): Readonly<Record<string, Credential>> {
    const path = this.#path;
    if (path === undefined) return {};
    let text: string;
    try {
      const { mode, size } = statSync(path);
      if ((mode & OTHERS) !== 0) {
        throw new CommandFailure(2, `${path} can be read by others: chmod 600 it, and sign in again if they may have`);
      }
      if (size > MAX_BYTES) throw new CommandFailure(2, `${path} is not of virtscale's making: move it away`);
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (error instanceof CommandFailure) throw error;
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
      throw new CommandFailure(2, `cannot read ${path}: ${String(error)}`, error);
    }
    const parsed = fileSchema.safeParse(jsonOf(text));
    if (!parsed.success) throw new CommandFailure(2, `${path} is damaged: remove it and sign in again`);
    return parsed.data;
  }

  /** Whole or not at all: another command may read it at the same time. */
  #write(all: Readonly<Record<string, Credential>>): void {
    const path = this.#path;
    if (path === undefined) throw new CommandFailure(2, 'there is no place for the token: set HOME or XDG_CONFIG_HOME');
    const fresh = `${path}.${randomBytes(6).toString('hex')}`;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      if (Object.keys(all).length === 0) {
        rmSync(path, { force: true });
        return;
      }
      writeFileSync(fresh, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
      chmodSync(fresh, 0o600);
      renameSync(fresh, path);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw new CommandFailure(1, `cannot write ${path}: ${String(error)}`, error);
    }
  }
}

/** `$XDG_CONFIG_HOME/virtscale/credentials.json`, or below `~/.config` (XDG says to ignore a relative one). */
function pathOf(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const xdg = env['XDG_CONFIG_HOME'];
  const home = env['HOME'];
  const folder = xdg?.startsWith('/') ? xdg : home?.startsWith('/') ? join(home, '.config') : undefined;
  return folder && join(folder, 'virtscale', 'credentials.json');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
