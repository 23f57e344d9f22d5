// Where a command prints: text for people, JSON for programs, tables. Nothing the daemon says can steer the terminal.

import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

export interface Cell {
  readonly text: string;
  readonly style?: Style;
}

export class Terminal {
  readonly #out: Writable;
  readonly #err: Writable;

  constructor(out: Writable, err: Writable) {
    this.#out = out;
    this.#err = err;
  }

  line(text: string): void {
    this.#out.write(`${text}\n`);
  }

  error(text: string): void {
    this.#err.write(`${text}\n`);
  }

  /** Already formatted text, as commander makes it. */
  raw(text: string): void {
    this.#out.write(text);
  }

  json(value: unknown, indent?: number): void {
    this.line(JSON.stringify(value, null, indent));
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
}

function cellOf(cell: Cell | string | undefined): Cell {
  if (cell === undefined) return { text: '' };
  return typeof cell === 'string' ? { text: printable(cell) } : { ...cell, text: printable(cell.text) };
}

export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach the terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
