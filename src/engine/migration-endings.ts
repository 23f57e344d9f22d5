// How a move ends: the record changes hosts or stays, what is left on the other host goes, the operation says which. Everything is
// kept before the next thing is done. Not here: which of them it is (migration-judge), when (migration-run).

import type { Migration } from '../core/migration.ts';
import type { HostName, VmRecord } from '../core/model.ts';
import type { Operation } from '../core/operation.ts';
import { isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import { type FabricParts, kept, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { asked, bothHosts, CALL_MS, clear, PREPARE_MS, RETRY_MS } from './migration-parts.ts';
import { failed, moved, moveTo } from './operations.ts';
import { aboutVm } from './records.ts';

/** Volumes that libvirt does not let go of are left, and told of. */
const DELETE_TRIES = 3;

export class MigrationEndings {
  readonly #parts: FabricParts;

  constructor(parts: FabricParts) {
    this.#parts = parts;
  }

  /** The record changes hosts: from now on the VM is there. */
  async arrived(operation: Operation, migration: Migration, vm: VmRecord): Promise<void> {
    const { clock } = this.#parts;
    const { target } = bothHosts(this.#parts, migration);
    const figures = await asked(this.#parts, (inner) => target.migration.figures(vm.uuid, inner));
    await this.#keep((state) => {
      const [current, record] = [state.operations.get(operation.id), state.vms.get(vm.id)];
      if (current === undefined || record === undefined) return undefined;
      const stamp = stampOf(clock);
      const { moving: _moving, template, ...rest } = record;
      const { disks, endpoint, from, movingSinceMs = stamp.nowMs, to } = migration;
      const there: VmRecord = {
        ...rest,
        host: to,
        // A disk that was copied does not lie on the template's any more.
        ...(template !== undefined && disks === 'shared' && { template }),
        ...(endpoint && { endpoint }),
        changedAtMs: stamp.nowMs,
      };
      const downtimeMs = figures?.downtimeMs;
      const told = {
        type: 'vm.migrated',
        ...aboutVm(there),
        from,
        to,
        tookMs: Math.round(stamp.nowMs - movingSinceMs),
        ...(downtimeMs !== undefined && { downtimeMs }),
        operation: operation.id,
      } as const;
      const vms = current.vms.map((one) => ({ ...one, host: to, outcome: 'done' as const }));
      const next = moved(current, stamp, `it runs on host ${to}`, {
        vms,
        migration: { ...migration, stage: 'arrived' },
      });
      return { putVms: [there], putOperations: [next], events: [told] };
    });
    this.#parts.kick();
  }

  /** The target has the VM: what the source kept of it goes. */
  async leaveSource(operation: Operation, migration: Migration, vm: VmRecord | undefined): Promise<void> {
    const { source, target } = bothHosts(this.#parts, migration);
    if (vm !== undefined) target.migration.forget(vm.uuid);
    await this.#deleteVolumes(source, migration.from, migration, vm);
    await this.#keep((state) => {
      const current = state.operations.get(operation.id);
      return (
        current &&
        moveTo(current, 'succeeded', stampOf(this.#parts.clock), `nothing of it is left on host ${migration.from}`)
      );
    });
  }

  /** The source has the VM, for certain: what is at the target goes. */
  async leaveTarget(operation: Operation, migration: Migration, vm: VmRecord | undefined): Promise<void> {
    const { clock, signal } = this.#parts;
    const { target } = bothHosts(this.#parts, migration);
    const { movingSinceMs, to } = migration;
    if (vm !== undefined) {
      target.migration.forget(vm.uuid);
      // Before it was asked to move nothing of ours could be there but volumes.
      const mayBeThere = movingSinceMs !== undefined && vm.host !== to && vm.moving?.to !== to;
      const look = (inner: AbortSignal) => target.migration.look(vm.uuid, inner);
      if (mayBeThere && (await clock.deadline(CALL_MS, look, signal)).state !== 'absent')
        await clear(this.#parts, target, vm.uuid);
    }
    await this.#deleteVolumes(target, to, migration, vm);
    await this.end(operation, migration, migration.reason ?? 'it was called off');
  }

  /** Unless they are (again) the VM's own there. */
  async #deleteVolumes(
    host: Hypervisor,
    name: HostName,
    { disks }: Migration,
    vm: VmRecord | undefined,
  ): Promise<void> {
    const { clock, log, signal } = this.#parts;
    if (vm === undefined || disks === 'shared' || vm.host === name || vm.moving?.to === name) return;
    for (let tries = 1; ; tries += 1) {
      try {
        await clock.deadline(PREPARE_MS, (inner) => host.deleteDisk(vm.name, inner), signal);
        return;
      } catch (error) {
        if (!isFault(error, 'conflict', 'refused')) throw error;
        if (tries === DELETE_TRIES) {
          log.warn({ err: error, host: name, vm: vm.name }, 'volumes of a VM that moved could not be deleted');
          return;
        }
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  /** From now on the VM stays where it is, and may be asked for other things; what is at the target is removed next. */
  undo(operation: Operation, migration: Migration, reason: string): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      const record = state.vms.get(migration.vmId);
      const stays = record?.moving?.operation === operation.id ? [unmoved(record, stamp.nowMs)] : [];
      const outcome = current.cancelling ? ('cancelled' as const) : ('failed' as const);
      const vms = current.vms.map((one) => ({ ...one, outcome, reason }));
      const { movingSinceMs, timeoutMs } = migration;
      const timedOut = !current.cancelling && movingSinceMs !== undefined && stamp.nowMs - movingSinceMs >= timeoutMs;
      const undoing: Migration = { ...migration, stage: 'undoing', reason, ...(timedOut && { timedOut }) };
      const text = `it stays on host ${migration.from}: ${reason}`;
      return { putVms: stays, putOperations: [moved(current, stamp, text, { vms, migration: undoing })] };
    }).then(() => this.#parts.kick());
  }

  /** It ends without having arrived, cancelled or failed. */
  end(operation: Operation, migration: Migration, reason: string): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      const record = state.vms.get(migration.vmId);
      const stays = record?.moving?.operation === operation.id ? [unmoved(record, stamp.nowMs)] : [];
      const ended = current.cancelling
        ? moveTo(current, 'cancelled', stamp, `cancelled; it runs on host ${migration.from}`)
        : moveTo(current, 'failed', stamp, `failed: ${reason}`, {
            failure: failed(migration.timedOut ? 'timed-out' : 'failed', reason),
            vms: current.vms.map((one) => ({ ...one, outcome: 'failed' as const, reason })),
          });
      return { ...ended, putVms: stays };
    }).then(() => this.#parts.kick());
  }

  /** When the store refuses, what has happened is kept as soon as it does not: nothing goes on before. */
  #keep(change: (state: LedgerState) => Change | undefined): Promise<void> {
    return kept(this.#parts, () => this.#parts.ledger.change(change));
  }
}

function unmoved(record: VmRecord, nowMs: number): VmRecord {
  const { moving: _moving, ...stays } = record;
  return { ...stays, changedAtMs: nowMs };
}
