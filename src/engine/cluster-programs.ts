// Programs and files on the nodes of a cluster, by their guest agents, on all at once. Nothing of it outlives the request.
// Not here: which nodes (clusters), what a guest's agent can do (ports/guest-commands).

import { nodeName } from '../core/cluster.ts';
import type { VmRecord } from '../core/model.ts';
import { isFault } from '../ports/fault.ts';
import { EXEC_INPUT_MAX_BYTES } from '../ports/guest-commands.ts';
import type { ClusterCommands, NodeExit, NodeOutput, NodeProgram } from './cluster-view.ts';
import type { FabricParts } from './fabric-parts.ts';
import type { VmStatus } from './view.ts';

export interface ChosenNodes {
  readonly chosen: readonly VmRecord[];
  readonly all: readonly VmRecord[];
}

/** How often the nodes of a program that runs on several together are looked at. */
const LOOK_MS = 250;
const PUT_MS = 60_000;
const SAID_MAX = 500;

export class ClusterPrograms {
  readonly #parts: FabricParts;
  readonly #vm: (id: number) => VmStatus | undefined;

  constructor(parts: FabricParts, vm: (id: number) => VmStatus | undefined) {
    this.#parts = parts;
    this.#vm = vm;
  }

  async run(
    { chosen, all }: ChosenNodes,
    program: NodeProgram,
    onOutput: (output: NodeOutput) => void,
    signal: AbortSignal,
  ): Promise<readonly NodeExit[]> {
    const lost = new AbortController();
    const ended = new AbortController();
    const any = AbortSignal.any([signal, this.#parts.signal, lost.signal]);
    const watching = program.together ? this.#watch(all, lost, ended.signal) : undefined;
    try {
      const runs = chosen.map((record) => this.#exec(record, program, onOutput, any, lost.signal));
      return await Promise.all(runs);
    } finally {
      ended.abort();
      await watching;
    }
  }

  /** In pieces to a file beside it, which takes its name when it is whole. */
  async put(
    chosen: readonly VmRecord[],
    { path, mode }: Parameters<ClusterCommands['put']>[2],
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<readonly NodeExit[]> {
    const part = `${path}.virtscale-part`;
    const step = (argv: NodeProgram['argv'], input?: Uint8Array) => this.#onAll(chosen, argv, input, signal);
    let bad = await step(['sh', '-c', 'mkdir -p "$(dirname "$1")" && : > "$0"', part, path]);
    for await (const piece of pieces(bytes, EXEC_INPUT_MAX_BYTES / 2)) {
      if (bad.some(isBad)) break;
      bad = await step(['sh', '-c', 'cat >> "$0"', part], piece);
    }
    if (bad.some(isBad)) {
      await step(['rm', '-f', part]);
      return bad;
    }
    return step(['sh', '-c', `chmod ${mode.toString(8)} "$0" && mv -f "$0" "$1"`, part, path]);
  }

  #onAll(
    chosen: readonly VmRecord[],
    argv: NodeProgram['argv'],
    input: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<readonly NodeExit[]> {
    const said = new Map<string, string>();
    const hear = ({ node, bytes }: NodeOutput): void => {
      said.set(node, ((said.get(node) ?? '') + new TextDecoder().decode(bytes)).slice(-SAID_MAX));
    };
    const program: NodeProgram = { argv, timeoutMs: PUT_MS, ...(input && { input }) };
    const any = AbortSignal.any([signal, this.#parts.signal]);
    return Promise.all(
      chosen.map(async (record) => {
        const exit = await this.#exec(record, program, hear, any);
        if (!isBad(exit) || 'problem' in exit) return exit;
        const { node } = exit;
        return { node, problem: said.get(node)?.trim() || `${argv[0]} ended with ${JSON.stringify(exit)}` };
      }),
    );
  }

  async #exec(
    record: VmRecord,
    { argv, input, timeoutMs }: NodeProgram,
    onOutput: (output: NodeOutput) => void,
    signal: AbortSignal,
    lost?: AbortSignal,
  ): Promise<NodeExit> {
    const node = nodeName(record.node?.number ?? 0);
    const host = this.#parts.hosts.get(record.host);
    if (host === undefined) return { node, problem: `host ${record.host} is not in the configuration any more` };
    try {
      const options = {
        timeoutMs,
        ...(input && { input }),
        onOutput: (output: Omit<NodeOutput, 'node'>) => onOutput({ node, ...output }),
      };
      return { node, ...(await host.hypervisor.guest.exec(record.uuid, argv, options, signal)) };
    } catch (error) {
      if (lost?.aborted && lost.reason instanceof Error) return { node, problem: lost.reason.message };
      if (!isFault(error)) this.#parts.log.error({ err: error, vm: record.name }, 'a bug: a program could not be run');
      return { node, problem: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Until `ended`. A host that does not answer says nothing of its guests. */
  async #watch(all: readonly VmRecord[], lost: AbortController, ended: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    try {
      while (!ended.aborted) {
        for (const { id, name } of all) {
          const state = this.#vm(id)?.state ?? 'absent';
          if (state !== 'stopped' && state !== 'absent') continue;
          lost.abort(new Error(`node ${name} was lost while the program ran (${state}); it was ended on all nodes`));
          return;
        }
        await clock.sleep(LOOK_MS, ended);
      }
    } catch (error) {
      if (!ended.aborted) throw error;
    }
  }
}

function isBad(exit: NodeExit): boolean {
  return !('exitCode' in exit) || exit.exitCode !== 0;
}

/** The same bytes, never more than `max` at once, and not in many small pieces. */
async function* pieces(bytes: AsyncIterable<Uint8Array>, max: number): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let size = 0;
  const whole = (): Uint8Array => {
    const all = new Uint8Array(size);
    let at = 0;
    for (const piece of held) {
      all.set(piece, at);
      at += piece.length;
    }
    [held, size] = [[], 0];
    return all;
  };
  for await (const piece of bytes) {
    for (let from = 0; from < piece.length; ) {
      const part = piece.subarray(from, from + max - size);
      held.push(part);
      size += part.length;
      from += part.length;
      if (size === max) yield whole();
    }
  }
  if (size > 0) yield whole();
}
