// Carries an accepted move stage by stage: prepare the target, ask libvirt to move, judge, clear up; each again from what is stored
// when the daemon begins anew. Not here: what came of the call (migration-judge), how it ends (migration-endings).

import { figuresText, type Migration } from '../core/migration.ts';
import type { HostName, VmRecord } from '../core/model.ts';
import { ENDED_STATES, type Operation, type Progress } from '../core/operation.ts';
import { isFault } from '../ports/fault.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { type FabricParts, kept, stampOf } from './fabric-parts.ts';
import { MigrationEndings } from './migration-endings.ts';
import { MigrationJudge } from './migration-judge.ts';
import {
  asked,
  bothHosts,
  CALL_MS,
  LOOK_AGAIN_MS,
  type MigrationRun,
  PREPARE_MS,
  RETRY_MS,
  textOf,
  whyOff,
} from './migration-parts.ts';
import { moved } from './operations.ts';
import { Slots } from './slots.ts';

/** Moves that a host takes part in at a time: each takes a core's worth of both. */
const MOVES_PER_HOST = 2;
const IMAGE_MS = 6 * 3_600_000;
/** How long a host that does not answer keeps a move from beginning. */
const PREPARE_FOR_MS = 120_000;

export class MigrationRuns {
  readonly #parts: FabricParts;
  readonly #images: Pick<ImageStore, 'read'>;
  readonly #endings: MigrationEndings;
  readonly #judge: MigrationJudge;
  readonly #runs = new Map<string, MigrationRun>();
  readonly #slots = new Map<HostName, Slots>();

  constructor(parts: FabricParts, images: Pick<ImageStore, 'read'>) {
    this.#parts = parts;
    this.#images = images;
    this.#endings = new MigrationEndings(parts);
    this.#judge = new MigrationJudge(parts, this.#endings);
  }

  /** Nothing, when it is carried out already. */
  start({ id, migration }: Operation): void {
    if (migration === undefined || this.#runs.has(id)) return;
    const { log, signal } = this.#parts;
    const run: MigrationRun = { isAnswered: false };
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

  progressOf(id: string): Progress | undefined {
    const figures = this.#runs.get(id)?.figures;
    // Before libvirt knows how much there is, there is nothing to tell.
    if (figures === undefined || figures.totalBytes === 0) return undefined;
    return { done: figures.doneBytes, total: figures.totalBytes, unit: 'bytes', text: figuresText(figures) };
  }

  #slotsOf(host: HostName): Slots {
    const slots = this.#slots.get(host) ?? new Slots(MOVES_PER_HOST);
    this.#slots.set(host, slots);
    return slots;
  }

  async #carry(id: string, run: MigrationRun): Promise<void> {
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
        if (stage === 'preparing' && isOver) await this.#endings.undo(operation, operation.migration, textOf(error));
        else {
          log.warn({ operation: id, stage, err: error }, 'a host is to be asked again about a VM that is being moved');
          await clock.sleep(RETRY_MS, signal);
        }
      }
    }
  }

  #stage(operation: Operation, migration: Migration, vm: VmRecord | undefined, run: MigrationRun): Promise<void> {
    switch (migration.stage) {
      case 'preparing':
        return this.#prepare(operation, migration, vm, run);
      case 'moving':
        return this.#move(operation, migration, vm, run);
      case 'arrived':
        return this.#endings.leaveSource(operation, migration, vm);
      case 'undoing':
        return this.#endings.leaveTarget(operation, migration, vm);
    }
  }

  async #prepare(
    operation: Operation,
    migration: Migration,
    vm: VmRecord | undefined,
    run: MigrationRun,
  ): Promise<void> {
    const { clock, signal } = this.#parts;
    const why = whyOff(this.#parts, operation, migration, vm);
    if (why !== undefined || vm === undefined) return this.#endings.undo(operation, migration, why ?? 'the VM is gone');
    const { source, target } = bothHosts(this.#parts, migration);
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

  #note({ id }: Operation, text: string, migration: Migration): Promise<void> {
    const { clock, ledger } = this.#parts;
    return kept(this.#parts, () =>
      ledger.change((state) => {
        const current = state.operations.get(id);
        return current && { putOperations: [moved(current, stampOf(clock), text, { migration })] };
      }),
    );
  }

  async #bringImage(vm: VmRecord, target: Hypervisor, operation: Operation, run: MigrationRun): Promise<void> {
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

  async #move(operation: Operation, migration: Migration, vm: VmRecord | undefined, run: MigrationRun): Promise<void> {
    if (vm === undefined) return this.#endings.undo(operation, migration, 'the VM is gone');
    if (run.ready !== undefined) {
      const { arrival, source } = run.ready;
      delete run.ready;
      await this.#call(operation, migration, vm, { arrival, source }, run);
    }
    await this.#judge.judge(operation, migration, vm, run);
  }

  /** Asks libvirt to move it, and waits; what comes of it is looked at afterwards. */
  async #call(
    { id }: Operation,
    migration: Migration,
    { uuid }: VmRecord,
    { arrival, source: described }: NonNullable<MigrationRun['ready']>,
    run: MigrationRun,
  ): Promise<void> {
    const { signal } = this.#parts;
    const { source, target } = bothHosts(this.#parts, migration);
    const { bandwidthMiBps, disks } = migration;
    const over = new AbortController();
    const watching = this.#whileUnder(id, over.signal, async (_operation, why) => {
      if (why !== undefined) await asked(this.#parts, (inner) => source.migration.cancel(uuid, inner));
      const figures = await asked(this.#parts, (inner) => source.migration.figures(uuid, inner));
      if (figures !== undefined) run.figures = figures;
    });
    const diskTargets = described.disks.map(({ target }) => target);
    const options = { disks, diskTargets, ...(bandwidthMiBps !== undefined && { bandwidthMiBps }) };
    try {
      await source.migration.move(uuid, arrival, options, signal);
      run.isAnswered = true;
      // The source's is over for good: clients wait for nothing but this. Whether it succeeded is looked at.
      await asked(this.#parts, (inner) => target.resume(uuid, inner));
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
      await look(operation, whyOff(this.#parts, operation, migration, ledger.state.vms.get(migration.vmId)));
    }
  }
}
