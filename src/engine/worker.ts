// Carries one VM at a time from step to step: infer the next, do it, record it, again, until there is something to wait for.
// A crash between two steps repeats one step. Not here: which VMs need work (turn), what a step is (core/steps, executors).

import type { NewEvent } from '../core/events.ts';
import type { BreakerMemory, DurableMemory } from '../core/memory.ts';
import type { HostView, Image, VmRecord, VmView } from '../core/model.ts';
import { noteRefreshFailure } from '../core/refresh.ts';
import { type Conduct, nextStep } from '../core/steps.ts';
import type { Clock } from '../ports/clock.ts';
import { type Fault, isFault } from '../ports/fault.ts';
import type { HookCaller } from '../ports/hook-caller.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { Prober } from '../ports/prober.ts';
import type { Change, Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import { withOperations } from './operations.ts';
import { aboutVm, forgetting } from './records.ts';
import { Slots } from './slots.ts';
import { joinVm } from './snapshot.ts';
import { executors } from './steps/executors.ts';
import { failedLaunch } from './steps/failed-launch.ts';
import type { Doing, Outcome, StepContext } from './steps/outcome.ts';
import type { Telemetry } from './view.ts';

interface WatchedHost {
  readonly hypervisor: Hypervisor;
  view(): HostView;
}

export interface WorkerOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly prober: Prober;
  readonly images: Pick<ImageStore, 'read'>;
  readonly onImagePlaced: (host: string, image: Image) => void;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly hosts: ReadonlyMap<string, WatchedHost>;
  readonly hooks: HookCaller;
  readonly balancing: StepContext['balancing'];
  readonly onForkFailed: (host: string, template: string, reason: string) => void;
  readonly conduct: (group: string | undefined) => Conduct;
  readonly random: () => number;
}

/** Steps that load a host (QEMU starting, disks written) run at most this many at a time per host. */
const STEPS_PER_HOST = 4;
/** No single step may take longer; then it is looked at again. Starting under emulation on a busy machine takes seconds. */
const STEP_DEADLINE_MS = 60_000;
/** Bringing an image ends itself when nothing moves; this is for one that trickles. */
const IMAGE_STEP_DEADLINE_MS = 6 * 3_600_000;
/** Steps that load no host: they wait for somebody to answer. */
const WAITING: ReadonlySet<Doing['kind']> = new Set(['ask-hook', 'await-sessions', 'enter', 'personalise', 'probe']);
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 15_000;
/** Forgotten uuids are remembered this long, against pictures that are older. */
const FORGOTTEN_KEEP_MS = 120_000;

/** What is being done about a VM, or was done last while it naps between two tries. */
interface Busy {
  readonly phase: VmRecord['phase'];
  readonly step: Doing['kind'];
  readonly nap: AbortController;
}

export class Worker {
  readonly #options: WorkerOptions;
  readonly #busy = new Map<number, Busy>();
  readonly #slots = new Map<string, Slots>();
  readonly #running = new Set<Promise<void>>();
  readonly forgotten = new Map<string, number>();
  /** Bytes of the image that have gone to the VM's host, by VM id, while they go. */
  readonly imageBytes = new Map<number, number>();
  readonly #stop = new AbortController();

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** VMs that a step is being carried out on. To wait for clients to leave does nothing to a VM: it can be taken back any time. */
  get busy(): { has(vmId: number): boolean } {
    return { has: (vmId) => (this.#busy.get(vmId)?.step ?? 'await-sessions') !== 'await-sessions' };
  }

  /** Starts work on every VM that needs some and has none under way. */
  kick(): void {
    if (this.#stop.signal.aborted) return;
    const { ledger, clock } = this.#options;
    for (const [uuid, atMs] of this.forgotten) {
      if (clock.nowMs() - atMs > FORGOTTEN_KEEP_MS) this.forgotten.delete(uuid);
    }
    const views = new Map([...this.#options.hosts].map(([name, host]) => [name, host.view()]));
    for (const record of ledger.state.vms.values()) {
      const busy = this.#busy.get(record.id);
      // A VM moved to another phase while it naps between two tries need not sleep on.
      if (busy && busy.phase !== record.phase) busy.nap.abort();
      // As `nextStep` would say of it; thousands may stand so.
      const atRest = record.phase === 'in-service' && record.group === undefined;
      const host = views.get(record.host);
      if (busy || atRest || this.#next(joinVm(record, host), host) === undefined) continue;
      const work = this.#work(record).finally(() => this.#running.delete(work));
      this.#running.add(work);
    }
  }

  /** Ends all work: steps under way are aborted and forgotten; what they did is found again at the next start. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    for (const { nap } of this.#busy.values()) nap.abort();
    await Promise.race([Promise.allSettled(this.#running), this.#options.clock.sleep(deadlineMs)]);
  }

  #next(vm: VmView, host: HostView | undefined): Doing | undefined {
    const { conduct, clock } = this.#options;
    const step = nextStep(vm, conduct(vm.record.group), host?.state === 'up', clock.nowMs());
    return step.kind === 'wait' ? undefined : step;
  }

  #nextOf(record: VmRecord): Doing | undefined {
    const { hosts } = this.#options;
    const view = hosts.get(record.host)?.view();
    return this.#next(joinVm(record, view), view);
  }

  async #work(first: VmRecord): Promise<void> {
    const { ledger, log } = this.#options;
    const { id } = first;
    try {
      for (let record: VmRecord | undefined = first; record !== undefined; record = ledger.vm(id)) {
        const step = this.#nextOf(record);
        if (step === undefined || this.#stop.signal.aborted) return;
        const nap = new AbortController();
        this.#busy.set(id, { phase: record.phase, step: step.kind, nap });
        const napMs = await this.#doStep(record, step);
        if (napMs !== undefined) await this.#options.clock.sleep(napMs, nap.signal);
      }
    } catch (error) {
      // The store refused, or a bug: this VM's work ends for now, the next turn takes it up again.
      log.error({ err: error, vm: first.name }, 'work on a VM was interrupted; it is taken up again next turn');
    } finally {
      this.#busy.delete(id);
    }
  }

  /** Does one step and keeps its outcome. Returns how long to nap before looking again, if at all. */
  async #doStep(record: VmRecord, step: Doing): Promise<number | undefined> {
    const { clock, telemetry, hosts } = this.#options;
    const watch = hosts.get(record.host);
    if (watch === undefined) return RETRY_MAX_MS;
    const begunAtMs = clock.nowMs();
    const seconds = () => (clock.nowMs() - begunAtMs) / 1000;
    let outcome: Outcome;
    try {
      outcome = await this.#execute(record, step, watch);
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      if (!isFault(error)) throw error;
      const final = record.phase === 'launching' && isFault(error, 'refused', 'conflict');
      telemetry.stepped(record.group ?? '', step.kind, seconds(), final ? 'failed' : 'retry');
      if (!final) return this.#tryAgain(record, step, error);
      await this.#keep(record, failedLaunch(record, sentence(step.kind, error), clock.nowMs()));
      return undefined;
    }
    if (outcome.kind === 'again') return outcome.afterMs;
    // Not within the try: when the store refuses, the step has succeeded all the same. A full disk is no failed launch.
    await this.#keep(record, outcome);
    telemetry.stepped(record.group ?? '', step.kind, seconds(), 'ok');
    return outcome.kind === 'progress' ? outcome.napMs : undefined;
  }

  #execute(record: VmRecord, step: Doing, host: WatchedHost): Promise<Outcome> {
    const { balancing, clock, conduct, hooks, images, ledger, onForkFailed, onImagePlaced, prober } = this.#options;
    const run = executors[step.kind] as (r: VmRecord, s: Doing, c: StepContext) => Promise<Outcome>;
    const work = () =>
      clock.deadline(
        step.kind === 'place-image' ? IMAGE_STEP_DEADLINE_MS : STEP_DEADLINE_MS,
        (signal) =>
          run(record, step, {
            hypervisor: host.hypervisor,
            isHostUp: () => host.view().state === 'up',
            prober,
            clock,
            images,
            onImageBytes: (bytes) => this.imageBytes.set(record.id, bytes),
            onImagePlaced: (image) => onImagePlaced(record.host, image),
            onForkFailed: (template, reason) => onForkFailed(record.host, template, reason),
            conduct: conduct(record.group),
            hooks,
            balancing,
            signal,
          }),
        this.#stop.signal,
      );
    if (WAITING.has(step.kind) || (step.kind === 'wake' && record.way === 'paused')) return work();
    // Those that wait for the same image must not keep others from their steps.
    if (step.kind === 'place-image') return work().finally(() => this.imageBytes.delete(record.id));
    const slots = this.#slots.get(record.host) ?? new Slots(STEPS_PER_HOST);
    this.#slots.set(record.host, slots);
    return slots.run(async () => {
      // It may have waited long for its turn, and its host have gone meanwhile.
      const current = ledger.vm(record.id);
      const isStillDue = current?.phase === record.phase && this.#nextOf(current)?.kind === step.kind;
      return isStillDue ? work() : { kind: 'again', afterMs: 0 };
    });
  }

  #tryAgain(record: VmRecord, step: Doing, fault: Fault): number {
    const { ledger, log, random } = this.#options;
    const tries = (ledger.vm(record.id)?.tries ?? record.tries) + 1;
    const napMs = Math.min(RETRY_MIN_MS * 2 ** Math.min(tries, 10), RETRY_MAX_MS) * (0.5 + random() / 2);
    log.warn(
      { vm: record.name, host: record.host, step: step.kind, fault: fault.kind, tries, retryInMs: Math.round(napMs) },
      `${sentence(step.kind, fault)}; it will be tried again`,
    );
    void ledger
      .change((state) => {
        const current = state.vms.get(record.id);
        return current && { putVms: [{ ...current, tries }] };
      })
      .catch(() => undefined);
    return napMs;
  }

  #keep(begun: VmRecord, outcome: Exclude<Outcome, { kind: 'again' }>): Promise<unknown> {
    const { ledger, clock } = this.#options;
    return ledger.change((state) => {
      const change = this.#changeOf(begun, outcome, state.vms.get(begun.id));
      return change && withOperations(state, change, { at: clock.wall(), nowMs: clock.nowMs() });
    });
  }

  #changeOf(
    begun: VmRecord,
    outcome: Exclude<Outcome, { kind: 'again' }>,
    current: VmRecord | undefined,
  ): Change | undefined {
    const { ledger, clock } = this.#options;
    if (current === undefined) return undefined;
    const nowMs = clock.nowMs();
    // A turn may have moved it to another phase while the step ran: then only "a later look is needed" remains true.
    if (current.phase !== begun.phase) return { putVms: [{ ...current, changedAtMs: nowMs }] };
    if (outcome.kind === 'gone') {
      this.forgotten.set(current.uuid, nowMs);
      const reason = current.reason ?? 'removed';
      return {
        deleteVms: [current.id],
        events: [{ type: 'vm.removed', ...aboutVm(current), reason }],
      };
    }
    if (outcome.kind === 'progress') {
      const { events = [], facts, forgets = [] } = outcome;
      return { putVms: [{ ...forgetting(current, forgets), ...facts, changedAtMs: nowMs, tries: 0 }], events };
    }
    return { putVms: [withSaid(outcome.record, current)], ...breakerChange(current, outcome, ledger, clock) };
  }
}

/** What people have said about the VM while the step ran holds for what the step made of it. */
function withSaid(moved: VmRecord, { isProtected, labels }: VmRecord): VmRecord {
  const { isProtected: _before, labels: _labels, ...kept } = moved;
  return { ...kept, ...(isProtected && { isProtected }), ...(labels && { labels }) };
}

function breakerChange(
  record: VmRecord,
  outcome: Extract<Outcome, { kind: 'moved' }>,
  ledger: Ledger,
  clock: Clock,
): Pick<Change, 'events' | 'memory'> {
  const events: NewEvent[] = [...outcome.events];
  if (outcome.breaker === undefined || record.group === undefined) return { events };
  const memory = ledger.group(record.group);
  const before = memory.durable.breaker;
  const after: BreakerMemory = outcome.breaker(before);
  if (after.openedAtMs !== undefined && after.retryAtMs !== undefined && after.retryAtMs !== before.retryAtMs) {
    events.push({
      type: 'breaker.opened',
      group: record.group,
      failures: after.failures,
      retryAt: clock.wallOf(after.retryAtMs),
      reason: after.lastReason ?? 'launches failed in a row',
    });
  } else if (before.openedAtMs !== undefined && after.openedAtMs === undefined) {
    events.push({ type: 'breaker.closed', group: record.group });
  }
  const failed = after.failures > before.failures || after.lastReason !== before.lastReason;
  const counted = failed ? noteRefreshFailure(memory.durable, record) : memory.durable;
  const durable: DurableMemory = { ...counted, breaker: after };
  return { events, memory: { [record.group]: { ...memory, durable } } };
}

function sentence(step: string, fault: Fault): string {
  return `${step} failed: ${fault.message}${fault.advice === undefined ? '' : ` (${fault.advice})`}`;
}
