// Where VMs are behind the engine's contract, in memory: a move is done as soon as its operation has ended.
// Not here: steps, hosts that fail, crashes (test/engine).

import type { HostName } from '../../src/core/model.ts';
import type { OperationVm } from '../../src/core/operation.ts';
import type { BegunMove, MigrateRequest, MigrationCommands, PlannedMove } from '../../src/engine/migration-view.ts';
import type { Caller, CommandResult, HostStatus, OperationStatus, VmStatus } from '../../src/engine/view.ts';
import { conflict, notFound } from './fake-catalog.ts';
import type { FakeOperations } from './fake-operations.ts';

type Run = <T>(text: string, work: () => CommandResult<T>) => Promise<CommandResult<T>>;

export interface FakeMigrationsParts {
  readonly work: FakeOperations;
  readonly run: Run;
  readonly vmOf: (id: number) => VmStatus | undefined;
  readonly hostOf: (name: HostName) => HostStatus | undefined;
  readonly moved: (id: number, to: HostName) => void;
}

export class FakeMigrations implements MigrationCommands {
  /** What evening out the load would do. */
  moves: readonly PlannedMove[] = [];
  readonly #parts: FakeMigrationsParts;

  constructor(parts: FakeMigrationsParts) {
    this.#parts = parts;
  }

  migrate(id: number, request: MigrateRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    const { hostOf, moved, run, vmOf, work } = this.#parts;
    return run(`migrate ${id} ${JSON.stringify(request)}`, () => {
      const repeated = work.repeated(caller);
      if (repeated !== undefined) return repeated;
      const vm = vmOf(id);
      if (vm === undefined) return notFound(`there is no VM ${id}`);
      const { host: from, name } = vm.record;
      const to = request.host ?? 'other';
      if (request.host !== undefined && hostOf(to) === undefined) return notFound(`there is no host ${to}`);
      if (to === from) return conflict(`VM ${name} is on host ${from} already`);
      const end = ({ vms }: { readonly vms: readonly OperationVm[] }) => {
        moved(id, to);
        return { state: 'succeeded' as const, vms: vms.map((one) => ({ ...one, host: to, outcome: 'done' as const })) };
      };
      const begun = { kind: 'vm.migrate', state: 'running', vms: [{ id, name, host: from }] } as const;
      return { ok: true, value: work.begin(begun, caller, [end]) };
    });
  }

  drain(host: HostName, caller: Caller): Promise<CommandResult<OperationStatus>> {
    const { hostOf, run, work } = this.#parts;
    return run(`drain ${host}`, () => {
      const repeated = work.repeated(caller);
      if (repeated !== undefined) return repeated;
      if (hostOf(host) === undefined) return notFound(`there is no host ${host}`);
      const begun = { kind: 'host.drain', state: 'running', vms: [], drain: host } as const;
      return { ok: true, value: work.begin(begun, caller, [() => ({ state: 'succeeded' as const })]) };
    });
  }

  undrain(host: HostName, _caller: Caller): Promise<CommandResult<HostStatus>> {
    const { hostOf, run } = this.#parts;
    return run(`undrain ${host}`, () => {
      const value = hostOf(host);
      return value === undefined ? notFound(`there is no host ${host}`) : { ok: true, value };
    });
  }

  plan(): readonly PlannedMove[] {
    return this.moves;
  }

  async rebalance(_caller: Caller): Promise<readonly BegunMove[]> {
    return this.moves.map((move, index) =>
      index === 0 ? { move, operation: 'op-1' } : { move, refused: 'another one goes first' },
    );
  }
}
