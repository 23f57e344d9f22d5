// Makes and moves VM records: the intents. Pure; the ledger keeps them, the steps carry them out.

import type { Action, Decision } from '../core/decision.ts';
import type { EventVm, NewEvent } from '../core/events.ts';
import { guestSetup } from '../core/guest-setup.ts';
import type { GroupName, VmPhase, VmRecord, VmStep } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';

function eventVm(record: VmRecord): EventVm {
  const { id, name, uuid, host, endpoint } = record;
  return { id, name, uuid, host, ...(endpoint && { endpoint }) };
}

/** What every `vm.*` event carries. */
export function aboutVm(record: VmRecord): { readonly group?: GroupName; readonly vm: EventVm } {
  return { vm: eventVm(record), ...(record.group !== undefined && { group: record.group }) };
}

/** Clients should leave it alone from now on. `graceMs` 0: it goes at once. */
export function drainingEvent(record: VmRecord, reason: string, graceMs = 0): NewEvent {
  return { type: 'vm.draining', ...aboutVm(record), reason, graceMs };
}

/** The record moved to another phase. The old phase's deadline and tries do not carry over. */
export function inPhase(
  record: VmRecord,
  phase: VmPhase,
  nowMs: number,
  options: { step?: VmStep; deadlineAtMs?: number; reason?: string } = {},
): VmRecord {
  const { deadlineAtMs: _deadline, reason: _reason, ...kept } = record;
  const { step = record.step, deadlineAtMs, reason = record.reason } = options;
  return {
    ...kept,
    phase,
    step,
    phaseAtMs: nowMs,
    changedAtMs: nowMs,
    tries: 0,
    ...(deadlineAtMs !== undefined && { deadlineAtMs }),
    ...(reason !== undefined && { reason }),
  };
}

export interface Intents {
  readonly putVms: readonly VmRecord[];
  readonly events: readonly NewEvent[];
  readonly nextVmId: number;
}

/** Turns a decision's actions into records and the events that announce them. */
export function intentsOf(
  decision: Decision,
  policy: Policy,
  at: { readonly operation: string; readonly nowMs: number; readonly nextVmId: number; readonly owner: string },
  vms: ReadonlyMap<number, VmRecord>,
  newUuid: () => string,
): Intents {
  const putVms: VmRecord[] = [];
  const events: NewEvent[] = [];
  let { nextVmId } = at;
  for (const action of decision.actions) {
    if (action.kind === 'drain') {
      const record = vms.get(action.vmId);
      if (record === undefined) continue;
      const moved = outOfService(record, action.reason, policy, at.nowMs);
      putVms.push(moved);
      if (moved.phase === 'draining') {
        events.push(drainingEvent(record, action.reason, policy.drainGraceMs));
      }
    } else {
      const record = launchRecord(action, policy, nextVmId, at, newUuid);
      nextVmId += 1;
      putVms.push(record);
      events.push({ type: 'vm.launching', ...aboutVm(record), decision: at.operation });
    }
  }
  return { putVms, events, nextVmId };
}

/** A VM in service drains first; one that clients never heard of is removed at once. */
function outOfService(record: VmRecord, reason: string, policy: Policy, nowMs: number): VmRecord {
  return record.phase === 'in-service'
    ? inPhase(record, 'draining', nowMs, { deadlineAtMs: nowMs + policy.drainGraceMs, reason })
    : inPhase(record, 'removing', nowMs, { step: 'intended', reason });
}

function launchRecord(
  action: Exclude<Action, { kind: 'drain' }>,
  policy: Policy,
  id: number,
  at: { readonly operation: string; readonly nowMs: number; readonly owner: string },
  newUuid: () => string,
): VmRecord {
  const { source } = policy;
  const common = {
    id,
    group: policy.group,
    host: action.host,
    owner: at.owner,
    operation: at.operation,
    phase: 'launching',
    phaseAtMs: at.nowMs,
    changedAtMs: at.nowMs,
    deadlineAtMs: at.nowMs + policy.launchDeadlineMs,
    tries: 0,
  } as const;
  if (action.kind === 'start') {
    const ready = source.kind === 'domains' ? source.ready : source.template.ready;
    const endpoint = action.address === undefined ? undefined : { address: action.address, port: ready.http.port };
    return {
      ...common,
      name: action.domain,
      uuid: action.uuid,
      kind: 'existing',
      step: 'defined',
      ready,
      ...(endpoint && { endpoint }),
    };
  }
  if (source.kind !== 'template') throw new Error(`group ${policy.group}: a launch was decided without a template`);
  const { image, flavor, ready, setup } = source.template;
  const name = `${policy.group}-${id}`;
  const cloudInit = guestSetup(name, image, setup);
  return {
    ...common,
    name,
    uuid: newUuid(),
    kind: 'clone',
    step: 'intended',
    image,
    flavor,
    ready,
    ...(cloudInit && { cloudInit }),
  };
}
