// Durations as people write them: "500ms", "3s", "2m", "1h", "1.5s". Not here: what range a setting allows.

import type { Read } from './read.ts';

const UNITS_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Milliseconds, whole. A number without a unit is refused: nobody can tell seconds from milliseconds. */
export function readDuration(value: unknown): Read<number> {
  if (typeof value === 'number') {
    return { ok: false, reason: `needs a unit: write ${value}s for seconds, or ${value}ms, ${value}m, ${value}h` };
  }
  if (typeof value !== 'string') return { ok: false, reason: 'must be a duration such as 3s, 500ms, 2m or 1h' };
  const match = /^(\d{1,12}(?:\.\d{1,6})?) ?([a-z]+)$/.exec(value.trim());
  const unitMs = match ? UNITS_MS.get(match[2] ?? '') : undefined;
  if (match === null || unitMs === undefined) {
    return { ok: false, reason: `"${clip(value)}" is not a duration; write it as 3s, 500ms, 2m or 1h` };
  }
  const ms = Number(match[1]) * unitMs;
  if (!Number.isInteger(Math.round(ms * 1e6) / 1e6)) {
    return { ok: false, reason: `"${clip(value)}" is finer than a millisecond` };
  }
  return { ok: true, value: Math.round(ms) };
}

function clip(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
