// The command line: which commands there are, what they take, how they end. Not here: what they do (show, policy-check, serve).

import type { Writable } from 'node:stream';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { ApiClient, apiUrl, DEFAULT_URL } from './api-client.ts';
import { CommandFailure } from './command-failure.ts';
import { checkPolicies } from './policy-check.ts';
import { type ShowContext, showGroups, showHosts, showStatus, showVms, showWhy } from './show.ts';
import { type EventsOptions, showEvents } from './show-events.ts';
import { printable, Terminal } from './terminal.ts';

export interface ServeOptions {
  readonly config?: string;
  readonly listen?: string;
  readonly stateDir?: string;
  readonly policies?: string;
}

export interface CommandLine {
  /** Without the interpreter and the script. */
  readonly arguments: readonly string[];
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly version: string;
  readonly serve: (options: ServeOptions) => Promise<void>;
  /** Ends embedded hosts with all their VMs; tells what it does line by line. Throws while a daemon uses them. */
  readonly stopEmbedded: (options: ServeOptions, say: (line: string) => void) => Promise<void>;
  /** Ends `events --follow`. */
  readonly signal?: AbortSignal;
}

/** Runs one command to its end and returns the exit status: 0, 1 for a failure, 2 for bad input. Never rejects. */
export async function runCommandLine(line: CommandLine): Promise<0 | 1 | 2> {
  const terminal = new Terminal(line.stdout, line.stderr);
  try {
    await program(line, terminal).parseAsync([...line.arguments], { from: 'user' });
    return 0;
  } catch (error) {
    // Help and version end like this too, with status 0; commander has said what there was to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    terminal.error(`virtscale: ${messageOf(error)}`);
    return error instanceof CommandFailure ? error.exitStatus : 1;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const advice = 'advice' in error && typeof error.advice === 'string' ? `\n${error.advice}` : '';
  return `${error.message}${advice}`.split('\n').map(printable).join('\n');
}

function program(line: CommandLine, terminal: Terminal): Command {
  const root = new Command('virtscale')
    .description('Auto Scaling groups for plain libvirt')
    .version(line.version, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.raw(text),
      writeErr: (text) => terminal.error(text.trimEnd()),
      outputError: (text, write) => write(`virtscale: ${text.replace(/^error: /, '')}`),
    })
    .showHelpAfterError('See virtscale --help.');

  root
    .command('serve')
    .description('run the daemon')
    .option('-c, --config <file>', 'configuration (default: virtscale.yaml if there is one)')
    .option('-l, --listen <host:port>', 'address to listen on (default: 127.0.0.1:7070)')
    .option('--state-dir <dir>', 'folder of the state (default: the XDG state folder, virtscale/)')
    .option('--policies <dir>', 'folder of the policy files (default: policies/)')
    .action((options: ServeOptions) => line.serve(options));

  root
    .command('embedded')
    .description('the libvirt hosts that virtscale runs by itself')
    .command('stop')
    .description('end them with all their VMs; no process is left (VMs otherwise outlive the daemon)')
    .option('-c, --config <file>', 'configuration (default: virtscale.yaml if there is one)')
    .option('--state-dir <dir>', 'folder of the state (default: the XDG state folder, virtscale/)')
    .action((options: ServeOptions) => line.stopEmbedded(options, (text) => terminal.line(text)));

  addClientCommands(root, line, terminal);

  const policy = root.command('policy').description('work with policy files');
  policy
    .command('check')
    .description('check policy files as the daemon would')
    .argument('<file...>', 'policy files')
    .option(
      '-c, --config <file>',
      'configuration with the images and flavors (default: virtscale.yaml if there is one)',
    )
    .option('--json', 'print JSON')
    .action((files: string[], { config, json = false }: { config?: string; json?: boolean }) =>
      checkPolicies(terminal, { files, json, env: line.env, cwd: line.cwd, ...(config !== undefined && { config }) }),
    );
  return root;
}

interface ClientOptions {
  readonly url?: string;
  readonly json?: boolean;
}

function addClientCommands(root: Command, line: CommandLine, terminal: Terminal): void {
  const context = ({ url, json = false }: ClientOptions): ShowContext => {
    const fromEnv = line.env['VIRTSCALE_URL'] || undefined;
    const at = apiUrl(url ?? fromEnv ?? DEFAULT_URL, url === undefined ? 'VIRTSCALE_URL' : '--url');
    return { api: new ApiClient(at), terminal, json };
  };
  const client = (name: string, description: string): Command =>
    root
      .command(name)
      .description(description)
      .option('--url <url>', `address of the daemon (default: VIRTSCALE_URL or ${DEFAULT_URL})`)
      .option('--json', 'print JSON');

  client('status', 'the daemon, its groups and its hosts').action((options: ClientOptions) =>
    showStatus(context(options)),
  );
  client('hosts', 'the hosts').action((options: ClientOptions) => showHosts(context(options)));
  client('vms', 'the VMs')
    .option('-g, --group <name>', 'only of this group')
    .action((options: ClientOptions & { group?: string }) => showVms(context(options), options.group));
  client('groups', 'the groups').action((options: ClientOptions) => showGroups(context(options)));
  client('why', 'why a group has the VMs it has: its latest evaluation')
    .argument('<group>')
    .action((group: string, options: ClientOptions) => showWhy(context(options), group));
  client('events', 'what happened (with --json: one event a line)')
    .option('-f, --follow', 'go on with what happens', false)
    .option('-s, --since <seq>', 'from after this event on (default: the newest 50)', wholeNumber)
    .option('-g, --group <name>', 'only about this group')
    .option('-t, --types <types>', 'only of these types, separated by commas')
    .action((options: ClientOptions & EventsOptions) => showEvents(context(options), options, line.signal));
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}
