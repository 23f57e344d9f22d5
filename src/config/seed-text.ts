// Takes one of the three files the seeds start with apart: one entry a line, or a list in JSON as people really write it.
// Not here: what an entry means (pm-file, image-file, flavor-file).

import { z } from 'zod';
import { type FileProblem, pathText } from './file-problem.ts';
import { checkYaml, strict } from './schemas.ts';
import { cappedProblems, readYaml, type YamlText } from './yaml-text.ts';

export const MAX_SEED_BYTES = 1024 * 1024;
export const MAX_SEED_ENTRIES = 1000;

/** Brackets and commas that a thousand entries can have; counted first, because a parser takes ten seconds for a MiB of them. */
const MAX_MARKS = 10 * MAX_SEED_ENTRIES;

export type SeedResult<E> =
  | { readonly ok: true; readonly entries: readonly E[]; readonly warnings: readonly FileProblem[] }
  /** At least one problem, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/** One entry as it stands in the file. */
export interface SeedItem {
  readonly text: string;
  /** From 1. */
  readonly line: number;
  problem(reason: string): FileProblem;
}

export type SeedItems =
  | { readonly ok: true; readonly items: readonly SeedItem[]; readonly problems: readonly FileProblem[] }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

export function seedResult<E>(
  entries: readonly E[],
  problems: readonly FileProblem[],
  warnings: readonly FileProblem[] = [],
): SeedResult<E> {
  if (problems.length > 0) return { ok: false, problems: cappedProblems(problems) };
  return { ok: true, entries, warnings: cappedProblems(warnings) };
}

/** The entries of a file that lists texts: one a line, or `'KEY': ["…", "…"]`. `what` names one of them for people. */
export function seedItems(text: string, file: string, key: string, what: string): SeedItems {
  const whole = (reason: string): SeedItems => ({ ok: false, problems: [wholeFile(file, reason)] });
  const tooLarge = sizeReason(text);
  if (tooLarge !== undefined) return whole(tooLarge);
  const found = isList(text) ? listItems(text, file, key) : lineItems(text, file);
  if (!found.ok) return found;
  const count = found.items.length;
  if (count > MAX_SEED_ENTRIES) return whole(`the file lists ${count} entries; at most ${MAX_SEED_ENTRIES} are read`);
  if (count === 0 && found.problems.length === 0) return whole(`the file lists no ${what}`);
  return found;
}

function lineItems(text: string, file: string): SeedItems {
  const items: SeedItem[] = [];
  const problems: FileProblem[] = [];
  for (const [index, content] of plainText(text).split('\n').entries()) {
    const column = content.search(/\S/) + 1;
    if (column === 0 || content[column - 1] === '#') continue;
    const line = index + 1;
    const problem = (reason: string): FileProblem => ({ file, line, column, path: '', reason });
    const entry = lineEntry(content.slice(column - 1));
    if (entry === undefined) problems.push(problem('something follows the closing quote; write one entry a line'));
    else if (entry === '') problems.push(problem('there is nothing between the quotes or before the comma'));
    else items.push({ text: entry, line, problem });
  }
  return { ok: true, items, problems };
}

/** Without quotes around it, a comma after it and a comment after that; undefined when more follows the quotes. */
function lineEntry(content: string): string | undefined {
  const quoted = /^(?:"([^"]*)"|'([^']*)'|[“„]([^“”„]*)[“”]|[‘‚]([^‘’‚]*)[‘’])(.*)$/u.exec(content);
  if (quoted === null) {
    return content
      .replace(/\s#.*$/u, '')
      .trimEnd()
      .replace(/,$/, '')
      .trimEnd();
  }
  const [, double, single, curlyDouble, curlySingle, rest = ''] = quoted;
  if (!/^\s*,?\s*(?:#.*)?$/u.test(rest)) return undefined;
  return (double ?? single ?? curlyDouble ?? curlySingle ?? '').trim();
}

/** True for `{`, `[` and `'KEY': [`, but not for a line that begins with an IPv6 address in brackets. */
function isList(text: string): boolean {
  const start = flowText(text).trimStart();
  if (start.startsWith('{')) return true;
  if (start.startsWith('[')) return !/^\[[\da-f:.]*:[^\]\n]*\]/iu.test(start);
  // Whatever word it is: that it should be KEY is for the list's reader to say.
  return /^["']?\w+["']?\s*:\s*\[/u.test(start);
}

function listItems(text: string, file: string, key: string): SeedItems {
  const read = readSeedList(text, file, key, z.string());
  if (!read.ok) return read;
  const items = read.items.map((item, index): SeedItem => {
    const problem = (reason: string): FileProblem => read.problem(index, [], reason);
    return { text: item.trim(), line: problem('').line, problem };
  });
  return {
    ok: true,
    items: items.filter((item) => item.text !== ''),
    problems: items.filter((item) => item.text === '').map((item) => item.problem('is empty')),
  };
}

export type SeedList<T> =
  | {
      readonly ok: true;
      readonly items: readonly T[];
      /** A problem with one item, or with what stands at `path` inside it. */
      problem(index: number, path: readonly string[], reason: string): FileProblem;
    }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/**
 * A list written as `{"KEY": […]}`, `"KEY": […]`, `[…]` or the bare items one after the other: JSON, and what JSON does not
 * allow but people write: trailing commas, single and curly quotes, comments after `#` and `//`.
 */
export function readSeedList<T>(text: string, file: string, key: string, item: z.ZodType<T>): SeedList<T> {
  const tooLarge = sizeReason(text);
  if (tooLarge !== undefined) return { ok: false, problems: [wholeFile(file, tooLarge)] };
  const read = readFlow(text, file);
  if (!read.ok) return read;
  const { yaml, inBlock } = inner(read.yaml, key);
  const list = z.array(item).max(MAX_SEED_ENTRIES, { error: `must list at most ${MAX_SEED_ENTRIES} entries` });
  const { value, problems } = inBlock ? checkYaml(strict({ [key]: list }), yaml) : checkYaml(list, yaml);
  if (value === undefined) return { ok: false, problems: cappedProblems(problems) };
  const at = inBlock ? [key] : [];
  return {
    ok: true,
    items: (inBlock ? (value as Readonly<Record<string, readonly T[]>>)[key] : (value as readonly T[])) ?? [],
    problem: (index, path, reason) => yaml.problem([...at, index, ...path], reason),
  };
}

/** Flow YAML is JSON that forgives. Put between brackets of its own, on lines of their own so that columns stay. */
function readFlow(
  text: string,
  file: string,
): { readonly ok: true; readonly yaml: YamlText } | { readonly ok: false; readonly problems: readonly FileProblem[] } {
  const flow = flowText(text);
  const [open, close] = /^\s*[[{]/u.test(flow) ? ['[', ']'] : ['{', '}'];
  const lines = flow.split('\n');
  const lastLine = lines.findLastIndex((line) => line.trim() !== '');
  if (lastLine === -1) return { ok: false, problems: [wholeFile(file, 'the file is empty')] };
  const marks = flow.match(/[[\]{},]/gu)?.length ?? 0;
  if (marks > MAX_MARKS) {
    return {
      ok: false,
      problems: [wholeFile(file, `the file lists too much: at most ${MAX_SEED_ENTRIES} entries are read`)],
    };
  }
  const moved = (problem: FileProblem): FileProblem => {
    const line = problem.line - 1;
    if (line > lastLine + 1)
      return { ...problem, line: lastLine + 1, column: (lines[lastLine] ?? '').trimEnd().length };
    return { ...problem, line: Math.max(1, line) };
  };
  const read = readYaml(`${open}\n${flow}\n${close}`, file, Number.POSITIVE_INFINITY);
  if (read.ok) {
    const { value, problem } = read.yaml;
    return { ok: true, yaml: { value, problem: (path, reason, part) => moved(problem(path, reason, part)) } };
  }
  // What the parser finds next at the same place follows from the first.
  const first = new Map<string, FileProblem>();
  for (const problem of read.problems.map(moved)) {
    const place = `${problem.line}:${problem.column}`;
    if (!first.has(place)) first.set(place, { ...problem, reason: syntaxReason(problem.reason) });
  }
  const problems = [...first.values()];
  return { ok: false, problems };
}

function syntaxReason(reason: string): string {
  const expected = /^not valid YAML: Flow .* end with a (.)$/u.exec(reason)?.[1];
  if (expected !== undefined) return `the brackets do not match: a ${expected} was expected here`;
  return reason.replace(/^not valid YAML: /, 'this is not the JSON expected here: ');
}

/** What stands between the brackets that `readFlow` put around it. `inBlock`: the list stands under a key. */
function inner(outer: YamlText, key: string): { readonly yaml: YamlText; readonly inBlock: boolean } {
  if (!Array.isArray(outer.value)) return { yaml: outer, inBlock: true };
  const [only, ...others] = outer.value as readonly unknown[];
  const inBlock = isBlock(only) && (key in only || Object.values(only).some(Array.isArray));
  if (others.length > 0 || !(inBlock || Array.isArray(only))) return { yaml: outer, inBlock: false };
  const yaml: YamlText = {
    value: only,
    problem: (path, reason, part) => ({ ...outer.problem([0, ...path], reason, part), path: pathText(path) }),
  };
  return { yaml, inBlock };
}

function isBlock(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every character stays where it was: comments become spaces, curly quotes straight ones, other white space spaces. */
function flowText(text: string): string {
  const parts =
    /"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[“”„‟][^“”„‟"\n]*[“”„‟"]?|[‘’‚][^‘’‚'\n]*[‘’‚']?|(?<=^|[\s,[\]{}])(?:#|\/\/)[^\n]*|[^\S\n ]/gu;
  return plainText(text).replaceAll(parts, (part) => {
    const first = part.charAt(0);
    if (first === '"' || first === "'") return part;
    if (/[“”„‟]/u.test(first)) return part.replaceAll(/[“”„‟]/gu, '"');
    if (/[‘’‚]/u.test(first)) return part.replaceAll(/[‘’‚]/gu, "'");
    return ' '.repeat(part.length);
  });
}

/** Lines end with `\n`; no byte order mark. */
function plainText(text: string): string {
  return text.replace(/^\u{feff}/u, '').replaceAll(/\r\n?/gu, '\n');
}

function sizeReason(text: string): string | undefined {
  const bytes = Buffer.byteLength(text);
  return bytes > MAX_SEED_BYTES ? `the file has ${bytes} bytes; at most ${MAX_SEED_BYTES} are read` : undefined;
}

export function wholeFile(file: string, reason: string): FileProblem {
  return { file, line: 1, column: 1, path: '', reason };
}
