// The seeds' pm_file: the physical machines, one a line or as 'pms': […]. Not here: numbering them, connecting to them.

import { createHash } from 'node:crypto';
import type { FileProblem } from './file-problem.ts';
import { type PmAddress, readPmAddress } from './pm-address.ts';
import { name as nameSchema, shown } from './schemas.ts';
import { type SeedResult, seedItems, seedResult } from './seed-text.ts';

export interface PmEntry {
  /** Stays the same when the line moves: the pmid hangs on it. */
  readonly key: string;
  /** Made from the address, fit for configuration and metrics, and the same in whatever order the lines stand. */
  readonly name: string;
  /** The libvirt URI the machine is reached by. */
  readonly uri: string;
  readonly line: number;
}

const NAME_MAX = 40;

/** A URI is taken as it stands; an address becomes `qemu+ssh://USER@ADDRESS:PORT/system?no_tty=1`; `localhost` is `qemu:///system`. */
export function parsePmFile(text: string, file: string): SeedResult<PmEntry> {
  const read = seedItems(text, file, 'pms', 'machine');
  if (!read.ok) return { ok: false, problems: read.problems };
  const problems: FileProblem[] = [...read.problems];
  const lineOf = new Map<string, number>();
  const machines: (PmAddress & { readonly line: number; problem(reason: string): FileProblem })[] = [];
  for (const { text: entry, line, problem } of read.items) {
    const address = readPmAddress(entry);
    if (!address.ok) {
      problems.push(problem(address.reason));
      continue;
    }
    const other = lineOf.get(address.value.machine);
    if (other !== undefined) {
      problems.push(problem(`${shown(entry)} is the machine of line ${other}: its VMs would be counted twice`));
      continue;
    }
    lineOf.set(address.value.machine, line);
    machines.push({ ...address.value, line, problem });
  }
  const names = namesOf(machines);
  const entries = machines.map(({ key, uri, line }, index) => ({ key, name: names[index] ?? key, uri, line }));
  for (const [index, { name }] of entries.entries()) {
    const other = names.indexOf(name);
    if (other === index) continue;
    const reason = `gets the name ${name}, which line ${entries[other]?.line ?? 0} has already`;
    problems.push(machines[index]?.problem(reason) as FileProblem);
  }
  return seedResult(entries, problems);
}

/**
 * A name that says it all is kept; of several machines that would get one name (`a.b` and `a-b`, two sockets) those whose name
 * had to be changed, or does not tell them apart, get a part of their key's digest. Nothing depends on the order of the lines.
 */
function namesOf(machines: readonly PmAddress[]): readonly string[] {
  const plain = machines.map(({ label }) => fitting(label));
  return machines.map(({ key, label }, index) => {
    const name = plain[index] ?? '';
    const same = machines.filter((_, other) => plain[other] === name);
    const mine = same.length === 1 || (name === label && same.filter((other) => other.label === label).length === 1);
    // A socket or a name is not in the label.
    if (mine && isName(name) && !key.includes('?')) return name;
    const digest = createHash('sha256').update(key).digest('hex').slice(0, 8);
    return `${name.slice(0, NAME_MAX - 9).replace(/[.-]+$/, '')}-${digest}`;
  });
}

function fitting(label: string): string {
  if (isName(label)) return label;
  const name = label
    .toLowerCase()
    .replaceAll(/[^a-z\d.]+/g, '-')
    .replaceAll(/^[.-]+|[.-]+$/g, '');
  return name === '' ? 'host' : name;
}

function isName(text: string): boolean {
  return nameSchema.safeParse(text).success;
}
