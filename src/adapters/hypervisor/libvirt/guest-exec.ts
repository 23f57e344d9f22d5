// Programs in guests by their agents, with their output while they run. The agent itself gives output only at the end, so it goes to two
// files in the guest, which are read as they grow. Not here: the agent's own protocol (guest-agent).

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CallOptions, ErrorCode, isLibvirtError } from '../../../libvirt/index.ts';
import { Fault, isFault } from '../../../ports/fault.ts';
import {
  EXEC_INPUT_MAX_BYTES,
  type ExecOptions,
  type ExecResult,
  type GuestCommands,
  type GuestOutput,
} from '../../../ports/guest-commands.ts';
import { type GuestAgent, isNobodyThere } from './guest-agent.ts';
import { orAborted } from './or-aborted.ts';

const TIMEOUT_MS = 60_000;
const OUTPUT_MAX_BYTES = 16 * 1024 * 1024;
const ARGV_MAX_BYTES = 128 * 1024;
/** Pauses between looks: at once after there was something, longer and longer while there is nothing. */
const LOOK_FIRST_MS = 10;
const LOOK_LAST_MS = 250;
/** The agent answers a read with base64 in JSON; libvirt passes on 4 MiB at most. */
const PIECE_BYTES = 256 * 1024;
/** An agent that has answered may be silent for so long (its guest is paused, or starved) before it is given up. */
const SILENCE_MS = 15_000;
const START_MS = 10_000;
const END_MS = 10_000;
const ID_BYTES = 8;
/** An emulated guest reads what its agent is told byte by byte: much more at once, and libvirt gives up on the answer. */
const INPUT_PIECE_BYTES = 48 * 1024;

/** $0 is the folder for its output, and perhaps its input. It becomes the program, so that the agent sees how that ends. */
const RUN = `
mkdir -p -m 700 "$0" || exit 125
[ ! -e "$0/stdin" ] || exec <"$0/stdin"
export HOME="\${HOME:-/root}" PATH="\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
exec "$@" >"$0/stdout" 2>"$0/stderr"
`;
/** $1 is the process that began, and the group of all that it started; $0 the folder. */
const END =
  'kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null; n=0; ' +
  'while kill -0 -- "-$1" 2>/dev/null && [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done; ' +
  'kill -KILL -- "-$1" 2>/dev/null; rm -rf "$0"';
const TIDY = 'rm -rf "$0"';

export interface GuestExecParts {
  readonly host: string;
  readonly agent: GuestAgent;
  readonly callTimeoutMs: number;
  readonly closing: AbortSignal;
  readonly guarded: <T>(what: string, signal: AbortSignal, work: () => Promise<T>) => Promise<T>;
}

export class GuestExec implements GuestCommands {
  readonly #parts: GuestExecParts;

  constructor(parts: GuestExecParts) {
    this.#parts = parts;
  }

  exec(
    uuid: string,
    argv: readonly [string, ...string[]],
    options: ExecOptions,
    signal: AbortSignal,
  ): Promise<ExecResult> {
    return this.#parts.guarded(`run ${argv[0]} in ${uuid}`, signal, async () => {
      this.#mustFit(argv, options);
      const folder = `/tmp/.virtscale-${randomBytes(ID_BYTES).toString('hex')}`;
      // Not given up with the caller: the process that may begin must be known, to be ended.
      const starting = this.#start(uuid, folder, argv, options);
      let pid: number | undefined;
      try {
        pid = await orAborted(starting, signal);
        const run = new Run(this.#parts, uuid, folder, pid, options);
        const result = await run.end(signal);
        void this.#shell(uuid, [TIDY, folder]);
        return result;
      } catch (error) {
        if (pid !== undefined) void this.#shell(uuid, [END, folder, String(pid)]);
        else {
          const late = (script: string) => (known: unknown) => this.#shell(uuid, [script, folder, String(known)]);
          void starting.then(late(END), late(TIDY));
        }
        throw meantBy(error, this.#parts.host, uuid);
      }
    });
  }

  #mustFit(argv: readonly string[], { input }: ExecOptions): void {
    const { host } = this.#parts;
    const bytes = argv.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0);
    if (bytes > ARGV_MAX_BYTES || argv.some((word) => word.includes('\0'))) {
      throw new Fault('refused', `host ${host}: these arguments cannot be given to a program (${bytes} bytes)`);
    }
    if (input !== undefined && input.length > EXEC_INPUT_MAX_BYTES) {
      throw new Fault('refused', `host ${host}: ${input.length} bytes of input are more than ${EXEC_INPUT_MAX_BYTES}`);
    }
  }

  /** In a session of its own, which all that it starts belongs to. */
  async #start(uuid: string, folder: string, argv: readonly string[], { input }: ExecOptions): Promise<number> {
    const { agent, closing } = this.#parts;
    const call = { signal: closing, timeoutMs: START_MS };
    const isLarge = input !== undefined && input.length > INPUT_PIECE_BYTES;
    if (isLarge) await this.#putInput(uuid, folder, input, call);
    const data = input && !isLarge && { 'input-data': Buffer.from(input).toString('base64') };
    const words = ['-c', RUN, folder, ...argv];
    const begin = async (path: string, arg: readonly string[]): Promise<number> =>
      Number((await agent.command(uuid, 'guest-exec', { path, arg, ...data }, call))['pid']);
    try {
      return await begin('setsid', ['sh', ...words]);
    } catch (error) {
      // Nobody there is another matter than no such program.
      if (!isLibvirtError(error) || isNobodyThere(error)) throw error;
      return await begin('sh', words);
    }
  }

  /** The agent makes files that everybody may write, so the folder comes first. */
  async #putInput(uuid: string, folder: string, input: Uint8Array, call: CallOptions): Promise<void> {
    const { agent } = this.#parts;
    await agent.run(uuid, { path: 'mkdir', args: ['-m', '700', folder] }, call);
    const handle = await agent.create(uuid, `${folder}/stdin`, call);
    for (let at = 0; at < input.length; at += INPUT_PIECE_BYTES) {
      const piece = Buffer.from(input.subarray(at, at + INPUT_PIECE_BYTES)).toString('base64');
      await agent.command(uuid, 'guest-file-write', { handle, 'buf-b64': piece }, call);
    }
    await agent.command(uuid, 'guest-file-close', { handle }, call);
  }

  /** For what is done behind everybody's back. Never throws. */
  async #shell(uuid: string, words: readonly string[]): Promise<void> {
    const { agent, closing } = this.#parts;
    const [script = '', ...rest] = words;
    await agent
      .command(uuid, 'guest-exec', { path: 'sh', arg: ['-c', script, ...rest] }, { signal: closing, timeoutMs: END_MS })
      .catch(() => undefined);
  }
}

/** One program from its start to its end. */
class Run {
  readonly #parts: GuestExecParts;
  readonly #uuid: string;
  readonly #folder: string;
  readonly #pid: number;
  readonly #options: ExecOptions;
  readonly #handles = new Map<GuestOutput['stream'], number>();
  #bytes = 0;
  #heardAtMs = performance.now();

  constructor(parts: GuestExecParts, uuid: string, folder: string, pid: number, options: ExecOptions) {
    this.#parts = parts;
    this.#uuid = uuid;
    this.#folder = folder;
    this.#pid = pid;
    this.#options = options;
  }

  async end(signal: AbortSignal): Promise<ExecResult> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    const endMs = performance.now() + timeoutMs;
    for (let pauseMs = LOOK_FIRST_MS; ; pauseMs = Math.min(LOOK_LAST_MS, pauseMs * 1.5)) {
      const before = this.#bytes;
      const ended = await this.#whileSilent(() => this.#look({ signal, timeoutMs: this.#parts.callTimeoutMs }));
      if (ended !== undefined) return ended;
      if (performance.now() > endMs) throw this.#fault('timed-out', `does not end within ${timeoutMs} ms; it is ended`);
      if (this.#bytes > before) pauseMs = LOOK_FIRST_MS;
      await sleep(pauseMs, undefined, { signal });
    }
  }

  /** The state first: what was written before the end is in the files then. */
  async #look(call: CallOptions): Promise<ExecResult | undefined> {
    const status = await this.#command('guest-exec-status', { pid: this.#pid }, call);
    for (const stream of ['stdout', 'stderr'] as const) await this.#read(stream, call);
    if (status['exited'] !== true) return undefined;
    for (const handle of this.#handles.values()) await this.#command('guest-file-close', { handle }, call);
    const { exitcode, signal } = status;
    return typeof signal === 'number' ? { signal } : { exitCode: Number(exitcode) };
  }

  async #read(stream: GuestOutput['stream'], call: CallOptions): Promise<void> {
    const { maxOutputBytes = OUTPUT_MAX_BYTES, onOutput } = this.#options;
    const handle =
      this.#handles.get(stream) ?? (await this.#parts.agent.open(this.#uuid, `${this.#folder}/${stream}`, call));
    // The program has not begun yet.
    if (handle === undefined) return;
    this.#handles.set(stream, handle);
    for (;;) {
      const { 'buf-b64': data } = await this.#command('guest-file-read', { handle, count: PIECE_BYTES }, call);
      const bytes = typeof data === 'string' ? Buffer.from(data, 'base64') : Buffer.alloc(0);
      if (bytes.length === 0) return;
      this.#bytes += bytes.length;
      if (this.#bytes > maxOutputBytes) {
        throw this.#fault('refused', `wrote more than ${maxOutputBytes} bytes; it is ended`);
      }
      onOutput?.({ stream, bytes });
      if (bytes.length < PIECE_BYTES) return;
    }
  }

  #command(execute: string, args: Readonly<Record<string, unknown>>, call: CallOptions): Promise<Answer> {
    return this.#parts.agent.command(this.#uuid, execute, args, call);
  }

  async #whileSilent(look: () => Promise<ExecResult | undefined>): Promise<ExecResult | undefined> {
    try {
      const seen = await look();
      this.#heardAtMs = performance.now();
      return seen;
    } catch (error) {
      const isSilent = isLibvirtError(error, ...SILENT);
      if (!isSilent || performance.now() - this.#heardAtMs > SILENCE_MS) throw error;
      return undefined;
    }
  }

  #fault(kind: 'timed-out' | 'refused', what: string): Fault {
    return new Fault(kind, `host ${this.#parts.host}: the program in guest ${this.#uuid} ${what}`);
  }
}

type Answer = Readonly<Record<string, unknown>>;

const SILENT = [
  ErrorCode.AGENT_UNRESPONSIVE,
  ErrorCode.AGENT_UNSYNCED,
  ErrorCode.AGENT_COMMAND_TIMEOUT,
  ErrorCode.OPERATION_TIMEOUT,
] as const;

function meantBy(error: unknown, host: string, uuid: string): unknown {
  if (isFault(error)) return error;
  const fault = (kind: 'gone' | 'conflict', what: string): Fault =>
    new Fault(kind, `host ${host}: guest ${uuid} ${what}`, { cause: error });
  if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return fault('gone', 'is not there');
  if (isLibvirtError(error, ErrorCode.OPERATION_INVALID)) return fault('conflict', 'does not run');
  // The agent knows neither the process nor the file any more.
  if (
    isLibvirtError(error) &&
    /PID .* does not exist|Invalid parameter 'pid'|handle '.*' has not been found/i.test(error.message)
  ) {
    return fault('gone', 'was restarted meanwhile');
  }
  return error;
}
