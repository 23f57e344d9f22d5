// Reads YAML of unknown origin into plain data that knows where in the text each value stands. Bounded in size; no anchors, no tags.
// Not here: what the data must look like (schemas).

import { isMap, isPair, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument, visit, type YAMLMap } from 'yaml';
import { type FileProblem, type Path, pathText } from './file-problem.ts';

/** More problems than this help nobody. */
export const PROBLEMS_MAX = 25;

export interface YamlText {
  readonly value: unknown;
  /** A problem with the value at `path`; of a missing one, or of a block, its nearest key is the place. `key`: with the key itself. */
  problem(path: Path, reason: string, at?: 'key' | 'value'): FileProblem;
}

export type YamlResult =
  | { readonly ok: true; readonly yaml: YamlText }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

export function readYaml(text: string, file: string, maxBytes: number): YamlResult {
  const bytes = Buffer.byteLength(text);
  const whole = (reason: string): YamlResult => ({
    ok: false,
    problems: [{ file, line: 1, column: 1, path: '', reason }],
  });
  if (bytes > maxBytes) return whole(`the file has ${bytes} bytes; at most ${maxBytes} are read`);
  const lines = new LineCounter();
  const at = (offset: number, path: string, reason: string): FileProblem => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col), path, reason };
  };
  let document: ReturnType<typeof parseDocument<ParsedNode>>;
  try {
    document = parseDocument<ParsedNode>(text, {
      lineCounter: lines,
      prettyErrors: false,
      stringKeys: true,
      // Its own search for keys that are there twice takes time quadratic in their number: minutes for a large file.
      uniqueKeys: false,
      // 'silent' would let a second document pass; 'warn' would write to the process's warnings.
      logLevel: 'error',
    });
  } catch (error) {
    return whole(`this is not YAML that can be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const problems = [...document.errors, ...document.warnings].map(({ code, message, pos }) =>
    at(pos[0], '', syntaxReason(code, message, text.slice(pos[0], pos[1]))),
  );
  visit(document, {
    Map: (_key, node) => {
      for (const offset of repeatedKeys(node)) problems.push(at(offset, '', 'this key is here a second time'));
    },
    Alias: (_key, node) => {
      problems.push(at(node.range?.[0] ?? 0, '', 'aliases (*name) are not allowed; write the value out'));
    },
  });
  if (problems.length > 0) return { ok: false, problems: cappedProblems(problems) };
  const root = document.contents as ParsedNode | null;
  return {
    ok: true,
    yaml: {
      value: document.toJS() as unknown,
      problem: (path, reason, part = 'value') => at(offsetOf(root, path, part), pathText(path), reason),
    },
  };
}

/** At most `PROBLEMS_MAX`, in the order of the file; the last says how many more there are. */
export function cappedProblems(problems: readonly FileProblem[]): readonly FileProblem[] {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const last = sorted[PROBLEMS_MAX - 1];
  if (sorted.length <= PROBLEMS_MAX || last === undefined) return sorted;
  const more = sorted.length - (PROBLEMS_MAX - 1);
  return [
    ...sorted.slice(0, PROBLEMS_MAX - 1),
    { ...last, path: '', reason: `and ${more} more problems from here on` },
  ];
}

/** Where the value at `path` begins, or as near to it as the text goes. */
function offsetOf(root: ParsedNode | null, path: Path, part: 'key' | 'value'): number {
  let offset = root?.range[0] ?? 0;
  let node: unknown = root;
  for (const [depth, step] of path.entries()) {
    const last = depth === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === step);
      const [keyAt, valueAt] = [startOf(pair?.key), startOf(pair?.value)];
      if (pair === undefined || keyAt === undefined) return offset;
      offset = last && part === 'value' && isScalar(pair.value) ? (valueAt ?? keyAt) : keyAt;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function repeatedKeys(map: YAMLMap): readonly number[] {
  const seen = new Set<unknown>();
  return map.items.flatMap(({ key }) => {
    if (!isScalar(key) || !seen.has(key.value)) {
      if (isScalar(key)) seen.add(key.value);
      return [];
    }
    return [key.range?.[0] ?? 0];
  });
}

function startOf(node: unknown): number | undefined {
  return (node as ParsedNode | null | undefined)?.range?.[0];
}

function syntaxReason(code: string, message: string, part: string): string {
  switch (code) {
    case 'MULTIPLE_DOCS':
      return 'a second document begins here (---); one file holds one';
    case 'TAB_AS_INDENT':
      return 'indentation must be spaces, not tabs';
    case 'TAG_RESOLVE_FAILED':
      return `tags (${part.length > 0 && part.length <= 40 ? part : '!…'}) are not allowed`;
    case 'NON_STRING_KEY':
      return 'a key must be a plain word';
    default:
      return `not valid YAML: ${message}`;
  }
}
