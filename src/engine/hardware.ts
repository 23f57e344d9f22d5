// Changing what a VM is made of (vCPUs, memory, disk, network cards): accepted, or refused with the reason and the way out.
// Not here: carrying a change through (hardware-run), what a step is (core/hardware). VMs of groups follow their policy's flavor.

import {
  flavorDuring,
  growthOf,
  type HardwareChange,
  type HardwareWish,
  impossible,
  restartReasons,
  type VmHardware,
  wishText,
} from '../core/hardware.ts';
import { growthProblem } from '../core/hardware-room.ts';
import type { Amounts, VmRecord } from '../core/model.ts';
import type { HardwareVerb, Operation } from '../core/operation.ts';
import { needOf } from '../core/placement/place.ts';
import { roomsOf } from '../core/placement/rooms.ts';
import { overQuota } from '../core/user.ts';
import { isFault } from '../ports/fault.ts';
import {
  earlier,
  type FabricParts,
  noVm,
  openByKey,
  operationOn,
  type Refused,
  refuse,
  stampOf,
  viewsOf,
} from './fabric-parts.ts';
import { HardwareRuns } from './hardware-run.ts';
import type { HardwareCommands, HardwareOptions, ResizeRequest } from './hardware-view.ts';
import type { LedgerState } from './ledger.ts';
import { begin } from './operations.ts';
import { joinSnapshot } from './snapshot.ts';
import { quotaFor, usedBy } from './usage.ts';
import type { Caller, CommandResult, OperationStatus } from './view.ts';

const LOOK_MS = 8_000;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

export class Hardware implements HardwareCommands {
  readonly #parts: FabricParts;
  readonly #statusOf: (operation: Operation) => OperationStatus;
  readonly #runs: HardwareRuns;

  constructor(parts: FabricParts, statusOf: (operation: Operation) => OperationStatus) {
    this.#parts = parts;
    this.#statusOf = statusOf;
    this.#runs = new HardwareRuns(parts);
  }

  /** As its host says now. */
  async look(id: number, signal: AbortSignal): Promise<CommandResult<VmHardware>> {
    const record = this.#parts.ledger.vm(id);
    return record === undefined ? noVm(id) : this.#look(record, signal);
  }

  resize(id: number, request: ResizeRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    const { vcpus, memoryMiB, diskGiB } = request;
    const wish = {
      ...(vcpus !== undefined && { vcpus }),
      ...(memoryMiB !== undefined && { memoryMiB }),
      ...(diskGiB !== undefined && { diskGiB }),
    };
    return this.#submit(id, 'resize', wish, request, caller);
  }

  attachNic(id: number, options: HardwareOptions, caller: Caller): Promise<CommandResult<OperationStatus>> {
    // QEMU's own range, and chance: as the first card's.
    const digits = this.#parts.ids.uuid().replaceAll('-', '').slice(0, 6);
    const addNic = `52:54:00:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4, 6)}`;
    return this.#submit(id, 'attach-nic', { addNic }, options, caller);
  }

  async detachNic(
    id: number,
    mac: string,
    options: HardwareOptions,
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    const removeNic = mac.toLowerCase();
    if (!MAC.test(removeNic)) return refuse('invalid', 'an address of a card is six pairs of hex digits', 'mac');
    return this.#submit(id, 'detach-nic', { removeNic }, options, caller);
  }

  /** Goes on with what an earlier daemon left: what is there is looked at, and the rest done or undone. */
  recover(): void {
    for (const operation of this.#parts.ledger.state.operations.values()) {
      if (operation.hardware !== undefined && operation.state === 'running') this.#runs.begin(operation);
    }
  }

  /** Ends the change under way on this VM: it is being deleted. */
  interrupt(vmId: number, why: string): Promise<void> {
    return this.#runs.interrupt(vmId, why);
  }

  async #submit(
    id: number,
    verb: HardwareVerb,
    wish: HardwareWish,
    options: HardwareOptions,
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    const result = await this.#accept(id, verb, wish, options, caller);
    return result.ok ? { ok: true, value: this.#statusOf(result.value) } : result;
  }

  async #accept(
    id: number,
    verb: HardwareVerb,
    wish: HardwareWish,
    options: HardwareOptions,
    caller: Caller,
  ): Promise<CommandResult<Operation>> {
    const { clock, ids, ledger, signal } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    const first = ledger.vm(id);
    if (first === undefined) return noVm(id);
    const early = this.#refusal(first);
    if (early !== undefined) return early;
    const looked = await this.#look(first, signal);
    if (!looked.ok) return looked;
    const seen = looked.value;
    let result: CommandResult<Operation> = noVm(id);
    let isNew = false;
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      const vm = state.vms.get(id);
      if (same !== undefined || vm === undefined) {
        if (same !== undefined) result = { ok: true, value: same };
        return undefined;
      }
      const refused = this.#refusal(vm) ?? refusedAsSeen(wish, options, seen) ?? this.#noRoom(state, vm, wish, seen);
      if (refused !== undefined) {
        result = refused;
        return undefined;
      }
      const stamp = stampOf(clock);
      const hardware: HardwareChange = {
        wish,
        restart: options.restart === true,
        force: options.force === true,
        before: seen.next,
        ...(vm.flavor && { flavor: vm.flavor }),
      };
      const vms = [{ id, name: vm.name, host: vm.host }];
      const fields = { id: ids.uuid(), kind: `vm.${verb}`, state: 'running', vms, hardware } as const;
      const { operation, event } = begin(fields, caller, stamp, `${vm.name} is to have ${wishText(wish)}`);
      result = { ok: true, value: operation };
      isNew = true;
      // Promised from now on: two requests at once cannot both have the last of it.
      const flavor = vm.flavor && flavorDuring(vm.flavor, wish);
      return {
        putOperations: [operation],
        events: [event],
        ...(flavor && { putVms: [{ ...vm, flavor }] }),
      };
    });
    const accepted = result as CommandResult<Operation>;
    if (isNew && accepted.ok) this.#runs.begin(accepted.value);
    return accepted;
  }

  #refusal(vm: VmRecord): Refused | undefined {
    if (vm.group !== undefined) {
      const way = `change the flavor in the policy of ${vm.group}, which then replaces its VMs one by one`;
      return refuse('conflict', `VM ${vm.name} belongs to group ${vm.group} and follows its policy's flavor; ${way}`);
    }
    if (vm.phase !== 'in-service')
      return refuse('conflict', `VM ${vm.name} is ${vm.phase}; wait until it is in service`);
    const other = operationOn(this.#parts, vm);
    if (other === undefined) return undefined;
    const what = `operation ${other.id} (${other.kind}) is under way on VM ${vm.name}`;
    return refuse('conflict', `${what}; wait for it or cancel it`);
  }

  async #look(record: VmRecord, signal: AbortSignal): Promise<CommandResult<VmHardware>> {
    const { clock, hosts } = this.#parts;
    const host = hosts.get(record.host);
    if (host === undefined) return refuse('unreachable', `host ${record.host} is not in the configuration any more`);
    try {
      const { hardware } = host.hypervisor;
      return { ok: true, value: await clock.deadline(LOOK_MS, (inner) => hardware.look(record.uuid, inner), signal) };
    } catch (error) {
      if (!isFault(error)) throw error;
      return refuse(error.kind === 'gone' ? 'conflict' : 'unreachable', error.message);
    }
  }

  #noRoom(state: LedgerState, vm: VmRecord, wish: HardwareWish, seen: VmHardware): Refused | undefined {
    const { clock, settings } = this.#parts;
    const growth = growthOf(amountsOf(vm, seen), wish);
    if (vm.flavor !== undefined) {
      const quota = quotaFor(state, vm.owner, settings().quota);
      const over = overQuota({ quota }, usedBy(state, vm.owner), growth);
      if (over !== undefined) return refuse('conflict', over.reason, over.part);
    }
    const snapshot = joinSnapshot(viewsOf(this.#parts), state.vms.values(), { has: () => false }, clock.nowMs());
    const room = roomsOf(snapshot).all.find(({ host }) => host === vm.host);
    const problem = room && growthProblem(room, growth, seen.running);
    if (problem === undefined) return undefined;
    // What others have of the host stands beside it, where it can be kept from those whom it does not concern.
    const reason = `host ${vm.host}, where VM ${vm.name} is, has no room for ${wishText(wish)}`;
    return { ...refuse('no-capacity', reason), hosts: [{ name: vm.host, chosen: false, text: problem }] };
  }
}

/** What is promised to the VM; of a domain that somebody else made, what it has. */
function amountsOf({ flavor, image }: VmRecord, { next, now, diskBytes = 0 }: VmHardware): Amounts {
  const seenGiB = diskBytes / 1024 ** 3;
  if (flavor === undefined) return { ...(now ?? next), diskGiB: seenGiB };
  const need = needOf(flavor, image);
  return { ...need, diskGiB: Math.max(need.diskGiB, flavor.diskGiB === undefined ? seenGiB : 0) };
}

function refusedAsSeen(wish: HardwareWish, options: HardwareOptions, seen: VmHardware): Refused | undefined {
  const { removeNic } = wish;
  if (removeNic !== undefined && !seen.nics.some(({ mac }) => mac === removeNic)) {
    return refuse('not-found', `it has no network card ${removeNic}`);
  }
  const never = impossible(wish, seen);
  if (never !== undefined) return refuse('conflict', never);
  const reasons = restartReasons(wish, seen);
  if (reasons.length === 0 || options.restart === true) return undefined;
  return refuse(
    'conflict',
    `it needs a restart: ${reasons.join('; ')}. Say restart: true, or shut it down first`,
    'restart',
  );
}
