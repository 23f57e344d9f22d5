// Operations as records: made, noted upon, and brought to their end as their VMs come along. Pure.
// Not here: doing anything (queue, power, images), keeping them (ledger).

import type { NewEvent } from '../core/events.ts';
import type { VmRecord } from '../core/model.ts';
import {
  ENDED_STATES,
  HISTORY_MAX,
  type Operation,
  type OperationFailure,
  type OperationKind,
  type OperationState,
  type OperationVm,
} from '../core/operation.ts';
import { vmsText } from '../core/wording.ts';
import type { Change, LedgerState } from './ledger.ts';
import { drainingEvent, inPhase } from './records.ts';
import type { Caller } from './view.ts';

/** When and as whom operations are changed. */
export interface Stamp {
  /** Wall time, RFC 3339. */
  readonly at: string;
  readonly nowMs: number;
}

/** A new operation with its event. `texts` are the first lines of its history; the last one is the event's. */
export function begin(
  fields: Pick<Operation, 'id' | 'kind' | 'state' | 'vms'> &
    Partial<Pick<Operation, 'image' | 'create' | 'hardware' | 'snapshot' | 'migration' | 'drain'>>,
  caller: Caller,
  stamp: Stamp,
  ...texts: readonly string[]
): { readonly operation: Operation; readonly event: NewEvent } {
  const { owner, key, fingerprint } = caller;
  const operation: Operation = {
    ...fields,
    owner,
    createdAt: stamp.at,
    changedAt: stamp.at,
    ...(key !== undefined && { key }),
    ...(fingerprint !== undefined && { fingerprint }),
    history: texts.map((text) => ({ at: stamp.at, text })),
  };
  return { operation, event: changedEvent(operation, texts.at(-1) ?? fields.state) };
}

/** The operation moved on, with a line in its history. */
export function moved(
  operation: Operation,
  stamp: Stamp,
  text: string,
  fields: Partial<Omit<Operation, 'id' | 'history'>> = {},
): Operation {
  const ended = fields.state !== undefined && ENDED_STATES.has(fields.state);
  return {
    ...operation,
    ...fields,
    changedAt: stamp.at,
    ...(ended && { endedAt: stamp.at }),
    history: [...operation.history, { at: stamp.at, text }].slice(-HISTORY_MAX),
  };
}

/** As {@link moved}, with its event, as parts of a change. */
export function moveTo(
  operation: Operation,
  state: OperationState,
  stamp: Stamp,
  text: string,
  fields: Partial<Omit<Operation, 'id' | 'history' | 'state'>> = {},
): { readonly putOperations: readonly Operation[]; readonly events: readonly NewEvent[] } {
  const next = moved(operation, stamp, text, { ...fields, state });
  return { putOperations: [next], events: [changedEvent(next, text)] };
}

export function failed(type: OperationFailure['type'], detail: string): OperationFailure {
  return { type, detail };
}

function changedEvent(operation: Operation, text: string): NewEvent {
  const { id, kind, state, owner, vms, image } = operation;
  return {
    type: 'operation.changed',
    operation: { id, kind, state, owner, vmIds: vms.map((vm) => vm.id), ...(image !== undefined && { image }) },
    text,
  };
}

/** Two changes as one. */
export function together(...changes: readonly Change[]): Change {
  const all = <K extends 'putVms' | 'deleteVms' | 'events' | 'putOperations'>(key: K) =>
    changes.flatMap((change) => (change[key] ?? []) as NonNullable<Change[K]>[number][]);
  return {
    ...Object.assign({}, ...changes),
    putVms: all('putVms'),
    deleteVms: all('deleteVms'),
    events: all('events'),
    putOperations: all('putOperations'),
  };
}

/**
 * A change of VMs together with what it means for the operations that are about them, so that both become true at once. When an
 * all-or-nothing creation has failed, the VMs it brought already are on their way out in the same change.
 */
export function withOperations(state: LedgerState, change: Change, stamp: Stamp): Change {
  if (state.operations.size === 0) return change;
  const changed = new Map((change.putVms ?? []).map((vm) => [vm.id, vm]));
  const gone = new Set(change.deleteVms ?? []);
  const follows: Change[] = [];
  for (const operation of state.operations.values()) {
    if (operation.state !== 'running') continue;
    if (!operation.vms.some(({ id }) => changed.has(id) || gone.has(id))) continue;
    const followed = follow(operation, state, changed, gone, stamp);
    if (followed !== undefined) follows.push(followed);
  }
  return follows.length === 0 ? change : together(change, ...follows);
}

function follow(
  operation: Operation,
  state: LedgerState,
  changed: ReadonlyMap<number, VmRecord>,
  gone: ReadonlySet<number>,
  stamp: Stamp,
): Change | undefined {
  const judge = OUTCOMES[operation.kind];
  if (judge === undefined) return undefined;
  const vms = operation.vms.map((vm): OperationVm => {
    if (vm.outcome !== undefined) return vm;
    const record = changed.get(vm.id) ?? state.vms.get(vm.id);
    return { ...vm, ...judge(operation, record, gone.has(vm.id)) };
  });
  const news = vms.filter((vm, index) => vm.outcome !== operation.vms[index]?.outcome);
  if (news.length === 0) return undefined;
  let next: Operation = { ...operation, vms };
  for (const vm of news) next = moved(next, stamp, vmText(operation, vm));
  const spoiled = operation.create?.allOrNothing === true && vms.some(({ outcome }) => outcome === 'failed');
  const undone = undo(spoiled && !operation.cancelling ? leftOf(next, state, changed, gone) : [], stamp);
  if (undone.putVms.length > 0) {
    const back = new Set(undone.putVms.map(({ id }) => id));
    const open = next.vms.map(
      (vm): OperationVm => (back.has(vm.id) ? { id: vm.id, name: vm.name, host: vm.host } : vm),
    );
    next = { ...next, cancelling: true, vms: open };
  }
  if (next.vms.some((vm) => vm.outcome === undefined)) {
    return { putOperations: [next], ...undone };
  }
  return ending(next, stamp);
}

/** The end of an operation all of whose VMs have an outcome. */
function ending(operation: Operation, stamp: Stamp): Change {
  const failures = operation.vms.filter(({ outcome }) => outcome === 'failed');
  const first = failures[0];
  // A failed VM of an all-or-nothing creation is why the others were undone; otherwise it was somebody who cancelled.
  const byUser = operation.cancelling === true && operation.create?.allOrNothing !== true;
  if (!byUser && (first !== undefined || operation.failure !== undefined)) {
    const failure = operation.failure ?? failed('failed', first?.reason ?? 'it failed');
    return moveTo(operation, 'failed', stamp, `failed: ${failure.detail}`, { failure });
  }
  if (operation.cancelling) {
    const stay = operation.vms.filter(({ outcome }) => outcome === 'done').length;
    const text = stay === 0 ? 'cancelled; nothing of it is left' : `cancelled; ${vmsText(stay)} had been made and stay`;
    return moveTo(operation, 'cancelled', stamp, text);
  }
  return moveTo(operation, 'succeeded', stamp, 'succeeded');
}

const OUTCOMES: { readonly [K in OperationKind]?: typeof creationOutcome } = {
  'vm.create': creationOutcome,
  'cluster.create': creationOutcome,
  'cluster.add': creationOutcome,
  'vm.delete': deletionOutcome,
  'cluster.remove': deletionOutcome,
  'cluster.delete': deletionOutcome,
};

type Judged = Pick<OperationVm, 'outcome' | 'reason'> | Record<never, never>;

function creationOutcome(operation: Operation, record: VmRecord | undefined, isGone: boolean): Judged {
  const reason = record?.reason ?? 'it was removed';
  // Somebody who cancelled is told when nothing is left.
  if (operation.cancelling) return isGone || record === undefined ? { outcome: 'cancelled', reason } : {};
  if (isGone || record === undefined || record.phase === 'removing') return { outcome: 'failed', reason };
  return record.phase === 'in-service' ? { outcome: 'done' } : {};
}

function deletionOutcome(_operation: Operation, record: VmRecord | undefined, isGone: boolean): Judged {
  return isGone || record === undefined ? { outcome: 'done' } : {};
}

function vmText(operation: Operation, { name, host, outcome, reason }: OperationVm): string {
  if (outcome === 'failed') return `${name} on host ${host} failed: ${reason ?? 'no reason given'}`;
  if (outcome === 'cancelled') return `${name} is gone from host ${host}`;
  return OUTCOMES[operation.kind] === deletionOutcome
    ? `${name} is gone from host ${host}`
    : `${name} runs on host ${host}`;
}

/** The VMs of a creation that exist and are not on their way out yet, as they will be after the change. */
function leftOf(
  operation: Operation,
  state: Pick<LedgerState, 'vms'>,
  changed: ReadonlyMap<number, VmRecord>,
  gone: ReadonlySet<number>,
): readonly VmRecord[] {
  return operation.vms.flatMap(({ id }) => {
    const record = changed.get(id) ?? state.vms.get(id);
    return record === undefined || gone.has(id) || record.phase === 'removing' ? [] : [record];
  });
}

/** Takes VMs of a creation back: their plugs are pulled, and those who have been told of one hear it. */
export function undo(
  records: readonly VmRecord[],
  { nowMs }: Stamp,
  reason = 'the creation it belongs to was undone',
): { readonly putVms: readonly VmRecord[]; readonly events: readonly NewEvent[] } {
  return {
    putVms: records.map((vm) => inPhase(vm, 'removing', nowMs, { step: 'stopping', deadlineAtMs: nowMs, reason })),
    events: records.filter(({ phase }) => phase === 'in-service').map((vm) => drainingEvent(vm, reason)),
  };
}
