// What every command that talks to a daemon has: which one, with which token, printed how, and how it is interrupted or asked back.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { didYouMean } from '../../config/did-you-mean.ts';
import { ApiClient, apiUrl, DEFAULT_URL } from './api-client.ts';
import { CommandFailure } from './command-failure.ts';
import { Credentials } from './credentials.ts';
import { askNewPassword, askPassword, type PasswordSource, passwordsFromStdin } from './password-input.ts';
import { type Output, printable, type Terminal } from './terminal.ts';

export interface ClientContext {
  readonly api: ApiClient;
  readonly terminal: Terminal;
  readonly json: boolean;
  /** Aborts with Ctrl-C while `work` runs. */
  interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Asks a person yes or no; throws `CommandFailure` (2) where there is none to ask. */
  confirm(question: string): Promise<boolean>;
  /** From standard input, where that is said; else asked for without an echo. */
  password(question: string, fromStdin: boolean): Promise<string>;
  /** The same, asked for twice. */
  newPassword(question: string, fromStdin: boolean): Promise<string>;
  /** Tokens of earlier sign-ins. */
  readonly credentials: Credentials;
}

export interface ClientOptions {
  readonly url?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** The process, as far as these commands know it. */
export interface ClientProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stderr: Output;
  readonly stdin?: PasswordSource['stdin'] & object;
  /** Calls `listener` at the next Ctrl-C instead of ending the process; returns the way back. */
  readonly onInterrupt?: (listener: () => void) => () => void;
}

const MAX_TOKEN_BYTES = 4096;

/** Options of every command that talks to a daemon. */
export function clientCommand(parent: Command, name: string, description: string, isDefault = false): Command {
  return parent
    .command(name, { isDefault })
    .description(description)
    .option('--url <url>', `address of the daemon (default: VIRTSCALE_URL or ${DEFAULT_URL})`)
    .option('--token <token>', 'token to be let in with (better: VIRTSCALE_TOKEN or VIRTSCALE_TOKEN_FILE)')
    .option('--json', 'print JSON');
}

/** The command that a family (`vms`, `hosts`…) stands for when nothing else is said. */
export function listCommand(family: Command, description: string): Command {
  const list = clientCommand(family, 'list', description, true).allowExcessArguments(true);
  return list.hook('preAction', (_family, { args: [word] }) => {
    if (word === undefined) return;
    const names = family.commands.map((command) => command.name());
    family.error(`error: unknown command '${family.name()} ${word}'${didYouMean(word, names)}`, { exitCode: 2 });
  });
}

export type ContextOf = (options: ClientOptions) => ClientContext;

export function contextOf(process: ClientProcess, terminal: Terminal): ContextOf {
  return ({ url, token, json = false }) => {
    const fromEnv = process.env['VIRTSCALE_URL'] || undefined;
    const at = apiUrl(url ?? fromEnv ?? DEFAULT_URL, url === undefined ? 'VIRTSCALE_URL' : '--url');
    const credentials = new Credentials(process.env);
    const given = token === undefined ? tokenOf(process.env) : checkedToken(token, '--token');
    const lines = linesOnce(process);
    return {
      api: new ApiClient(at, given ?? credentials.of(at)?.token),
      credentials,
      password: (question, fromStdin) => (fromStdin ? lines() : askPassword(process, question)),
      newPassword: (question, fromStdin) => (fromStdin ? lines() : askNewPassword(process, question)),
      terminal,
      json,
      interruptible: (work) => interruptible(process, work),
      confirm: (question) => confirm(process, question),
    };
  };
}

/** The lines of standard input, one after the other. */
function linesOnce(process: ClientProcess): () => Promise<string> {
  let all: Promise<string[]> | undefined;
  return async () => {
    all ??= passwordsFromStdin(process);
    const line = (await all).shift();
    if (line === undefined || line === '') {
      throw new CommandFailure(2, 'standard input has not as many passwords as are needed');
    }
    return line;
  };
}

function tokenOf(env: ClientProcess['env']): string | undefined {
  const token = env['VIRTSCALE_TOKEN'] || undefined;
  if (token !== undefined) return checkedToken(token, 'VIRTSCALE_TOKEN');
  const file = env['VIRTSCALE_TOKEN_FILE'] || undefined;
  if (file === undefined) return undefined;
  try {
    return checkedToken(readFileSync(file, 'utf8').trim(), `VIRTSCALE_TOKEN_FILE (${file})`);
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(2, `VIRTSCALE_TOKEN_FILE: cannot read ${file}: ${String(error)}`, error);
  }
}

/** Never shows it: what is wrong with it may be that it is another secret. */
function checkedToken(token: string, from: string): string {
  if (/^[\x21-\x7e]+$/.test(token) && token.length <= MAX_TOKEN_BYTES) return token;
  throw new CommandFailure(2, `${from}: that is no token; a token is one line of printable ASCII without spaces`);
}

async function interruptible<T>(process: ClientProcess, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const off = process.onInterrupt?.(() => stop.abort());
  try {
    return await work(stop.signal);
  } finally {
    off?.();
  }
}

/** A line that a person types; undefined when he ends the input, or interrupts. */
export async function askLine({ stdin, stderr }: ClientProcess, question: string): Promise<string | undefined> {
  if (stdin === undefined) return undefined;
  const lines = createInterface({ input: stdin, output: stderr, terminal: true });
  const gone = new AbortController();
  lines.once('close', () => gone.abort());
  lines.once('SIGINT', () => gone.abort());
  try {
    return await lines.question(`${printable(question)}: `, { signal: gone.signal });
  } catch (error) {
    if (gone.signal.aborted) return undefined;
    throw error;
  } finally {
    lines.close();
  }
}

async function confirm({ stdin, stderr }: ClientProcess, question: string): Promise<boolean> {
  if (stdin?.isTTY !== true) throw new CommandFailure(2, `${question} There is nobody to ask here: say --yes`);
  const lines = createInterface({ input: stdin, output: stderr, terminal: true });
  try {
    const answer = await lines.question(`${printable(question)} [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    // Ctrl-C or Ctrl-D instead of an answer.
    return false;
  } finally {
    lines.close();
  }
}
