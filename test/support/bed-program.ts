// `npm run bed` as people run it: a program of its own, for tests that interrupt and kill it. Not here: expectations.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { BEDS_FOLDER, type BedKind, bedNameIn } from '../bed/bed-name.ts';
import { bedFolders } from '../bed/reaper.ts';
import { eventually } from './bed-eventually.ts';

const PROGRAM = join(import.meta.dirname, '../bed/main.ts');
const START_LIMIT_MS = 20_000;

export class BedProgram {
  readonly name: string;
  readonly dir: string;
  /** What it has written so far. */
  readonly text: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, name: string, text: string) {
    this.#child = child;
    this.name = name;
    this.dir = join(BEDS_FOLDER, name);
    this.text = text;
  }

  /** Resolves when the bed is up. */
  static async start(kind: BedKind, hosts: number): Promise<BedProgram> {
    const args = [PROGRAM, kind === 'e' ? 'embedded' : 'hosts', String(hosts)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    try {
      await eventually(
        'bed',
        async () => said.includes('Up until Ctrl-C') || child.exitCode !== null || undefined,
        START_LIMIT_MS,
      );
      const own = await bedFolders(kind);
      const name = own.find((folder) => folder.startsWith(`vs${kind}-${child.pid}-`) && bedNameIn(folder, kind));
      if (name === undefined) throw new Error(`process ${child.pid} has no bed`);
      return new BedProgram(child, name, said);
    } catch (error) {
      child.kill('SIGKILL');
      throw new Error(`no bed came up; it said: ${said}`, { cause: error });
    }
  }

  /** Resolves with the exit status; null when the signal itself ended it. */
  async end(signal: 'SIGINT' | 'SIGKILL'): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const exit = once(this.#child, 'exit');
    this.#child.kill(signal);
    const [status] = (await exit) as [number | null];
    return status;
  }
}
