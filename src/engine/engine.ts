// The engine: turns at a steady beat, earlier when something happens, and the few commands people may give.
// Not here: what a turn does (turn), what the edges see (status), how VMs are carried along (worker).

import type { NewEvent } from '../core/events.ts';
import type { DurableMemory, GroupMemory } from '../core/memory.ts';
import type { GroupName } from '../core/model.ts';
import type { StepTiming } from '../core/steps.ts';
import type { Clock } from '../ports/clock.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { Ids } from '../ports/ids.ts';
import type { Prober } from '../ports/prober.ts';
import type { Store } from '../ports/store.ts';
import { HostWatch } from './host-watch.ts';
import { Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import { EngineStatus } from './status.ts';
import { Sweep } from './sweep.ts';
import { Turn } from './turn.ts';
import type { CommandResult, GroupStatus, LoadedPolicy, Telemetry } from './view.ts';
import { Worker } from './worker.ts';

export interface EngineOptions {
  readonly hosts: readonly { readonly hypervisor: Hypervisor; readonly uri: string }[];
  readonly store: Store;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly prober: Prober;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly version: string;
  /** Written into the metadata of VMs that policies bring. */
  readonly owner?: string;
  /** Beat of the turns. */
  readonly pollMs?: number;
}

/** Changes on a host bring the next turn forward, but turns never follow each other faster than this. */
const TURN_SPACING_MS = 200;
/** VMs of a group whose policy is gone are still drained and removed properly if that was under way. */
const DEFAULT_TIMING: StepTiming = { launchDeadlineMs: 60_000, drainGraceMs: 5_000, shutdownDeadlineMs: 30_000 };

export class Engine extends EngineStatus {
  readonly #options: EngineOptions;
  readonly #worker: Worker;
  readonly #turn: Turn;
  readonly #sweep: Sweep;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #loops: Promise<unknown> | undefined;

  private constructor(options: EngineOptions, ledger: Ledger) {
    const { clock, ids, telemetry, pollMs = 1000 } = options;
    const hosts = options.hosts.map(
      ({ hypervisor, uri }) =>
        new HostWatch({ hypervisor, uri, clock, ids, telemetry, pollDeadlineMs: 5 * pollMs, staleAfterMs: 3 * pollMs }),
    );
    const byName = new Map(hosts.map((host) => [host.name, host]));
    const policies = new Map<GroupName, LoadedPolicy>();
    const worker = new Worker({
      ledger,
      clock,
      prober: options.prober,
      telemetry,
      log: options.log,
      hosts: byName,
      timing: (group) => policies.get(group)?.policy ?? DEFAULT_TIMING,
      random: () => ids.random(),
    });
    const owner = options.owner ?? 'policy';
    const pace = { observeBudgetMs: pollMs / 2, staleAfterMs: 3 * pollMs };
    const turn = new Turn({ ledger, clock, ids, telemetry, hosts, worker, owner, ...pace });
    super({ ledger, store: options.store, clock, hosts, policies, evaluations: turn.evaluations });
    this.#options = options;
    this.#worker = worker;
    this.#turn = turn;
    this.#sweep = new Sweep({ ledger, clock, hosts, log: options.log, groups: () => [...policies.keys()] });
  }

  /** Reads the store. Rejects with its fault when it cannot be read. */
  static async open(options: EngineOptions): Promise<Engine> {
    return new Engine(options, await Ledger.open(options.store, options.clock, options.log));
  }

  /** Begins to take turns. What an earlier daemon left half done is taken up in the first. */
  async start(): Promise<void> {
    const { version, hosts } = this.#options;
    await this.ledger.tell({ type: 'daemon.started', version, hosts: hosts.map(({ hypervisor }) => hypervisor.host) });
    this.#loops = Promise.all([
      this.#turns(),
      this.#sweep.run(this.#stop.signal),
      ...this.hostWatches.map((host) => this.#heed(host)),
    ]);
  }

  /** Takes no further turn, lets go of steps under way, says so. VMs keep running. Bounded by `deadlineMs`. */
  async stop(reason: string, deadlineMs = 3000): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#wake.abort();
    await this.#worker.stop(deadlineMs);
    await Promise.race([this.#loops, this.#options.clock.sleep(deadlineMs)]);
    await this.ledger.tell({ type: 'daemon.stopping', reason }).catch(() => undefined);
  }

  /** Puts a policy in force, in place of an older one of the same group. */
  async setPolicy(loaded: LoadedPolicy): Promise<void> {
    this.policies.set(loaded.policy.group, loaded);
    await this.ledger.tell({ type: 'policy.loaded', group: loaded.policy.group, file: loaded.file });
    this.wake();
  }

  /** The group is left as it is: its VMs run on, nothing is launched or removed any more. */
  async removePolicy(group: GroupName): Promise<void> {
    const loaded = this.policies.get(group);
    if (loaded === undefined) return;
    this.policies.delete(group);
    await this.ledger.tell({ type: 'policy.removed', group, file: loaded.file });
  }

  async rejectPolicy(file: string, reason: string, line?: number): Promise<void> {
    await this.ledger.tell({ type: 'policy.rejected', file, reason, ...(line !== undefined && { line }) });
  }

  async setDesired(name: GroupName, desired: number): Promise<CommandResult<GroupStatus>> {
    const policy = this.policies.get(name)?.policy;
    if (policy === undefined) return this.#noGroup(name);
    if (!Number.isInteger(desired) || desired < policy.min || desired > policy.max) {
      const reason = `desired must be a whole number from ${policy.min} (min) to ${policy.max} (max) of group ${name}, not ${desired}`;
      return { ok: false, refused: 'invalid', reason };
    }
    return this.#command(name, (durable) => ({
      durable: { ...durable, desired, desiredBy: 'user' },
      event: {
        type: 'group.changed',
        group: name,
        change: { what: 'desired', from: durable.desired ?? policy.min, to: desired, by: 'user' },
      },
    }));
  }

  async pause(name: GroupName): Promise<CommandResult<GroupStatus>> {
    if (!this.policies.has(name)) return this.#noGroup(name);
    return this.#command(name, (durable) => ({
      durable: { ...durable, paused: true },
      ...(!durable.paused && { event: { type: 'group.changed', group: name, change: { what: 'paused', by: 'user' } } }),
    }));
  }

  async resume(name: GroupName): Promise<CommandResult<GroupStatus>> {
    if (!this.policies.has(name)) return this.#noGroup(name);
    return this.#command(name, (durable) => ({
      durable: { ...durable, paused: false },
      ...(durable.paused && { event: { type: 'group.changed', group: name, change: { what: 'resumed', by: 'user' } } }),
    }));
  }

  /** The next turn begins at once (or as soon as turns may follow each other). */
  wake(): void {
    this.#wake.abort();
  }

  async #command(
    name: GroupName,
    edit: (durable: DurableMemory) => { readonly durable: DurableMemory; readonly event?: NewEvent },
  ): Promise<CommandResult<GroupStatus>> {
    await this.ledger.change(() => {
      const memory: GroupMemory = this.ledger.group(name);
      const { durable, event } = edit(memory.durable);
      return { memory: { [name]: { ...memory, durable } }, ...(event && { events: [event] }) };
    });
    this.wake();
    const value = this.group(name);
    return value ? { ok: true, value } : this.#noGroup(name);
  }

  #noGroup(name: GroupName): CommandResult<GroupStatus> {
    const names = [...this.policies.keys()].join(', ') || 'none';
    return { ok: false, refused: 'not-found', reason: `there is no group ${name}; groups: ${names}` };
  }

  async #turns(): Promise<void> {
    const { clock, telemetry, log, pollMs = 1000 } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const begunAtMs = clock.nowMs();
      const policies = new Map([...this.policies].map(([group, { policy }]) => [group, policy]));
      this.#wake = new AbortController();
      try {
        await this.#turn.run(policies, signal);
      } catch (error) {
        // A refused commit or a bug costs this turn; the daemon lives, and says so.
        log.error({ err: error }, 'a turn was given up; nothing of it happened');
      }
      telemetry.turnEnded((clock.nowMs() - begunAtMs) / 1000);
      await clock.sleep(begunAtMs + TURN_SPACING_MS - clock.nowMs(), signal);
      await clock.sleep(begunAtMs + pollMs - clock.nowMs(), this.#wake.signal);
    }
  }

  /** Brings turns forward when the host tells of a change. */
  async #heed(host: HostWatch): Promise<void> {
    try {
      for await (const _change of host.hypervisor.changes(this.#stop.signal)) {
        host.nudge();
        this.wake();
      }
    } catch (error) {
      this.#options.log.warn({ err: error, host: host.name }, 'no longer told of changes by the host; polling goes on');
    }
  }
}
