// Keeps the policies in force in step with a folder of YAML files: at the start, when a file changes, on SIGHUP.
// A bad file is refused with line and reason, and the old policy stays. Not here: what a policy may say (config).

import { type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { problemText } from './config/file-problem.ts';
import { MAX_POLICY_BYTES, type PolicyCatalog, parsePolicy } from './config/policy-file.ts';
import { DEFAULT_LINT_CONTEXT } from './core/lint-policy.ts';
import type { Engine } from './engine/engine.ts';
import type { Log } from './engine/log.ts';

/** More files than this is a mistake (the wrong folder), not a set of policies. */
const FILES_MAX = 1000;
/** Editors write in several steps: wait until they are through. */
const SETTLE_MS = 100;

/** Who puts policies in force. */
type PolicyTaker = Pick<Engine, 'setPolicy' | 'removePolicy' | 'rejectPolicy'>;

interface SeenFile {
  readonly text: string;
  /** The group this file has put in force; absent while its text was refused from the start. */
  readonly group?: string;
}

export class PolicyFolder {
  readonly #folder: string;
  readonly #catalog: () => PolicyCatalog;
  readonly #engine: PolicyTaker;
  readonly #log: Log;
  readonly #pollMs: number;
  readonly #seen = new Map<string, SeenFile>();
  #watcher: FSWatcher | undefined;
  #settling: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(folder: string, catalog: () => PolicyCatalog, engine: PolicyTaker, log: Log, pollMs: number) {
    this.#folder = folder;
    this.#catalog = catalog;
    this.#engine = engine;
    this.#log = log;
    this.#pollMs = pollMs;
  }

  /** Reads the folder (making it when absent) and watches it from then on. */
  async open(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    this.#watcher = watch(this.#folder, { persistent: false }, () => {
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => void this.reload(), SETTLE_MS);
    });
    this.#watcher.on('error', (error) => {
      this.#log.warn({ err: error, folder: this.#folder }, 'cannot watch the policies; send SIGHUP after a change');
    });
    await this.reload();
  }

  close(): void {
    clearTimeout(this.#settling);
    this.#watcher?.close();
  }

  /** Judges all files anew although they have not changed: what they may refer to has. */
  refresh(): Promise<void> {
    for (const [name, { group }] of this.#seen) {
      if (group === undefined) this.#seen.delete(name);
    }
    return this.reload();
  }

  /** Reads all files again; one reading at a time. */
  reload(): Promise<void> {
    this.#reading = this.#reading
      .then(() => this.#readAll())
      .catch((error: unknown) => {
        this.#log.error({ err: error, folder: this.#folder }, 'cannot read the policies; those in force stay');
      });
    return this.#reading;
  }

  async #readAll(): Promise<void> {
    const names = (await readdir(this.#folder)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
    if (names.length > FILES_MAX)
      throw new Error(`${names.length} policy files in ${this.#folder}; at most ${FILES_MAX} are read`);
    for (const name of [...this.#seen.keys()].filter((seen) => !names.includes(seen))) {
      const group = this.#seen.get(name)?.group;
      this.#seen.delete(name);
      if (group !== undefined) await this.#engine.removePolicy(group);
    }
    for (const name of names) await this.#readOne(name);
  }

  async #readOne(name: string): Promise<void> {
    const file = join(this.#folder, name);
    const before = this.#seen.get(name);
    const text = await readBounded(file).catch((error: unknown) =>
      error instanceof Error ? error : new Error(String(error)),
    );
    if (text instanceof Error) {
      await this.#engine.rejectPolicy(file, text.message);
      return;
    }
    if (before?.text === text) return;
    const parsed = parsePolicy(text, file, this.#catalog(), { ...DEFAULT_LINT_CONTEXT, pollMs: this.#pollMs });
    if (!parsed.ok) {
      const first = parsed.problems[0];
      const reason = parsed.problems.map((problem) => problemText({ ...problem, file: name })).join('; ');
      this.#seen.set(name, { text, ...(before?.group !== undefined && { group: before.group }) });
      await this.#engine.rejectPolicy(file, reason, first?.line);
      return;
    }
    const { policy, warnings } = parsed;
    const owner = [...this.#seen].find(([other, seen]) => other !== name && seen.group === policy.group);
    if (owner) {
      this.#seen.set(name, { text });
      await this.#engine.rejectPolicy(
        file,
        `group ${policy.group} has a policy already, in ${owner[0]}; one file per group`,
      );
      return;
    }
    for (const warning of warnings) this.#log.warn({ file, line: warning.line }, warning.reason);
    if (before?.group !== undefined && before.group !== policy.group) await this.#engine.removePolicy(before.group);
    this.#seen.set(name, { text, group: policy.group });
    await this.#engine.setPolicy({ policy, file });
  }
}

async function readBounded(file: string): Promise<string> {
  const { size } = await stat(file);
  if (size > MAX_POLICY_BYTES) throw new Error(`${file} has ${size} bytes; a policy has at most ${MAX_POLICY_BYTES}`);
  return readFile(file, 'utf8');
}
