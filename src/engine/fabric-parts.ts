// What the commands of the fabric share: where they look, what they change, how they refuse. Not here: the commands.

import type { HostView, VmRecord } from '../core/model.ts';
import type { Operation } from '../core/operation.ts';
import type { Clock } from '../ports/clock.ts';
import { isFault } from '../ports/fault.ts';
import type { Ids } from '../ports/ids.ts';
import type { Store } from '../ports/store.ts';
import type { HostWatch } from './host-watch.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import type { Stamp } from './operations.ts';
import type { FabricSettings } from './settings.ts';
import type { Caller, CommandResult } from './view.ts';

export interface FabricParts {
  readonly ledger: Ledger;
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly hosts: ReadonlyMap<string, HostWatch>;
  readonly settings: () => FabricSettings;
  /** Work on VMs that need some begins at once. */
  readonly kick: () => void;
  /** Ends with the daemon. */
  readonly signal: AbortSignal;
}

export type Refused = Extract<CommandResult<never>, { ok: false }>;

export function refuse(refused: Refused['refused'], reason: string, where?: string): Refused {
  return { ok: false, refused, reason, ...(where !== undefined && { where }) };
}

export function stampOf(clock: Clock): Stamp {
  return { at: clock.wall(), nowMs: clock.nowMs() };
}

export function viewsOf(parts: Pick<FabricParts, 'hosts'>): readonly HostView[] {
  return [...parts.hosts.values()].map((host) => host.view());
}

export function noVm(id: number): Refused {
  return refuse('not-found', `there is no VM ${id}; ids are not reused after a removal`);
}

/** The operation that came with this caller's key before, a refusal when the key came with another request, or nothing. */
export async function earlier(parts: FabricParts, caller: Caller): Promise<Operation | Refused | undefined> {
  const { owner, key } = caller;
  if (key === undefined) return undefined;
  const found = openByKey(parts, caller) ?? (await parts.store.operationByKey(owner, key));
  if (found === undefined) return undefined;
  if (found.fingerprint === caller.fingerprint) return found;
  return refuse('key-reused', 'this Idempotency-Key came before with another request; use a fresh one');
}

/** Within a change: one that came in since {@link earlier} looked. */
export function openByKey({ ledger }: Pick<FabricParts, 'ledger'>, { owner, key }: Caller): Operation | undefined {
  if (key === undefined) return undefined;
  return ledger.state.operations.values().find((one) => one.key === key && one.owner === owner);
}

/** An operation under way that is about this VM. */
export function operationOn({ ledger }: Pick<FabricParts, 'ledger'>, vm: VmRecord): Operation | undefined {
  return ledger.state.operations
    .values()
    .find(({ vms }) => vms.some(({ id, outcome }) => id === vm.id && outcome === undefined));
}

const KEEP_AGAIN_MS = 1_000;

/**
 * Keeps what has really happened: when the store refuses (its disk is full), again until it does not, or the daemon ends. What an
 * ending daemon could not keep, the next one takes up.
 */
export async function kept({ clock, log, signal }: FabricParts, keep: () => Promise<unknown>): Promise<void> {
  while (!signal.aborted) {
    try {
      await keep();
      return;
    } catch (error) {
      if (!isFault(error)) {
        log.error({ err: error }, 'a bug: the end of an operation cannot be kept; it is taken up at the next start');
        return;
      }
      log.warn({ err: error }, 'the end of an operation could not be kept; it is tried again');
      await clock.sleep(KEEP_AGAIN_MS, signal);
    }
  }
}
