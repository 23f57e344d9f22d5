// The command line: which commands there are and how they end; each family of commands is a file of its own.
// Not here: what they do, and the daemon (serve).

import type { Readable } from 'node:stream';
import { Command, CommanderError } from 'commander';
import type { PolicyCatalog } from '../../config/policy-file.ts';
import type { Placements } from '../../core/placement/registry.ts';
import { addBacktest } from './backtest.ts';
import { addClientCommands } from './client-commands.ts';
import { askLine, contextOf } from './client-context.ts';
import { clusterMenu } from './cluster-menu.ts';
import { CommandFailure, type ExitStatus } from './command-failure.ts';
import { checkPolicies } from './policy-check.ts';
import { addReplayCommand } from './replay.ts';
import { checkedFiles, SEEDS_COMMAND, SEEDS_USAGE, type SeedFiles, withSeedsCommand } from './seeds-form.ts';
import { type Output, printable, Terminal } from './terminal.ts';

export interface ServeOptions {
  readonly config?: string;
  readonly listen?: string;
  readonly stateDir?: string;
  readonly policies?: string;
  /** Name of the placement algorithm, in place of the configuration's. */
  readonly placement?: string;
  /** Hosts, images and flavors come from these instead of a configuration. */
  readonly seeds?: SeedFiles;
}

export interface CommandLine {
  /** Without the interpreter and the script. */
  readonly arguments: readonly string[];
  readonly stdout: Output;
  readonly stderr: Output;
  /** Asked for a yes or no when it is a terminal. */
  readonly stdin?: Readable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly version: string;
  readonly serve: (options: ServeOptions) => Promise<void>;
  /** Ends embedded hosts with all their VMs; tells what it does line by line. Throws while a daemon uses them. */
  readonly stopEmbedded: (options: ServeOptions, say: (line: string) => void) => Promise<void>;
  /** What is wrong with a schedule; loaded when policies are checked. */
  readonly cronProblem: () => Promise<NonNullable<PolicyCatalog['cronProblem']>>;
  /** The placement algorithms of a configuration, for a replay. */
  readonly placements: (options: Pick<ServeOptions, 'config'>) => Promise<Placements>;
  /** Ends `events --follow`. */
  readonly signal?: AbortSignal;
  /** Calls `listener` at the next Ctrl-C instead of ending the process; returns the way back. */
  readonly onInterrupt?: (listener: () => void) => () => void;
}

/** Runs one command to its end and returns the exit status: 0, 1 for a failure, 2 for bad input, 130 for Ctrl-C. Never rejects. */
export async function runCommandLine(line: CommandLine): Promise<0 | ExitStatus> {
  const terminal = new Terminal(line.stdout, line.stderr);
  try {
    if (wantsMenu(line)) {
      const run = (words: readonly string[]) => runCommandLine({ ...line, arguments: words });
      await clusterMenu(terminal, (question) => askLine(line, question), run);
      return 0;
    }
    const root = program(line, terminal);
    const commands = ['help', ...root.commands.map((command) => command.name())];
    const words = withSeedsCommand(line.arguments, commands, line.cwd);
    await root.parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    // Help and version end like this too, with status 0; commander has said what there was to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    terminal.error(`virtscale: ${messageOf(error)}`);
    return error instanceof CommandFailure ? error.exitStatus : 1;
  }
}

/** `virtscale cluster` and nothing else, typed by a person. */
function wantsMenu({ arguments: words, stdin, stdout }: CommandLine): boolean {
  return words.length === 1 && words[0] === 'cluster' && stdin?.isTTY === true && stdout.isTTY === true;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const advice = 'advice' in error && typeof error.advice === 'string' ? `\n${error.advice}` : '';
  return `${error.message}${advice}`.split('\n').map(printable).join('\n');
}

function program(line: CommandLine, terminal: Terminal): Command {
  const root = new Command('virtscale')
    .description('Auto Scaling groups for plain libvirt')
    .usage(`[command] [options]\n       virtscale ${SEEDS_USAGE}`)
    .version(line.version, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.raw(text),
      writeErr: (text) => terminal.error(text.trimEnd()),
      outputError: (text, write) => write(`virtscale: ${text.replace(/^error: /, '')}`),
    })
    .showHelpAfterError('See virtscale --help.');

  addDaemonCommands(root, line, terminal);
  addClientCommands(root, contextOf(line, terminal), line.signal);

  addReplayCommand(root, terminal, line.placements);

  const policy = root.command('policy').description('work with policy files');
  addBacktest(policy, { terminal, ...(line.signal && { signal: line.signal }) });
  policy
    .command('check')
    .description('check policy files as the daemon would')
    .argument('<file...>', 'policy files')
    .option(
      '-c, --config <file>',
      'configuration with the images and flavors (default: virtscale.yaml if there is one)',
    )
    .option('--json', 'print JSON')
    .action(async (files: string[], { config, json = false }: { config?: string; json?: boolean }) => {
      const { cwd, env } = line;
      const cronProblem = await line.cronProblem();
      await checkPolicies(terminal, { files, json, env, cwd, cronProblem, ...(config !== undefined && { config }) });
    });
  return root;
}

const CONFIG = ['-c, --config <file>', 'configuration (default: virtscale.yaml if there is one)'] as const;
const LISTEN = ['-l, --listen <host:port>', 'address to listen on (default: 127.0.0.1:7070)'] as const;
const STATE_DIR = ['--state-dir <dir>', 'folder of the state (default: the XDG state folder, virtscale/)'] as const;
const ALGORITHM = ['--algorithm <name>', "placement algorithm (default: the configuration's)"] as const;

function addDaemonCommands(root: Command, line: CommandLine, terminal: Terminal): void {
  type Given = Omit<ServeOptions, 'seeds' | 'placement'> & { readonly algorithm?: string };
  const serve = ({ algorithm, ...options }: Given, seeds?: SeedFiles): Promise<void> =>
    line.serve({ ...options, ...(algorithm !== undefined && { placement: algorithm }), ...(seeds && { seeds }) });

  root
    .command('serve')
    .description('run the daemon')
    .option(...CONFIG)
    .option(...LISTEN)
    .option(...STATE_DIR)
    .option('--policies <dir>', 'folder of the policy files (default: policies/)')
    .option(...ALGORITHM)
    .action((options: Given) => serve(options));

  root
    .command(SEEDS_COMMAND, { hidden: true })
    .usage(SEEDS_USAGE)
    .description('run the daemon on the machines, images and flavors of three files')
    .argument('<pm-file>', 'the physical machines, one address a line')
    .argument('<image-file>', 'the disk images, one path a line')
    .argument('<flavor-file>', 'the instance types, as JSON')
    .option(...LISTEN)
    .option(...STATE_DIR)
    .option(...ALGORITHM)
    .action((pmFile: string, imageFile: string, flavorFile: string, options: Given) =>
      serve(options, checkedFiles({ pmFile, imageFile, flavorFile }, line.cwd)),
    );

  root
    .command('embedded')
    .description('the libvirt hosts that virtscale runs by itself')
    .command('stop')
    .description('end them with all their VMs; no process is left (VMs otherwise outlive the daemon)')
    .option(...CONFIG)
    .option(...STATE_DIR)
    .action((options: ServeOptions) => line.stopEmbedded(options, (text) => terminal.line(text)));
}
