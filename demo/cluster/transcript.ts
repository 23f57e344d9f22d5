// What a person types and sees: commands run as they are, shown as they come, and kept. Not here: which commands (cluster-story).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { styleText } from 'node:util';
import { CLI } from '../daemon-process.ts';

export interface Typed {
  /** After `virtscale`. */
  readonly words: readonly string[];
  /** On standard input: a password, say. */
  readonly input?: string;
  /** Exit status; 0 when absent. */
  readonly status?: number;
  /** What must be seen, on standard output or standard error. */
  readonly sees?: RegExp;
}

export interface Seen {
  /** Standard output. */
  readonly out: string;
  readonly seconds: number;
}

const PATIENCE_MS = 180_000;

export class Transcript {
  readonly #file: WriteStream;
  readonly #url: string;
  readonly #signal: AbortSignal;

  constructor(file: string, url: string, signal: AbortSignal) {
    this.#file = createWriteStream(file);
    this.#url = url;
    this.#signal = signal;
  }

  /** A line between commands. */
  say(text: string): void {
    this.#write(styleText('bold', `\n# ${text}`), `\n# ${text}`);
  }

  /** Runs it as `person`, whose configuration lies in a folder of its own; throws when it ends or looks otherwise than it should. */
  async run(person: { readonly name: string; readonly home: string }, typed: Typed): Promise<Seen> {
    const { input, sees, status = 0, words } = typed;
    const line = `${person.name}$ virtscale ${words.map(quoted).join(' ')}`;
    this.#write(styleText('cyan', line), line);
    let all = '';
    const { code, out, seconds } = await this.#spawned(
      person.home,
      words,
      input === undefined ? '' : `${input}\n`,
      (text) => {
        all += `${text}\n`;
        this.#write(text, text);
      },
    );
    if (code !== status) throw new Error(`${line}: ended with status ${code}, not ${status}`);
    if (sees !== undefined && !sees.test(all)) throw new Error(`${line}: nobody saw ${sees}`);
    return { out, seconds };
  }

  /** As `run`, without showing or keeping anything. */
  quietly(person: { readonly home: string }, words: readonly string[]): Promise<Seen> {
    return this.#spawned(person.home, words, '', () => undefined).then(({ code, out, seconds }) => {
      if (code !== 0) throw new Error(`virtscale ${words.join(' ')}: ended with status ${code}`);
      return { out, seconds };
    });
  }

  async #spawned(
    home: string,
    words: readonly string[],
    input: string,
    onLine: (text: string) => void,
  ): Promise<Seen & { readonly code: number | null }> {
    const beganMs = performance.now();
    const child = spawn(process.execPath, [CLI, ...words], {
      env: { PATH: process.env['PATH'], HOME: home, XDG_CONFIG_HOME: home, VIRTSCALE_URL: this.#url },
      cwd: home,
      signal: AbortSignal.any([this.#signal, AbortSignal.timeout(PATIENCE_MS)]),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const ended = once(child, 'close') as Promise<[number | null]>;
    child.stdin.end(input);
    let out = '';
    const hear = async (stream: NodeJS.ReadableStream, isOut: boolean): Promise<void> => {
      for await (const text of createInterface({ input: stream })) {
        if (isOut) out += `${text}\n`;
        onLine(text);
      }
    };
    const [[code]] = await Promise.all([ended, hear(child.stdout, true), hear(child.stderr, false)]);
    return { code, out, seconds: (performance.now() - beganMs) / 1000 };
  }

  async close(): Promise<void> {
    this.#file.end();
    await once(this.#file, 'close');
  }

  #write(shown: string, kept: string): void {
    console.log(shown);
    this.#file.write(`${kept}\n`);
  }
}

/** As a shell would need it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
