// Moving VMs, draining hosts and evening out their load, as the engine offers them. Not here: how (migrations, drains, rebalancing).

import type { HostName, PlacementRules, VmRecord } from '../core/model.ts';
import type { Operation, Progress } from '../core/operation.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { Drains } from './drains.ts';
import { type FabricParts, refuse } from './fabric-parts.ts';
import type { MigrateRequest } from './migration-request.ts';
import type { BegunMove, MigrationCommands, PlannedMove } from './migration-view.ts';
import { Migrations } from './migrations.ts';
import { Rebalancing } from './rebalancing.ts';
import type { Caller, CommandResult, HostStatus, OperationStatus } from './view.ts';

export interface MobilityParts {
  readonly parts: FabricParts;
  readonly images: Pick<ImageStore, 'read'>;
  readonly rulesOf: (group: string) => PlacementRules | undefined;
  readonly cpuPercentOf: (vm: VmRecord) => number | undefined;
  readonly statusOf: (operation: Operation) => OperationStatus;
  readonly hostStatus: (host: HostName) => HostStatus | undefined;
}

export class Mobility implements MigrationCommands {
  readonly #own: MobilityParts;
  readonly #migrations: Migrations;
  readonly #drains: Drains;
  readonly #rebalancing: Rebalancing;

  constructor(own: MobilityParts) {
    const { cpuPercentOf, images, parts, rulesOf } = own;
    this.#own = own;
    this.#migrations = new Migrations(parts, images, rulesOf);
    this.#drains = new Drains(parts, this.#migrations);
    this.#rebalancing = new Rebalancing({ parts, migrations: this.#migrations, rulesOf, cpuPercentOf });
  }

  /** Until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#rebalancing.run(signal);
  }

  recover(): void {
    this.#migrations.recover();
    this.#drains.recover();
  }

  /** False: neither a move nor a drain. */
  async cancel(operationId: string): Promise<boolean> {
    return (await this.#migrations.cancel(operationId)) || (await this.#drains.cancel(operationId));
  }

  progressOf(operationId: string): Progress | undefined {
    return this.#migrations.progressOf(operationId) ?? this.#drains.progressOf(operationId);
  }

  async migrate(id: number, request: MigrateRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#withStatus(await this.#migrations.submit(id, request, caller));
  }

  async drain(host: HostName, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#withStatus(await this.#drains.submit(host, caller));
  }

  async undrain(host: HostName, caller: Caller): Promise<CommandResult<HostStatus>> {
    const done = await this.#drains.undrain(host, caller);
    if (!done.ok) return done;
    const value = this.#own.hostStatus(host);
    return value ? { ok: true, value } : refuse('not-found', `there is no host ${host}`);
  }

  plan(): readonly PlannedMove[] {
    return this.#rebalancing.plan();
  }

  rebalance(caller: Caller): Promise<readonly BegunMove[]> {
    return this.#rebalancing.now(caller);
  }

  #withStatus(result: CommandResult<Operation>): CommandResult<OperationStatus> {
    return result.ok ? { ok: true, value: this.#own.statusOf(result.value) } : result;
  }
}
