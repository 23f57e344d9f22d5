// One life of the daemon: the real engine on adapters that can die with it.
// Not here: when it dies and comes back (simulation.ts).

import { CronCalendar } from '../../src/adapters/calendar/cron-calendar.ts';
import { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import { MemoryProber } from '../../src/adapters/hypervisor/memory/memory-prober.ts';
import type { Policy } from '../../src/core/policy.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Log } from '../../src/engine/log.ts';
import type { Telemetry } from '../../src/engine/view.ts';
import { isFault } from '../../src/ports/fault.ts';
import type { Ids } from '../../src/ports/ids.ts';
import type { Recorder } from '../../src/ports/recorder.ts';
import type { Store } from '../../src/ports/store.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';
import type { Invariants } from './invariants.ts';
import { Life, MortalClock } from './mortal.ts';
import { MortalHypervisor } from './mortal-hypervisor.ts';
import { MortalStore } from './mortal-store.ts';
import { IMAGE, SETTINGS } from './requests.ts';
import type { Trace } from './trace.ts';
import type { World } from './world.ts';

export interface DaemonOptions {
  readonly clock: VirtualClock;
  readonly store: Store;
  readonly world: World;
  readonly ids: Ids;
  readonly invariants: Invariants;
  readonly trace: Trace;
  readonly recorder: Recorder;
  readonly pollMs: number;
  readonly storeFull: () => boolean;
  readonly storeLatencyMs: () => number;
  readonly diesAt: (where: string) => boolean;
  readonly onDeath: (where: string) => void;
}

export class Daemon {
  readonly life: Life;
  readonly #options: DaemonOptions;
  readonly #hypervisors: readonly MortalHypervisor[];
  readonly #clock: MortalClock;
  readonly #hostTime: MortalClock;
  readonly #offsetMs: number;
  #engine: Engine | undefined;

  constructor(options: DaemonOptions) {
    const { clock, invariants, trace, world } = options;
    this.#options = options;
    this.life = new Life(options.diesAt, (where) => {
      for (const hypervisor of this.#hypervisors) hypervisor.crash();
      options.onDeath(where);
    });
    // Engine time begins at what the wall clock says when the daemon starts.
    this.#offsetMs = clock.wallOffsetMs;
    this.#clock = new MortalClock(clock, this.life, this.#offsetMs);
    this.#hostTime = new MortalClock(clock, this.life);
    this.#hypervisors = world.hosts.map(
      (host) =>
        new MortalHypervisor({
          inner: new MemoryHypervisor(host, this.#hostTime),
          offsetMs: this.#offsetMs,
          life: this.life,
          invariants,
          trace,
        }),
    );
  }

  /** Undefined before it has opened its store, and after its death. */
  get engine(): Engine | undefined {
    return this.life.dead ? undefined : this.#engine;
  }

  /** `policies` as they are in their files: they may change while the daemon still starts. */
  async start(policies: ReadonlyMap<string, Policy>): Promise<void> {
    const { invariants, trace, world, ids, pollMs, recorder } = this.#options;
    invariants.daemonStarted(this.#offsetMs);
    const engine = await Engine.open({
      hosts: this.#hypervisors.map((hypervisor) => ({ hypervisor, uri: `memory://${hypervisor.host}` })),
      store: this.#mortalStore(),
      images: world.images,
      settings: SETTINGS,
      clock: this.#clock,
      ids,
      prober: new MemoryProber(world.hosts, this.#hostTime),
      hooks: world.hooks,
      calendar: new CronCalendar(),
      balancers: new Map([[world.balancer.name, world.balancer]]),
      recorder,
      telemetry: telemetryInto(trace),
      log: logInto(trace),
      version: '0.0.0-sim',
      pollMs,
    });
    const read = [...policies.values()];
    for (const policy of read) await engine.setPolicy({ policy, file: `${policy.group}.yaml` });
    await engine.configureImages([IMAGE]);
    await engine.start();
    for (const policy of policies.values()) {
      if (!read.includes(policy)) await engine.setPolicy({ policy, file: `${policy.group}.yaml` });
    }
    this.#engine = engine;
  }

  #mortalStore(): MortalStore {
    const { store, clock, invariants, trace, world, storeFull, storeLatencyMs } = this.#options;
    return new MortalStore({
      store,
      clock,
      life: this.life,
      full: storeFull,
      latencyMs: storeLatencyMs,
      onCommit: (changes, logged) => {
        trace.count('commits');
        invariants.committed(changes, logged);
        world.served(invariants.records.values());
      },
      onTooLate: () => trace.violation('a commit after the daemon had stopped'),
      onRefused: () => trace.count('commits refused: disk full'),
    });
  }
}

function telemetryInto(trace: Trace): Telemetry {
  return {
    polled: (_host, _seconds, outcome) => trace.count(`poll ${outcome}`),
    decided: () => trace.count('decisions'),
    observed: () => trace.count('candidate decisions'),
    stepped: (_group, step, _seconds, outcome) => trace.count(`step ${step} ${outcome}`),
    turnEnded: () => trace.count('turns'),
  };
}

/** An error that is no `Fault` is a bug, wherever it was caught. */
function logInto(trace: Trace): Log {
  const write = (level: string) => (fields: object, message: string) => {
    const error = 'err' in fields ? fields.err : undefined;
    const because = error instanceof Error ? `: ${error.message}` : '';
    trace.line(`log ${level}: ${message}${because}`);
    if (error !== undefined && !isFault(error)) {
      trace.violation(`a bug was caught: ${message}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
