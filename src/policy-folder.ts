// Keeps the policies in force in step with a folder of YAML files: at the start, when a file changes, on SIGHUP.
// A bad file is refused with line and reason, and the old policy stays. Not here: what a policy may say (config).

import { type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { problemText } from './config/file-problem.ts';
import { MAX_POLICY_BYTES, type PolicyCatalog, parsePolicy, twinReason } from './config/policy-file.ts';
import { DEFAULT_LINT_CONTEXT } from './core/lint-policy.ts';
import type { Policy } from './core/policy.ts';
import type { Engine } from './engine/engine.ts';
import type { Log } from './engine/log.ts';

/** More files than this is a mistake (the wrong folder), not a set of policies. */
const FILES_MAX = 1000;
/** Editors write in several steps: wait until they are through. */
const SETTLE_MS = 100;

/** Who puts policies in force. */
type PolicyTaker = Pick<Engine, 'setPolicy' | 'removePolicy' | 'rejectPolicy'>;

/** What one file puts in force: a group's policy, or one of its candidates. */
type Claim = Pick<Policy, 'group' | 'candidate'>;

interface SeenFile {
  /** Absent: it is to be judged anew. */
  readonly text?: string;
  /** What this file has put in force; absent while its text was refused from the start. */
  readonly claim?: Claim;
  /** The present text was refused; with `waitsFor`, because another file has put that in force. */
  readonly refused?: { readonly waitsFor?: string };
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

  /** Judges refused files anew although they have not changed: what they may refer to has. */
  refresh(): Promise<void> {
    this.#forgetTexts(({ refused }) => refused !== undefined);
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
    for (const [name, { claim }] of [...this.#seen]) {
      if (names.includes(name)) continue;
      this.#seen.delete(name);
      if (claim !== undefined) await this.#release(claim);
    }
    for (const name of names) await this.#readOne(name);
    // What a later file has let go of, an earlier one may have waited for.
    for (const name of names) if (this.#isForgotten(name)) await this.#readOne(name);
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
    const kept = { text, ...(before?.claim && { claim: before.claim }) };
    const parsed = parsePolicy(text, file, this.#catalog(), { ...DEFAULT_LINT_CONTEXT, pollMs: this.#pollMs });
    if (!parsed.ok) {
      const first = parsed.problems[0];
      const reason = parsed.problems.map((problem) => problemText({ ...problem, file: name })).join('; ');
      this.#seen.set(name, { ...kept, refused: {} });
      await this.#engine.rejectPolicy(file, reason, first?.line);
      return;
    }
    const { policy, warnings } = parsed;
    const key = keyOf(policy);
    const owner = [...this.#seen].find(([other, { claim }]) => other !== name && claim && keyOf(claim) === key);
    if (owner) {
      this.#seen.set(name, { ...kept, refused: { waitsFor: key } });
      await this.#engine.rejectPolicy(file, twinReason(policy, owner[0]));
      return;
    }
    for (const warning of warnings) this.#log.warn({ file, line: warning.line }, warning.reason);
    const { candidate, group } = policy;
    this.#seen.set(name, { text, claim: { group, ...(candidate !== undefined && { candidate }) } });
    if (before?.claim !== undefined && keyOf(before.claim) !== key) await this.#release(before.claim);
    await this.#engine.setPolicy({ policy, file });
  }

  async #release(claim: Claim): Promise<void> {
    await this.#engine.removePolicy(claim.group, claim.candidate);
    this.#forgetTexts(({ refused }) => refused?.waitsFor === keyOf(claim));
  }

  #isForgotten(name: string): boolean {
    const seen = this.#seen.get(name);
    return seen !== undefined && seen.text === undefined;
  }

  /** Those files are read again as if they had changed. */
  #forgetTexts(which: (seen: SeenFile) => boolean): void {
    for (const [name, { text: _text, ...seen }] of this.#seen) if (which(seen)) this.#seen.set(name, seen);
  }
}

function keyOf({ candidate = '', group }: Claim): string {
  return `${group} ${candidate}`;
}

async function readBounded(file: string): Promise<string> {
  const { size } = await stat(file);
  if (size > MAX_POLICY_BYTES) throw new Error(`${file} has ${size} bytes; a policy has at most ${MAX_POLICY_BYTES}`);
  return readFile(file, 'utf8');
}
