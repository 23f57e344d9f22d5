// The pieces that schemas of policies and of the daemon's file are made of, and the words for what does not fit.
// Not here: any one file's schema.

import { z } from 'zod';
import { closest, didYouMean } from './did-you-mean.ts';
import { readDuration } from './duration.ts';
import type { FileProblem, Path } from './file-problem.ts';
import type { Read } from './read.ts';
import { readSizeMiB } from './size.ts';
import { PROBLEMS_MAX, type YamlText } from './yaml-text.ts';

/** An object that knows its keys: every other key is a problem of its own (one line of the message per key). */
export function strict<S extends z.core.$ZodLooseShape>(shape: S): z.ZodObject<S, z.core.$strict> {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined;
      return issue.keys
        .slice(0, PROBLEMS_MAX)
        .map((key) => {
          const hint = closest(key, known) === undefined ? `; known here: ${known.join(', ')}` : didYouMean(key, known);
          return `unknown key${hint}`;
        })
        .join('\n');
    },
  });
}

/** A value that `read` understands. A missing one is left to `optional()`. */
export function reading<T>(read: (value: unknown) => Read<T>) {
  return z.unknown().transform((value, context): T => {
    const result: Read<T> = value === undefined ? { ok: false, reason: 'is missing' } : read(value);
    if (result.ok) return result.value;
    context.issues.push({ code: 'custom', message: result.reason, input: value });
    return z.NEVER;
  });
}

/** Milliseconds within [min, max]; the words say what they are in the unit people wrote. */
export function durationBetween(min: string, max: string) {
  const [minMs, maxMs] = [msOf(min), msOf(max)];
  return reading((value) => {
    const result = readDuration(value);
    if (!result.ok || (result.value >= minMs && result.value <= maxMs)) return result;
    return { ok: false, reason: `must be from ${min} to ${max}, not ${String(value)}` };
  });
}

function msOf(text: string): number {
  const result = readDuration(text);
  if (!result.ok) throw new Error(result.reason);
  return result.value;
}

/** MiB within [min, max]. */
export function sizeBetween(minMiB: number, maxMiB: number) {
  return reading((value) => {
    const result = readSizeMiB(value);
    if (!result.ok || (result.value >= minMiB && result.value <= maxMiB)) return result;
    return { ok: false, reason: `must be from ${minMiB}M to ${maxMiB}M, not ${String(value)}` };
  });
}

export function wholeBetween(min: number, max: number) {
  return reading((value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      return { ok: false, reason: `must be a whole number, not ${shown(value)}` };
    }
    if (value < min || value > max) return { ok: false, reason: `must be from ${min} to ${max}, not ${value}` };
    return { ok: true, value };
  });
}

/** Names become parts of domain names, file names and URLs. */
export const name = reading((value) => {
  if (typeof value === 'string' && /^[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?$/.test(value)) return { ok: true, value };
  const reason = `must be a name of up to 40 lower-case letters, digits, dots and dashes, not ${shown(value)}`;
  return { ok: false, reason };
});

/** A word libvirt or the file system knows: anything printable, within reason. */
export function textUpTo(maxLength: number) {
  return reading((value) => {
    if (typeof value !== 'string' || value === '' || value.length > maxLength || hasControl(value)) {
      return { ok: false, reason: `must be text of 1 to ${maxLength} characters, not ${shown(value)}` };
    }
    return { ok: true, value };
  });
}

function hasControl(text: string): boolean {
  return [...text].some((character) => character < ' ' || character === '\u007f');
}

/** One of some words. */
export function oneOf<const T extends string>(words: readonly T[]) {
  return reading<T>((value) => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return { ok: true, value: found };
    const hint = typeof value === 'string' ? didYouMean(value, words) : '';
    return { ok: false, reason: `must be ${orList(words)}, not ${shown(value)}${hint}` };
  });
}

/** More VMs than this in one group is a slip of the finger. */
export const VMS_MAX = 1000;

export const port = wholeBetween(1, 65_535);

/** A share written as people do, `10%`, as a number of percent. */
export function percentBetween(min: number, max: number) {
  return reading((value) => {
    const percent = readPercent(value);
    if (percent === undefined) {
      const advice = typeof value === 'number' ? `write it with the sign: ${value}%` : `not ${shown(value)}`;
      return { ok: false, reason: `must be a share such as 10%, ${advice}` };
    }
    if (percent < min || percent > max) {
      return { ok: false, reason: `must be from ${min}% to ${max}%, not ${shown(value)}` };
    }
    return { ok: true, value: percent };
  });
}

/** `10%`, `2.5 %`; undefined for anything else. */
export function readPercent(value: unknown): number | undefined {
  const match = typeof value === 'string' ? /^(\d{1,6}(?:\.\d{1,3})?) ?%$/.exec(value.trim()) : null;
  return match === null ? undefined : Number(match[1]);
}

/** Text that may have several lines, as queries do. */
export function linesUpTo(maxLength: number) {
  return reading((value) => {
    const odd = typeof value === 'string' && hasControl(value.replace(/[\n\t]/g, ' '));
    if (typeof value !== 'string' || value.trim() === '' || value.length > maxLength || odd) {
      return { ok: false, reason: `must be text of 1 to ${maxLength} characters, not ${shown(value)}` };
    }
    return { ok: true, value: value.trim() };
  });
}

const URL_MAX = 1000;

/** An http or https URL as it was written. Without a password, which logs would show. */
export const httpUrl = reading((value) => {
  const url = typeof value === 'string' && value.length <= URL_MAX ? URL.parse(value) : null;
  if (typeof value !== 'string' || url === null || !/^https?:$/.test(url.protocol) || /\s/.test(value)) {
    return { ok: false, reason: `must be a URL such as http://127.0.0.1:9000/path, not ${shown(value)}` };
  }
  if (url.username !== '' || url.password !== '') {
    return { ok: false, reason: 'must have no user and password in it: they would show in logs' };
  }
  if (url.hash !== '') return { ok: false, reason: 'must have no part after #: it is never sent' };
  return { ok: true, value };
});

/**
 * A block whose form depends on the word under `key`: a wrong word is one problem, a right one brings those of its form alone.
 */
export function formBy<F extends Readonly<Record<string, z.ZodType>>>(key: string, forms: F) {
  const known = new Map(Object.entries(forms));
  return z.unknown().transform((value, context): z.output<F[keyof F]> => {
    if (!isBlock(value)) {
      refuse(context, [], value === undefined ? 'is missing' : `must be a block of keys, not ${shown(value)}`);
      return z.NEVER;
    }
    const word = value[key];
    const form = typeof word === 'string' ? known.get(word) : undefined;
    if (form === undefined) {
      const words = [...known.keys()];
      const hint = typeof word === 'string' ? didYouMean(word, words) : '';
      refuse(
        context,
        [key],
        word === undefined ? `is missing: ${orList(words)}` : `must be ${orList(words)}, not ${shown(word)}${hint}`,
      );
      return z.NEVER;
    }
    return within(form, value, context) as z.output<F[keyof F]>;
  });
}

/** What `form` makes of `value`; its problems are told as those of the form around it. */
export function within<T extends z.ZodType>(form: T, value: unknown, context: z.core.$RefinementCtx): z.output<T> {
  const result = form.safeParse(value, { error: (issue) => wordsFor(issue) });
  if (result.success) return result.data;
  for (const issue of result.error.issues) context.issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
  return z.NEVER as z.output<T>;
}

/** A block of keys: neither a list nor a word. */
export function isBlock(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the check of a whole value finds, told like the rest. */
export function refuse(context: z.core.$RefinementCtx, path: Path, message: string): void {
  context.issues.push({ code: 'custom', message, path: [...path], input: undefined });
}

/** Checks data from a file. All problems at once, each with its place. */
export function checkYaml<T>(
  schema: z.ZodType<T>,
  yaml: YamlText,
): { readonly value?: T; readonly problems: readonly FileProblem[] } {
  const result = schema.safeParse(yaml.value, { error: (issue) => wordsFor(issue) });
  if (result.success) return { value: result.data, problems: [] };
  return { problems: result.error.issues.flatMap((issue) => problemsOf(issue, yaml)) };
}

function problemsOf(issue: z.core.$ZodIssue, yaml: YamlText): readonly FileProblem[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code !== 'unrecognized_keys') return [yaml.problem(path, issue.message)];
  const reasons = issue.message.split('\n');
  return issue.keys
    .slice(0, PROBLEMS_MAX)
    .map((key, index) => yaml.problem([...path, key], reasons[index] ?? 'unknown key', 'key'));
}

function wordsFor(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== 'invalid_type') return undefined;
  if (issue.input === undefined) return 'is missing';
  const expected: Readonly<Record<string, string>> = {
    object: 'a block of keys',
    array: 'a list',
    boolean: 'true or false',
    number: 'a number',
    string: 'text',
  };
  return `must be ${expected[issue.expected] ?? issue.expected}, not ${shown(issue.input)}`;
}

/** A value as messages show it: short, whatever it is. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a block of keys';
  const text = String(value);
  const clipped = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return typeof value === 'string' ? JSON.stringify(clipped) : clipped;
}

export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
