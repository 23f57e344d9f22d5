// The agent in a guest: whether it answers, and programs run by it. libvirt passes the agent's own commands on as they are.
// Not here: what is run (guest-identity).

import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CallOptions,
  ConnectionError,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import { byUuid } from './domain-lookups.ts';

/** libvirt gives up on the agent after so long; whole seconds are all it takes. */
const ANSWER_SECONDS = 5;
/** Pauses between questions whether a program has ended. */
const LOOK_FIRST_MS = 4;
const LOOK_LAST_MS = 100;
/** Longest that a program may take: making ssh host keys under emulation takes some seconds. */
const RUN_LIMIT_MS = 60_000;
/** Who answers in a file does so at once. */
const FILE_ANSWER_MS = 3000;

/** No agent (yet), or it does not answer, or its domain does not run. */
const NOBODY_THERE = [
  ErrorCode.AGENT_UNRESPONSIVE,
  ErrorCode.AGENT_UNSYNCED,
  ErrorCode.AGENT_COMMAND_TIMEOUT,
  ErrorCode.OPERATION_INVALID,
  ErrorCode.OPERATION_TIMEOUT,
  ErrorCode.NO_DOMAIN,
] as const;

/** How a program in the guest ended. */
export interface GuestRun {
  /** Absent: it was ended by a signal. */
  readonly exitCode?: number;
  readonly output: string;
}

export class GuestAgent {
  readonly #client: LibvirtClient;

  constructor(client: LibvirtClient) {
    this.#client = client;
  }

  async answers(uuid: string, timeoutMs: number, call: CallOptions): Promise<boolean> {
    const seconds = Math.max(1, Math.ceil(timeoutMs / 1000));
    try {
      await this.#client.agentCommand(byUuid(uuid), '{"execute":"guest-ping"}', seconds, { ...call, timeoutMs });
      return true;
    } catch (error) {
      if (isNobodyThere(error) || isLibvirtError(error, ErrorCode.ARGUMENT_UNSUPPORTED)) return false;
      // Nobody said that it is there.
      if (error instanceof ConnectionError && error.kind === 'timed-out') return false;
      throw error;
    }
  }

  /** Tries until the agent answers, at most `patienceMs`. */
  async comes(uuid: string, patienceMs: number, call: CallOptions): Promise<boolean> {
    const endMs = performance.now() + patienceMs;
    for (let pauseMs = 10; ; pauseMs = Math.min(250, pauseMs * 1.2)) {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) return false;
      if (await this.answers(uuid, Math.min(leftMs, 2000), call)) return true;
      await sleep(Math.min(pauseMs, leftMs), undefined, call.signal && { signal: call.signal });
    }
  }

  /**
   * Runs a program in the guest to its end.
   * @throws LibvirtError AGENT_UNRESPONSIVE when no agent is there; AGENT_COMMAND_FAILED, INTERNAL_ERROR when the agent will not.
   */
  async run(
    uuid: string,
    program: { readonly path: string; readonly args: readonly string[]; readonly output?: boolean },
    call: CallOptions,
  ): Promise<GuestRun> {
    const { args, output = false, path } = program;
    const endMs = performance.now() + RUN_LIMIT_MS;
    const started = await this.#command(uuid, 'guest-exec', { path, arg: args, 'capture-output': output }, call);
    const pid = Number(started['pid']);
    for (let pauseMs = LOOK_FIRST_MS; ; pauseMs = Math.min(LOOK_LAST_MS, pauseMs * 1.5)) {
      const status = await this.#command(uuid, 'guest-exec-status', { pid }, call);
      if (status['exited'] === true) {
        const code = status['exitcode'];
        const data = status['out-data'];
        return {
          ...(typeof code === 'number' && { exitCode: code }),
          output: typeof data === 'string' ? Buffer.from(data, 'base64').toString() : '',
        };
      }
      if (performance.now() > endMs) throw new Fault('timed-out', `${path} in guest ${uuid} does not end`);
      await sleep(pauseMs, undefined, call.signal && { signal: call.signal });
    }
  }

  /**
   * Writes a line into a file of the guest and reads the line that somebody there answers behind it. Fewer and lighter steps than a
   * program takes. Undefined: there is no such file (or the agent may not open it).
   * @throws LibvirtError AGENT_UNRESPONSIVE when no agent is there
   */
  async ask(
    uuid: string,
    path: string,
    request: string,
    call: CallOptions,
    opened?: number,
  ): Promise<string | undefined> {
    const handle = opened ?? (await this.open(uuid, path, call));
    if (handle === undefined) return undefined;
    try {
      const line = Buffer.from(`${request}\n`).toString('base64');
      await this.#command(uuid, 'guest-file-write', { handle, 'buf-b64': line }, call);
      const endMs = performance.now() + FILE_ANSWER_MS;
      let answer = '';
      // The first read is what makes the agent write.
      while (!answer.endsWith('\n') && performance.now() < endMs) {
        const read = await this.#command(uuid, 'guest-file-read', { handle }, call);
        const data = read['buf-b64'];
        if (typeof data === 'string') answer += Buffer.from(data, 'base64').toString();
      }
      return answer.trimEnd();
    } finally {
      // Nobody waits for it: what is asked next comes after it anyway.
      void this.#command(uuid, 'guest-file-close', { handle }, { timeoutMs: FILE_ANSWER_MS }).catch(() => undefined);
    }
  }

  /** For {@link ask}, ahead of time. `r+`: a file that is not there is not made; then undefined. */
  async open(uuid: string, path: string, call: CallOptions): Promise<number | undefined> {
    try {
      const opened = await this.#return(uuid, 'guest-file-open', { path, mode: 'r+' }, call);
      return typeof opened === 'number' ? opened : undefined;
    } catch (error) {
      if (isLibvirtError(error) && !isNobodyThere(error)) return undefined;
      throw error;
    }
  }

  /** A new file, to be written. */
  async create(uuid: string, path: string, call: CallOptions): Promise<number> {
    return Number(await this.#return(uuid, 'guest-file-open', { path, mode: 'w' }, call));
  }

  /** One of the agent's own commands; what it answers, `{}` when that is no object. @throws LibvirtError as {@link run} does */
  command(
    uuid: string,
    execute: string,
    args: Readonly<Record<string, unknown>>,
    call: CallOptions,
  ): Promise<Readonly<Record<string, unknown>>> {
    return this.#command(uuid, execute, args, call);
  }

  async #command(
    uuid: string,
    execute: string,
    args: Readonly<Record<string, unknown>>,
    call: CallOptions,
  ): Promise<Readonly<Record<string, unknown>>> {
    const result = await this.#return(uuid, execute, args, call);
    return isRecord(result) ? result : {};
  }

  async #return(
    uuid: string,
    execute: string,
    args: Readonly<Record<string, unknown>>,
    call: CallOptions,
  ): Promise<unknown> {
    const json = JSON.stringify({ execute, arguments: args });
    const answer: unknown = JSON.parse(await this.#client.agentCommand(byUuid(uuid), json, ANSWER_SECONDS, call));
    return isRecord(answer) ? answer['return'] : undefined;
  }
}

export function isNobodyThere(error: unknown): boolean {
  return isLibvirtError(error, ...NOBODY_THERE);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
