// Emptying a host for maintenance: it takes no new VMs, and each on it is moved away, or it is told why it stays. Each drain is an
// operation. Not here: moving one VM (migrations). Nothing is powered off: what cannot move runs on.

import type { HostName, VmRecord } from '../core/model.ts';
import { ENDED_STATES, type Operation, type OperationVm, type Progress } from '../core/operation.ts';
import { vmsText } from '../core/wording.ts';
import { isFault } from '../ports/fault.ts';
import { setCordon } from './access.ts';
import { earlier, type FabricParts, kept, openByKey, refuse, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { unmovable } from './migration-request.ts';
import type { Migrations } from './migrations.ts';
import { begin, failed, moved, moveTo } from './operations.ts';
import { inPhase } from './records.ts';
import type { Caller, CommandResult } from './view.ts';

/** VMs of one drain that move at a time. */
const AT_A_TIME = 2;
const LOOK_AGAIN_MS = 250;
/** What is busy otherwise (launching, leaving, an operation of somebody's) is waited for so long. */
const PATIENCE_MS = 15 * 60_000;
const REASONS_TOLD_MAX = 20;

type Settled = Pick<OperationVm, 'outcome' | 'reason'> & { readonly host?: HostName };

export class Drains {
  readonly #parts: FabricParts;
  readonly #migrations: Migrations;
  readonly #running = new Set<string>();

  constructor(parts: FabricParts, migrations: Migrations) {
    this.#parts = parts;
    this.#migrations = migrations;
  }

  /** One that is under way on this host is answered instead of a second. */
  async submit(host: HostName, caller: Caller): Promise<CommandResult<Operation>> {
    const { clock, hosts, ids, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    if (!hosts.has(host)) return refuse('not-found', `there is no host ${host}`);
    if (!ledger.state.cordons.has(host)) {
      const refused = await setCordon({ hosts, ledger }, host, `drained by ${caller.owner}`, caller);
      if (refused !== undefined) return refused;
    }
    let result: CommandResult<Operation> = refuse('conflict', 'nothing was decided');
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller) ?? drainOf(state, host);
      if (same !== undefined) {
        result = { ok: true, value: same };
        return undefined;
      }
      const fields = { id: ids.uuid(), kind: 'host.drain', state: 'running', vms: [], drain: host } as const;
      const count = vmsOn(state, host).length;
      const { operation, event } = begin(
        fields,
        caller,
        stampOf(clock),
        `draining host ${host}: ${vmsText(count)} on it`,
      );
      result = { ok: true, value: operation };
      return { putOperations: [operation], events: [event] };
    });
    const accepted = result as CommandResult<Operation>;
    if (accepted.ok) this.#start(accepted.value);
    return accepted;
  }

  /** The host takes VMs again; a drain under way ends. What has moved stays where it is. */
  async undrain(host: HostName, caller: Caller): Promise<CommandResult<undefined>> {
    const { hosts, ledger } = this.#parts;
    const under = drainOf(ledger.state, host);
    if (under !== undefined) await this.cancel(under.id);
    return (await setCordon({ hosts, ledger }, host, null, caller)) ?? { ok: true, value: undefined };
  }

  recover(): void {
    for (const operation of [...this.#parts.ledger.state.operations.values()]) {
      if (operation.drain !== undefined) this.#start(operation);
    }
  }

  /** False: there is none of this id. What is being moved is called off; the host stays cordoned. */
  async cancel(id: string): Promise<boolean> {
    const { clock, ledger } = this.#parts;
    if (ledger.state.operations.get(id)?.drain === undefined) return false;
    await ledger.change((state) => {
      const operation = state.operations.get(id);
      if (operation === undefined || operation.cancelling) return undefined;
      return { putOperations: [moved(operation, stampOf(clock), 'cancelling', { cancelling: true })] };
    });
    for (const child of childrenOf(ledger.state, id)) await this.#migrations.cancel(child.id);
    return true;
  }

  progressOf(id: string): Progress | undefined {
    const { ledger } = this.#parts;
    const operation = ledger.state.operations.get(id);
    if (operation?.drain === undefined) return undefined;
    const settled = new Set(operation.vms.map((vm) => vm.id));
    const left = vmsOn(ledger.state, operation.drain).filter((vm) => !settled.has(vm.id));
    const text =
      left.length === 0
        ? 'VMs settled'
        : `VMs settled; left: ${left
            .map(({ name }) => name)
            .slice(0, 5)
            .join(', ')}`;
    return { done: settled.size, total: settled.size + left.length, unit: 'vms', text };
  }

  #start({ id }: Operation): void {
    if (this.#running.has(id)) return;
    this.#running.add(id);
    const { log, signal } = this.#parts;
    void this.#run(id)
      .catch((error: unknown) => {
        if (!signal.aborted) log.error({ err: error, operation: id }, 'a bug ended the draining of a host');
      })
      .finally(() => this.#running.delete(id));
  }

  async #run(id: string): Promise<void> {
    const { clock, ledger, signal } = this.#parts;
    const seenAtMs = new Map<number, number>();
    const moves = new Map<number, string>();
    for (const child of childrenOf(ledger.state, id)) if (child.migration) moves.set(child.migration.vmId, child.id);
    while (!signal.aborted) {
      const operation = ledger.state.operations.get(id);
      if (operation?.drain === undefined || ENDED_STATES.has(operation.state)) return;
      await this.#settleMoves(operation, moves);
      const settled = new Set((ledger.state.operations.get(id) ?? operation).vms.map((vm) => vm.id));
      const left = vmsOn(ledger.state, operation.drain).filter((vm) => !settled.has(vm.id));
      if (moves.size === 0 && (left.length === 0 || operation.cancelling)) return this.#end(id);
      if (!operation.cancelling) {
        for (const vm of left.filter((one) => !moves.has(one.id))) {
          const sinceMs = seenAtMs.get(vm.id) ?? clock.nowMs();
          seenAtMs.set(vm.id, sinceMs);
          await this.#send(operation, vm, moves, clock.nowMs() - sinceMs > PATIENCE_MS);
        }
      }
      await clock.sleep(LOOK_AGAIN_MS, signal);
    }
  }

  /** Begins to move this VM, or says why it stays, or leaves it for a later look. */
  async #send(operation: Operation, vm: VmRecord, moves: Map<number, string>, isOverdue: boolean): Promise<void> {
    if (vm.phase === 'standby' && vm.group !== undefined) return this.#removeStandby(operation, vm);
    const isBusy = ['launching', 'draining', 'removing'].includes(vm.phase) || vm.moving !== undefined;
    if (isBusy && !isOverdue) return;
    if (moves.size >= AT_A_TIME) return;
    const { hosts, ledger } = this.#parts;
    // The next look may find it so far; one on a host that does not answer is not to be given up either.
    const isAsked = ledger.state.operations
      .values()
      .some(({ vms }) => vms.some(({ id, outcome }) => id === vm.id && !outcome));
    if ((isAsked || hosts.get(vm.host)?.view().state !== 'up') && !isOverdue) return;
    const refused = unmovable(this.#parts, vm);
    const asked =
      refused ?? (await this.#migrations.submit(vm.id, {}, { owner: operation.owner }, operation.id).catch(faultOnly));
    if (asked.ok) moves.set(vm.id, asked.value.id);
    else if (asked.refused !== 'unreachable' || isOverdue)
      await this.#note(operation, vm, { outcome: 'failed', reason: asked.reason });
  }

  /** It serves nobody: its group makes another elsewhere. */
  #removeStandby(operation: Operation, vm: VmRecord): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const record = state.vms.get(vm.id);
      const current = state.operations.get(operation.id);
      if (record?.phase !== 'standby' || current === undefined) return undefined;
      const reason = `host ${vm.host} is being drained`;
      const gone = inPhase(record, 'removing', clock.nowMs(), {
        step: 'stopping',
        deadlineAtMs: clock.nowMs(),
        reason,
      });
      const settled: OperationVm = {
        id: vm.id,
        name: vm.name,
        host: vm.host,
        outcome: 'done',
        reason: 'removed: it waited in standby',
      };
      return {
        putVms: [gone],
        putOperations: [
          moved(
            current,
            stampOf(clock),
            `${vm.name} waited in standby and is removed; its group makes another elsewhere`,
            {
              vms: [...current.vms, settled],
            },
          ),
        ],
      };
    }).then(() => this.#parts.kick());
  }

  async #settleMoves(operation: Operation, moves: Map<number, string>): Promise<void> {
    const { ledger, store } = this.#parts;
    for (const [vmId, child] of moves) {
      const open = ledger.state.operations.get(child);
      const settledHere = open?.vms.find(({ id }) => id === vmId);
      if (open !== undefined && settledHere?.outcome === undefined) continue;
      const ended = open ?? (await store.operation(child));
      const about = ended?.vms.find(({ id }) => id === vmId);
      moves.delete(vmId);
      const vm = ledger.state.vms.get(vmId);
      if (vm === undefined || about === undefined) continue;
      const { host, outcome = 'failed', reason } = about;
      // Somebody called off this one move: so it stays.
      await this.#note(operation, vm, {
        outcome: outcome === 'done' ? 'done' : 'failed',
        host,
        ...(reason !== undefined && { reason }),
      });
    }
  }

  #note(operation: Operation, vm: VmRecord, { host = vm.host, outcome, reason }: Settled): Promise<void> {
    const { clock } = this.#parts;
    const text =
      outcome === 'done' ? `${vm.name} moved to host ${host}` : `${vm.name} stays: ${reason ?? 'no reason given'}`;
    return this.#keep((state) => {
      const current = state.operations.get(operation.id);
      if (current === undefined || current.vms.some(({ id }) => id === vm.id)) return undefined;
      const settled: OperationVm = {
        id: vm.id,
        name: vm.name,
        host,
        ...(outcome !== undefined && { outcome }),
        ...(reason !== undefined && { reason }),
      };
      return { putOperations: [moved(current, stampOf(clock), text, { vms: [...current.vms, settled] })] };
    });
  }

  #end(id: string): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const current = state.operations.get(id);
      if (current?.drain === undefined) return undefined;
      const stamp = stampOf(clock);
      const stay = current.vms.filter(({ outcome }) => outcome === 'failed');
      if (current.cancelling) return moveTo(current, 'cancelled', stamp, 'cancelled; what has moved stays where it is');
      if (stay.length === 0) return moveTo(current, 'succeeded', stamp, `no VM is left on host ${current.drain}`);
      const told = stay.slice(0, REASONS_TOLD_MAX).map(({ name, reason }) => `${name}: ${reason ?? 'no reason given'}`);
      const rest = stay.length > told.length ? `; and ${stay.length - told.length} more` : '';
      const detail = `${vmsText(stay.length)} of host ${current.drain} could not be moved: ${told.join('; ')}${rest}`;
      return moveTo(current, 'failed', stamp, `failed: ${detail}`, { failure: failed('failed', detail) });
    });
  }

  #keep(change: (state: LedgerState) => Change | undefined): Promise<void> {
    return kept(this.#parts, () => this.#parts.ledger.change(change));
  }
}

function vmsOn(state: Pick<LedgerState, 'vms'>, host: HostName): readonly VmRecord[] {
  return [...state.vms.values()].filter((vm) => vm.host === host);
}

function drainOf(state: Pick<LedgerState, 'operations'>, host: HostName): Operation | undefined {
  return state.operations.values().find(({ cancelling, drain }) => drain === host && !cancelling);
}

function childrenOf(state: Pick<LedgerState, 'operations'>, id: string): readonly Operation[] {
  return [...state.operations.values()].filter(({ migration }) => migration?.parent === id);
}

function faultOnly(error: unknown): Extract<CommandResult<never>, { ok: false }> {
  if (!isFault(error)) throw error;
  return refuse('unreachable', error.message);
}
