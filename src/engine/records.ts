// Makes and moves VM records: the intents. Pure; the ledger keeps them, the steps carry them out.

import type { Action, Decision } from '../core/decision.ts';
import type { EventVm, NewEvent } from '../core/events.ts';
import { guestSetup } from '../core/guest-setup.ts';
import type { GroupName, HostName, VmPhase, VmRecord, VmStep } from '../core/model.ts';
import type { Policy, Template } from '../core/policy.ts';
import { portOf } from '../core/ready-check.ts';

function eventVm(record: VmRecord): EventVm {
  const { id, name, uuid, host, endpoint, group, owner } = record;
  return { id, name, uuid, host, ...(endpoint && { endpoint }), ...(group === undefined && { owner }) };
}

/** What every `vm.*` event carries. */
export function aboutVm(record: VmRecord): { readonly group?: GroupName; readonly vm: EventVm } {
  return { vm: eventVm(record), ...(record.group !== undefined && { group: record.group }) };
}

/** Clients should leave it alone from now on. `graceMs` 0: it goes at once. */
export function drainingEvent(record: VmRecord, reason: string, graceMs = 0): NewEvent {
  return { type: 'vm.draining', ...aboutVm(record), reason, graceMs };
}

/** The record moved to another phase. The old phase's deadline, hook and tries do not carry over. */
export function inPhase(
  record: VmRecord,
  phase: VmPhase,
  nowMs: number,
  options: { step?: VmStep; deadlineAtMs?: number; reason?: string } = {},
): VmRecord {
  const { deadlineAtMs: _deadline, hook: _hook, reason: _reason, ...kept } = withoutLeaving(record, phase);
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

/** The record without what is no longer true of it. */
export function forgetting(record: VmRecord, what: readonly ('endpoint' | 'hook' | 'template')[]): VmRecord {
  if (what.length === 0) return record;
  const { endpoint, hook, template, ...kept } = record;
  return {
    ...kept,
    ...(endpoint && !what.includes('endpoint') && { endpoint }),
    ...(hook && !what.includes('hook') && { hook }),
    ...(template !== undefined && !what.includes('template') && { template }),
  };
}

export interface Intents {
  readonly putVms: readonly VmRecord[];
  readonly events: readonly NewEvent[];
  readonly nextVmId: number;
}

/** One that is back in service is not leaving any more. */
function withoutLeaving(record: VmRecord, phase: VmPhase): VmRecord {
  if (phase === 'draining' || phase === 'removing') return record;
  const { leaving: _leaving, ...kept } = record;
  return kept;
}

/** What launches need besides the decision. */
export interface IntentContext {
  readonly operation: string;
  readonly nowMs: number;
  readonly nextVmId: number;
  readonly owner: string;
  /** The template that a group's VMs are forked from on a host; undefined: none (any more). */
  readonly templateOf: (host: HostName) => string | undefined;
  /** The template before a refresh, for launches that roll it back. */
  readonly previous?: Template;
}

/** Turns a decision's actions into records and the events that announce them. */
export function intentsOf(
  decision: Decision,
  policy: Policy,
  at: IntentContext,
  vms: ReadonlyMap<number, VmRecord>,
  newUuid: () => string,
): Intents {
  const putVms: VmRecord[] = [];
  const events: NewEvent[] = [];
  let { nextVmId } = at;
  for (const action of decision.actions) {
    if (action.kind === 'launch' || action.kind === 'start') {
      const record = launchRecord(action, policy, nextVmId, at, newUuid);
      nextVmId += 1;
      putVms.push(record);
      events.push({ type: 'vm.launching', ...aboutVm(record), decision: at.operation });
      continue;
    }
    const record = vms.get(action.vmId);
    if (record === undefined) continue;
    const moved = movedBy(action, record, policy, at);
    putVms.push(moved.record);
    events.push(...moved.events);
  }
  return { putVms, events, nextVmId };
}

function movedBy(
  action: Exclude<Action, { kind: 'launch' | 'start' }>,
  record: VmRecord,
  policy: Policy,
  { nowMs, operation }: IntentContext,
): { readonly record: VmRecord; readonly events: readonly NewEvent[] } {
  switch (action.kind) {
    case 'drain': {
      const moved = { ...outOfService(record, action, policy, nowMs), leaving: action.because };
      const graceMs = moved.phase === 'draining' ? policy.drainGraceMs : 0;
      const told = record.phase === 'in-service' ? [drainingEvent(record, action.reason, graceMs)] : [];
      return { record: moved, events: told };
    }
    case 'discard':
      return { record: unplugged(record, action.reason, nowMs), events: [] };
    case 'wake': {
      const { standby: _standby, ...woken } = inPhase(record, 'launching', nowMs, {
        deadlineAtMs: nowMs + policy.launchDeadlineMs,
      });
      const event: NewEvent = { type: 'vm.launching', ...aboutVm(record), decision: operation };
      return { record: { ...woken, way: action.way }, events: [event] };
    }
    case 'return': {
      const back = inPhase(record, 'in-service', nowMs, { step: 'started' });
      return { record: back, events: [{ type: 'vm.returned', ...aboutVm(record), reason: action.reason }] };
    }
  }
}

/** A VM in service drains first; one that clients never heard of, or that does not serve them any more, is removed at once. */
function outOfService(
  record: VmRecord,
  { reason, atOnce }: Extract<Action, { kind: 'drain' }>,
  policy: Policy,
  nowMs: number,
): VmRecord {
  if (record.phase !== 'in-service') return inPhase(record, 'removing', nowMs, { step: 'intended', reason });
  if (atOnce)
    return record.kind === 'existing'
      ? inPhase(record, 'removing', nowMs, { step: 'intended', reason })
      : unplugged(record, reason, nowMs);
  return inPhase(record, 'draining', nowMs, { step: 'draining', deadlineAtMs: nowMs + policy.drainGraceMs, reason });
}

/** Without asking the guest: it has nothing to finish. */
function unplugged(record: VmRecord, reason: string, nowMs: number): VmRecord {
  return inPhase(record, 'removing', nowMs, { step: 'stopping', deadlineAtMs: nowMs, reason });
}

function launchRecord(
  action: Extract<Action, { kind: 'launch' | 'start' }>,
  policy: Policy,
  id: number,
  at: IntentContext,
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
    const port = portOf(ready);
    const { address } = action;
    return {
      ...common,
      name: action.domain,
      uuid: action.uuid,
      kind: 'existing',
      step: 'defined',
      ready,
      ...(address !== undefined && port !== undefined && { endpoint: { address, port } }),
    };
  }
  if (source.kind !== 'template') throw new Error(`group ${policy.group}: a launch was decided without a template`);
  const { image, flavor, ready, setup } = (action.template === 'previous' ? at.previous : undefined) ?? source.template;
  const name = `${policy.group}-${id}`;
  const cloudInit = guestSetup(name, image, setup);
  const template = action.way === 'fork' && action.template === undefined ? at.templateOf(action.host) : undefined;
  return {
    ...common,
    name,
    uuid: newUuid(),
    kind: 'clone',
    step: 'intended',
    image,
    flavor,
    ready,
    way: template === undefined ? 'cold' : 'fork',
    ...(template !== undefined && { template }),
    ...(action.standby !== undefined && { standby: action.standby }),
    ...(cloudInit && { cloudInit }),
  };
}
