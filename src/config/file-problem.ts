// What is wrong where in a file. Not here: finding it.

export interface FileProblem {
  /** The file, or what else the value came from (`--listen`). */
  readonly file: string;
  /** From 1; 0 when the value did not come from a file. */
  readonly line: number;
  readonly column: number;
  /** As in `scale[0].above`; empty for the whole file. */
  readonly path: string;
  /** One sentence for people. */
  readonly reason: string;
}

/** `policies/web.yaml:4:3: scale[0].above: …` */
export function problemText({ file, line, column, path, reason }: FileProblem): string {
  const place = line > 0 ? `${file}:${line}:${column}` : file;
  return path === '' ? `${place}: ${reason}` : `${place}: ${path}: ${reason}`;
}

export type Path = readonly (string | number)[];

export function pathText(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}
