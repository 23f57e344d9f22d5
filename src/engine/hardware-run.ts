// Carries an accepted change of a VM's hardware through: look, do the next step, look again, until it is there or undone. What a crash
// leaves is found by looking. Not here: what the next step is (core/hardware), whether a change is accepted (hardware).

import {
  flavorAfter,
  type HardwareChange,
  type HardwareStep,
  nextHardwareStep,
  restartReasons,
  type VmHardware,
  wishText,
} from '../core/hardware.ts';
import type { VmRecord } from '../core/model.ts';
import type { HardwareVerb, Operation } from '../core/operation.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import { type FabricParts, kept, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { failed, moved, moveTo } from './operations.ts';
import { aboutVm } from './records.ts';

const CALL_MS = 60_000;
const LOOK_AGAIN_MS = 250;
const RETRY_MS = 1_000;
/** How long a call is tried again while the host does not answer or the domain is busy. */
const RETRY_FOR_MS = 120_000;
/** A guest that has not shut down by then will not. */
const SHUTDOWN_MS = 120_000;
/** How long a guest may take to follow its balloon, and to let a card go. */
const BALLOON_MS = 30_000;
const RELEASE_MS = 20_000;
/** An agent that is not there yet may come; longer it is not waited for. */
const AGENT_MS = 10_000;
/** More than any change takes, done and undone. */
const STEPS_MAX = 40;

interface Run {
  readonly id: string;
  readonly record: VmRecord;
  readonly hypervisor: Hypervisor;
  readonly signal: AbortSignal;
}

export class HardwareRuns {
  readonly #parts: FabricParts;
  /** Operations being carried out here, each with the way to end it. */
  readonly #running = new Map<string, AbortController>();

  constructor(parts: FabricParts) {
    this.#parts = parts;
  }

  begin(operation: Operation): void {
    void this.#run(operation);
  }

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

  async #run({ id, vms: [vm] }: Operation): Promise<void> {
    const { hosts, ledger, log, signal } = this.#parts;
    const record = vm && ledger.vm(vm.id);
    const hypervisor = record && hosts.get(record.host)?.hypervisor;
    if (record === undefined) return this.#end(id, undefined, 'the VM is gone');
    if (hypervisor === undefined) return this.#end(id, undefined, `host ${record.host} is not in the configuration`);
    const own = new AbortController();
    this.#running.set(id, own);
    const run: Run = { id, record, hypervisor, signal: AbortSignal.any([signal, own.signal]) };
    try {
      await this.#carryThrough(run);
    } catch (error) {
      // Let go of: whoever interrupted it has said what became of it; a daemon that ends leaves it to the next.
      if (run.signal.aborted) return;
      log.error({ err: error, operation: id }, 'a bug ended an operation');
      await this.#end(id, undefined, String(error));
    } finally {
      this.#running.delete(id);
    }
  }

  async #carryThrough(run: Run): Promise<void> {
    for (let steps = 0; ; steps += 1) {
      const change = this.#changeOf(run);
      if (change === undefined) return;
      try {
        const seen = await this.#look(run);
        const step = nextHardwareStep(change, seen);
        if (step === undefined) return await this.#end(run.id, seen, change.undoing);
        if (steps > STEPS_MAX) throw new Fault('refused', `it does not come about; next would be: ${step.do}`);
        await this.#do(run, step, change, seen);
      } catch (error) {
        if (run.signal.aborted || !isFault(error)) throw error;
        const { undoing } = change;
        if (undoing !== undefined || error.kind === 'gone') {
          const reason =
            undoing === undefined ? error.message : `${undoing}; and it could not be undone: ${error.message}`;
          return await this.#end(run.id, await this.#lastLook(run), reason);
        }
        const advice = error.advice === undefined ? '' : ` ${error.advice}`;
        await this.#keep(run, { undoing: `${error.message}${advice}` }, `${error.message}; undoing what was done`);
        steps = Math.min(steps, STEPS_MAX / 2);
      }
    }
  }

  async #do(run: Run, step: HardwareStep, change: HardwareChange, seen: VmHardware): Promise<void> {
    const { uuid } = run.record;
    const { hardware } = run.hypervisor;
    switch (step.do) {
      case 'grow-disk':
        await this.#call(run, (signal) => hardware.growDisk(uuid, step.bytes, signal));
        return this.#note(run, `its disk has ${step.bytes / 1024 ** 3} GiB`);
      case 'grow-file-system': {
        const { grown, text } = await this.#call(run, (signal) => hardware.growFileSystem(uuid, signal));
        return this.#keep(run, { fileSystem: text }, grown ? text : `left to do in the guest: ${text}`);
      }
      case 'define':
        await this.#call(run, (signal) => hardware.define(uuid, step.sizes, signal));
        return this.#note(
          run,
          `its next start gives it ${wishText({ vcpus: step.sizes.vcpus, memoryMiB: step.sizes.memoryMiB })}`,
        );
      case 'set-memory':
        return this.#setMemory(run, step.memoryMiB);
      case 'set-vcpus':
        return this.#setVcpus(run, step.vcpus, seen);
      case 'attach-nic':
        await this.#call(run, (signal) => hardware.attachNic(uuid, step.mac, step.live, signal));
        return this.#note(run, `network card ${step.mac} is there${step.live ? '' : ' from its next start'}`);
      case 'detach-nic':
        return this.#detachNic(run, step.mac, step.live);
      case 'shutdown':
        return this.#shutDown(run, change, seen);
      case 'start':
        await this.#call(run, (signal) => run.hypervisor.start(uuid, signal));
        return this.#note(run, 'it was started again');
    }
  }

  async #setMemory(run: Run, memoryMiB: number): Promise<void> {
    const { hardware } = run.hypervisor;
    await this.#call(run, (signal) => hardware.setMemory(run.record.uuid, memoryMiB, signal));
    const seen = await this.#until(run, BALLOON_MS, ({ now }) => now === undefined || now.memoryMiB === memoryMiB);
    if (seen === undefined) {
      throw new Fault('refused', `the guest does not follow its balloon to ${memoryMiB} MiB`, {
        advice: 'Has it a balloon driver, and so much memory to spare? With a restart it needs neither.',
      });
    }
    await this.#note(run, `it has ${memoryMiB} MiB now`);
  }

  async #setVcpus(run: Run, vcpus: number, seen: VmHardware): Promise<void> {
    const { hardware } = run.hypervisor;
    const isMore = vcpus > (seen.now?.vcpus ?? 0);
    try {
      await this.#call(run, (signal) => hardware.setVcpus(run.record.uuid, vcpus, signal), AGENT_MS);
      await this.#note(run, isMore ? `it has ${vcpus} vCPUs now` : `its guest uses ${vcpus} vCPUs now`);
    } catch (error) {
      // Plugged in they are; who takes them into use is the guest's affair.
      if (!isFault(error, 'busy') || !isMore || (await this.#look(run)).now?.vcpus !== vcpus) throw error;
      await this.#note(run, `left to do in the guest: take its new vCPUs into use, since no agent answers there`);
    }
  }

  async #detachNic(run: Run, mac: string, live: boolean): Promise<void> {
    const { hardware } = run.hypervisor;
    await this.#call(run, (signal) => hardware.detachNic(run.record.uuid, mac, live, signal));
    const isGone = ({ nics }: VmHardware): boolean => !nics.some((nic) => nic.mac === mac && nic.now);
    if (live && (await this.#until(run, RELEASE_MS, isGone)) === undefined) {
      throw new Fault('refused', `the guest does not let network card ${mac} go`);
    }
    await this.#note(run, `network card ${mac} is gone${live ? '' : ' from its next start'}`);
  }

  /** Written down before the guest is asked: whoever goes on after a crash knows that it is to run again. */
  async #shutDown(run: Run, { force, restart, wish }: HardwareChange, seen: VmHardware): Promise<void> {
    const { uuid } = run.record;
    if (!restart) {
      const why = restartReasons(wish, seen).join('; ');
      throw new Fault('refused', `it needs a restart: ${why}`, { advice: 'Say restart: true.' });
    }
    await this.#keep(run, { restarting: true }, 'its guest is asked to shut down, for the restart');
    await this.#call(run, (signal) => run.hypervisor.shutdown(uuid, signal));
    if ((await this.#until(run, SHUTDOWN_MS, ({ running }) => !running)) !== undefined) return;
    if (!force) {
      throw new Fault('refused', `its guest has not shut down within ${SHUTDOWN_MS / 1000} s (it may still do so)`, {
        advice: 'Shut it down from inside, or say force: true, which pulls the plug.',
      });
    }
    await this.#note(run, 'its guest has not shut down: the plug is pulled');
    await this.#call(run, (signal) => run.hypervisor.destroy(uuid, signal));
  }

  // --- inside -----------------------------------------------------------------------------------------------------

  #look(run: Run): Promise<VmHardware> {
    return this.#call(run, (signal) => run.hypervisor.hardware.look(run.record.uuid, signal));
  }

  /** Without patience: it has been lost already. */
  #lastLook(run: Run): Promise<VmHardware | undefined> {
    const { uuid } = run.record;
    return this.#call(run, (signal) => run.hypervisor.hardware.look(uuid, signal), 0).catch(() => undefined);
  }

  /** What is seen when it is so; undefined: not in time. */
  async #until(run: Run, ms: number, isSo: (seen: VmHardware) => boolean): Promise<VmHardware | undefined> {
    const { clock } = this.#parts;
    const endMs = clock.nowMs() + ms;
    for (;;) {
      const seen = await this.#look(run);
      if (isSo(seen)) return seen;
      if (clock.nowMs() >= endMs) return undefined;
      await clock.sleep(LOOK_AGAIN_MS, run.signal);
      run.signal.throwIfAborted();
    }
  }

  /** A host that does not answer, or a domain that is busy, is asked again for a while; every call may be repeated. */
  async #call<T>(run: Run, call: (signal: AbortSignal) => Promise<T>, forMs = RETRY_FOR_MS): Promise<T> {
    const { clock } = this.#parts;
    const untilMs = clock.nowMs() + forMs;
    for (;;) {
      try {
        return await clock.deadline(CALL_MS, call, run.signal);
      } catch (error) {
        const again = isFault(error) && error.retryable && clock.nowMs() < untilMs;
        if (!again || run.signal.aborted) throw error;
        await clock.sleep(RETRY_MS, run.signal);
      }
    }
  }

  #changeOf({ id }: Run): HardwareChange | undefined {
    return this.#parts.ledger.state.operations.get(id)?.hardware;
  }

  /** Told in the history; a store that refuses keeps nobody from going on. */
  #note(run: Run, text: string): Promise<void> {
    return this.#keep(run, {}, text);
  }

  async #keep(run: Run, fields: Partial<HardwareChange>, text: string): Promise<void> {
    const { clock, ledger } = this.#parts;
    await kept({ ...this.#parts, signal: run.signal }, () =>
      ledger.change((state) => {
        const current = state.operations.get(run.id);
        if (current?.hardware === undefined) return undefined;
        const hardware = { ...current.hardware, ...fields };
        return { putOperations: [moved(current, stampOf(clock), text, { hardware })] };
      }),
    );
    run.signal.throwIfAborted();
  }

  /** `seen`: what is true now; absent: nobody knows, and the larger amounts stay promised. */
  async #end(id: string, seen: VmHardware | undefined, reason: string | undefined): Promise<void> {
    const { clock, ledger } = this.#parts;
    const change = (state: LedgerState): Change | undefined => {
      const current = state.operations.get(id);
      const change = current?.hardware;
      if (current === undefined || change === undefined) return undefined;
      const stamp = stampOf(clock);
      const record = state.vms.get(current.vms[0]?.id ?? 0);
      const flavor = seen && change.flavor && flavorAfter(change.flavor, change.wish, seen);
      const putVms = record !== undefined && flavor !== undefined ? [{ ...record, flavor }] : [];
      const outcome = reason === undefined ? 'done' : 'failed';
      const vms = current.vms.map((vm) => ({ ...vm, outcome, ...(reason !== undefined && { reason }) }) as const);
      if (reason !== undefined) {
        const failure = failed('failed', reason);
        return { ...moveTo(current, 'failed', stamp, `failed: ${reason}`, { vms, failure }), putVms };
      }
      const ended = moveTo(current, 'succeeded', stamp, 'succeeded', { vms });
      if (record === undefined) return ended;
      const verb = current.kind.slice('vm.'.length) as HardwareVerb;
      const told = { type: 'vm.changed', ...aboutVm(record), change: verb, operation: id } as const;
      return { ...ended, putVms, events: [told, ...ended.events] };
    };
    await kept(this.#parts, () => ledger.change(change));
  }
}
