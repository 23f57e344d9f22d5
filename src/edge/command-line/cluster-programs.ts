// `virtscale cluster exec` and `run`: programs on the nodes of a cluster, what they write told as it comes, line by line with its node.
// Not here: the cluster itself (clusters).

import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import type { Command } from 'commander';
import { type ExecLine, execLineSchema, type NodeExitLine, nodeExitsSchema } from '../cluster-schemas.ts';
import { postedLines, putBytes } from './api-streams.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import { CommandFailure, cannotRead } from './command-failure.ts';
import { countOfVms, duration, several } from './values.ts';

interface ExecOptions {
  readonly owner?: string;
  readonly node?: readonly string[];
  readonly timeout?: string;
}

interface RunOptions {
  readonly owner?: string;
  readonly np?: number;
  readonly timeout?: string;
  readonly fetch?: readonly string[];
}

const OWNER = ['--owner <name>', 'whose cluster (default: your own, else the only one so called)'] as const;
const MAX_FILE_BYTES = 256 * 1024 * 1024;
const FOLDER = '/root';
/** Where each node finds the names of all, and how many ranks it takes (core/cluster-setup). */
const HOSTFILE = '/etc/virtscale/nodes';
/** What makes a program of a source, by the end of its name. */
const COMPILERS: Readonly<Record<string, string>> = {
  '.c': 'mpicc',
  '.cc': 'mpicxx',
  '.cpp': 'mpicxx',
  '.cxx': 'mpicxx',
  '.f': 'mpifort',
  '.f90': 'mpifort',
};

export function addClusterPrograms(cluster: Command, contextOf: ContextOf): void {
  clientCommand(cluster, 'exec', 'run a program on the nodes, as root; Ctrl-C ends it everywhere')
    .argument('<name>')
    .argument('<program...>', 'the program and its arguments (after --): no shell reads them')
    .option(...OWNER)
    .option('--node <node>', 'only there (may be repeated; default: all nodes)', several)
    .option('--timeout <duration>', 'end it after this, e.g. 10m (default: 1h)', duration)
    .action((name: string, argv: string[], options: ClientOptions & ExecOptions) =>
      exec(contextOf(options), name, argv, options),
    );
  clientCommand(cluster, 'run', 'run an MPI program on all nodes: a source is compiled there; Ctrl-C ends all ranks')
    .argument('<name>')
    .argument('<file>', 'a program, or its source (.c, .cc, .cpp, .cxx, .f, .f90)')
    .argument('[arguments...]', 'for the program (after --)')
    .option(...OWNER)
    .option('--np <n>', 'ranks (default: as many as the nodes have vCPUs)', countOfVms)
    .option('--timeout <duration>', 'end it after this, e.g. 10m (default: 1h)', duration)
    .option(
      '--fetch <file>',
      'a file that it leaves in its folder on node1, brought back here (may be repeated)',
      several,
    )
    .action((name: string, file: string, words: string[], options: ClientOptions & RunOptions) =>
      runMpi(contextOf(options), name, file, words, options),
    );
}

async function exec(
  context: ClientContext,
  name: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<void> {
  const { owner, node: nodes, timeout } = options;
  const body = { argv, ...(nodes && { nodes }), ...(timeout !== undefined && { timeout }) };
  const exits = await ran(context, name, owner, body);
  if (context.json) context.terminal.json(exits, 2);
  const failed = exits.filter(isBad);
  if (failed.length > 0) throw new CommandFailure(1, failed.map(exitText).join('\n'));
}

async function runMpi(
  context: ClientContext,
  name: string,
  file: string,
  words: readonly string[],
  { owner, np, timeout, fetch = [] }: RunOptions,
): Promise<void> {
  const bytes = await small(file);
  const extension = extname(file);
  const compiler = COMPILERS[extension];
  const program = `${FOLDER}/${basename(file, compiler === undefined ? '' : extension)}`;
  const path = `${FOLDER}/${basename(file)}`;
  await sent(context, name, owner, path, compiler === undefined ? '755' : '644', bytes);
  if (compiler !== undefined) {
    say(context, `compiling ${basename(file)} with ${compiler} on each node`);
    const body = { argv: [compiler, '-o', program, path] };
    const failed = (await ran(context, name, owner, body)).filter(isBad);
    if (failed.length > 0) throw new CommandFailure(1, ['it does not compile:', ...failed.map(exitText)].join('\n'));
  }
  const ranks = np === undefined ? `$(awk -F: '{ n += $2 } END { print n }' ${HOSTFILE})` : String(np);
  // -prepend-rank: each line with its rank. The folder of all ranks is the program's.
  const line = `cd ${FOLDER} && exec mpirun -f ${HOSTFILE} -n ${ranks} -prepend-rank "$0" "$@"`;
  const argv = ['sh', '-c', line, program, ...words];
  const body = { argv, nodes: ['node1'], together: true, ...(timeout !== undefined && { timeout }) };
  const [exit] = await ran(context, name, owner, body, false);
  for (const one of fetch) await fetched(context, name, owner, one);
  if (context.json) context.terminal.json(exit, 2);
  if (exit === undefined) throw new CommandFailure(1, 'nobody knows how it ended');
  if (isBad(exit)) throw new CommandFailure(1, `${basename(program)}: ${exitText(exit)}`);
}

/** Runs it to its end and tells what it writes. */
async function ran(
  context: ClientContext,
  name: string,
  owner: string | undefined,
  body: { readonly argv: readonly string[] },
  isNamed = true,
): Promise<readonly NodeExitLine[]> {
  const teller = new Teller(context, isNamed);
  return piped(
    context,
    name,
    owner,
    body,
    (node, stream, bytes) => teller.tell(node, stream, bytes),
    () => teller.end(),
  );
}

async function piped(
  { api, interruptible }: ClientContext,
  name: string,
  owner: string | undefined,
  body: { readonly argv: readonly string[] },
  onOutput: (node: string, stream: 'stdout' | 'stderr', bytes: Uint8Array) => void,
  onEnd: () => void = () => undefined,
): Promise<readonly NodeExitLine[]> {
  const exits: NodeExitLine[] = [];
  const path = `/v1/clusters/${encodeURIComponent(name)}/exec`;
  await interruptible(async (signal) => {
    try {
      for await (const line of postedLines(api, path, execLineSchema, { query: { owner }, body }, signal)) {
        if (isOutput(line)) onOutput(line.node, line.stream, Buffer.from(line.data, 'base64'));
        else if ('node' in line) exits.push(line);
        else throw new CommandFailure(1, line.problem);
      }
    } catch (error) {
      throw signal.aborted ? new CommandFailure(130, 'interrupted: it was ended on all nodes') : error;
    } finally {
      onEnd();
    }
  });
  return exits;
}

async function sent(
  { api, interruptible }: ClientContext,
  name: string,
  owner: string | undefined,
  path: string,
  mode: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const url = `/v1/clusters/${encodeURIComponent(name)}/files`;
  const { nodes } = await interruptible((signal) =>
    putBytes(api, url, nodeExitsSchema, { owner, path, mode }, bytes, signal),
  );
  const failed = nodes.filter(isBad);
  if (failed.length > 0) throw new CommandFailure(1, [`${path} could not be put:`, ...failed.map(exitText)].join('\n'));
}

async function fetched(context: ClientContext, name: string, owner: string | undefined, file: string): Promise<void> {
  const from = file.startsWith('/') ? file : `${FOLDER}/${file}`;
  const pieces: Uint8Array[] = [];
  const body = { argv: ['cat', from], nodes: ['node1'] };
  const [exit] = await piped(context, name, owner, body, (_, stream, bytes) => {
    if (stream === 'stdout') pieces.push(bytes);
  });
  if (exit === undefined || isBad(exit)) throw new CommandFailure(1, `${from} could not be fetched from node1`);
  const here = basename(file);
  await writeFile(here, Buffer.concat(pieces)).catch((error: unknown) => {
    throw new CommandFailure(1, `cannot write ${here}: ${String(error)}`, error);
  });
  say(context, `${here}: fetched from node1`);
}

function say({ terminal, json }: ClientContext, text: string): void {
  if (!json) terminal.error(text);
}

async function small(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw new CommandFailure(2, `${file} has ${size} bytes; at most ${MAX_FILE_BYTES}`);
    if (size === 0) throw new CommandFailure(2, `${file} is empty`);
    return new Uint8Array(await readFile(file));
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    throw cannotRead(file, error);
  }
}

function isOutput(line: ExecLine): line is Extract<ExecLine, { stream: string }> {
  return 'stream' in line;
}

function isBad({ exitCode }: NodeExitLine): boolean {
  return exitCode !== 0;
}

function exitText({ node, exitCode, signal, problem }: NodeExitLine): string {
  if (problem !== undefined) return `${node}: ${problem}`;
  return signal === undefined ? `${node}: ended with status ${exitCode}` : `${node}: ended by signal ${signal}`;
}

/** Whole lines, each with its node, so that those of several do not mix. */
class Teller {
  readonly #context: ClientContext;
  readonly #isNamed: boolean;
  readonly #rests = new Map<string, { readonly decoder: InstanceType<typeof TextDecoder>; text: string }>();

  constructor(context: ClientContext, isNamed: boolean) {
    this.#context = context;
    this.#isNamed = isNamed;
  }

  tell(node: string, stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    const key = `${node} ${stream}`;
    const rest = this.#rests.get(key) ?? { decoder: new TextDecoder(), text: '' };
    this.#rests.set(key, rest);
    const lines = (rest.text + rest.decoder.decode(bytes, { stream: true })).split('\n');
    rest.text = lines.pop() ?? '';
    for (const line of lines) this.#line(node, stream, line);
  }

  /** What has no line break at its end. */
  end(): void {
    for (const [key, { text }] of this.#rests) {
      const [node = '', stream] = key.split(' ');
      if (text !== '') this.#line(node, stream === 'stderr' ? 'stderr' : 'stdout', text);
    }
    this.#rests.clear();
  }

  #line(node: string, stream: 'stdout' | 'stderr', text: string): void {
    const { terminal, json } = this.#context;
    const named = this.#isNamed ? `${terminal.styled('cyan', node)}  ` : '';
    const clean = text
      .replace(/\r$/, '')
      .split('\t')
      .map((part) => terminal.styled(undefined, part));
    const line = `${named}${clean.join('\t')}`;
    if (stream === 'stderr' || json) terminal.error(line);
    else terminal.line(line);
  }
}
