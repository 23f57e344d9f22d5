// `policy check`: policy files as the daemon would read them, with the images and flavors of its configuration.
// Not here: what is right or wrong in a policy (config).

import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { parseDaemonConfig } from '../../config/daemon-file.ts';
import { type FileProblem, problemText } from '../../config/file-problem.ts';
import { placementNamesOf } from '../../config/host-traits.ts';
import { MAX_POLICY_BYTES, type PolicyCatalog, parsePolicy } from '../../config/policy-file.ts';
import type { Image } from '../../core/model.ts';
import { CommandFailure } from './command-failure.ts';
import { printable, type Terminal } from './terminal.ts';

export interface PolicyCheckOptions {
  readonly files: readonly string[];
  /** The daemon's configuration; absent: `virtscale.yaml` when there is one. */
  readonly config?: string;
  readonly json: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

interface Checked {
  readonly file: string;
  readonly ok: boolean;
  readonly group?: string;
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
}

const DEFAULT_CONFIG = 'virtscale.yaml';

/** Throws `CommandFailure` (2) after printing when a file is not right. */
export async function checkPolicies(terminal: Terminal, options: PolicyCheckOptions): Promise<void> {
  const catalog = await catalogOf(options);
  const checked: Checked[] = [];
  for (const file of options.files) {
    const found = await check(file, catalog);
    const twin = checked.find(({ ok, group }) => ok && found.ok && group === found.group);
    checked.push(twin === undefined ? found : repeated(found, twin));
  }
  if (options.json) terminal.json(checked, 2);
  else for (const one of checked) print(terminal, one);
  const bad = checked.filter(({ ok }) => !ok);
  if (bad.length > 0) throw new CommandFailure(2, `${bad.length} of ${checked.length} policy files would be refused`);
}

async function check(file: string, catalog: PolicyCatalog): Promise<Checked> {
  const result = parsePolicy(await readBounded(file, 'the policy file'), file, catalog);
  if (!result.ok) return { file, ok: false, problems: result.problems, warnings: [] };
  return { file, ok: true, group: result.policy.group, problems: [], warnings: result.warnings };
}

function repeated(found: Checked, twin: Checked): Checked {
  const reason = `group ${found.group ?? ''} has a policy already, in ${twin.file}; one file per group`;
  return { ...found, ok: false, problems: [{ file: found.file, line: 0, column: 0, path: '', reason }] };
}

function print(terminal: Terminal, { file, ok, group, problems, warnings }: Checked): void {
  if (ok) terminal.line(`${terminal.styled('green', 'ok')}  ${printable(file)}: group ${printable(group ?? '')}`);
  for (const problem of problems) terminal.error(`${terminal.styled('red', 'bad')} ${printable(problemText(problem))}`);
  for (const warning of warnings)
    terminal.error(`${terminal.styled('yellow', 'hm')}  ${printable(problemText(warning))}`);
}

/** Only names count here: whether an image is there is for the daemon to see, on its hosts. */
async function catalogOf({ config, env, cwd }: PolicyCheckOptions): Promise<PolicyCatalog> {
  const path = config ?? ((await exists(DEFAULT_CONFIG)) ? DEFAULT_CONFIG : undefined);
  const file = path === undefined ? undefined : { path, text: await readBounded(path, 'the configuration') };
  const parsed = parseDaemonConfig({ ...(file && { file }), env, homeDir: homedir(), cwd });
  if (!parsed.ok) {
    const first = parsed.problems[0];
    throw new CommandFailure(2, first === undefined ? 'the configuration is not right' : problemText(first));
  }
  const images = parsed.config.images.map((image): Image => {
    return image.kind === 'file' ? image.image : { name: image.name, path: '', format: 'qcow2' };
  });
  return { images, flavors: parsed.config.flavors, ...placementNamesOf(parsed.config) };
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function readBounded(file: string, what: string): Promise<string> {
  try {
    const found = await stat(file);
    if (!found.isFile())
      throw new CommandFailure(2, `${what} ${file} is not a file; name the files themselves, e.g. policies/*.yaml`);
    if (found.size > MAX_POLICY_BYTES)
      throw new CommandFailure(2, `${what} ${file} has ${found.size} bytes; at most ${MAX_POLICY_BYTES} are read`);
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    const why =
      error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'it does not exist' : String(error);
    throw new CommandFailure(2, `cannot read ${what} ${file}: ${why}`, error);
  }
}
