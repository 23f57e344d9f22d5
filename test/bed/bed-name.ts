// The name that everything of one bed carries: its folder, its network namespaces, its cgroups. It says whose bed it is, so
// that one whose owner has died without removing it is known as such. Removes nothing itself.
import { readFile } from 'node:fs/promises';

/** `e`: embedded hosts. `h`: hosts in namespaces. */
export type BedKind = 'e' | 'h';

/** Where the folders of beds lie. Short: paths of unix sockets have 107 bytes. */
export const BEDS_FOLDER = '/tmp';

const FORM = /^vs[eh]-(\d+)-(\d+)-\d+$/;
let count = 0;

/** `vsh-PID-START-N`: the owner's pid, when it started (a pid comes back, that time does not), and a number for each of its beds. */
export async function newBedName(kind: BedKind): Promise<string> {
  const start = await startTime(process.pid);
  count += 1;
  return `vs${kind}-${process.pid}-${start ?? 0}-${count}`;
}

/** The bed's name at the front of the name of something that belongs to a bed of this kind (`vsh-1-2-3-ctl`). */
export function bedNameIn(text: string, kind: BedKind): string | undefined {
  const name = /^vs[eh]-\d+-\d+-\d+(?=-|$)/.exec(text)?.[0];
  return name?.startsWith(`vs${kind}-`) ? name : undefined;
}

/** Whether the process that made the bed lives. */
export async function ownerLives(bedName: string): Promise<boolean> {
  const [, pid, start] = FORM.exec(bedName) ?? [];
  return pid !== undefined && (await startTime(Number(pid))) === Number(start);
}

/** In ticks since the machine came up; undefined when there is no such process, or only a zombie. */
async function startTime(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in parentheses may hold anything; state is the 3rd field and the start time the 22nd.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return text === '' || fields[0] === 'Z' ? undefined : Number(fields[19]);
}
