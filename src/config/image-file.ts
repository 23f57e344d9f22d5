// The seeds' image_file: the disk images, one a line or as 'images': […]. Not here: numbering, fetching or looking into them.

import type { FileProblem } from './file-problem.ts';
import { type FileImageSource, imageFileName, readImageSource } from './image-source.ts';
import type { Read } from './read.ts';
import { shown } from './schemas.ts';
import { type SeedResult, seedItems, seedResult } from './seed-text.ts';

export interface ImageEntry {
  /** Stays the same when the line moves: the image's id hangs on it. */
  readonly key: string;
  /** The last part of the path without `.img`, `.qcow2` or `.raw`: letters of both cases, digits and `. _ -`, 64 at most. */
  readonly name: string;
  readonly source: FileImageSource;
  readonly line: number;
}

const NAME_MAX = 64;

/** `baseDir`: the absolute folder that relative paths start from, the file's own. Names that had to be changed are told as warnings. */
export function parseImageFile(text: string, file: string, baseDir: string): SeedResult<ImageEntry> {
  const read = seedItems(text, file, 'images', 'image');
  if (!read.ok) return { ok: false, problems: read.problems };
  const problems: FileProblem[] = [...read.problems];
  const warnings: FileProblem[] = [];
  const entries: ImageEntry[] = [];
  const lineOf = { key: new Map<string, number>(), name: new Map<string, number>() };
  for (const { text: entry, line, problem } of read.items) {
    const source = readImageSource(entry, baseDir);
    const name = source.ok ? nameOf(source.value) : source;
    if (!source.ok || !name.ok) {
      problems.push(problem(name.ok ? '' : name.reason));
      continue;
    }
    const key = keyOf(source.value);
    const { text: clean, changed } = name.value;
    const [sameKey, sameName] = [lineOf.key.get(key), lineOf.name.get(clean)];
    if (sameKey !== undefined) problems.push(problem(`this image is in line ${sameKey} already`));
    else if (sameName !== undefined) {
      problems.push(problem(`the image would be named ${clean}, as that of line ${sameName}; rename one of the files`));
    }
    if (changed) warnings.push(problem(`the image is named ${clean}: names have letters, digits and . _ - only`));
    lineOf.key.set(key, sameKey ?? line);
    lineOf.name.set(clean, sameName ?? line);
    entries.push({ key, name: clean, source: source.value, line });
  }
  return seedResult(entries, problems, warnings);
}

function keyOf(source: FileImageSource): string {
  if (source.kind === 'path') return source.path;
  if (source.kind === 'url') return source.url;
  const host = source.host.includes(':') ? `[${source.host}]` : source.host;
  return `${source.user === undefined ? '' : `${source.user}@`}${host}:${source.path}`;
}

function nameOf(source: FileImageSource): Read<{ readonly text: string; readonly changed: boolean }> {
  const last = imageFileName(source);
  const stem = last.replace(/\.(?:img|qcow2|raw)$/i, '');
  const text = stem
    .replaceAll(/[^a-z\d._-]+/giu, '-')
    .replaceAll(/^[._-]+/g, '')
    .slice(0, NAME_MAX)
    .replaceAll(/[._-]+$/g, '');
  if (text === '') return { ok: false, reason: `${shown(last)} gives the image no name; rename it` };
  return { ok: true, value: { text, changed: text !== stem } };
}
