// Holds VMs still while they are taken together, and lets them go whatever happens: paused while memory is taken, else their file systems
// frozen by their agents. Not here: what is done meanwhile (snapshot-run).

import type { VmRecord } from '../core/model.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { FabricParts } from './fabric-parts.ts';

const QUICK_MS = 15_000;
const RETRY_MS = 1_000;
/** A guest that was held must hear that it may go on: longer than anything else is tried. */
const LET_GO_FOR_MS = 600_000;

/** One VM of a snapshot operation. */
export interface Member {
  readonly record: VmRecord;
  readonly hypervisor: Hypervisor;
}

export class SnapshotHolds {
  readonly #parts: FabricParts;
  readonly #lettingGo = new Set<Promise<unknown>>();

  constructor(parts: FabricParts) {
    this.#parts = parts;
  }

  /** Resolves when nobody is being let go any more. */
  async letGoEnded(): Promise<void> {
    // Calls under way are given up first, and what they hold is let go then.
    await Promise.resolve();
    await Promise.all(this.#lettingGo);
  }

  /** Ids of those that stand still for this. */
  async hold(members: readonly Member[], memory: boolean, quiesce: boolean | undefined): Promise<ReadonlySet<number>> {
    const held = new Set<number>();
    const running = members.filter((member) => this.#runs(member));
    const isAlone = members.length === 1;
    // One alone is held still by its host while its memory is read.
    if (memory ? isAlone : quiesce === false) return held;
    try {
      await all(
        running.map(async ({ hypervisor, record }) => {
          if (memory) {
            // Noted before: whether it took effect is not known when the answer is lost.
            held.add(record.id);
            await this.#ask(QUICK_MS, (signal) => hypervisor.pause(record.uuid, signal));
            return;
          }
          held.add(record.id);
          if (await this.#ask(QUICK_MS, (signal) => hypervisor.snapshots.freeze(record.uuid, signal))) return;
          held.delete(record.id);
          if (quiesce !== true) return;
          throw new Fault('refused', `no agent answers in VM ${record.name} that could freeze its file systems`);
        }),
      );
      return held;
    } catch (error) {
      await this.letGo(
        members.filter(({ record }) => held.has(record.id)),
        memory,
      );
      throw error;
    }
  }

  /** As it was asked to, and as last seen: what stands still already is not let go afterwards. */
  #runs({ record }: Member): boolean {
    const seen = this.#parts.hosts
      .get(record.host)
      ?.view()
      .last?.domains.find(({ uuid }) => uuid === record.uuid);
    return (
      record.power !== 'paused' && record.power !== 'stopped' && seen?.state !== 'stopped' && seen?.paused !== true
    );
  }

  /** Also while the daemon is ending, as far as that lets it; what is left is done at the next start. Never rejects. */
  async letGo(members: readonly Member[], memory: boolean): Promise<void> {
    const work = this.#letAllGo(members, memory).finally(() => this.#lettingGo.delete(work));
    this.#lettingGo.add(work);
    await work;
  }

  async #letAllGo(members: readonly Member[], memory: boolean): Promise<void> {
    const { clock, log, signal } = this.#parts;
    await Promise.all(
      members.map(async ({ hypervisor, record }) => {
        if (record.power === 'paused' && memory) return;
        const untilMs = clock.nowMs() + LET_GO_FOR_MS;
        for (;;) {
          try {
            await clock.deadline(QUICK_MS, (inner) =>
              memory ? resumed(hypervisor, record, inner) : hypervisor.snapshots.thaw(record.uuid, inner),
            );
            return;
          } catch (error) {
            const what = memory ? 'is paused' : 'is frozen';
            if (signal.aborted || !isFault(error) || !error.retryable || clock.nowMs() > untilMs) {
              log.warn({ err: error, vm: record.name }, `a VM ${what} for a snapshot and could not be let go`);
              return;
            }
            await clock.sleep(RETRY_MS, signal);
          }
        }
      }),
    );
  }

  #ask<T>(limitMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#parts.clock.deadline(limitMs, work, this.#parts.signal);
  }
}

/** One that stopped meanwhile has nothing to resume. */
async function resumed(hypervisor: Hypervisor, record: VmRecord, signal: AbortSignal): Promise<void> {
  try {
    await hypervisor.resume(record.uuid, signal);
  } catch (error) {
    if (!isFault(error, 'conflict', 'gone')) throw error;
  }
}

/** Waits for all, also when one fails: nothing of it goes on behind the caller's back. */
export async function all<T>(works: readonly Promise<T>[]): Promise<readonly T[]> {
  const ends = await Promise.allSettled(works);
  const bad = ends.find((end) => end.status === 'rejected');
  if (bad !== undefined) throw bad.reason;
  return ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
}
