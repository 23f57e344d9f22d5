// Snapshots behind the engine's contract, in memory: one is there as soon as its operation has ended.
// Not here: hosts, retries, crashes (test/engine).

import type { Snapshot, SnapshotRequest } from '../../src/core/snapshot.ts';
import type { Caller, CommandResult, OperationStatus, SnapshotCommands, VmStatus } from '../../src/engine/view.ts';
import { conflict, notFound } from './fake-catalog.ts';
import type { FakeOperations } from './fake-operations.ts';

type Run = <T>(text: string, work: () => CommandResult<T>) => Promise<CommandResult<T>>;
type Kind = 'snapshot.create' | 'snapshot.revert' | 'snapshot.delete';

export class FakeSnapshots implements SnapshotCommands {
  readonly #work: FakeOperations;
  readonly #run: Run;
  readonly #vmOf: (id: number) => VmStatus | undefined;
  readonly #kept = new Map<number, Snapshot[]>();

  constructor(work: FakeOperations, run: Run, vmOf: (id: number) => VmStatus | undefined) {
    this.#work = work;
    this.#run = run;
    this.#vmOf = vmOf;
  }

  /** What a host says is there. */
  put(id: number, ...snapshots: readonly Snapshot[]): void {
    this.#kept.set(id, [...snapshots]);
  }

  list(id: number, signal: AbortSignal): Promise<CommandResult<readonly Snapshot[]>> {
    signal.throwIfAborted();
    return this.#run(`list the snapshots of ${id}`, () =>
      this.#vmOf(id) === undefined
        ? notFound(`there is no VM ${id}`)
        : { ok: true, value: [...(this.#kept.get(id) ?? [])] },
    );
  }

  take(ids: readonly number[], request: SnapshotRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    const { name = '2026-11-21-060000', memory = true, kind = 'internal', description, keep } = request;
    const said = JSON.stringify({ name, memory, kind, ...(keep && { keep }) });
    return this.#begin('snapshot.create', ids, name, said, caller, (id) => {
      const before = this.#kept.get(id) ?? [];
      const parent = before.find(({ isCurrent }) => isCurrent)?.name;
      const snapshot: Snapshot = {
        name,
        ...(parent !== undefined && { parent }),
        isCurrent: true,
        kind,
        hasMemory: memory,
        state: 'running',
        consistency: memory ? 'application' : 'filesystem',
        createdAt: '2026-11-21T06:00:00Z',
        ...(description !== undefined && { description }),
        operation: 'op-1',
      };
      this.put(id, ...before.map((one) => ({ ...one, isCurrent: false })), snapshot);
    });
  }

  revert(
    ids: readonly number[],
    name: string,
    options: { readonly power?: 'running' | 'stopped' },
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#begin('snapshot.revert', ids, name, `${name} ${JSON.stringify(options)}`, caller, (id) => {
      const snapshots = this.#kept.get(id) ?? [];
      this.put(id, ...snapshots.map((one) => ({ ...one, isCurrent: one.name === name })));
    });
  }

  remove(ids: readonly number[], name: string, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#begin('snapshot.delete', ids, name, name, caller, (id) => {
      this.put(id, ...(this.#kept.get(id) ?? []).filter((one) => one.name !== name));
    });
  }

  #begin(
    kind: Kind,
    ids: readonly number[],
    name: string,
    said: string,
    caller: Caller,
    become: (id: number) => void,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#run(`${kind} ${ids.join(',')} ${said}`, () => {
      const repeated = this.#work.repeated(caller);
      if (repeated !== undefined) return repeated;
      for (const id of ids) {
        const vm = this.#vmOf(id);
        if (vm === undefined) return notFound(`there is no VM ${id}`);
        if (kind === 'snapshot.revert' && vm.record.group !== undefined) {
          return conflict(`VM ${id} belongs to group ${vm.record.group}`);
        }
        const has = this.#kept.get(id)?.some((one) => one.name === name) ?? false;
        if (kind === 'snapshot.create' && has) return conflict(`VM ${id} has a snapshot ${name} already`);
        if (kind !== 'snapshot.create' && !has) return notFound(`VM ${id} has no snapshot ${name}`);
      }
      const vms = ids.map((id) => ({ id, name: this.#vmOf(id)?.record.name ?? '', host: 'local' }));
      const begun = { kind, state: 'running', vms, snapshot: { name } } as const;
      const end = () => {
        for (const id of ids) become(id);
        const taken = ids.map((vmId) => {
          const made = this.#kept.get(vmId)?.find((one) => one.name === name);
          const { consistency = 'crash', hasMemory: memory = false, kind: its = 'internal' } = made ?? {};
          return { vmId, kind: its, memory, consistency, removed: [] };
        });
        return {
          state: 'succeeded' as const,
          vms: vms.map((one) => ({ ...one, outcome: 'done' as const })),
          ...(kind === 'snapshot.create' && { snapshot: { name, taken } }),
        };
      };
      return { ok: true, value: this.#work.begin(begun, caller, [end]) };
    });
  }
}
