// Deleting VMs, and taking domains that others made under our care. The removal itself is the worker's, step by step.
// Not here: what a policy drains (turn).

import type { DomainObservation, VmMetadata, VmRecord } from '../core/model.ts';
import type { Operation } from '../core/operation.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Creations } from './creations.ts';
import { earlier, type FabricParts, kept, noVm, openByKey, type Refused, refuse, stampOf } from './fabric-parts.ts';
import type { HostWatch } from './host-watch.ts';
import type { Change, LedgerState } from './ledger.ts';
import { begin, failed, moveTo, together } from './operations.ts';
import { aboutVm, drainingEvent, inPhase } from './records.ts';
import type { Caller, CommandResult } from './view.ts';

const ADOPT_MS = 30_000;

type DeletionKind = 'vm.delete' | 'cluster.remove' | 'cluster.delete';
const DELETIONS: ReadonlySet<string> = new Set<DeletionKind>(['vm.delete', 'cluster.remove', 'cluster.delete']);

/** What else is being done to single VMs: it ends when they go. */
interface UnderWay {
  interrupt(vmId: number, why: string): Promise<void>;
}

export class Removals {
  readonly #parts: FabricParts;
  readonly #underWay: UnderWay;
  readonly #creations: Creations;
  readonly #drainGraceMs: (group: string) => number;

  constructor(parts: FabricParts, underWay: UnderWay, creations: Creations, drainGraceMs: (group: string) => number) {
    this.#parts = parts;
    this.#underWay = underWay;
    this.#creations = creations;
    this.#drainGraceMs = drainGraceMs;
  }

  remove(id: number, caller: Caller, graceMs: number | undefined): Promise<CommandResult<Operation>> {
    return this.removeSeveral('vm.delete', caller, graceMs, ({ vms }) => {
      const record = vms.get(id);
      return record === undefined ? noVm(id) : [record];
    });
  }

  /** One operation for all that `choose` names. When they are being removed already, by one operation, that one. */
  async removeSeveral(
    kind: DeletionKind,
    caller: Caller,
    graceMs: number | undefined,
    choose: (state: LedgerState) => readonly VmRecord[] | Refused,
  ): Promise<CommandResult<Operation>> {
    const { clock, ids, kick, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    let result: CommandResult<Operation> = refuse('conflict', 'nothing was decided');
    let going: readonly VmRecord[] = [];
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      const chosen = same === undefined ? choose(state) : [];
      if (same !== undefined) result = { ok: true, value: same };
      else if ('refused' in chosen) result = chosen;
      if (same !== undefined || 'refused' in chosen) return undefined;
      going = chosen;
      const under = deletionOf(state, chosen);
      if (under !== undefined) {
        result = { ok: true, value: under };
        return undefined;
      }
      const back = revertOf(state, chosen);
      if (back !== undefined) {
        result = refuse(
          'conflict',
          `operation ${back.id} (${back.kind}) is under way; the VM can be deleted when that has ended`,
        );
        return undefined;
      }
      const stamp = stampOf(clock);
      const vms = chosen.map(({ id, name, host }) => ({ id, name, host }));
      const fields = { id: ids.uuid(), kind, state: 'running', vms } as const;
      const where = chosen.map(({ name, host }) => `${name} from host ${host}`).join(', ');
      const { operation, event } = begin(fields, caller, stamp, `removing ${where}`);
      result = { ok: true, value: operation };
      const leaving = together(...chosen.map((record) => this.#onItsWay(record, caller, graceMs, stamp.nowMs)));
      return { ...leaving, putOperations: [operation], events: [event, ...(leaving.events ?? [])] };
    });
    const accepted = result as CommandResult<Operation>;
    if (accepted.ok) for (const { id } of going) await this.#underWay.interrupt(id, 'the VM is being deleted');
    kick();
    return accepted;
  }

  #onItsWay(record: VmRecord, { owner }: Caller, graceMs: number | undefined, nowMs: number): Change {
    const { group, kind, phase } = record;
    if (phase === 'removing') return {};
    const reason = `${owner} deleted it`;
    if (group !== undefined && phase === 'in-service') {
      const drainMs = graceMs ?? this.#drainGraceMs(group);
      const leaves = inPhase(record, 'draining', nowMs, { step: 'draining', deadlineAtMs: nowMs + drainMs, reason });
      const draining: VmRecord = { ...leaves, leaving: 'asked' };
      return {
        putVms: [draining],
        events: [drainingEvent(record, reason, drainMs)],
      };
    }
    // It may have been on its way out for another reason, which could be taken back.
    if (phase === 'draining') return { putVms: [{ ...record, leaving: 'asked', reason }] };
    // Asked politely only when somebody says for how long, and only a guest that may be listening.
    const polite = (graceMs !== undefined && phase === 'in-service') || kind === 'existing';
    const next = polite
      ? inPhase(record, 'removing', nowMs, {
          step: 'intended',
          reason,
          ...(graceMs !== undefined && { deadlineAtMs: nowMs + graceMs }),
        })
      : inPhase(record, 'removing', nowMs, { step: 'stopping', deadlineAtMs: nowMs, reason });
    // Clients that know of it must hear that it goes.
    return { putVms: [next], events: phase === 'in-service' ? [drainingEvent(record, reason, graceMs)] : [] };
  }

  /** Cancels what can be cancelled: creations. Undefined: not of a kind that can. */
  async cancelCreation(operation: Operation): Promise<boolean> {
    if (operation.kind !== 'vm.create') return false;
    await this.#creations.cancel(operation.id);
    return true;
  }

  async adopt(hostName: string, wanted: string, caller: Caller): Promise<CommandResult<Operation>> {
    const { hosts, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    const host = hosts.get(hostName);
    if (host === undefined) return refuse('not-found', `there is no host ${hostName}`);
    const view = host.view();
    if (view.state !== 'up')
      return refuse('unreachable', `host ${hostName} does not answer: ${view.reason ?? 'not asked yet'}`);
    const found = (view.last?.domains ?? []).find(({ name, uuid }) => name === wanted || uuid === wanted.toLowerCase());
    if (found === undefined) return refuse('not-found', `host ${hostName} has no domain ${wanted}`);
    const known = [...ledger.state.vms.values()].find(({ uuid }) => uuid === found.uuid);
    if (known !== undefined || found.metadata !== undefined) {
      return refuse(
        'conflict',
        `domain ${found.name} is a VM of virtscale already (${known?.id ?? found.metadata?.id})`,
      );
    }
    return this.#adoptFound(host, found, caller);
  }

  /** Takes up adoptions that an earlier daemon left half done. */
  recover(): void {
    const { hosts, ledger, signal } = this.#parts;
    for (const operation of ledger.state.operations.values()) {
      if (operation.kind !== 'vm.adopt') continue;
      for (const { id } of operation.vms) {
        const record = ledger.vm(id);
        const host = record && hosts.get(record.host);
        if (record !== undefined && host !== undefined) void this.#writeMetadata(host, record, operation, signal);
      }
    }
  }

  async #adoptFound(host: HostWatch, domain: DomainObservation, caller: Caller): Promise<CommandResult<Operation>> {
    const { clock, ids, ledger, signal } = this.#parts;
    let result: CommandResult<Operation> = refuse('conflict', `domain ${domain.name} is being adopted`);
    let record: VmRecord | undefined;
    await ledger.change((state) => {
      if ([...state.vms.values()].some(({ uuid }) => uuid === domain.uuid)) return undefined;
      const stamp = stampOf(clock);
      const id = state.nextVmId;
      const vms = [{ id, name: domain.name, host: host.name }];
      const fields = { id: ids.uuid(), kind: 'vm.adopt', state: 'running', vms } as const;
      const { operation, event } = begin(fields, caller, stamp, `adopting ${domain.name} on host ${host.name}`);
      record = adoptedRecord(domain, host.name, id, operation, stamp.nowMs);
      result = { ok: true, value: operation };
      return { putVms: [record], putOperations: [operation], events: [event], nextVmId: id + 1 };
    });
    const accepted = result as CommandResult<Operation>;
    if (accepted.ok && record !== undefined) void this.#writeMetadata(host, record, accepted.value, signal);
    return accepted;
  }

  async #writeMetadata(host: HostWatch, record: VmRecord, operation: Operation, signal: AbortSignal): Promise<void> {
    const { clock, ledger, log } = this.#parts;
    const metadata: VmMetadata = {
      id: record.id,
      owner: record.owner,
      operation: record.operation,
      image: '',
      flavor: '',
      adopted: true,
    };
    let fault: Fault | undefined;
    try {
      await clock.deadline(ADOPT_MS, (inner) => host.hypervisor.adopt(record.uuid, metadata, inner), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!isFault(error)) log.error({ err: error, operation: operation.id }, 'a bug ended an adoption');
      fault = isFault(error) ? error : new Fault('refused', String(error));
    }
    const change = (state: LedgerState): Change | undefined => {
      const current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      if (fault === undefined) {
        const vms = current.vms.map((vm) => ({ ...vm, outcome: 'done' }) as const);
        const moved = moveTo(current, 'succeeded', stamp, `${record.name} is virtscale's from now on`, { vms });
        const told = { type: 'vm.adopted', ...aboutVm(record), reason: `${record.owner} asked for it` } as const;
        return { ...moved, events: [told, ...moved.events] };
      }
      const reason = fault.message;
      const vms = current.vms.map((vm) => ({ ...vm, outcome: 'failed', reason }) as const);
      const moved = moveTo(current, 'failed', stamp, `failed: ${reason}`, { vms, failure: failed('failed', reason) });
      return { ...moved, deleteVms: [record.id] };
    };
    await kept(this.#parts, () => ledger.change(change));
  }
}

/** A VM is defined anew on its way back to a snapshot: that must not follow its removal. */
function revertOf({ operations }: LedgerState, records: readonly VmRecord[]): Operation | undefined {
  return [...operations.values()].find(
    ({ kind, vms }) => kind === 'snapshot.revert' && records.some(({ id }) => vms.some((vm) => vm.id === id)),
  );
}

/** The one operation that is removing all of these. */
function deletionOf({ operations }: LedgerState, records: readonly VmRecord[]): Operation | undefined {
  return [...operations.values()].find(
    ({ kind, vms }) => DELETIONS.has(kind) && records.every(({ id }) => vms.some((vm) => vm.id === id)),
  );
}

function adoptedRecord(
  domain: DomainObservation,
  host: string,
  id: number,
  operation: Operation,
  nowMs: number,
): VmRecord {
  return {
    id,
    name: domain.name,
    uuid: domain.uuid,
    host,
    kind: 'adopted',
    owner: operation.owner,
    operation: operation.id,
    power: domain.paused ? 'paused' : domain.state === 'running' ? 'running' : 'stopped',
    phase: 'in-service',
    step: 'started',
    phaseAtMs: nowMs,
    changedAtMs: nowMs,
    tries: 0,
  };
}
