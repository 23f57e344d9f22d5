// The seeds' flavor_file: {"types": [{"cpu": 1, "ram": 512, "disk": 1}]}, as JSON or nearly. Not here: numbering the types.

import { z } from 'zod';
import type { Flavor } from '../core/model.ts';
import type { FileProblem } from './file-problem.ts';
import { refuse, strict, wholeBetween } from './schemas.ts';
import { readSeedList, type SeedResult, seedResult, wholeFile } from './seed-text.ts';

export interface FlavorEntry {
  /** Made of cpu, ram and disk: the id of a type without a `tid` hangs on it. */
  readonly key: string;
  /** The number the file gives it; absent when it gives none. */
  readonly tid?: number;
  readonly name: string;
  readonly flavor: Flavor & { readonly diskGiB: number };
  readonly line: number;
}

const MIB_PER_TIB = 1024 * 1024;

/** A number in quotes is text: a client that was given it back would choke on it. */
function whole(min: number, max: number) {
  return z
    .unknown()
    .superRefine((value, context) => {
      if (typeof value !== 'string' || !/^\d{1,15}$/.test(value)) return;
      refuse(context, [], `must be a number, not text: write ${value} without quotes`);
    })
    .pipe(wholeBetween(min, max));
}

const type = strict({
  tid: whole(1, 2_147_483_647).optional(),
  cpu: whole(1, 256),
  ram: whole(16, 16 * MIB_PER_TIB),
  disk: whole(1, 64 * 1024),
});

/** `ram` is MiB, `disk` GiB. */
export function parseFlavorFile(text: string, file: string): SeedResult<FlavorEntry> {
  const read = readSeedList(text, file, 'types', type);
  if (!read.ok) return { ok: false, problems: read.problems };
  if (read.items.length === 0) return { ok: false, problems: [wholeFile(file, 'the file lists no types')] };
  const problems: FileProblem[] = [];
  const lineOf = { key: new Map<string, number>(), tid: new Map<number, number>() };
  const entries = read.items.map(({ tid, cpu, ram, disk }, index): FlavorEntry => {
    const { line } = read.problem(index, [], '');
    const name = `${cpu}cpu-${ram}mib-${disk}gib`;
    const [sameKey, sameTid] = [lineOf.key.get(name), tid === undefined ? undefined : lineOf.tid.get(tid)];
    if (sameKey !== undefined) problems.push(read.problem(index, [], `this type is in line ${sameKey} already`));
    if (sameTid !== undefined)
      problems.push(read.problem(index, ['tid'], `${tid} is the tid of line ${sameTid} already`));
    lineOf.key.set(name, sameKey ?? line);
    if (tid !== undefined) lineOf.tid.set(tid, sameTid ?? line);
    return {
      key: name,
      ...(tid !== undefined && { tid }),
      name,
      flavor: { name, vcpus: cpu, memoryMiB: ram, diskGiB: disk },
      line,
    };
  });
  return seedResult(entries, problems);
}
