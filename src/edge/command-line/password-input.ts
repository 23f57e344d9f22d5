// Passwords from the terminal, without an echo, or from standard input. Never from an argument, which every process list shows.

import type { Readable } from 'node:stream';
import { CommandFailure } from './command-failure.ts';
import { type Output, printable } from './terminal.ts';

const MAX_BYTES = 4096;

export interface PasswordSource {
  readonly stdin?: Readable & {
    readonly isTTY?: boolean;
    /** Of a terminal: what is typed is not shown, and comes key by key. */
    setRawMode?(mode: boolean): unknown;
  };
  readonly stderr: Output;
}

/** The lines of standard input, one password each. */
export async function passwordsFromStdin({ stdin }: PasswordSource): Promise<string[]> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin ?? []) {
    const piece = Buffer.from(chunk);
    chunks.push(piece);
    bytes += piece.byteLength;
    if (bytes > MAX_BYTES) throw new CommandFailure(2, 'standard input is too long for a password');
  }
  return Buffer.concat(chunks).toString('utf8').split(/\r?\n/);
}

/** Asks for it; nothing of what is typed is shown. Throws `CommandFailure`: 2 where there is no terminal, 130 for Ctrl-C. */
export async function askPassword({ stdin, stderr }: PasswordSource, question: string): Promise<string> {
  if (stdin?.isTTY !== true || stdin.setRawMode === undefined) {
    throw new CommandFailure(2, `${question}: there is nobody to ask here; give it with --password-stdin`);
  }
  stderr.write(`${printable(question)}: `);
  stdin.setRawMode(true);
  try {
    return await typed(stdin);
  } finally {
    stdin.setRawMode(false);
    stderr.write('\n');
  }
}

/** Twice, as nobody sees what he types. */
export async function askNewPassword(source: PasswordSource, question: string): Promise<string> {
  const first = await askPassword(source, question);
  const again = await askPassword(source, `${question} again`);
  if (first !== again) throw new CommandFailure(2, 'the two are not the same');
  return first;
}

/** Until Enter. Backspace and Ctrl-U work as everywhere. */
function typed(stdin: Readable): Promise<string> {
  return new Promise((resolve, reject) => {
    const letters: string[] = [];
    const finish = (end: () => void): void => {
      // At once: what is typed ahead is for the next question.
      stdin.off('data', onData).off('end', onEnd).pause();
      end();
    };
    const onEnd = (): void => finish(() => reject(new CommandFailure(130, 'nothing was typed')));
    const onData = (chunk: Buffer | string): void => {
      const keys = [...String(chunk)];
      const last = keys.findIndex((key) => ENDS.has(key));
      for (const key of last === -1 ? keys : keys.slice(0, last)) type(letters, key);
      if (letters.length > MAX_BYTES) finish(() => reject(new CommandFailure(2, 'that is too long for a password')));
      else if (last !== -1 && GIVES_UP.has(keys[last] ?? '')) onEnd();
      else if (last !== -1) finish(() => resolve(letters.join('')));
      const ahead = last === -1 ? '' : keys.slice(last + 1).join('');
      if (ahead !== '') stdin.unshift(Buffer.from(ahead));
    };
    stdin.on('data', onData).on('end', onEnd);
    stdin.resume();
  });
}

/** Ctrl-C and Ctrl-D. */
const GIVES_UP: ReadonlySet<string> = new Set(['\u0003', '\u0004']);
const ENDS: ReadonlySet<string> = new Set(['\r', '\n', ...GIVES_UP]);

function type(letters: string[], key: string): void {
  if (key === '\u007f' || key === '\b') letters.pop();
  else if (key === '\u0015') letters.length = 0;
  else if (key >= ' ') letters.push(key);
}
