// `virtscale PM_FILE IMAGE_FILE FLAVOR_FILE`: three files and no command. Tells that from a mistyped command.
// Not here: what stands in the files (config), serving (main).

import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CommandFailure } from './command-failure.ts';

export interface SeedFiles {
  readonly pmFile: string;
  readonly imageFile: string;
  readonly flavorFile: string;
}

/** The command that stands for the seeds' form once it is known to be that. */
export const SEEDS_COMMAND = 'seeds';
export const SEEDS_USAGE = 'PM_FILE IMAGE_FILE FLAVOR_FILE [--listen HOST:PORT] [--state-dir DIR] [--algorithm NAME]';

const OPTIONS = {
  listen: { type: 'string', short: 'l' },
  'state-dir': { type: 'string' },
  algorithm: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/**
 * The arguments as they are, or with the command put before them when they are the seeds' form: the first word is no command, and
 * it is a file, or looks like one (`/` or `.` in it). Throws `CommandFailure` (2) when files are meant and are not three.
 */
export function withSeedsCommand(
  words: readonly string[],
  commands: readonly string[],
  cwd: string,
): readonly string[] {
  const { positionals, tokens } = parseArgs({
    args: [...words],
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const [first] = positionals;
  const foreign = tokens.some((token) => token.kind === 'option' && !Object.hasOwn(OPTIONS, token.name));
  if (first === undefined || commands.includes(first)) return words;
  const three = positionals.length === 3 && positionals.some((one) => isFile(cwd, one));
  // What follows an option that is not known may be its value.
  if (!isFile(cwd, first) && (foreign || !(three || /[/.]/.test(first)))) return words;
  if (positionals.length !== 3 && !foreign) {
    throw new CommandFailure(
      2,
      `${first} is no command; as files, three are needed: virtscale ${SEEDS_USAGE}. See virtscale --help.`,
    );
  }
  return [SEEDS_COMMAND, ...words];
}

/** Throws `CommandFailure` (2) naming every one that is not there. */
export function checkedFiles(files: SeedFiles, cwd: string): SeedFiles {
  const problems = [
    ['PM_FILE', files.pmFile],
    ['IMAGE_FILE', files.imageFile],
    ['FLAVOR_FILE', files.flavorFile],
  ].flatMap(([what, file = '']) => (isFile(cwd, file) ? [] : [`${what}: there is no file ${file}`]));
  if (problems.length > 0) throw new CommandFailure(2, problems.join('\n'));
  return files;
}

/** A pipe counts too, as a shell's `<(…)` makes one; a folder does not. */
function isFile(cwd: string, path: string): boolean {
  try {
    return !statSync(resolve(cwd, path)).isDirectory();
  } catch {
    return false;
  }
}
