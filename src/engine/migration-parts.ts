// What the carrying, the judging and the ending of a move share: what is known of it here, its two hosts, how they are asked, why it
// is called off. Not here: when any of it is done (migration-run, migration-judge, migration-endings).

import type { Migration, MoveFigures } from '../core/migration.ts';
import type { VmRecord } from '../core/model.ts';
import type { Operation } from '../core/operation.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { MigrationArrival, MigrationSource } from '../ports/migration.ts';
import type { FabricParts } from './fabric-parts.ts';

export const CALL_MS = 10_000;
export const PREPARE_MS = 60_000;
export const LOOK_AGAIN_MS = 250;
export const RETRY_MS = 1_000;

/** One move that is being carried out here. */
export interface MigrationRun {
  figures?: MoveFigures;
  /** What `prepare` brought: without it the moving is not begun, only judged. */
  ready?: { readonly arrival: MigrationArrival; readonly source: MigrationSource };
  /** Why the call failed. */
  failure?: string;
  /** libvirt itself said how the call ended. */
  isAnswered: boolean;
  /** Since when nothing was seen under way. */
  quietSinceMs?: number;
  /** Since when the target has not answered. */
  targetLostMs?: number;
}

/** Throws the fault `unreachable` when one is not in the configuration. */
export function bothHosts(
  { hosts }: FabricParts,
  { from, to }: Migration,
): { readonly source: Hypervisor; readonly target: Hypervisor } {
  const [source, target] = [hosts.get(from)?.hypervisor, hosts.get(to)?.hypervisor];
  const missing = source === undefined ? from : to;
  // What has begun is not forgotten: it is taken up when the host is in the configuration again.
  if (source === undefined || target === undefined) {
    throw new Fault('unreachable', `host ${missing} is not in the configuration any more`);
  }
  return { source, target };
}

/** A question that need not be answered. */
export async function asked<T>(
  { clock, signal }: FabricParts,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await clock.deadline(CALL_MS, ask, signal);
  } catch (error) {
    if (isFault(error)) return undefined;
    throw error;
  }
}

/** Why it shall not go on; undefined: it shall. */
export function whyOff(
  { clock }: FabricParts,
  operation: Operation,
  migration: Migration,
  vm: VmRecord | undefined,
): string | undefined {
  if (operation.cancelling) return `${operation.owner} cancelled it`;
  if (vm === undefined) return 'the VM is gone';
  if (vm.phase === 'removing') return 'the VM is being removed';
  const { movingSinceMs, timeoutMs } = migration;
  if (movingSinceMs === undefined || clock.nowMs() - movingSinceMs < timeoutMs) return undefined;
  return `it was not moved within ${Math.round(timeoutMs / 1000)} s`;
}

/** No domain is left there. */
export async function clear({ clock, signal }: FabricParts, host: Hypervisor, uuid: string): Promise<void> {
  await clock.deadline(PREPARE_MS, (inner) => host.destroy(uuid, inner), signal);
  await clock.deadline(CALL_MS, (inner) => host.undefine(uuid, inner), signal);
}

export function textOf(error: Fault): string {
  return error.advice === undefined ? error.message : `${error.message} (${error.advice})`;
}
