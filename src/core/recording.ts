// Evaluations as lines of JSON: the first of a recording whole, later ones as what changed since the one before. Exact, and small.
// Not here: where the lines are kept (adapters/recorder), running them again (replay).

import type { Evaluation } from './evaluation.ts';
import type { Memory } from './memory.ts';
import type { DomainObservation, GroupName, HostObservation, HostView, Snapshot, VmView } from './model.ts';
import { patchBetween, patched } from './patch.ts';
import type { Policy } from './policy.ts';

/** Of the lines: another one is not read. */
const FORMAT = 2;

/** When the changes since the last whole frame are together so many times as long as it, the next one is whole: this bounds what one look-up reads. */
const CHANGES_TO_WHOLE = 1;
const CHANGES_MIN_CHARACTERS = 64 * 1024;
const FRAMES_PER_WHOLE_MAX = 600;

/** A line that is not one, or that does not follow the line before. */
export class RecordingError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'RecordingError';
  }
}

export interface EncodedFrame {
  /** Without the line break. */
  readonly line: string;
  /** It can be read without those before. */
  readonly whole: boolean;
}

/** What stands at the beginning of a whole frame's line, so that a file can be searched without reading all of it. */
export interface FrameHead {
  /** Of the evaluation, RFC 3339. */
  readonly at: string;
  /** Groups decided upon. */
  readonly groups: readonly GroupName[];
  /** Evaluations that were lost before this one. */
  readonly lost: number;
}

/** A domain that the picture of a host has too is told by its place among all hosts' domains, from 0. */
interface FlatVm extends Omit<VmView, 'domain'> {
  readonly domain?: DomainObservation | number;
}

/** A host whose domains are told elsewhere: here is only how many. */
interface FlatHost extends Omit<HostView, 'last'> {
  readonly last?: Omit<HostObservation, 'domains'> & { readonly domains: number };
}

/** What was decided, and when: at the beginning of a line, with its length before it, so that it can be read alone. */
type Decided = Pick<Evaluation, 'at' | 'decisions'>;

/** What it was decided upon, with nothing in it twice, laid out so that what is alike stands together. */
interface Seen {
  readonly nowMs: number;
  /** 0 stands for what is told below. */
  readonly snapshot: Omit<Snapshot, 'hosts' | 'vms'> & { readonly hosts: 0; readonly vms: 0 };
  readonly hosts: readonly FlatHost[];
  readonly domains: readonly DomainObservation[];
  readonly vms: readonly FlatVm[];
  readonly policies: readonly Policy[];
  readonly memory: Memory;
}

interface Flat {
  readonly decided: Decided;
  readonly seen: Seen;
  readonly memoryAfter: Memory;
}

/** What a whole frame is told against. */
const NOTHING: Flat = {
  decided: { at: '', decisions: [] },
  seen: {
    nowMs: 0,
    snapshot: { atMs: 0, hosts: 0, vms: 0 },
    hosts: [],
    domains: [],
    vms: [],
    policies: [],
    memory: {},
  },
  memoryAfter: {},
};

function flattened({ at, nowMs, snapshot, policies, memory, decisions, memoryAfter }: Evaluation): Flat {
  const domains: DomainObservation[] = [];
  const places = new Map<DomainObservation, number>();
  const hosts = snapshot.hosts.map((host): FlatHost => {
    if (host.last === undefined) return host as Omit<HostView, 'last'>;
    for (const domain of host.last.domains) {
      places.set(domain, domains.length);
      domains.push(domain);
    }
    return { ...host, last: { ...host.last, domains: host.last.domains.length } };
  });
  const vms = snapshot.vms.map((vm): FlatVm => {
    const place = vm.domain && places.get(vm.domain);
    return place === undefined ? vm : { ...vm, domain: place };
  });
  const seen = { nowMs, snapshot: { ...snapshot, hosts: 0, vms: 0 }, hosts, domains, vms, policies, memory } as const;
  return { decided: { at, decisions }, seen, memoryAfter };
}

function restored({ decided: { at, decisions }, seen, memoryAfter }: Flat): Evaluation {
  const { nowMs, policies, memory, domains } = seen;
  let from = 0;
  const hosts = seen.hosts.map((host): HostView => {
    if (host.last === undefined) return host as Omit<FlatHost, 'last'>;
    const to = from + host.last.domains;
    const last = { ...host.last, domains: domains.slice(from, to) };
    from = to;
    return { ...host, last };
  });
  const vms = seen.vms.map((vm): VmView => {
    if (typeof vm.domain !== 'number') return vm as VmView;
    const domain = domains[vm.domain];
    if (domain === undefined) throw new TypeError('a VM whose domain is not told');
    return { ...vm, domain };
  });
  return { at, nowMs, snapshot: { ...seen.snapshot, hosts, vms }, policies, memory, decisions, memoryAfter };
}

export class EvaluationEncoder {
  #before: Flat | undefined;
  #wholeCharacters = 0;
  #changeCharacters = 0;
  #frames = 0;

  /** `lost`: evaluations that could not be recorded before this one; then it is whole. Keeps what it is given until the next call. */
  encode(evaluation: Evaluation, lost = 0): EncodedFrame {
    const flat = flattened(evaluation);
    const before = lost > 0 || this.#isDue() ? undefined : this.#before;
    this.#before = flat;
    this.#frames += 1;
    if (before !== undefined) {
      const line = `["change",${changesBetween(before, flat)}]`;
      this.#changeCharacters += line.length;
      return { line, whole: false };
    }
    const groups = flat.decided.decisions.map(({ group }) => group);
    const head: FrameHead = { at: flat.decided.at, groups, lost };
    const line = `["whole",${FORMAT},${JSON.stringify(head)},${changesBetween(NOTHING, flat)}]`;
    this.#wholeCharacters = line.length;
    this.#changeCharacters = 0;
    this.#frames = 1;
    return { line, whole: true };
  }

  /** The next frame is whole. */
  restart(): void {
    this.#before = undefined;
  }

  #isDue(): boolean {
    const bound = Math.max(CHANGES_MIN_CHARACTERS, this.#wholeCharacters * CHANGES_TO_WHOLE);
    return this.#changeCharacters > bound || this.#frames >= FRAMES_PER_WHOLE_MAX;
  }
}

/** Memory is as the evaluation before left it, unless somebody changed it: the two are told one after the other. */
function changesBetween(before: Flat, flat: Flat): string {
  const decided = JSON.stringify(patchBetween(before.decided, flat.decided) ?? {});
  const seen = patchBetween({ ...before.seen, memory: before.memoryAfter }, flat.seen) ?? {};
  const remembered = patchBetween(flat.seen.memory, flat.memoryAfter) ?? {};
  return `${decided.length},${decided},${JSON.stringify(seen)},${JSON.stringify(remembered)}`;
}

export class EvaluationDecoder {
  #before: Flat | undefined;

  /** Lines in their order, beginning with a whole one. Throws `RecordingError`; then only a whole line can follow. */
  decode(line: string): Evaluation {
    const before = this.#before;
    this.#before = undefined;
    const [base, changes] = told(line, before, NOTHING);
    return following(() => {
      const decided = patched(base.decided, changes[1]) as Decided;
      const seen = patched({ ...base.seen, memory: base.memoryAfter }, changes[2]) as Seen;
      const flat = { decided, seen, memoryAfter: patched(seen.memory, changes[3]) as Memory };
      const evaluation = restored(flat);
      this.#before = flat;
      return evaluation;
    });
  }
}

/** Reads only what was decided: many times faster than `EvaluationDecoder`, which makes the pictures and memories too. */
export class DecisionDecoder {
  #before: Decided | undefined;

  /** Lines in their order, beginning with a whole one. Throws `RecordingError`; then only a whole line can follow. Of a line it reads no more than it needs. */
  decode(line: string): Decided {
    const before = this.#before;
    this.#before = undefined;
    const [base, [, changes]] = told(beginningOf(line), before, NOTHING.decided);
    this.#before = following(() => patched(base, changes) as Decided);
    return this.#before;
  }
}

function following<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TypeError) throw new RecordingError('the line does not follow the one before', error);
    throw error;
  }
}

const HEAD = /^\["whole",\d+,(\{"at":"[^"]*","groups":\[[^\]]*\],"lost":\d+\})/;
const LENGTH = /^,(\d{1,9}),/;

/** As far as the decisions go, as a line of its own; the whole line when it has no such beginning. */
function beginningOf(line: string): string {
  const start = line.startsWith('["change"') ? '["change"' : (HEAD.exec(line)?.[0] ?? '');
  const length = LENGTH.exec(line.slice(start.length, start.length + 12));
  if (length === null) return line;
  return `${line.slice(0, start.length + length[0].length + Number(length[1]))}]`;
}

/** What the line is told against, and its changes: their length, of what was decided, of what was seen, of memory. */
function told<T>(line: string, before: T | undefined, nothing: T): readonly [T, readonly unknown[]] {
  let frame: unknown;
  try {
    frame = JSON.parse(line);
  } catch (error) {
    throw new RecordingError('the line is torn or no JSON', error);
  }
  if (!Array.isArray(frame)) throw new RecordingError('the line is no frame of a recording');
  const [kind] = frame;
  if (kind === 'whole') {
    if (frame[1] !== FORMAT)
      throw new RecordingError(`the recording has format ${frame[1]}; this version reads ${FORMAT}`);
    return [nothing, frame.slice(3)];
  }
  if (kind !== 'change') throw new RecordingError('the line is no frame of a recording');
  if (before === undefined) throw new RecordingError('the recording does not begin with a whole frame');
  return [before, frame.slice(1)];
}

/** The head of a whole frame, from the beginning of its line; undefined for other lines. Throws nothing. */
export function headOf(beginning: string): FrameHead | undefined {
  const match = HEAD.exec(beginning);
  if (match?.[1] === undefined) return undefined;
  try {
    return JSON.parse(match[1]) as FrameHead;
  } catch {
    return undefined;
  }
}
