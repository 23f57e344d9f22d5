// Sizes of memory and disks as people write them: "128M", "2G", "512MiB". Powers of 1024 throughout.
// Not here: what range a setting allows.

import type { Read } from './read.ts';

const UNITS_MIB: Readonly<Record<string, number>> = { m: 1, g: 1024, t: 1024 * 1024 };

/** MiB, whole. A number without a unit is refused. */
export function readSizeMiB(value: unknown): Read<number> {
  if (typeof value === 'number') return { ok: false, reason: `needs a unit: write ${value}M or ${value}G` };
  if (typeof value !== 'string') return { ok: false, reason: 'must be a size such as 128M or 2G' };
  const text = value.trim();
  const match = /^(\d{1,9}(?:\.\d{1,3})?) ?([mgt])(?:i?b)?$/i.exec(text);
  const unitMiB = match ? UNITS_MIB[(match[2] ?? '').toLowerCase()] : undefined;
  if (match === null || unitMiB === undefined) {
    const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
    return { ok: false, reason: `"${shown}" is not a size; write it as 128M, 2G or 1T (powers of 1024)` };
  }
  const mib = Number(match[1]) * unitMiB;
  if (!Number.isInteger(mib)) return { ok: false, reason: `"${text}" is not a whole number of MiB` };
  return { ok: true, value: mib };
}
