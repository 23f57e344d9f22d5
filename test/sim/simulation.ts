// One run: the real engine, the real store, simulated hosts and time. First anything may break (invariants must hold), then
// nothing breaks any more (everything must come right). The same seed is the same run, event for event.
// Not here: what may break (options.ts, faults.ts), what must hold (invariants.ts, convergence.ts).

import { SqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts';
import type { Suspendable } from '../../src/core/memory.ts';
import type { Policy } from '../../src/core/policy.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { isFault } from '../../src/ports/fault.ts';
import { SeededIds, SeededRandom } from '../support/seeded-ids.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { leftToDo } from './convergence.ts';
import { Daemon } from './daemon.ts';
import { Evaluations } from './evaluations.ts';
import { type DaemonControl, Faults } from './faults.ts';
import { Invariants } from './invariants.ts';
import { drawOptions, type FaultName, type SimOptions } from './options.ts';
import { Requests } from './requests.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

/** After the faults: the longest backoff of a breaker, a launch deadline and a removal fit in well. */
const CONVERGE_MS = 15 * 60_000;
/** It has converged when it stays so. */
const STAYS_MS = 10_000;
/** After the database was lost nothing else breaks for so long: what nobody remembers must be visible to be counted. */
const QUIET_AFTER_LOSS_MS = 20_000;
/** A daemon that is told to stop has gone by then. */
const STOP_MAX_MS = 5000;
/** The process of a daemon that has stopped is still there for so long. */
const LINGERS_MS = 500;
const VIOLATIONS_MAX = 10;

export interface SimResult {
  readonly seed: number;
  readonly options: SimOptions;
  readonly violations: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
  readonly fingerprint: string;
  /** Of the trace: what led to the first violation. */
  readonly excerpt: readonly string[];
  /** From the end of the faults to convergence; absent when it did not happen. */
  readonly convergedMs?: number;
}

export interface SimulateOptions {
  /** Hears the whole trace as it comes. */
  readonly onLine?: (line: string) => void;
  /** Faults that shall not happen, to find out which one it takes. */
  readonly without?: readonly FaultName[];
}

export async function simulate(seed: number, { onLine, without = [] }: SimulateOptions = {}): Promise<SimResult> {
  const drawn = drawOptions(seed);
  const none = Object.fromEntries(without.map((fault) => [fault, 0]));
  const simulation = new Simulation({ ...drawn, rates: { ...drawn.rates, ...none } }, onLine);
  return simulation.run();
}

class Simulation implements DaemonControl {
  readonly #options: SimOptions;
  readonly #clock = new VirtualClock();
  readonly #startMs = this.#clock.nowMs();
  readonly #trace: Trace;
  readonly #random: SeededRandom;
  readonly #ids: SeededIds;
  readonly #storeTimes: SeededRandom;
  readonly #world: World;
  readonly #invariants: Invariants;
  readonly #evaluations: Evaluations;
  readonly #faults: Faults;
  readonly #requests: Requests;
  readonly #policies: Map<string, Policy>;
  #store = new SqliteStore({ path: ':memory:' });
  #storeFullUntilMs = 0;
  #daemon: Daemon | undefined;
  #deathPlan: { readonly where: string; timesLeft: number } | undefined;
  #quietUntilMs = 0;
  #faultsOver = false;
  #comesBack = true;

  constructor(options: SimOptions, onLine?: (line: string) => void) {
    this.#options = options;
    this.#trace = new Trace(() => this.#clock.nowMs(), onLine);
    this.#random = new SeededRandom(options.seed ^ 0xfa017);
    this.#storeTimes = this.#random.fork();
    this.#ids = new SeededIds(options.seed ^ 0x1d5);
    this.#policies = new Map(options.policies.map((policy) => [policy.group, policy]));
    this.#world = new World(options, this.#startMs);
    this.#requests = new Requests(this.#random.fork(), this.#trace);
    this.#invariants = new Invariants({
      hosts: this.#world.hosts,
      policies: options.policies,
      now: () => this.#clock.nowMs(),
      trace: this.#trace,
      staleAfterMs: 3 * options.pollMs,
    });
    this.#evaluations = new Evaluations(this.#trace);
    this.#faults = new Faults({
      options,
      world: this.#world,
      clock: this.#clock,
      random: this.#random,
      trace: this.#trace,
      daemon: this,
    });
  }

  async run(): Promise<SimResult> {
    this.#startDaemon();
    await this.#safety();
    const convergedMs = this.#failed ? undefined : await this.#liveness();
    this.#comesBack = false;
    this.#daemon?.life.kill('at the end of the run');
    if (!this.#failed) await this.#checkStoredEvents();
    await this.#store.close();
    return {
      seed: this.#options.seed,
      options: this.#options,
      violations: this.#trace.violations,
      counts: this.#trace.counts,
      fingerprint: this.#trace.fingerprint(),
      excerpt: this.#trace.untilFirstViolation(),
      ...(convergedMs !== undefined && { convergedMs }),
    };
  }

  async #safety(): Promise<void> {
    const { safetyMs, databaseLostAtMs } = this.#options;
    for (let atMs = 0; atMs < safetyMs && !this.#failed; atMs += 1000) {
      if (databaseLostAtMs === atMs) await this.#loseDatabase();
      if (this.#clock.nowMs() >= this.#quietUntilMs) this.#faults.everySecond();
      await this.#second();
    }
  }

  async #liveness(): Promise<number | undefined> {
    const begunAtMs = this.#clock.nowMs();
    this.#faultsOver = true;
    this.#faults.end();
    this.#storeFullUntilMs = 0;
    this.#deathPlan = undefined;
    this.#world.calmDown();
    this.#trace.line('the faults have ended');
    let sinceMs: number | undefined;
    let left: readonly string[] = [];
    while (this.#clock.nowMs() - begunAtMs < CONVERGE_MS && !this.#failed) {
      await this.#second();
      const engine = this.#daemon?.engine;
      await this.#resumePaused(engine);
      left = leftToDo(engine, this.#invariants, this.#world, this.#clock.nowMs());
      sinceMs = left.length === 0 ? (sinceMs ?? this.#clock.nowMs()) : undefined;
      if (sinceMs !== undefined && this.#clock.nowMs() - sinceMs >= STAYS_MS) return sinceMs - begunAtMs;
    }
    for (const what of left)
      this.#trace.violation(`not converged ${CONVERGE_MS / 60_000} min after the faults: ${what}`);
    return undefined;
  }

  get #failed(): boolean {
    return this.#trace.violations.length >= VIOLATIONS_MAX;
  }

  async #second(): Promise<void> {
    await this.#clock.run(this.#clock.nowMs() + 1000);
    this.#invariants.everySecond();
  }

  /** The log as a reader finds it afterwards: from 1 (the run is shorter than the retention) without a gap. */
  async #checkStoredEvents(): Promise<void> {
    let since = 0;
    for (;;) {
      const { events, lastSeq } = await this.#store.events({ since, limit: 1000 });
      for (const event of events) {
        if (event.seq !== since + 1) this.#trace.violation(`stored event ${event.seq} comes after ${since}`);
        since = event.seq;
      }
      if (events.length > 0) continue;
      if (since !== lastSeq) this.#trace.violation(`the last stored event is ${since}, not ${lastSeq}`);
      return;
    }
  }

  // --- the daemon ---------------------------------------------------------------------------------------------------

  #startDaemon(): void {
    const daemon = new Daemon({
      clock: this.#clock,
      store: this.#store,
      world: this.#world,
      ids: this.#ids,
      invariants: this.#invariants,
      trace: this.#trace,
      recorder: this.#evaluations,
      pollMs: this.#options.pollMs,
      storeFull: () => this.#clock.nowMs() < this.#storeFullUntilMs,
      storeLatencyMs: () => this.#storeTimes.next() * 3,
      diesAt: (where) => this.#diesAt(where),
      onDeath: (where) => this.#died(where),
    });
    this.#daemon = daemon;
    this.#trace.line('the daemon starts');
    daemon.start(this.#policies).catch((error: unknown) => {
      if (!isFault(error)) this.#trace.violation(`the daemon could not start: ${String(error)}`);
      this.#trace.line(`the daemon could not start: ${String(error)}`);
      daemon.life.kill('at its start');
    });
  }

  #died(where: string): void {
    this.#trace.count(`daemon died ${where}`);
    if (!this.#comesBack) return;
    const downMs = this.#faultsOver ? 100 : this.#random.pick([0, 50, 1000, 5000, this.#random.int(0, 60_000)]);
    this.#trace.line(`the daemon died ${where}; it comes back in ${downMs} ms`);
    const died = this.#daemon;
    void this.#clock.sleep(downMs).then(() => {
      if (this.#comesBack && this.#daemon === died) this.#startDaemon();
    });
  }

  async #loseDatabase(): Promise<void> {
    this.#trace.count('fault database-lost');
    this.#trace.line('FAULT database-lost');
    this.#comesBack = false;
    this.#daemon?.life.kill('with its database');
    this.#faults.heal();
    this.#storeFullUntilMs = 0;
    this.#quietUntilMs = this.#clock.nowMs() + QUIET_AFTER_LOSS_MS;
    // What the dead daemon had sent arrives before the next one starts.
    await this.#clock.run(this.#clock.nowMs() + 1000);
    await this.#store.close();
    this.#store = new SqliteStore({ path: ':memory:' });
    this.#invariants.databaseLost();
    this.#comesBack = true;
    this.#startDaemon();
  }

  async #resumePaused(engine: Engine | undefined): Promise<void> {
    for (const { policy, memory, vms } of engine?.groups() ?? []) {
      if (memory.paused) this.#inBackground(engine?.resume(policy.group));
      if (memory.suspended !== undefined) this.#inBackground(engine?.suspend(policy.group, []));
      if (memory.refresh?.state === 'paused' && memory.refresh.resumeAtMs === undefined)
        this.#inBackground(engine?.refresh(policy.group, 'resume'));
      for (const { record } of vms) {
        if (record.isProtected)
          this.#inBackground(engine?.setVm(record.id, { isProtected: false }, { owner: 'somebody' }));
      }
    }
  }

  #inBackground(work: Promise<unknown> | undefined): void {
    work?.catch((error: unknown) => {
      if (!isFault(error)) this.#trace.violation(`a command failed: ${String(error)}`);
    });
  }

  // --- what faults may do to it ------------------------------------------------------------------------------------

  killAt(where: string, times: number): void {
    this.#deathPlan = { where, timesLeft: times };
  }

  /** A plan stays in force, over the lives of several daemons, until one of them comes there. */
  #diesAt(where: string): boolean {
    const plan = this.#deathPlan;
    if (plan?.where !== where) return false;
    plan.timesLeft -= 1;
    if (plan.timesLeft > 0) return false;
    this.#deathPlan = undefined;
    return true;
  }

  kill(where: string): void {
    this.#daemon?.life.kill(where);
  }

  restart(): string | undefined {
    const daemon = this.#daemon;
    const engine = daemon?.engine;
    if (daemon === undefined || engine === undefined) return undefined;
    const askedAtMs = this.#clock.nowMs();
    const stopped = engine.stop('a restart').then(async () => {
      const tookMs = this.#clock.nowMs() - askedAtMs;
      if (tookMs > STOP_MAX_MS) this.#trace.violation(`stopping took ${tookMs} ms`);
      daemon.life.retire();
      await this.#clock.sleep(LINGERS_MS);
      daemon.life.kill('after it was asked to stop');
    });
    this.#inBackground(stopped);
    return 'the daemon is asked to stop';
  }

  storeFull(untilMs: number): void {
    this.#storeFullUntilMs = untilMs;
  }

  command(): string | undefined {
    const engine = this.#daemon?.engine;
    if (engine === undefined) return undefined;
    const { group, min, max } = this.#somePolicy();
    const what = this.#random.pick([
      'desired',
      'desired',
      'pause',
      'resume',
      'resume',
      'suspend',
      'refresh',
      'protect',
    ]);
    const desired = this.#random.int(min, max);
    if (what === 'desired') this.#inBackground(engine.setDesired(group, desired));
    else if (what === 'suspend') this.#inBackground(engine.suspend(group, this.#someProcesses()));
    else if (what === 'refresh')
      this.#inBackground(engine.refresh(group, this.#random.pick(['pause', 'resume', 'rollback', 'cancel'])));
    else if (what === 'protect') this.#protectSome(engine, group);
    else if (what === 'pause') this.#inBackground(engine.pause(group));
    else this.#inBackground(engine.resume(group));
    return `${group}: ${what === 'desired' ? `desired ${desired}` : what}`;
  }

  request(): string | undefined {
    const engine = this.#daemon?.engine;
    const next = engine && this.#requests.next(engine);
    if (engine !== undefined && next !== undefined) this.#inBackground(next.ask(engine));
    return next?.text;
  }

  #someProcesses(): Suspendable[] {
    return (['launch', 'remove', 'health', 'schedule'] as const).filter(() => this.#random.chance(0.3));
  }

  #protectSome(engine: Engine, group: string): void {
    const [first, ...rest] = engine.vms().filter(({ record }) => record.group === group);
    if (first === undefined) return;
    const { record } = this.#random.pick([first, ...rest]);
    this.#inBackground(engine.setVm(record.id, { isProtected: record.isProtected !== true }, { owner: 'somebody' }));
  }

  changeTemplate(): string | undefined {
    const old = this.#somePolicy();
    if (old.source.kind !== 'template') return undefined;
    const { template } = old.source;
    const flavor = { ...template.flavor, memoryMiB: this.#random.pick([128, 160, 192]) };
    const policy: Policy = { ...old, source: { kind: 'template', template: { ...template, flavor } } };
    this.#policies.set(policy.group, policy);
    this.#invariants.policyChanged(policy);
    this.#inBackground(this.#daemon?.engine?.setPolicy({ policy, file: `${policy.group}.yaml` }));
    return `${policy.group}: ${flavor.memoryMiB} MiB`;
  }

  changePolicy(): string {
    const old = this.#somePolicy();
    const atMost = old.source.kind === 'domains' ? old.source.domains.length : 6;
    const min = this.#random.int(0, Math.min(2, atMost));
    const policy = { ...old, min, max: Math.max(1, this.#random.int(min, atMost)) };
    this.#policies.set(policy.group, policy);
    this.#invariants.policyChanged(policy);
    this.#inBackground(this.#daemon?.engine?.setPolicy({ policy, file: `${policy.group}.yaml` }));
    return `${policy.group}: min ${policy.min}, max ${policy.max}`;
  }

  #somePolicy(): Policy {
    const [first, ...rest] = this.#policies.values();
    if (first === undefined) throw new Error('a run without policies');
    return this.#random.pick([first, ...rest]);
  }

  nextVmName(): string {
    const ids = [...this.#invariants.records.keys()];
    const [first] = this.#policies.keys();
    return `${first}-${Math.max(0, ...ids) + this.#random.int(1, 3)}`;
  }
}
