// What VMs are made of behind the engine's contract, in memory: a change is there as soon as its operation has ended.
// Not here: steps, restarts, crashes (test/engine).

import type { Sizes, VmHardware, VmNic } from '../../src/core/hardware.ts';
import type { HardwareVerb, OperationVm } from '../../src/core/operation.ts';
import type { HardwareCommands, HardwareOptions, ResizeRequest } from '../../src/engine/hardware-view.ts';
import type { Caller, CommandResult, OperationStatus, VmStatus } from '../../src/engine/view.ts';
import { conflict, notFound } from './fake-catalog.ts';
import type { FakeOperations } from './fake-operations.ts';

type Run = <T>(text: string, work: () => CommandResult<T>) => Promise<CommandResult<T>>;

const GIB = 1024 ** 3;
const START: Sizes = { vcpus: 1, maxVcpus: 4, memoryMiB: 128, maxMemoryMiB: 1024 };
const FIRST: VmNic = { mac: '52:54:00:00:00:01', kind: 'forward', now: true, next: true, fixed: true };

export class FakeHardware implements HardwareCommands {
  readonly #work: FakeOperations;
  readonly #run: Run;
  readonly #vmOf: (id: number) => VmStatus | undefined;
  readonly #made = new Map<number, VmHardware>();
  #nextNic = 2;

  constructor(work: FakeOperations, run: Run, vmOf: (id: number) => VmStatus | undefined) {
    this.#work = work;
    this.#run = run;
    this.#vmOf = vmOf;
  }

  look(id: number, signal: AbortSignal): Promise<CommandResult<VmHardware>> {
    signal.throwIfAborted();
    return this.#run(`look at the hardware of ${id}`, () => {
      const vm = this.#vmOf(id);
      return vm === undefined ? notFound(`there is no VM ${id}`) : { ok: true, value: this.#of(id) };
    });
  }

  resize(id: number, request: ResizeRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    const { restart = false, ...wish } = request;
    return this.#change(id, 'resize', caller, JSON.stringify(wish), (has) => {
      const { diskBytes = 0, next } = has;
      if ((wish.diskGiB ?? Number.POSITIVE_INFINITY) * GIB < diskBytes) return 'a disk is never made smaller';
      const sizes = { ...next, vcpus: wish.vcpus ?? next.vcpus, memoryMiB: wish.memoryMiB ?? next.memoryMiB };
      const beyond = sizes.vcpus > next.maxVcpus || sizes.memoryMiB > next.maxMemoryMiB;
      if (beyond && !restart) return 'it needs a restart';
      const disk = wish.diskGiB === undefined ? diskBytes : wish.diskGiB * GIB;
      return { ...has, next: sizes, now: sizes, diskBytes: disk };
    });
  }

  attachNic(id: number, _options: HardwareOptions, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#change(id, 'attach-nic', caller, '', (has) => {
      const mac = `52:54:00:00:00:${String(this.#nextNic++).padStart(2, '0')}`;
      return { ...has, nics: [...has.nics, { mac, kind: 'user', now: true, next: true }] };
    });
  }

  detachNic(
    id: number,
    mac: string,
    _options: HardwareOptions,
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#change(id, 'detach-nic', caller, mac, (has) => {
      const nic = has.nics.find((one) => one.mac === mac.toLowerCase());
      if (nic === undefined) return `it has no network card ${mac}`;
      if (nic.kind === 'forward') return `network card ${mac} is the one that the VM is reached by`;
      return { ...has, nics: has.nics.filter((one) => one !== nic) };
    });
  }

  #change(
    id: number,
    verb: HardwareVerb,
    caller: Caller,
    text: string,
    become: (has: VmHardware) => VmHardware | string,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#run(`${verb} ${id} ${text}`, () => {
      const repeated = this.#work.repeated(caller);
      if (repeated !== undefined) return repeated;
      const vm = this.#vmOf(id);
      if (vm === undefined) return notFound(`there is no VM ${id}`);
      if (vm.record.group !== undefined) return conflict(`VM ${id} belongs to group ${vm.record.group}`);
      const made = become(this.#of(id));
      if (typeof made === 'string') return conflict(made);
      const { host, name } = vm.record;
      const end = ({ vms }: { readonly vms: readonly OperationVm[] }) => {
        this.#made.set(id, made);
        return { state: 'succeeded' as const, vms: vms.map((one) => ({ ...one, outcome: 'done' as const })) };
      };
      const begun = { kind: `vm.${verb}`, state: 'running', vms: [{ id, name, host }] } as const;
      return { ok: true, value: this.#work.begin(begun, caller, [end]) };
    });
  }

  #of(id: number): VmHardware {
    const made = this.#made.get(id);
    if (made !== undefined) return made;
    return {
      running: true,
      saved: false,
      now: START,
      next: START,
      onlineVcpus: 1,
      diskBytes: GIB,
      nics: [FIRST],
      freeSlots: 1,
    };
  }
}
