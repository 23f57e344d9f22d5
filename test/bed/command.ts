// Runs one program to its end, with a time limit. For the beds' short commands (ip, openssl, nsenter); not for daemons.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SYSTEM_PATH } from '../../src/adapters/hypervisor/embedded/programs.ts';

const execute = promisify(execFile);

export type Command = readonly [program: string, ...args: string[]];

export interface CommandOptions {
  /** Default 10 000; after that it is killed. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Beside PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>;
}

const SAID_BYTES = 2000;
const OUTPUT_BYTES = 16 * 1024 * 1024;

/** A PATH with the folders that only root's usually has. */
export const PATH = `${process.env['PATH'] ?? ''}:${SYSTEM_PATH}`;

/**
 * Resolves with what it wrote to standard output.
 * @throws Error with the command, its status and what it wrote to standard error
 */
export async function run(
  [program, ...args]: Command,
  { timeoutMs = 10_000, signal, env }: CommandOptions = {},
): Promise<string> {
  try {
    const { stdout } = await execute(program, args, {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES,
      env: { PATH, HOME: process.env['HOME'] ?? '/', LC_ALL: 'C', ...env },
      ...(signal && { signal }),
    });
    return stdout;
  } catch (error) {
    signal?.throwIfAborted();
    const { code, killed, stderr, stdout } = error as { code?: unknown; killed?: boolean } & Record<string, unknown>;
    const how = killed ? `did not end within ${timeoutMs} ms` : `failed (${String(code)})`;
    const said = `${String(stderr ?? '')}${String(stdout ?? '')}`.trim().slice(-SAID_BYTES);
    throw new Error(`${[program, ...args].join(' ')} ${how}${said === '' ? '' : `: ${said}`}`, { cause: error });
  }
}
