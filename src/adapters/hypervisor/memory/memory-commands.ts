// Programs in simulated guests: a few that every guest has, and what a test adds. They take simulated time and end with their guest.
// Not here: files, shells, and anything else that a real guest would have.

import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import {
  EXEC_INPUT_MAX_BYTES,
  type ExecOptions,
  type ExecResult,
  type GuestCommands,
} from '../../../ports/guest-commands.ts';
import type { MemoryHost } from './memory-host.ts';
import type { MemoryWire } from './memory-wire.ts';

export interface MemoryRun {
  readonly exitCode: number;
  readonly stdout?: string;
  readonly stderr?: string;
  /** How long it runs; its output comes at once. Absent: 0. */
  readonly forMs?: number;
}

/** What a program does in the guest of that uuid. */
export type MemoryProgram = (args: readonly string[], input: string, uuid: string) => MemoryRun;

const TIMEOUT_MS = 60_000;
const OUTPUT_MAX_BYTES = 16 * 1024 * 1024;
/** How often a guest is looked at while a program runs in it. */
const LOOK_MS = 100;

/** What every guest has, by name. */
export function basicPrograms(): Map<string, MemoryProgram> {
  return new Map<string, MemoryProgram>([
    ['true', () => ({ exitCode: 0 })],
    ['false', () => ({ exitCode: 1 })],
    ['echo', (args) => ({ exitCode: 0, stdout: `${args.join(' ')}\n` })],
    ['cat', (_, input) => ({ exitCode: 0, stdout: input })],
    ['sleep', ([seconds = '0']) => ({ exitCode: 0, forMs: Number(seconds) * 1000 })],
  ]);
}

export function commandsOf(host: MemoryHost, wire: MemoryWire, clock: Clock): GuestCommands {
  const standing = (uuid: string, atMs: number): { readonly startedAtMs: number; readonly serves: boolean } => {
    const domain = host.domains(atMs).find((one) => one.uuid === uuid);
    if (domain === undefined) throw new Fault('gone', `host ${host.name}: guest ${uuid} is not there`);
    if (!domain.running) throw new Fault('conflict', `host ${host.name}: guest ${uuid} does not run`);
    return domain;
  };
  const begin = (uuid: string, argv: readonly string[], input: string, atMs: number): MemoryRun & { since: number } => {
    const { serves, startedAtMs } = standing(uuid, atMs);
    if (!serves) throw new Fault('busy', `host ${host.name}: the agent in ${uuid} does not answer yet`);
    const [name = '', ...args] = argv;
    const run = host.programs.get(name)?.(args, input, uuid);
    return { ...(run ?? { exitCode: 127, stderr: `${name}: not found\n` }), since: startedAtMs };
  };
  const exec = async (
    uuid: string,
    argv: readonly [string, ...string[]],
    options: ExecOptions,
    signal: AbortSignal,
  ): Promise<ExecResult> => {
    const { input = new Uint8Array(), maxOutputBytes = OUTPUT_MAX_BYTES, onOutput, timeoutMs = TIMEOUT_MS } = options;
    if (input.length > EXEC_INPUT_MAX_BYTES) throw new Fault('refused', `host ${host.name}: too much input`);
    const text = new TextDecoder().decode(input);
    const run = await wire.call('exec', signal, (atMs) => begin(uuid, argv, text, atMs));
    let left = maxOutputBytes;
    for (const stream of ['stdout', 'stderr'] as const) {
      const bytes = new TextEncoder().encode(run[stream] ?? '');
      left -= bytes.length;
      if (left < 0) throw new Fault('refused', `host ${host.name}: more than ${maxOutputBytes} bytes of output`);
      if (bytes.length > 0) onOutput?.({ stream, bytes });
    }
    const beganMs = clock.nowMs();
    const endMs = beganMs + (run.forMs ?? 0);
    while (clock.nowMs() < endMs) {
      if (clock.nowMs() - beganMs >= timeoutMs) {
        throw new Fault('timed-out', `host ${host.name}: ${argv[0]} does not end within ${timeoutMs} ms`);
      }
      await clock.sleep(Math.min(LOOK_MS, endMs - clock.nowMs()), signal);
      const { startedAtMs } = await wire.call('exec', signal, (atMs) => standing(uuid, atMs));
      if (startedAtMs !== run.since)
        throw new Fault('gone', `host ${host.name}: guest ${uuid} was restarted meanwhile`);
    }
    return { exitCode: run.exitCode };
  };
  return {
    exec: (uuid, argv, options, signal) =>
      exec(uuid, argv, options, signal).catch((error: unknown) => {
        throw signal.aborted ? wire.aborted('exec') : error;
      }),
  };
}
