// Snapshots of simulated domains: what is in a disk and in a memory at a time, and which file lies over which.
// Each act throws what libvirt would answer. Not here: what gets lost on the way (memory-hypervisor).

import type { Snapshot, SnapshotKind } from '../../../core/snapshot.ts';
import { Fault } from '../../../ports/fault.ts';
import type { RevertWish, Snapshots, SnapshotWish } from '../../../ports/snapshots.ts';
import type { GuestState } from './memory-guest.ts';
import type { MemoryWire } from './memory-wire.ts';

export interface MemorySnapshotsOptions {
  readonly host: string;
  readonly guestOf: (uuid: string) => GuestState | undefined;
  /** Its agent answers. */
  readonly answers: (uuid: string, atMs: number) => boolean;
  readonly isFull: (atMs: number) => boolean;
  /** Ends it, and lets it begin: from saved memory, or by a boot. */
  readonly stop: (uuid: string) => void;
  readonly start: (uuid: string, atMs: number, from: 'memory' | 'boot') => void;
  readonly pause: (uuid: string, atMs: number) => void;
}

interface Kept {
  readonly facts: Omit<Snapshot, 'isCurrent' | 'parent'>;
  parent: string | undefined;
  /** The file it lies in, or has frozen. */
  file: number;
  readonly disk: string;
  readonly memory: string | undefined;
}

interface State {
  readonly kept: Map<string, Kept>;
  current: string | undefined;
  disk: string;
  /** Lost with the start it belongs to. */
  memory: { readonly startedAtMs: number; readonly text: string } | undefined;
  /** The start whose file systems are frozen. */
  frozenSinceStart: number | undefined;
  /** What each file lies over; the domain writes on `active`. */
  readonly files: Map<number, number | undefined>;
  active: number;
  made: number;
  /** The way back that the active file was made for, and the start it led to. */
  back: { readonly operation: string; readonly startedAtMs: number } | undefined;
}

export class MemorySnapshots {
  /** These have disks that hold no internal snapshots. */
  readonly rawDisks = new Set<string>();
  readonly #options: MemorySnapshotsOptions;
  readonly #states = new Map<string, State>();

  constructor(options: MemorySnapshotsOptions) {
    this.#options = options;
  }

  // --- for tests: what a guest does and a look inside --------------------------------------------------------------------------

  write(uuid: string, where: 'disk' | 'memory', text: string): void {
    const [guest, state] = this.#of(uuid);
    if (where === 'disk') state.disk = text;
    else state.memory = { startedAtMs: guest.startedAtMs, text };
  }

  read(uuid: string, where: 'disk' | 'memory'): string {
    const [guest, state] = this.#of(uuid);
    if (where === 'disk') return state.disk;
    return guest.running && state.memory?.startedAtMs === guest.startedAtMs ? state.memory.text : '';
  }

  isFrozen(uuid: string): boolean {
    const guest = this.#options.guestOf(uuid);
    return guest?.running === true && this.#states.get(uuid)?.frozenSinceStart === guest.startedAtMs;
  }

  // --- the port's acts -----------------------------------------------------------------------------------------------------------

  list(uuid: string): Snapshot[] {
    const [, state] = this.#of(uuid);
    return [...state.kept.values()].map((kept) => seen(kept, state));
  }

  freeze(uuid: string, atMs: number): boolean {
    const [guest, state] = this.#of(uuid);
    if (!guest.running || guest.pausedAtMs !== undefined || !this.#options.answers(uuid, atMs)) return false;
    state.frozenSinceStart = guest.startedAtMs;
    return true;
  }

  thaw(uuid: string, atMs: number): void {
    if (!this.isFrozen(uuid)) return;
    const [guest, state] = this.#of(uuid);
    if (guest.pausedAtMs === undefined && !this.#options.answers(uuid, atMs)) {
      throw new Fault('busy', `host ${this.#options.host}: the agent of ${guest.name} does not answer`);
    }
    state.frozenSinceStart = undefined;
  }

  take(uuid: string, wish: SnapshotWish, atMs: number): Snapshot {
    const [guest, state] = this.#of(uuid);
    const { description, frozen, name, operation, resumes } = wish;
    const before = state.kept.get(name);
    if (before !== undefined) {
      if (before.facts.operation === operation) return seen(before, state);
      throw new Fault('conflict', `host ${this.#options.host}: ${guest.name} has a snapshot ${name} already`);
    }
    if (this.#options.isFull(atMs)) throw this.#refused('no space left in the pool');
    const isOff = !guest.running;
    const kind = this.#kindOf(guest, wish, isOff);
    const hasMemory = wish.memory && !isOff;
    const runs = resumes || guest.pausedAtMs === undefined;
    const kept: Kept = {
      facts: {
        name,
        kind,
        hasMemory,
        state: isOff ? 'stopped' : runs ? 'running' : 'paused',
        consistency: hasMemory || isOff ? 'application' : frozen ? 'filesystem' : 'crash',
        createdAt: wholeSeconds(atMs),
        ...(description !== undefined && { description }),
        operation,
      },
      parent: state.current,
      file: state.active,
      disk: state.disk,
      memory: hasMemory ? this.read(uuid, 'memory') : undefined,
    };
    state.kept.set(name, kept);
    state.current = name;
    if (kind === 'external') this.#layOver(state, state.active);
    return seen(kept, state);
  }

  revert(uuid: string, name: string, wish: RevertWish, atMs: number): Snapshot {
    const { host, pause, start, stop } = this.#options;
    const [guest, state] = this.#of(uuid);
    const kept = state.kept.get(name);
    if (kept === undefined) throw new Fault('gone', `host ${host}: ${guest.name} has no snapshot ${name}`);
    const isBack =
      guest.running && state.back?.operation === wish.operation && state.back.startedAtMs === guest.startedAtMs;
    if (isBack) return seen(kept, state);
    if (kept.facts.kind === 'external') this.#layOver(state, kept.file);
    else if (overlays(state, kept.file) > 0 || holds(state, kept.file, 'external')) {
      throw new Fault('conflict', `host ${host}: snapshot ${name} of ${guest.name} lies inside a file below others`);
    } else state.active = kept.file;
    if (guest.running) stop(uuid);
    state.disk = kept.disk;
    state.current = name;
    state.frozenSinceStart = undefined;
    if (kept.memory !== undefined) {
      start(uuid, atMs, 'memory');
      state.memory = { startedAtMs: guest.startedAtMs, text: kept.memory };
      if (kept.facts.state === 'paused') pause(uuid, atMs);
    } else if (wish.power === 'running') start(uuid, atMs, 'boot');
    const isExternal = kept.facts.kind === 'external' && guest.running;
    state.back = isExternal ? { operation: wish.operation, startedAtMs: guest.startedAtMs } : undefined;
    this.#tidy(state);
    return seen(kept, state);
  }

  delete(uuid: string, name: string): void {
    const [guest, state] = this.#of(uuid);
    const kept = state.kept.get(name);
    if (kept === undefined) return;
    state.kept.delete(name);
    for (const other of state.kept.values()) if (other.parent === name) other.parent = kept.parent;
    if (state.current === name) state.current = kept.parent;
    this.#tidy(state);
    if (guest.running) this.#merge(state);
  }

  // --- inside ---------------------------------------------------------------------------------------------------------------------

  #of(uuid: string): readonly [GuestState, State] {
    const guest = this.#options.guestOf(uuid);
    if (guest === undefined) {
      this.#states.delete(uuid);
      throw new Fault('gone', `host ${this.#options.host}: there is no domain ${uuid}`);
    }
    const state = this.#states.get(uuid) ?? {
      kept: new Map(),
      current: undefined,
      disk: '',
      memory: undefined,
      frozenSinceStart: undefined,
      files: new Map([[0, undefined]]),
      active: 0,
      made: 0,
      back: undefined,
    };
    this.#states.set(uuid, state);
    return [guest, state];
  }

  #kindOf(guest: GuestState, wish: SnapshotWish, isOff: boolean): SnapshotKind {
    const notInternal =
      (!isOff && !wish.memory && 'an internal one of a VM that runs has its memory always') ||
      (this.rawDisks.has(guest.uuid) && 'its disk holds none');
    if (wish.kind !== 'external' && notInternal === false) return 'internal';
    if (wish.kind === 'internal')
      throw this.#refused(`${guest.name}: no internal snapshot is possible: ${notInternal}`);
    if (guest.metadata !== undefined && guest.metadata.adopted !== true) return 'external';
    throw this.#refused(`${guest.name}: no external snapshot is possible: virtscale did not make its disks`);
  }

  #layOver(state: State, file: number): void {
    state.made += 1;
    state.files.set(state.made, file);
    state.active = state.made;
  }

  #tidy(state: State): void {
    const needed = new Set([state.active, ...[...state.kept.values()].map(({ file }) => file)]);
    for (const file of needed) {
      const below = state.files.get(file);
      if (below !== undefined) needed.add(below);
    }
    for (const file of [...state.files.keys()]) if (file !== 0 && !needed.has(file)) state.files.delete(file);
  }

  #merge(state: State): void {
    for (let upper = state.active; ; ) {
      const lower = state.files.get(upper);
      if (lower === undefined) return;
      const isFree =
        !holds(state, lower, 'external') && overlays(state, lower) === 1 && !holds(state, upper, 'internal');
      if (isFree && overlays(state, upper) <= 1) {
        for (const [file, below] of state.files) if (below === upper) state.files.set(file, lower);
        for (const kept of state.kept.values()) if (kept.file === upper) kept.file = lower;
        state.files.delete(upper);
        if (state.active === upper) state.active = lower;
      }
      upper = lower;
    }
  }

  #refused(what: string): Fault {
    return new Fault('refused', `host ${this.#options.host}: ${what}`);
  }
}

/** As libvirt keeps it. */
function wholeSeconds(atMs: number): string {
  return new Date(Math.floor(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

function holds({ kept }: State, file: number, kind: SnapshotKind): boolean {
  return [...kept.values()].some((one) => one.file === file && one.facts.kind === kind);
}

function overlays({ files }: State, file: number): number {
  return [...files.values()].filter((below) => below === file).length;
}

function seen({ facts, parent }: Kept, { current, kept }: State): Snapshot {
  return {
    ...facts,
    ...(parent !== undefined && kept.has(parent) && { parent }),
    isCurrent: current === facts.name,
  };
}

/** The port, over a wire on which calls get lost. */
export function snapshotsOf(made: MemorySnapshots, wire: MemoryWire): Snapshots {
  return {
    list: (uuid, signal) => wire.call('listSnapshots', signal, () => made.list(uuid)),
    freeze: (uuid, signal) => wire.call('freeze', signal, (atMs) => made.freeze(uuid, atMs)),
    thaw: (uuid, signal) => wire.call('thaw', signal, (atMs) => made.thaw(uuid, atMs)),
    take: (uuid, wish, signal) => wire.call('takeSnapshot', signal, (atMs) => made.take(uuid, wish, atMs)),
    revert: (uuid, name, wish, signal) =>
      wire.call('revertSnapshot', signal, (atMs) => made.revert(uuid, name, wish, atMs)),
    delete: (uuid, name, signal) => wire.call('deleteSnapshot', signal, () => made.delete(uuid, name)),
  };
}
