// `policy check`: policy files as the daemon would read them, with the images and flavors of its configuration.
// Not here: what is right or wrong in a policy (config).

import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { parseDaemonConfig } from '../../config/daemon-file.ts';
import { type FileProblem, problemText } from '../../config/file-problem.ts';
import { MAX_POLICY_BYTES, type PolicyCatalog, parsePolicy, twinReason } from '../../config/policy-file.ts';
import { policyNamesOf } from '../../config/policy-names.ts';
import { DEFAULT_LINT_CONTEXT, type LintContext } from '../../core/lint-policy.ts';
import type { Image } from '../../core/model.ts';
import type { Policy } from '../../core/policy.ts';
import { CommandFailure, cannotRead } from './command-failure.ts';
import { printable, type Terminal } from './terminal.ts';

export interface PolicyCheckOptions {
  readonly files: readonly string[];
  /** The daemon's configuration; absent: `virtscale.yaml` when there is one. */
  readonly config?: string;
  readonly json: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Judges cron expressions; absent: only their form is checked. */
  readonly cronProblem?: PolicyCatalog['cronProblem'];
}

interface Checked {
  readonly file: string;
  readonly ok: boolean;
  readonly group?: string;
  readonly mode?: Policy['mode'];
  readonly candidate?: string;
  readonly problems: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
}

const DEFAULT_CONFIG = 'virtscale.yaml';
const ANY_NAME: PolicyCatalog = { anyName: true, images: [], flavors: [] };

/** Throws `CommandFailure` (2) after printing when a file is not right. */
export async function checkPolicies(terminal: Terminal, options: PolicyCheckOptions): Promise<void> {
  const { catalog, context } = await surroundingsOf(options);
  const checked: Checked[] = [];
  for (const file of options.files) {
    const found = await check(file, catalog, context);
    const twin = checked.find(
      (one) => one.ok && found.ok && one.group === found.group && one.candidate === found.candidate,
    );
    checked.push(twin === undefined ? found : repeated(found, twin));
  }
  if (options.json) terminal.json(checked, 2);
  else for (const one of checked) print(terminal, one);
  const bad = checked.filter(({ ok }) => !ok);
  if (bad.length > 0) throw new CommandFailure(2, `${bad.length} of ${checked.length} policy files would be refused`);
}

async function check(file: string, catalog: PolicyCatalog, context: LintContext): Promise<Checked> {
  const result = parsePolicy(await readBounded(file, 'the policy file'), file, catalog, context);
  if (!result.ok) return { file, ok: false, problems: result.problems, warnings: [] };
  const { candidate, group, mode } = result.policy;
  const what = { group, mode, ...(candidate !== undefined && { candidate }) };
  return { file, ok: true, ...what, problems: [], warnings: result.warnings };
}

/** A policy that never runs: what it names need not be there. Throws `CommandFailure` (2) with all that is wrong with it. */
export async function readPolicyFile(file: string): Promise<Policy> {
  const result = parsePolicy(await readBounded(file, 'the policy file'), file, ANY_NAME);
  if (!result.ok) throw new CommandFailure(2, result.problems.map(problemText).join('\n'));
  return result.policy;
}

function repeated(found: Checked, twin: Checked): Checked {
  const { group = '', mode = 'act', candidate } = found;
  const reason = twinReason({ group, mode, ...(candidate !== undefined && { candidate }) }, twin.file);
  return { ...found, ok: false, problems: [{ file: found.file, line: 0, column: 0, path: '', reason }] };
}

function print(terminal: Terminal, { file, ok, group, mode, candidate, problems, warnings }: Checked): void {
  const observes = mode === 'observe' ? `, observes${candidate === undefined ? '' : ` as ${candidate}`}` : '';
  if (ok)
    terminal.line(`${terminal.styled('green', 'ok')}  ${printable(file)}: group ${printable(group ?? '')}${observes}`);
  for (const problem of problems) terminal.error(`${terminal.styled('red', 'bad')} ${printable(problemText(problem))}`);
  for (const warning of warnings)
    terminal.error(`${terminal.styled('yellow', 'hm')}  ${printable(problemText(warning))}`);
}

/** Only names count here: whether an image is there is for the daemon to see, on its hosts. */
async function surroundingsOf({ config, cronProblem, cwd, env }: PolicyCheckOptions): Promise<{
  readonly catalog: PolicyCatalog;
  readonly context: LintContext;
}> {
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
  return {
    catalog: { images, ...policyNamesOf(parsed.config), ...(cronProblem && { cronProblem }) },
    context: { ...DEFAULT_LINT_CONTEXT, pollMs: parsed.config.pollMs },
  };
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
    throw cannotRead(`${what} ${file}`, error);
  }
}
