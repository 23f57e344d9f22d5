// What the edges may ask about where VMs are: moving one, emptying a host, evening out the load. Not here: doing it (mobility).

import type { HostName } from '../core/model.ts';
import type { PlannedMove } from '../core/rebalance.ts';
import type { MigrateRequest } from './migration-request.ts';
import type { Caller, CommandResult, HostStatus, OperationStatus } from './view.ts';

export type { MigrateRequest, PlannedMove };

/** A move that was begun, or why it was not. */
export interface BegunMove {
  readonly move: PlannedMove;
  readonly operation?: string;
  readonly refused?: string;
}

export interface MigrationCommands {
  /** Moves a running VM, while it runs. VMs of groups may be moved: which VMs there are does not change. */
  migrate(id: number, request: MigrateRequest, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** The host takes no new VMs, and those on it are moved away where that is possible. */
  drain(host: HostName, caller: Caller): Promise<CommandResult<OperationStatus>>;
  /** The host takes VMs again. */
  undrain(host: HostName, caller: Caller): Promise<CommandResult<HostStatus>>;
  /** What evening out the load would move now. */
  plan(): readonly PlannedMove[];
  /** Begins with it, as many at a time as the configuration allows. */
  rebalance(caller: Caller): Promise<readonly BegunMove[]>;
}
