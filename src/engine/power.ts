// Starting, pausing, resuming, shutting down, rebooting, resetting and stopping single VMs, each as an operation.
// Not here: making and removing them (creations, removals). VMs of groups follow their policy, not these.

import type { PowerState, VmRecord } from '../core/model.ts';
import type { Operation, OperationKind, PowerVerb } from '../core/operation.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import { earlier, type FabricParts, kept, noVm, openByKey, operationOn, refuse, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { begin, failed, moveTo } from './operations.ts';
import { aboutVm } from './records.ts';
import type { Caller, CommandResult } from './view.ts';

interface Verb {
  /** What the VM shall be from now on; absent: as before. */
  readonly power?: PowerState;
  /** May be done again after a restart of the daemon that did not see the end of it. */
  readonly repeatable: boolean;
  readonly done: string;
  readonly call: (hypervisor: Hypervisor, uuid: string, signal: AbortSignal) => Promise<void>;
}

const VERBS: { readonly [V in PowerVerb]: Verb } = {
  start: { power: 'running', repeatable: true, done: 'it runs', call: (h, uuid, signal) => h.start(uuid, signal) },
  pause: { power: 'paused', repeatable: true, done: 'it is paused', call: (h, uuid, signal) => h.pause(uuid, signal) },
  resume: {
    power: 'running',
    repeatable: true,
    done: 'it runs again',
    call: (h, uuid, signal) => h.resume(uuid, signal),
  },
  shutdown: {
    power: 'stopped',
    repeatable: true,
    done: 'it has shut down',
    call: (h, uuid, signal) => h.shutdown(uuid, signal),
  },
  reboot: {
    repeatable: false,
    done: 'the guest was asked to reboot',
    call: (h, uuid, signal) => h.reboot(uuid, signal),
  },
  reset: { repeatable: false, done: 'it was reset', call: (h, uuid, signal) => h.reset(uuid, signal) },
  stop: { power: 'stopped', repeatable: true, done: 'it is off', call: (h, uuid, signal) => h.destroy(uuid, signal) },
};

/** A call that starts QEMU on a busy host takes seconds. */
const CALL_MS = 60_000;
/** A guest that has not shut down by then will not; without a grace its plug is not pulled. */
const SHUTDOWN_MS = 300_000;
const LOOK_AGAIN_MS = 250;
const RETRY_MS = 1_000;
/** How long a call is tried again while the host does not answer or the domain is busy. */
const RETRY_FOR_MS = 120_000;

export class Power {
  readonly #parts: FabricParts;
  /** Operations being carried out here, each with the way to end it. */
  readonly #running = new Map<string, AbortController>();

  constructor(parts: FabricParts) {
    this.#parts = parts;
  }

  async submit(
    id: number,
    verb: PowerVerb,
    caller: Caller,
    graceMs: number | undefined,
  ): Promise<CommandResult<Operation>> {
    const { clock, ids, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    let result: CommandResult<Operation> = noVm(id);
    let isNew = false;
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      const vm = state.vms.get(id);
      if (same !== undefined || vm === undefined) {
        if (same !== undefined) result = { ok: true, value: same };
        return undefined;
      }
      const refused = this.#refusal(vm, verb);
      if (refused !== undefined) {
        result = refused;
        return undefined;
      }
      const stamp = stampOf(clock);
      const kind: OperationKind = `vm.${verb}`;
      const vms = [{ id, name: vm.name, host: vm.host }];
      const { operation, event } = begin(
        { id: ids.uuid(), kind, state: 'running', vms },
        caller,
        stamp,
        `${verb} of ${vm.name}`,
      );
      const { power } = VERBS[verb];
      result = { ok: true, value: operation };
      isNew = true;
      return {
        putOperations: [operation],
        events: [event],
        ...(power !== undefined && power !== vm.power && { putVms: [{ ...vm, power, changedAtMs: stamp.nowMs }] }),
      };
    });
    const accepted = result as CommandResult<Operation>;
    if (isNew && accepted.ok) void this.#run(accepted.value, verb, graceMs);
    return accepted;
  }

  /** Takes up what an earlier daemon left: what may be repeated is; of the rest nobody knows whether it happened. */
  async recover(): Promise<void> {
    const { clock, ledger } = this.#parts;
    for (const operation of [...ledger.state.operations.values()]) {
      const verb = operation.kind.slice('vm.'.length) as PowerVerb;
      if (!Object.hasOwn(VERBS, verb) || operation.state !== 'running') continue;
      if (VERBS[verb].repeatable) {
        void this.#run(operation, verb, undefined);
        continue;
      }
      const detail = 'the daemon ended while this was under way; whether it happened is not known';
      const failure = failed('interrupted', detail);
      await ledger.change(() => moveTo(operation, 'failed', stampOf(clock), detail, { failure }));
    }
  }

  /** Ends the operation under way on this VM, whoever waits for it. */
  async interrupt(vmId: number, why: string): Promise<void> {
    const { clock, ledger } = this.#parts;
    for (const [id, controller] of this.#running) {
      const operation = ledger.state.operations.get(id);
      if (operation === undefined || !operation.vms.some((vm) => vm.id === vmId)) continue;
      controller.abort();
      await ledger.change((state) => {
        const current = state.operations.get(id);
        return current && moveTo(current, 'cancelled', stampOf(clock), why);
      });
    }
  }

  #refusal(vm: VmRecord, verb: PowerVerb) {
    if (vm.group !== undefined) {
      return refuse(
        'conflict',
        `VM ${vm.name} belongs to group ${vm.group}, whose policy decides; delete the VM or pause the group`,
      );
    }
    if (vm.phase !== 'in-service')
      return refuse('conflict', `VM ${vm.name} is ${vm.phase}; wait until it is in service`);
    const other = operationOn(this.#parts, vm);
    // Pulling the plug and asking for it again need not wait for a guest that does not shut down.
    if (other === undefined || (verb === 'stop' && other.kind === 'vm.shutdown')) return undefined;
    return refuse(
      'conflict',
      `operation ${other.id} (${other.kind}) is under way on VM ${vm.name}; wait for it or cancel it`,
    );
  }

  async #run(operation: Operation, verb: PowerVerb, graceMs: number | undefined): Promise<void> {
    const { ledger, log, signal } = this.#parts;
    const [vm] = operation.vms;
    const record = vm && ledger.state.vms.get(vm.id);
    if (record === undefined) return this.#end(operation, undefined, failed('failed', 'the VM is gone'));
    if (verb === 'stop') await this.interrupt(record.id, 'the plug was pulled instead');
    const own = new AbortController();
    this.#running.set(operation.id, own);
    const inner = AbortSignal.any([signal, own.signal]);
    try {
      await this.#call(record, verb, inner);
      if (verb === 'shutdown') await this.#untilOff(record, graceMs, inner);
      await this.#end(operation, record, undefined, verb);
    } catch (error) {
      // Let go of: whoever interrupted it has said what became of it; a daemon that ends leaves it to the next.
      if (inner.aborted) return;
      if (!isFault(error)) log.error({ err: error, operation: operation.id }, 'a bug ended an operation');
      const detail = error instanceof Error ? error.message : String(error);
      await this.#end(operation, record, failed(isFault(error, 'timed-out') ? 'timed-out' : 'failed', detail));
    } finally {
      this.#running.delete(operation.id);
    }
  }

  /** A host that does not answer, or a domain that is busy, is asked again for a while. */
  async #call(record: VmRecord, verb: PowerVerb, signal: AbortSignal): Promise<void> {
    const { clock, hosts } = this.#parts;
    const hypervisor = hosts.get(record.host)?.hypervisor;
    if (hypervisor === undefined)
      throw new Fault('refused', `host ${record.host} is not in the configuration any more`);
    const untilMs = clock.nowMs() + RETRY_FOR_MS;
    for (;;) {
      try {
        return await clock.deadline(CALL_MS, (inner) => VERBS[verb].call(hypervisor, record.uuid, inner), signal);
      } catch (error) {
        const again = isFault(error) && error.retryable && VERBS[verb].repeatable && clock.nowMs() < untilMs;
        if (!again || signal.aborted) throw error;
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async #untilOff(record: VmRecord, graceMs: number | undefined, signal: AbortSignal): Promise<void> {
    const { clock, hosts } = this.#parts;
    const askedAtMs = clock.nowMs();
    const patienceMs = graceMs ?? SHUTDOWN_MS;
    while (clock.nowMs() - askedAtMs < patienceMs) {
      const view = hosts.get(record.host)?.view();
      const domain = view?.last?.domains.find(({ uuid }) => uuid === record.uuid);
      const fresh = view?.state === 'up' && (view.last?.startedAtMs ?? 0) >= askedAtMs;
      if (fresh && domain?.state !== 'running' && domain?.state !== 'unknown') return;
      await clock.sleep(LOOK_AGAIN_MS, signal);
      signal.throwIfAborted();
    }
    if (graceMs !== undefined) return this.#call(record, 'stop', signal);
    throw new Fault('timed-out', `the guest was asked to shut down and has not within ${patienceMs / 1000} s`, {
      advice: 'Stop it, which pulls the plug, or shut it down with a grace.',
    });
  }

  async #end(
    operation: Operation,
    record: VmRecord | undefined,
    failure: ReturnType<typeof failed> | undefined,
    verb?: PowerVerb,
  ): Promise<void> {
    const { clock, ledger } = this.#parts;
    const change = (state: LedgerState): Change | undefined => {
      const current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      const outcome = failure === undefined ? 'done' : 'failed';
      const vms = current.vms.map((vm) => ({ ...vm, outcome, ...(failure && { reason: failure.detail }) }) as const);
      if (failure !== undefined) {
        return moveTo(current, 'failed', stamp, `failed: ${failure.detail}`, { vms, failure });
      }
      const moved = moveTo(current, 'succeeded', stamp, verb === undefined ? 'succeeded' : VERBS[verb].done, { vms });
      if (verb === undefined || record === undefined) return moved;
      const told = { type: 'vm.changed', ...aboutVm(record), change: verb, operation: operation.id } as const;
      return { ...moved, events: [told, ...moved.events] };
    };
    await kept(this.#parts, () => ledger.change(change));
  }
}
