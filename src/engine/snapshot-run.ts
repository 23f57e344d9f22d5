// Carries snapshot operations out: all of the VMs held still, taken, let go; or none of them has it. Going back, and deleting.
// Not here: whether one may (snapshots), holding VMs still and letting them go (snapshot-hold), how a host does it (ports/snapshots).
//
//   taking   what an interrupted try took is deleted ─▶ held ─▶ taken ─▶ let go, whatever happened ─▶ older ones removed ─▶ succeeded
//                              ▲                                          │ one failed: the others' are deleted again
//                              └──── again while a host may yet answer ◀──┴──▶ failed
//
// With memory several VMs are held by pausing them all; without, by freezing their file systems, each by its own agent. After a crash
// they are let go first of all. Every call may be repeated; the operation's id, which stands in each snapshot, tells what is its own.

import type { VmRecord } from '../core/model.ts';
import type { Operation, OperationVm } from '../core/operation.ts';
import { keepRuleOf, type Snapshot, type SnapshotWork, type TakenSnapshot, tooMany } from '../core/snapshot.ts';
import { durationText } from '../core/wording.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import { type FabricParts, kept, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { failed, moved, moveTo } from './operations.ts';
import { aboutVm } from './records.ts';
import { all, type Member, SnapshotHolds } from './snapshot-hold.ts';

/** Memory and disks may be large; a frozen guest waits for nobody so long. */
const COPY_MS = 600_000;
const FROZEN_MS = 60_000;
const QUICK_MS = 15_000;
const RETRY_MS = 1_000;
/** How long a host that does not answer, or a busy domain, is tried again. */
const RETRY_FOR_MS = 120_000;
const WOKEN_FOR_MS = 15_000;

export class SnapshotRuns {
  readonly #parts: FabricParts;
  readonly #holds: SnapshotHolds;

  constructor(parts: FabricParts) {
    this.#parts = parts;
    this.#holds = new SnapshotHolds(parts);
  }

  /** Resolves when nobody is being let go any more. */
  letGoEnded(): Promise<void> {
    return this.#holds.letGoEnded();
  }

  /** `again`: an earlier daemon had begun it. Never rejects. */
  async run(operation: Operation, again: boolean): Promise<void> {
    const { log, signal } = this.#parts;
    const work = operation.snapshot;
    if (work === undefined) return;
    try {
      const members = this.#membersOf(operation);
      if (operation.kind === 'snapshot.create') await this.#create(operation, work, members, again);
      else if (operation.kind === 'snapshot.revert') await this.#revert(operation, work, members);
      else await this.#delete(operation, work, members);
    } catch (error) {
      // A daemon that ends leaves it to the next.
      if (signal.aborted) return;
      if (!isFault(error)) log.error({ err: error, operation: operation.id }, 'a bug ended a snapshot operation');
      const failure = { timedOut: isFault(error, 'timed-out'), detail: messageOf(error) };
      await this.#end(operation, { failure });
    }
  }

  #membersOf({ vms }: Operation): readonly Member[] {
    const { hosts, ledger } = this.#parts;
    return vms.map(({ host, id, name }) => {
      const record = ledger.state.vms.get(id);
      const hypervisor = hosts.get(host)?.hypervisor;
      if (record === undefined) throw new Fault('gone', `VM ${name} is gone`);
      if (hypervisor === undefined) throw new Fault('refused', `host ${host} is not in the configuration any more`);
      return { record, hypervisor };
    });
  }

  // --- taking -------------------------------------------------------------------------------------------------------------------

  async #create(operation: Operation, work: SnapshotWork, members: readonly Member[], again: boolean): Promise<void> {
    const { clock } = this.#parts;
    const memory = work.memory ?? true;
    if (again) {
      // One alone was held by its host, which lets it go by itself.
      if (!memory || members.length > 1) await this.#holds.letGo(members, memory);
      // All of one try, or it counts for nothing.
      const found = await this.#ownOf(operation, work, members, clock.nowMs() + RETRY_FOR_MS);
      const all = found.flatMap((snapshot) => snapshot ?? []);
      if (all.length === members.length) return this.#settle(operation, work, members, all);
    }
    const startedMs = clock.nowMs();
    const taken = await this.#untilTaken(operation, work, members, startedMs + RETRY_FOR_MS);
    await this.#settle(operation, work, members, taken, clock.nowMs() - startedMs);
  }

  async #untilTaken(
    operation: Operation,
    work: SnapshotWork,
    members: readonly Member[],
    untilMs: number,
  ): Promise<readonly Snapshot[]> {
    const { clock, signal } = this.#parts;
    for (;;) {
      try {
        await this.#dropOwn(operation, work, members, untilMs);
        return await this.#takeAll(operation, work, members);
      } catch (error) {
        const mayCome = isFault(error) && error.retryable && clock.nowMs() < untilMs;
        if (!mayCome || signal.aborted) {
          await this.#dropOwn(operation, work, members, clock.nowMs() + RETRY_FOR_MS).catch((left: unknown) =>
            this.#sayLeft(operation, work, left),
          );
          throw error;
        }
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async #takeAll(operation: Operation, work: SnapshotWork, members: readonly Member[]): Promise<readonly Snapshot[]> {
    const memory = work.memory ?? true;
    const held = await this.#holds.hold(members, memory, work.quiesce);
    try {
      return await all(
        members.map(({ hypervisor, record }) => {
          const wish = {
            name: work.name,
            ...(work.kind !== undefined && { kind: work.kind }),
            memory,
            ...(work.description !== undefined && { description: work.description }),
            operation: operation.id,
            frozen: !memory && held.has(record.id),
            resumes: memory && held.has(record.id),
          };
          const limitMs = wish.frozen ? FROZEN_MS : COPY_MS;
          return this.#ask(limitMs, (signal) => hypervisor.snapshots.take(record.uuid, wish, signal));
        }),
      );
    } finally {
      await this.#holds.letGo(
        members.filter(({ record }) => held.has(record.id)),
        memory,
      );
    }
  }

  /** What this operation took, per VM. */
  #ownOf(
    operation: Operation,
    { name }: SnapshotWork,
    members: readonly Member[],
    untilMs: number,
  ): Promise<readonly (Snapshot | undefined)[]> {
    return all(
      members.map(async ({ hypervisor, record }) => {
        const list = (signal: AbortSignal) => hypervisor.snapshots.list(record.uuid, signal);
        const there = await this.#insist(QUICK_MS, list, untilMs);
        return there.find((snapshot) => snapshot.name === name && snapshot.operation === operation.id);
      }),
    );
  }

  /** None of them has it afterwards. */
  async #dropOwn(operation: Operation, work: SnapshotWork, members: readonly Member[], untilMs: number): Promise<void> {
    const own = await this.#ownOf(operation, work, members, untilMs);
    await all(
      members.map(async ({ hypervisor, record }, index) => {
        if (own[index] === undefined) return;
        await this.#insist(COPY_MS, (signal) => hypervisor.snapshots.delete(record.uuid, work.name, signal), untilMs);
      }),
    );
  }

  #sayLeft({ id }: Operation, { name }: SnapshotWork, error: unknown): void {
    if (this.#parts.signal.aborted) return;
    this.#parts.log.warn({ err: error, operation: id }, `snapshot ${name} failed, and may be left on some of its VMs`);
  }

  /** The older ones that a rule does not keep go, each VM's by itself; what cannot go is tried with the next one. */
  async #settle(
    operation: Operation,
    work: SnapshotWork,
    members: readonly Member[],
    snapshots: readonly Snapshot[],
    tookMs?: number,
  ): Promise<void> {
    const notes: string[] = [];
    const taken = await Promise.all(
      members.map(async (member, index): Promise<TakenSnapshot> => {
        const { record } = member;
        const snapshot = snapshots[index];
        const { consistency = 'crash', hasMemory: memory = false, kind = 'internal' } = snapshot ?? {};
        const removed = await this.#retain(work, member, notes);
        return { vmId: record.id, kind, memory, consistency, removed };
      }),
    );
    const texts = taken.map(({ consistency, kind, memory, removed, vmId }) => {
      const name = members.find(({ record }) => record.id === vmId)?.record.name ?? vmId;
      const gone = removed.length === 0 ? '' : `; removed ${removed.join(', ')}`;
      return `${name}: ${kind}, ${memory ? 'with' : 'without'} memory, ${consistency}-consistent${gone}`;
    });
    const how = tookMs === undefined ? 'taken' : `taken in ${durationText(tookMs)}`;
    await this.#end(operation, { notes: [...texts, ...notes], done: how, work: { ...work, taken } });
  }

  async #retain({ keep }: SnapshotWork, { hypervisor, record }: Member, notes: string[]): Promise<readonly string[]> {
    const rule = keep ?? keepRuleOf(record.labels);
    if (rule === undefined) return [];
    const removed: string[] = [];
    try {
      const there = await this.#ask(QUICK_MS, (signal) => hypervisor.snapshots.list(record.uuid, signal));
      for (const { name } of tooMany(there, rule, this.#parts.clock.wall())) {
        await this.#ask(COPY_MS, (signal) => hypervisor.snapshots.delete(record.uuid, name, signal));
        removed.push(name);
      }
    } catch (error) {
      if (!isFault(error) || this.#parts.signal.aborted) throw error;
      notes.push(`${record.name}: older ones could not be removed: ${error.message}`);
    }
    return removed;
  }

  // --- going back, deleting ---------------------------------------------------------------------------------------------------------

  async #revert(operation: Operation, work: SnapshotWork, members: readonly Member[]): Promise<void> {
    const { clock } = this.#parts;
    const startedMs = clock.nowMs();
    const untilMs = startedMs + RETRY_FOR_MS;
    const notes: string[] = [];
    const power = new Map<number, NonNullable<VmRecord['power']>>();
    const work1 = async ({ hypervisor, record }: Member): Promise<void> => {
      const asked = work.power ?? (record.power === 'stopped' ? 'stopped' : 'running');
      const wish = { operation: operation.id, power: asked };
      const back = await this.#insist(
        COPY_MS,
        (signal) => hypervisor.snapshots.revert(record.uuid, work.name, wish, signal),
        untilMs,
      );
      power.set(record.id, back.hasMemory ? back.state : asked);
      if (!back.hasMemory || back.state !== 'running') return;
      const problem = await this.#setClock(hypervisor, record);
      if (problem !== undefined) notes.push(`${record.name}: its clock stands where it stood: ${problem}`);
    };
    const ends = await Promise.allSettled(members.map(work1));
    const bad = ends.find((end) => end.status === 'rejected');
    if (bad !== undefined) {
      if (this.#parts.signal.aborted) return;
      const outcomes = ends.map((end) => (end.status === 'fulfilled' ? undefined : messageOf(end.reason)));
      const failure = { timedOut: isFault(bad.reason, 'timed-out'), detail: messageOf(bad.reason) };
      return this.#end(operation, { notes, failure, outcomes, power });
    }
    const done = `back at snapshot ${work.name} after ${durationText(clock.nowMs() - startedMs)}`;
    await this.#end(operation, { notes, done, power });
  }

  /** Undefined: it is right. A guest without an agent is no failure. */
  async #setClock(hypervisor: Hypervisor, record: VmRecord): Promise<string | undefined> {
    const { clock, signal } = this.#parts;
    const untilMs = clock.nowMs() + WOKEN_FOR_MS;
    const machineId = record.uuid.replaceAll('-', '');
    for (;;) {
      try {
        const identity = { hostname: record.name, machineId, after: 'woken' } as const;
        await this.#ask(QUICK_MS, (inner) => hypervisor.personalise(record.uuid, identity, inner));
        return undefined;
      } catch (error) {
        if (signal.aborted || !isFault(error)) throw error;
        if (!error.retryable || clock.nowMs() > untilMs) return error.message;
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async #delete(operation: Operation, work: SnapshotWork, members: readonly Member[]): Promise<void> {
    const untilMs = this.#parts.clock.nowMs() + RETRY_FOR_MS;
    await all(
      members.map(({ hypervisor, record }) =>
        this.#insist(COPY_MS, (signal) => hypervisor.snapshots.delete(record.uuid, work.name, signal), untilMs),
      ),
    );
    await this.#end(operation, { done: 'deleted' });
  }

  // --- asking, ending -----------------------------------------------------------------------------------------------------------------

  #ask<T>(limitMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#parts.clock.deadline(limitMs, work, this.#parts.signal);
  }

  /** Again, while the host does not answer or the domain is busy. */
  async #insist<T>(limitMs: number, work: (signal: AbortSignal) => Promise<T>, untilMs: number): Promise<T> {
    const { clock, signal } = this.#parts;
    for (;;) {
      try {
        return await this.#ask(limitMs, work);
      } catch (error) {
        if (signal.aborted || !isFault(error) || !error.retryable || clock.nowMs() >= untilMs) throw error;
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async #end(operation: Operation, ending: Ending): Promise<void> {
    const { clock, ledger } = this.#parts;
    const change = (state: LedgerState): Change | undefined => {
      let current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      const { done = 'done', failure, notes = [], outcomes, power, work } = ending;
      for (const note of notes) current = moved(current, stamp, note);
      const vms = current.vms.map((vm, index): OperationVm => {
        const reason = outcomes === undefined ? failure?.detail : outcomes[index];
        return reason === undefined ? { ...vm, outcome: 'done' } : { ...vm, outcome: 'failed', reason };
      });
      const records = this.#powered(state, power, stamp.nowMs);
      const told = records.map((record) => ({
        type: 'vm.changed' as const,
        ...aboutVm(record),
        change: 'revert' as const,
        operation: operation.id,
      }));
      const fields = { vms, ...(work && { snapshot: work }) };
      const end =
        failure === undefined
          ? moveTo(current, 'succeeded', stamp, done, fields)
          : moveTo(current, 'failed', stamp, `failed: ${failure.detail}`, {
              ...fields,
              failure: failed(failure.timedOut ? 'timed-out' : 'failed', failure.detail),
            });
      return { ...end, putVms: records, events: [...told, ...end.events] };
    };
    await kept(this.#parts, () => ledger.change(change));
  }

  #powered(state: LedgerState, power: Ending['power'], nowMs: number): readonly VmRecord[] {
    return [...(power ?? [])].flatMap(([id, now]) => {
      const record = state.vms.get(id);
      return record === undefined ? [] : [{ ...record, power: now, changedAtMs: nowMs }];
    });
  }
}

interface Ending {
  readonly done?: string;
  readonly notes?: readonly string[];
  readonly failure?: { readonly timedOut: boolean; readonly detail: string };
  /** Why each VM failed, in their order; undefined: it did not. Absent: all alike. */
  readonly outcomes?: readonly (string | undefined)[];
  /** What VMs that went back are from now on, by id. */
  readonly power?: ReadonlyMap<number, NonNullable<VmRecord['power']>>;
  readonly work?: SnapshotWork;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const advice = isFault(error) ? error.advice : undefined;
  return advice === undefined ? error.message : `${error.message} (${advice})`;
}
