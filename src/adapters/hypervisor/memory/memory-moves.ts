// VMs on their way from one simulated machine to another: what two libvirts do between themselves, by time alone, whoever watches.
// Not here: the port's calls (memory-migration), what gets lost on the way to a daemon (memory-wire).
//
//   began ──▶ arriving (a paused copy at the target) ──▶ switched (the source's stands still) ──▶ finished (the target's is whole) ──▶ confirmed
//
// Where a libvirt is unreachable at such a moment it counts as having died there, and what libvirt would find out after its start holds:
// before the switch the source goes on and the target's copy dies; after it the source's copy stays paused, for a third party to judge.
// When the target's answer to "finish" is lost, the source goes on although the target's copy is whole: it is paused.

import type { Copy, DiskWay, MoveFigures } from '../../../core/migration.ts';
import type { Endpoint } from '../../../core/model.ts';
import { type GuestState, goOn } from './memory-guest.ts';
import type { MemoryHost } from './memory-host.ts';

const ARRIVING_AFTER = 0.2;
const SWITCH_MS = 100;
const FINISH_MS = 60;
const CONFIRM_MS = 200;
const BYTES = 128 * 1024 * 1024;

type Stage = 'began' | 'arriving' | 'switched' | 'finished';

export interface MemoryMove {
  readonly uuid: string;
  readonly target: MemoryHost;
  readonly disks: DiskWay;
  readonly endpoint: Endpoint | undefined;
  readonly startedAtMs: number;
  readonly durationMs: number;
  stage: Stage;
  cancelled: boolean;
  /** Absent: it is under way. */
  end?: { readonly failure?: string };
}

export class MemoryMoves {
  readonly #host: MemoryHost;
  readonly #moves = new Map<string, MemoryMove>();
  readonly #reserved = new Map<string, Endpoint>();

  constructor(host: MemoryHost) {
    this.#host = host;
  }

  /** Machines that have sent something here: their time must pass before anybody looks at this one. */
  readonly sources = new Set<MemoryHost>();

  reserve(uuid: string): Endpoint | undefined {
    const known = this.#reserved.get(uuid);
    if (known !== undefined) return known;
    const endpoint = this.#host.guests.freeForward(this.coming());
    if (endpoint !== undefined) this.#reserved.set(uuid, endpoint);
    return endpoint;
  }

  coming(): readonly string[] {
    return Array.from(this.#reserved.values(), ({ address }) => address);
  }

  release(uuid: string): void {
    this.#reserved.delete(uuid);
  }

  begin(
    move: Pick<MemoryMove, 'uuid' | 'target' | 'disks' | 'endpoint'>,
    atMs: number,
    durationMs: number,
  ): MemoryMove {
    const begun: MemoryMove = { ...move, startedAtMs: atMs, durationMs, stage: 'began', cancelled: false };
    this.#moves.set(move.uuid, begun);
    move.target.moves.sources.add(this.#host);
    const at = (afterMs: number, act: (dueMs: number) => void): void =>
      this.#host.schedule(atMs + afterMs, (_host, dueMs) => {
        if (begun.end === undefined) act(dueMs);
      });
    at(durationMs * ARRIVING_AFTER, (dueMs) => this.#arrive(begun, dueMs));
    at(durationMs, (dueMs) => this.#switch(begun, dueMs));
    at(durationMs + SWITCH_MS, (dueMs) => this.#finish(begun, dueMs));
    at(durationMs + SWITCH_MS + FINISH_MS + CONFIRM_MS, () => this.#confirm(begun));
    return begun;
  }

  cancel(uuid: string): void {
    const move = this.#moves.get(uuid);
    if (move === undefined || move.end !== undefined) return;
    // Too late: the target has it.
    if (move.stage === 'finished') return;
    move.cancelled = true;
    this.#undo(move, 'the moving was called off');
  }

  isBusy(uuid: string): boolean {
    const move = this.#moves.get(uuid);
    return move !== undefined && move.end === undefined;
  }

  look(uuid: string): Copy {
    const guest = this.#host.guests.get(uuid);
    if (guest === undefined) return { state: 'absent', busy: false, persistent: false };
    const state = !guest.running ? 'off' : guest.pausedAtMs === undefined ? 'running' : 'paused';
    return { state, busy: this.isBusy(uuid) || guest.arriving, persistent: !guest.arriving };
  }

  figures(uuid: string, atMs: number): MoveFigures | undefined {
    const move = this.#moves.get(uuid);
    if (move === undefined || move.end !== undefined) return undefined;
    const ratio = Math.min(1, Math.max(0, (atMs - move.startedAtMs) / move.durationMs));
    return { doneBytes: Math.round(BYTES * ratio), totalBytes: BYTES, downtimeMs: SWITCH_MS + FINISH_MS };
  }

  #arrive(move: MemoryMove, atMs: number): void {
    const { target, uuid } = move;
    const guest = this.#host.guests.get(uuid);
    if (guest?.running !== true) {
      this.#undo(move, 'the domain does not run any more');
      return;
    }
    if (this.#isBroken(move, atMs)) return;
    target.advance(atMs);
    target.guests.takeIn(guest, move.endpoint, atMs);
    move.stage = 'arriving';
  }

  #switch(move: MemoryMove, atMs: number): void {
    const guest = this.#host.guests.get(move.uuid);
    if (guest?.running !== true) {
      this.#undo(move, 'the domain does not run any more');
      return;
    }
    if (this.#isBroken(move, atMs)) return;
    guest.pausedAtMs ??= atMs;
    move.stage = 'switched';
    this.#host.guests.changed();
  }

  #finish(move: MemoryMove, atMs: number): void {
    const { target, uuid } = move;
    const source = this.#host.guests.get(uuid);
    const arrived = target.guests.get(uuid);
    if (this.#isDown(this.#host, atMs)) {
      // Nobody knows what became of it: the copy stays as it stands.
      move.end = { failure: 'libvirtd ended' };
      if (arrived?.arriving) target.guests.remove(uuid);
      return;
    }
    if (source === undefined || arrived === undefined || this.#isDown(target, atMs)) {
      this.#undo(move, 'the target does not answer');
      return;
    }
    copyLife(source, arrived);
    arrived.arriving = false;
    move.stage = 'finished';
    target.guests.changed();
  }

  #confirm(move: MemoryMove): void {
    const { target, uuid } = move;
    const nowMs = move.startedAtMs + move.durationMs + SWITCH_MS + FINISH_MS + CONFIRM_MS;
    if (this.#isDown(this.#host, nowMs)) {
      move.end = { failure: 'libvirtd ended' };
      return;
    }
    // The answer to "finish" was lost.
    if (this.#isDown(target, nowMs)) {
      this.#goOn(move, 'the target does not answer');
      return;
    }
    this.#host.kill(uuid);
    this.#host.guests.remove(uuid);
    move.end = {};
    this.#host.guests.changed();
  }

  #isDown(host: MemoryHost, atMs: number): boolean {
    return host.script.active('unreachable', atMs) !== undefined;
  }

  /** One of the two libvirts has died before the switch. */
  #isBroken(move: MemoryMove, atMs: number): boolean {
    if (!this.#isDown(this.#host, atMs) && !this.#isDown(move.target, atMs)) return false;
    this.#undo(move, 'the connection between the hosts broke');
    return true;
  }

  #undo(move: MemoryMove, failure: string): void {
    const arrived = move.target.guests.get(move.uuid);
    if (arrived?.arriving) move.target.guests.remove(move.uuid);
    this.#goOn(move, failure);
  }

  #goOn(move: MemoryMove, failure: string): void {
    const guest = this.#host.guests.get(move.uuid);
    const nowMs = move.startedAtMs + move.durationMs + SWITCH_MS;
    if (guest?.running === true && guest.pausedAtMs !== undefined) goOn(guest, Math.max(nowMs, guest.pausedAtMs));
    move.end = { failure };
    this.#host.guests.changed();
  }
}

/** The guest is the same one: whatever it had before it and behind it. */
function copyLife(from: GuestState, to: GuestState): void {
  for (const key of ['startedAtMs', 'bootedAtMs', 'readyAtMs', 'shutdownAtMs'] as const) to[key] = from[key];
  to.hostname = from.hostname;
  to.console = '';
  to.pausedAtMs = from.pausedAtMs ?? to.pausedAtMs;
}
