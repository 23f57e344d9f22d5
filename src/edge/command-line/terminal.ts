// Where a command prints: text for people, JSON for programs, tables, one line of progress. Nothing the daemon says can steer
// the terminal.

import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

export interface Cell {
  readonly text: string;
  readonly style?: Style;
}

/** A stream of the process, which may be a terminal. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

const DEFAULT_COLUMNS = 80;

export class Terminal {
  readonly #out: Output;
  readonly #err: Output;
  #progressShown = false;

  constructor(out: Output, err: Output) {
    this.#out = out;
    this.#err = err;
  }

  /** Standard output is a terminal, not a file or a pipe. */
  get isTerminal(): boolean {
    return this.#out.isTTY === true;
  }

  /** Progress is shown as one line that changes. */
  get hasProgressLine(): boolean {
    return this.#err.isTTY === true;
  }

  line(text: string): void {
    this.endProgress();
    this.#out.write(`${text}\n`);
  }

  error(text: string): void {
    this.endProgress();
    this.#err.write(`${text}\n`);
  }

  /** Already formatted text, as commander makes it; or bytes as they came. */
  raw(text: string | Uint8Array): void {
    this.#out.write(text);
  }

  json(value: unknown, indent?: number): void {
    this.line(JSON.stringify(value, null, indent));
  }

  /** The line on standard error that says how far it has come, in place of the one before; only on a terminal. */
  progress(text: string): void {
    if (!this.hasProgressLine) return;
    const columns = this.#err.columns ?? DEFAULT_COLUMNS;
    const clean = printable(text);
    this.#err.write(`\r\u001b[K${clean.length < columns ? clean : `${clean.slice(0, columns - 2)}…`}`);
    this.#progressShown = true;
  }

  endProgress(): void {
    if (!this.#progressShown) return;
    this.#progressShown = false;
    this.#err.write('\r\u001b[K');
  }

  /** Coloured only when standard output is a terminal that wants it (NO_COLOR and the like are heeded). */
  styled(style: Style | undefined, text: string): string {
    const clean = printable(text);
    return style === undefined ? clean : styleText(style, clean, { stream: this.#out });
  }

  /** Columns as wide as they need; `none` instead of an empty table. */
  table(heads: readonly string[], rows: readonly (readonly (Cell | string | undefined)[])[], none: string): void {
    if (rows.length === 0) {
      this.line(this.styled('dim', none));
      return;
    }
    const cells = rows.map((row) => heads.map((_, at) => cellOf(row[at])));
    const widths = heads.map((head, at) => Math.max(head.length, ...cells.map((row) => row[at]?.text.length ?? 0)));
    const write = (row: readonly Cell[]): void => {
      const parts = row.map(({ text, style }, at) => {
        const padding = at === row.length - 1 ? '' : ' '.repeat((widths[at] ?? 0) - text.length);
        return this.styled(style, text) + padding;
      });
      this.line(parts.join('  ').trimEnd());
    };
    write(heads.map((text) => ({ text, style: 'dim' })));
    for (const row of cells) write(row);
  }

  /** `name  value`, one a line; those without a value are left out. */
  fields(pairs: readonly (readonly [name: string, value: Cell | string | undefined])[]): void {
    const shown = pairs.filter(([, value]) => value !== undefined && cellOf(value).text !== '');
    const width = Math.max(...shown.map(([name]) => name.length));
    for (const [name, value] of shown) {
      const { text, style } = cellOf(value);
      this.line(`${this.styled('dim', name.padEnd(width))}  ${this.styled(style, text)}`);
    }
  }
}

function cellOf(cell: Cell | string | undefined): Cell {
  if (cell === undefined) return { text: '' };
  return typeof cell === 'string' ? { text: printable(cell) } : { ...cell, text: printable(cell.text) };
}

export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach the terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
