// Operations and refusals as one user may see them. Pure. Not here: which operations are his (own-view).

import type { OperationFailure } from '../core/operation.ts';
import type { CommandResult, OperationStatus } from '../engine/view.ts';

/** Hosts with their reasons say how full they are with what others have. */
export function withoutHosts<T>(result: CommandResult<T>): CommandResult<T> {
  if (result.ok || result.hosts === undefined) return result;
  const { hosts: _, ...rest } = result;
  return rest;
}

export function shownOperation(status: OperationStatus): OperationStatus {
  const { failure, ...operation } = status.operation;
  if (failure?.hosts === undefined) return status;
  const { hosts: _, ...rest } = failure;
  return { ...status, operation: { ...operation, failure: rest satisfies OperationFailure } };
}

export function shownResult(result: CommandResult<OperationStatus>): CommandResult<OperationStatus> {
  return result.ok ? { ok: true, value: shownOperation(result.value) } : withoutHosts(result);
}
