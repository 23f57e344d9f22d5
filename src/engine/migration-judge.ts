// Looks at both hosts of a move and does the one thing that brings it nearer to exactly one copy; also after a crash, when nobody
// knows how the call ended. Not here: which thing it is (core/migration), asking libvirt to move (migration-run).

import { type Migration, nextMove } from '../core/migration.ts';
import type { VmRecord } from '../core/model.ts';
import type { Operation } from '../core/operation.ts';
import { isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { FabricParts } from './fabric-parts.ts';
import type { MigrationEndings } from './migration-endings.ts';
import {
  asked,
  bothHosts,
  CALL_MS,
  clear,
  LOOK_AGAIN_MS,
  type MigrationRun,
  RETRY_MS,
  whyOff,
} from './migration-parts.ts';

/** When nobody knows how the call ended, libvirt may not have begun yet: so long nothing must be under way. */
const QUIET_MS = 2_000;
/** A target that does not answer for so long does not hold up a VM that runs on at the source. */
const TARGET_PATIENCE_MS = 30_000;

export class MigrationJudge {
  readonly #parts: FabricParts;
  readonly #endings: MigrationEndings;

  constructor(parts: FabricParts, endings: MigrationEndings) {
    this.#parts = parts;
    this.#endings = endings;
  }

  /** Called again and again until the operation is at another stage. */
  async judge(operation: Operation, migration: Migration, vm: VmRecord, run: MigrationRun): Promise<void> {
    const { clock, signal } = this.#parts;
    const { source, target } = bothHosts(this.#parts, migration);
    const look = (host: Hypervisor) => clock.deadline(CALL_MS, (inner) => host.migration.look(vm.uuid, inner), signal);
    const here = await look(source);
    const there = await look(target).catch((error: unknown) => {
      if (!isFault(error) || signal.aborted) throw error;
      return undefined;
    });
    if (there === undefined) {
      // A copy there does not run unless we let it: the VM need not wait for that host as long as it runs here.
      run.targetLostMs ??= clock.nowMs();
      const runsHere = here.state === 'running' && !here.busy;
      const isLong = clock.nowMs() - run.targetLostMs > TARGET_PATIENCE_MS;
      if (runsHere && isLong)
        return this.#endings.undo(operation, migration, `host ${migration.to} does not answer any more`);
      await clock.sleep(RETRY_MS, signal);
      return;
    }
    delete run.targetLostMs;
    const next = nextMove(here, there);
    if (next.kind !== 'stayed') delete run.quietSinceMs;
    switch (next.kind) {
      case 'wait':
        return this.#waitOn(operation, migration, vm, source, run);
      case 'clear-target':
        return clear(this.#parts, target, vm.uuid);
      case 'clear-source':
        return clear(this.#parts, source, vm.uuid);
      case 'resume-source':
        return clock.deadline(CALL_MS, (inner) => source.resume(vm.uuid, inner), signal);
      case 'resume-target':
        return clock.deadline(CALL_MS, (inner) => target.resume(vm.uuid, inner), signal);
      case 'stayed':
        return this.#stayed(operation, migration, vm, run);
      case 'arrived':
        return this.#endings.arrived(operation, migration, vm);
      case 'lost':
        return this.#endings.end(
          operation,
          migration,
          `the domain is on neither host ${migration.from} nor ${migration.to}`,
        );
    }
  }

  async #waitOn(
    operation: Operation,
    migration: Migration,
    vm: VmRecord,
    source: Hypervisor,
    run: MigrationRun,
  ): Promise<void> {
    const { clock, signal } = this.#parts;
    if (whyOff(this.#parts, operation, migration, vm) !== undefined) {
      await asked(this.#parts, (inner) => source.migration.cancel(vm.uuid, inner));
    }
    const figures = await asked(this.#parts, (inner) => source.migration.figures(vm.uuid, inner));
    if (figures !== undefined) run.figures = figures;
    await clock.sleep(LOOK_AGAIN_MS, signal);
  }

  async #stayed(operation: Operation, migration: Migration, vm: VmRecord, run: MigrationRun): Promise<void> {
    const { clock, signal } = this.#parts;
    run.quietSinceMs ??= clock.nowMs();
    if (!run.isAnswered && clock.nowMs() - run.quietSinceMs < QUIET_MS) {
      await clock.sleep(LOOK_AGAIN_MS, signal);
      return;
    }
    const why =
      whyOff(this.#parts, operation, migration, vm) ?? run.failure ?? 'the daemon or a host ended while it was moved';
    await this.#endings.undo(operation, migration, why);
  }
}
