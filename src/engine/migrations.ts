// Moving VMs between hosts, each as an operation that is stored before anything is done and carried to an end that was looked at.
// Not here: who has the VM after a look (core/migration), whether and where to it may move (migration-request), draining hosts (drains).

import { figuresText, type Migration, type MoveFigures, nextMove } from '../core/migration.ts';
import type { HostName, PlacementRules, VmRecord } from '../core/model.ts';
import { ENDED_STATES, type Operation, type Progress } from '../core/operation.ts';
import { Fault, isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { MigrationArrival, MigrationSource } from '../ports/migration.ts';
import { earlier, type FabricParts, kept, noVm, openByKey, refuse, stampOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { diskWay, type MigrateRequest, targetFor, unmovable } from './migration-request.ts';
import { begin, failed, moved, moveTo } from './operations.ts';
import { aboutVm } from './records.ts';
import { Slots } from './slots.ts';
import type { Caller, CommandResult } from './view.ts';

/** Moves that a host takes part in at a time: each takes a core's worth of both. */
const MOVES_PER_HOST = 2;
const TIMEOUT_MS = 600_000;
const CALL_MS = 10_000;
/** Whoever asks for a move waits for this. */
const CHECK_MS = 5_000;
const PREPARE_MS = 60_000;
const IMAGE_MS = 6 * 3_600_000;
/** How long a host that does not answer keeps a move from beginning. */
const PREPARE_FOR_MS = 120_000;
const LOOK_AGAIN_MS = 250;
const RETRY_MS = 1_000;
/** When nobody knows how the call ended, libvirt may not have begun yet: so long nothing must be under way. */
const QUIET_MS = 2_000;
/** Volumes that libvirt does not let go of are left, and told of. */
const DELETE_TRIES = 3;
/** A target that does not answer for so long does not hold up a VM that runs on at the source. */
const TARGET_PATIENCE_MS = 30_000;

/** One move that is being carried out here. */
interface Run {
  readonly ended: AbortController;
  figures?: MoveFigures;
  /** What `prepare` brought: without it the moving is not begun, only judged. */
  ready?: { readonly arrival: MigrationArrival; readonly source: MigrationSource };
  /** Why the call failed. */
  failure?: string;
  /** libvirt itself said how the call ended. */
  isAnswered: boolean;
  /** Since when nothing was seen under way. */
  quietSinceMs?: number;
  /** Since when the target has not answered. */
  targetLostMs?: number;
}

export class Migrations {
  readonly #parts: FabricParts;
  readonly #images: Pick<ImageStore, 'read'>;
  readonly #rulesOf: (group: string) => PlacementRules;
  readonly #runs = new Map<string, Run>();
  readonly #slots = new Map<HostName, Slots>();

  constructor(
    parts: FabricParts,
    images: Pick<ImageStore, 'read'>,
    rulesOf: (group: string) => PlacementRules | undefined,
  ) {
    this.#parts = parts;
    this.#images = images;
    this.#rulesOf = (group) => rulesOf(group) ?? {};
  }

  /** `parent`: who else wants it than a person. */
  async submit(
    id: number,
    request: MigrateRequest,
    caller: Caller,
    parent?: string,
  ): Promise<CommandResult<Operation>> {
    const { ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    const vm = ledger.state.vms.get(id);
    if (vm === undefined) return noVm(id);
    const refused = unmovable(this.#parts, vm);
    if (refused !== undefined) return refused;
    const target = targetFor(this.#parts, ledger.state, vm, this.#rules(vm, request.host));
    if ('refused' in target) return target;
    const way = await this.#checked(vm, target.host, request);
    if ('refused' in way) return way;
    return this.#begin(
      vm.id,
      target.host,
      { request, disks: way.disks, ...(parent !== undefined && { parent }) },
      caller,
    );
  }

  #rules(vm: VmRecord, host: HostName | undefined): PlacementRules {
    const { host: _only, ...rules } = vm.group === undefined ? {} : this.#rulesOf(vm.group);
    const only = host ?? _only;
    return { ...rules, ...(only !== undefined && { host: only }) };
  }

  /** Both hosts are asked whether it can be, before it is promised. */
  async #checked(vm: VmRecord, to: HostName, { copyStorage }: MigrateRequest) {
    const { clock, signal } = this.#parts;
    const [from, target] = [this.#hypervisor(vm.host), this.#hypervisor(to)];
    if (from === undefined || target === undefined)
      return refuse('conflict', 'a host is not in the configuration any more');
    try {
      const [source, mine, theirs] = await clock.deadline(
        CHECK_MS,
        (inner) =>
          Promise.all([
            from.migration.describe(vm.uuid, inner),
            from.migration.offer(inner),
            target.migration.offer(inner),
          ]),
        signal,
      );
      if (theirs.uri === undefined) {
        const how = 'give it a migrationUri in the configuration, such as qemu+tls://HOST/system';
        return refuse('conflict', `nobody has said how other hosts' libvirt reaches host ${to}: ${how}`);
      }
      return diskWay(vm, source, { from: mine, to: theirs }, copyStorage);
    } catch (error) {
      if (!isFault(error)) throw error;
      return refuse(error.retryable ? 'unreachable' : 'conflict', textOf(error));
    }
  }

  async #begin(
    vmId: number,
    to: HostName,
    asked: { readonly request: MigrateRequest; readonly disks: Migration['disks']; readonly parent?: string },
    caller: Caller,
  ): Promise<CommandResult<Operation>> {
    const { clock, ids, ledger } = this.#parts;
    let result: CommandResult<Operation> = noVm(vmId);
    let isNew = false;
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      const vm = state.vms.get(vmId);
      if (same !== undefined) result = { ok: true, value: same };
      if (same !== undefined || vm === undefined) return undefined;
      // Something may have happened while the hosts were asked.
      const refused = unmovable(this.#parts, vm) ?? targetFor(this.#parts, state, vm, this.#rules(vm, to));
      if ('refused' in refused) {
        result = refused;
        return undefined;
      }
      const stamp = stampOf(clock);
      const { bandwidthMiBps, timeoutMs = TIMEOUT_MS } = asked.request;
      const { disks, parent } = asked;
      const migration: Migration = {
        vmId,
        from: vm.host,
        to,
        stage: 'preparing',
        disks,
        timeoutMs,
        ...(bandwidthMiBps !== undefined && { bandwidthMiBps }),
        ...(parent !== undefined && { parent }),
      };
      const vms = [{ id: vmId, name: vm.name, host: vm.host }];
      const fields = { id: ids.uuid(), kind: 'vm.migrate', state: 'running', vms, migration } as const;
      const { operation, event } = begin(fields, caller, stamp, `moving ${vm.name} from host ${vm.host} to host ${to}`);
      result = { ok: true, value: operation };
      isNew = true;
      const moving = { ...vm, moving: { to, operation: operation.id }, changedAtMs: stamp.nowMs };
      return { putOperations: [operation], events: [event], putVms: [moving] };
    });
    const accepted = result as CommandResult<Operation>;
    if (isNew && accepted.ok) this.#start(accepted.value);
    return accepted;
  }

  /** Takes up what an earlier daemon left: what it had begun is looked at, what not, begins anew. */
  recover(): void {
    for (const operation of [...this.#parts.ledger.state.operations.values()]) {
      if (operation.migration !== undefined) this.#start(operation);
    }
  }

  /** False: there is no such move under way. It ends as cancelled, or as succeeded when it was too late. */
  async cancel(id: string): Promise<boolean> {
    const { clock, ledger } = this.#parts;
    if (ledger.state.operations.get(id)?.migration === undefined) return false;
    await ledger.change((state) => {
      const operation = state.operations.get(id);
      if (operation === undefined || operation.cancelling) return undefined;
      return { putOperations: [moved(operation, stampOf(clock), 'cancelling', { cancelling: true })] };
    });
    return true;
  }

  progressOf(id: string): Progress | undefined {
    const figures = this.#runs.get(id)?.figures;
    // Before libvirt knows how much there is, there is nothing to tell.
    if (figures === undefined || figures.totalBytes === 0) return undefined;
    return { done: figures.doneBytes, total: figures.totalBytes, unit: 'bytes', text: figuresText(figures) };
  }

  // --- carrying out ---------------------------------------------------------------------------------------------------

  #start({ id, migration }: Operation): void {
    if (migration === undefined || this.#runs.has(id)) return;
    const { log, signal } = this.#parts;
    const run: Run = { ended: new AbortController(), isAnswered: false };
    this.#runs.set(id, run);
    // In one order, so that two moves in opposite directions cannot wait for each other.
    const [first = '', second = ''] = [migration.from, migration.to].toSorted();
    void this.#slotsOf(first)
      .run(() => this.#slotsOf(second).run(() => this.#carry(id, run)))
      .catch((error: unknown) => {
        if (!signal.aborted) log.error({ err: error, operation: id }, 'a bug ended the moving of a VM');
      })
      .finally(() => this.#runs.delete(id));
  }

  #slotsOf(host: HostName): Slots {
    const slots = this.#slots.get(host) ?? new Slots(MOVES_PER_HOST);
    this.#slots.set(host, slots);
    return slots;
  }

  async #carry(id: string, run: Run): Promise<void> {
    const { clock, ledger, log, signal } = this.#parts;
    const beganAtMs = clock.nowMs();
    while (!signal.aborted) {
      const operation = ledger.state.operations.get(id);
      if (operation?.migration === undefined || ENDED_STATES.has(operation.state)) return;
      const vm = ledger.state.vms.get(operation.migration.vmId);
      try {
        await this.#stage(operation, operation.migration, vm, run);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        const { stage } = operation.migration;
        const isOver = !error.retryable || clock.nowMs() - beganAtMs > PREPARE_FOR_MS;
        if (stage === 'preparing' && isOver) await this.#undo(operation, operation.migration, textOf(error));
        else {
          log.warn({ operation: id, stage, err: error }, 'a host is to be asked again about a VM that is being moved');
          await clock.sleep(RETRY_MS, signal);
        }
      }
    }
  }

  #stage(operation: Operation, migration: Migration, vm: VmRecord | undefined, run: Run): Promise<void> {
    switch (migration.stage) {
      case 'preparing':
        return this.#prepare(operation, migration, vm, run);
      case 'moving':
        return this.#move(operation, migration, vm, run);
      case 'arrived':
        return this.#leaveSource(operation, migration, vm);
      case 'undoing':
        return this.#leaveTarget(operation, migration, vm);
    }
  }

  async #prepare(operation: Operation, migration: Migration, vm: VmRecord | undefined, run: Run): Promise<void> {
    const { clock, signal } = this.#parts;
    const why = this.#whyOff(operation, migration, vm);
    if (why !== undefined || vm === undefined) return this.#undo(operation, migration, why ?? 'the VM is gone');
    const { source, target } = this.#ends(migration);
    if (migration.disks === 'changes') await this.#bringImage(vm, target, operation, run);
    const described = await clock.deadline(CALL_MS, (inner) => source.migration.describe(vm.uuid, inner), signal);
    const content = vm.image?.content;
    const order = {
      source: described,
      disks: migration.disks,
      ...(content !== undefined && { image: { ...content, format: vm.image?.format ?? 'qcow2' } }),
      ...(vm.cloudInit && { cloudInit: vm.cloudInit }),
    };
    const arrival = await clock.deadline(PREPARE_MS, (inner) => target.migration.prepare(order, inner), signal);
    run.ready = { arrival, source: described };
    const { endpoint } = arrival;
    await this.#note(operation, 'the target is ready; moving', {
      ...migration,
      stage: 'moving',
      movingSinceMs: clock.nowMs(),
      ...(endpoint && { endpoint }),
    });
  }

  async #bringImage(vm: VmRecord, target: Hypervisor, operation: Operation, run: Run): Promise<void> {
    const { clock, signal } = this.#parts;
    const { image } = vm;
    const content = image?.content;
    if (image === undefined || content === undefined) throw new Error(`${vm.name} is no overlay of a placed image`);
    const own = new AbortController();
    const watch = new AbortController();
    const watching = this.#whileUnder(operation.id, watch.signal, async (_now, why) => {
      if (why !== undefined) own.abort();
    });
    try {
      await clock.deadline(
        IMAGE_MS,
        (inner) =>
          target.placeImage(
            { ...image, content },
            (reading) => this.#images.read(content, reading),
            (doneBytes) => {
              run.figures = { doneBytes, totalBytes: content.fileBytes };
            },
            inner,
          ),
        AbortSignal.any([signal, own.signal]),
      );
    } catch (error) {
      // Called off: the next look at the operation says so.
      if (!own.signal.aborted || signal.aborted) throw error;
    } finally {
      watch.abort();
      await watching;
    }
  }

  async #move(operation: Operation, migration: Migration, vm: VmRecord | undefined, run: Run): Promise<void> {
    if (vm === undefined) return this.#undo(operation, migration, 'the VM is gone');
    if (run.ready !== undefined) {
      const { arrival, source } = run.ready;
      delete run.ready;
      await this.#call(operation, migration, vm, { arrival, source }, run);
    }
    await this.#judge(operation, migration, vm, run);
  }

  /** Asks libvirt to move it, and waits; what comes of it is looked at afterwards. */
  async #call(
    { id }: Operation,
    migration: Migration,
    { uuid }: VmRecord,
    { arrival, source: described }: NonNullable<Run['ready']>,
    run: Run,
  ): Promise<void> {
    const { signal } = this.#parts;
    const { source, target } = this.#ends(migration);
    const { bandwidthMiBps, disks } = migration;
    const over = new AbortController();
    const watching = this.#whileUnder(id, over.signal, async (_operation, why) => {
      if (why !== undefined) await this.#asked((inner) => source.migration.cancel(uuid, inner));
      const figures = await this.#asked((inner) => source.migration.figures(uuid, inner));
      if (figures !== undefined) run.figures = figures;
    });
    const diskTargets = described.disks.map(({ target }) => target);
    const options = { disks, diskTargets, ...(bandwidthMiBps !== undefined && { bandwidthMiBps }) };
    try {
      await source.migration.move(uuid, arrival, options, signal);
      run.isAnswered = true;
      // The source's is over for good: clients wait for nothing but this. Whether it succeeded is looked at.
      await this.#asked((inner) => target.resume(uuid, inner));
    } catch (error) {
      if (!isFault(error)) throw error;
      run.failure = textOf(error);
      run.isAnswered = isFault(error, 'refused', 'conflict', 'gone');
    } finally {
      over.abort();
      await watching;
    }
  }

  /** Every so often until `signal` aborts: the operation as it stands, and why it is to be called off, if it is. */
  async #whileUnder(
    id: string,
    signal: AbortSignal,
    look: (operation: Operation, why: string | undefined) => Promise<void>,
  ): Promise<void> {
    const { clock, ledger } = this.#parts;
    const either = AbortSignal.any([signal, this.#parts.signal]);
    while (!either.aborted) {
      await clock.sleep(LOOK_AGAIN_MS, either);
      const operation = ledger.state.operations.get(id);
      const migration = operation?.migration;
      if (either.aborted || operation === undefined || migration === undefined) return;
      await look(operation, this.#whyOff(operation, migration, ledger.state.vms.get(migration.vmId)));
    }
  }

  /** A question that need not be answered. */
  async #asked<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const { clock, signal } = this.#parts;
    try {
      return await clock.deadline(CALL_MS, ask, signal);
    } catch (error) {
      if (isFault(error)) return undefined;
      throw error;
    }
  }

  /** Why it shall not go on; undefined: it shall. */
  #whyOff(operation: Operation, migration: Migration, vm: VmRecord | undefined): string | undefined {
    if (operation.cancelling) return `${operation.owner} cancelled it`;
    if (vm === undefined) return 'the VM is gone';
    if (vm.phase === 'removing') return 'the VM is being removed';
    const { movingSinceMs, timeoutMs } = migration;
    if (movingSinceMs === undefined || this.#parts.clock.nowMs() - movingSinceMs < timeoutMs) return undefined;
    return `it was not moved within ${Math.round(timeoutMs / 1000)} s`;
  }

  /** Looks at both hosts and does the one thing that brings it nearer to exactly one copy. */
  async #judge(operation: Operation, migration: Migration, vm: VmRecord, run: Run): Promise<void> {
    const { clock, signal } = this.#parts;
    const { source, target } = this.#ends(migration);
    const look = (host: Hypervisor) => clock.deadline(CALL_MS, (inner) => host.migration.look(vm.uuid, inner), signal);
    const here = await look(source);
    const there = await look(target).catch((error: unknown) => {
      if (!isFault(error) || signal.aborted) throw error;
      return undefined;
    });
    if (there === undefined) {
      // A copy there does not run unless we let it: the VM need not wait for that host as long as it runs here.
      run.targetLostMs ??= clock.nowMs();
      const runsHere = here.state === 'running' && !here.busy;
      const isLong = clock.nowMs() - run.targetLostMs > TARGET_PATIENCE_MS;
      if (runsHere && isLong) return this.#undo(operation, migration, `host ${migration.to} does not answer any more`);
      await clock.sleep(RETRY_MS, signal);
      return;
    }
    delete run.targetLostMs;
    const next = nextMove(here, there);
    if (next.kind !== 'stayed') delete run.quietSinceMs;
    switch (next.kind) {
      case 'wait':
        return this.#waitOn(operation, migration, vm, source, run);
      case 'clear-target':
        return this.#clear(target, vm.uuid);
      case 'clear-source':
        return this.#clear(source, vm.uuid);
      case 'resume-source':
        return clock.deadline(CALL_MS, (inner) => source.resume(vm.uuid, inner), signal);
      case 'resume-target':
        return clock.deadline(CALL_MS, (inner) => target.resume(vm.uuid, inner), signal);
      case 'stayed':
        return this.#stayed(operation, migration, vm, run);
      case 'arrived':
        return this.#arrived(operation, migration, vm);
      case 'lost':
        return this.#end(operation, migration, `the domain is on neither host ${migration.from} nor ${migration.to}`);
    }
  }

  async #waitOn(operation: Operation, migration: Migration, vm: VmRecord, source: Hypervisor, run: Run): Promise<void> {
    const { clock, signal } = this.#parts;
    if (this.#whyOff(operation, migration, vm) !== undefined) {
      await this.#asked((inner) => source.migration.cancel(vm.uuid, inner));
    }
    const figures = await this.#asked((inner) => source.migration.figures(vm.uuid, inner));
    if (figures !== undefined) run.figures = figures;
    await clock.sleep(LOOK_AGAIN_MS, signal);
  }

  async #stayed(operation: Operation, migration: Migration, vm: VmRecord, run: Run): Promise<void> {
    const { clock, signal } = this.#parts;
    run.quietSinceMs ??= clock.nowMs();
    if (!run.isAnswered && clock.nowMs() - run.quietSinceMs < QUIET_MS) {
      await clock.sleep(LOOK_AGAIN_MS, signal);
      return;
    }
    const why =
      this.#whyOff(operation, migration, vm) ?? run.failure ?? 'the daemon or a host ended while it was moved';
    await this.#undo(operation, migration, why);
  }

  async #clear(host: Hypervisor, uuid: string): Promise<void> {
    const { clock, signal } = this.#parts;
    await clock.deadline(PREPARE_MS, (inner) => host.destroy(uuid, inner), signal);
    await clock.deadline(CALL_MS, (inner) => host.undefine(uuid, inner), signal);
  }

  // --- ends -------------------------------------------------------------------------------------------------------------

  /** The record changes hosts: from now on the VM is there. */
  async #arrived(operation: Operation, migration: Migration, vm: VmRecord): Promise<void> {
    const { clock } = this.#parts;
    const { target } = this.#ends(migration);
    const figures = await this.#asked((inner) => target.migration.figures(vm.uuid, inner));
    await this.#keep((state) => {
      const [current, record] = [state.operations.get(operation.id), state.vms.get(vm.id)];
      if (current === undefined || record === undefined) return undefined;
      const stamp = stampOf(clock);
      const { moving: _moving, template, ...rest } = record;
      const { disks, endpoint, from, movingSinceMs = stamp.nowMs, to } = migration;
      const there: VmRecord = {
        ...rest,
        host: to,
        // A disk that was copied does not lie on the template's any more.
        ...(template !== undefined && disks === 'shared' && { template }),
        ...(endpoint && { endpoint }),
        changedAtMs: stamp.nowMs,
      };
      const downtimeMs = figures?.downtimeMs;
      const told = {
        type: 'vm.migrated',
        ...aboutVm(there),
        from,
        to,
        tookMs: Math.round(stamp.nowMs - movingSinceMs),
        ...(downtimeMs !== undefined && { downtimeMs }),
        operation: operation.id,
      } as const;
      const vms = current.vms.map((one) => ({ ...one, host: to, outcome: 'done' as const }));
      const next = moved(current, stamp, `it runs on host ${to}`, {
        vms,
        migration: { ...migration, stage: 'arrived' },
      });
      return { putVms: [there], putOperations: [next], events: [told] };
    });
    this.#parts.kick();
  }

  async #leaveSource(operation: Operation, migration: Migration, vm: VmRecord | undefined): Promise<void> {
    const { source, target } = this.#ends(migration);
    if (vm !== undefined) target.migration.forget(vm.uuid);
    await this.#deleteVolumes(source, migration.from, migration, vm);
    await this.#keep((state) => {
      const current = state.operations.get(operation.id);
      return (
        current &&
        moveTo(current, 'succeeded', stampOf(this.#parts.clock), `nothing of it is left on host ${migration.from}`)
      );
    });
  }

  /** The source has the VM, for certain: what is at the target goes. */
  async #leaveTarget(operation: Operation, migration: Migration, vm: VmRecord | undefined): Promise<void> {
    const { clock, signal } = this.#parts;
    const { target } = this.#ends(migration);
    const { movingSinceMs, to } = migration;
    if (vm !== undefined) {
      target.migration.forget(vm.uuid);
      // Before it was asked to move nothing of ours could be there but volumes.
      const mayBeThere = movingSinceMs !== undefined && vm.host !== to && vm.moving?.to !== to;
      const look = (inner: AbortSignal) => target.migration.look(vm.uuid, inner);
      if (mayBeThere && (await clock.deadline(CALL_MS, look, signal)).state !== 'absent')
        await this.#clear(target, vm.uuid);
    }
    await this.#deleteVolumes(target, to, migration, vm);
    await this.#end(operation, migration, migration.reason ?? 'it was called off');
  }

  /** Unless they are (again) the VM's own there. */
  async #deleteVolumes(
    host: Hypervisor,
    name: HostName,
    { disks }: Migration,
    vm: VmRecord | undefined,
  ): Promise<void> {
    const { clock, log, signal } = this.#parts;
    if (vm === undefined || disks === 'shared' || vm.host === name || vm.moving?.to === name) return;
    for (let tries = 1; ; tries += 1) {
      try {
        await clock.deadline(PREPARE_MS, (inner) => host.deleteDisk(vm.name, inner), signal);
        return;
      } catch (error) {
        if (!isFault(error, 'conflict', 'refused')) throw error;
        if (tries === DELETE_TRIES) {
          log.warn({ err: error, host: name, vm: vm.name }, 'volumes of a VM that moved could not be deleted');
          return;
        }
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  /** From now on the VM stays where it is, and may be asked for other things; what is at the target is removed next. */
  #undo(operation: Operation, migration: Migration, reason: string): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      const record = state.vms.get(migration.vmId);
      const stays = record?.moving?.operation === operation.id ? [unmoved(record, stamp.nowMs)] : [];
      const outcome = current.cancelling ? ('cancelled' as const) : ('failed' as const);
      const vms = current.vms.map((one) => ({ ...one, outcome, reason }));
      const { movingSinceMs, timeoutMs } = migration;
      const timedOut = !current.cancelling && movingSinceMs !== undefined && stamp.nowMs - movingSinceMs >= timeoutMs;
      const undoing: Migration = { ...migration, stage: 'undoing', reason, ...(timedOut && { timedOut }) };
      const text = `it stays on host ${migration.from}: ${reason}`;
      return { putVms: stays, putOperations: [moved(current, stamp, text, { vms, migration: undoing })] };
    }).then(() => this.#parts.kick());
  }

  #end(operation: Operation, migration: Migration, reason: string): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const current = state.operations.get(operation.id);
      if (current === undefined) return undefined;
      const stamp = stampOf(clock);
      const record = state.vms.get(migration.vmId);
      const stays = record?.moving?.operation === operation.id ? [unmoved(record, stamp.nowMs)] : [];
      const ended = current.cancelling
        ? moveTo(current, 'cancelled', stamp, `cancelled; it runs on host ${migration.from}`)
        : moveTo(current, 'failed', stamp, `failed: ${reason}`, {
            failure: failed(migration.timedOut ? 'timed-out' : 'failed', reason),
            vms: current.vms.map((one) => ({ ...one, outcome: 'failed' as const, reason })),
          });
      return { ...ended, putVms: stays };
    }).then(() => this.#parts.kick());
  }

  #note(operation: Operation, text: string, migration: Migration): Promise<void> {
    const { clock } = this.#parts;
    return this.#keep((state) => {
      const current = state.operations.get(operation.id);
      return current && { putOperations: [moved(current, stampOf(clock), text, { migration })] };
    });
  }

  /** When the store refuses, what has happened is kept as soon as it does not: nothing goes on before. */
  #keep(change: (state: LedgerState) => Change | undefined): Promise<void> {
    return kept(this.#parts, () => this.#parts.ledger.change(change));
  }

  #hypervisor(host: HostName): Hypervisor | undefined {
    return this.#parts.hosts.get(host)?.hypervisor;
  }

  #ends({ from, to }: Migration): { readonly source: Hypervisor; readonly target: Hypervisor } {
    const [source, target] = [this.#hypervisor(from), this.#hypervisor(to)];
    const missing = source === undefined ? from : to;
    // What has begun is not forgotten: it is taken up when the host is in the configuration again.
    if (source === undefined || target === undefined) {
      throw new Fault('unreachable', `host ${missing} is not in the configuration any more`);
    }
    return { source, target };
  }
}

function unmoved(record: VmRecord, nowMs: number): VmRecord {
  const { moving: _moving, ...stays } = record;
  return { ...stays, changedAtMs: nowMs };
}

function textOf(error: Fault): string {
  return error.advice === undefined ? error.message : `${error.message} (${error.advice})`;
}
