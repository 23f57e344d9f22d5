// The real engine on simulated hosts and time, for tests that tell one story each.
// Not here: chance and faults by the hundred (test/sim).

import { CronCalendar } from '../../src/adapters/calendar/cron-calendar.ts';
import { MemoryHost } from '../../src/adapters/hypervisor/memory/memory-host.ts';
import { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import { MemoryProber } from '../../src/adapters/hypervisor/memory/memory-prober.ts';
import { recordInMemory } from '../../src/adapters/recorder/memory-recorder.ts';
import { SqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts';
import type { LoggedEvent } from '../../src/core/events.ts';
import type { Policy } from '../../src/core/policy.ts';
import { Engine } from '../../src/engine/engine.ts';
import { DEFAULT_SETTINGS, type FabricSettings } from '../../src/engine/settings.ts';
import type { Telemetry } from '../../src/engine/view.ts';
import { Fault } from '../../src/ports/fault.ts';
import type { Store } from '../../src/ports/store.ts';
import { MemoryBalancer } from '../support/memory-balancer.ts';
import { MemoryImageStore } from '../support/memory-image-store.ts';
import { ScriptedHooks } from '../support/scripted-hooks.ts';
import { SeededIds } from '../support/seeded-ids.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

export interface RigOptions {
  readonly hosts?: readonly string[];
  readonly policies?: readonly Policy[];
  readonly settings?: Partial<FabricSettings>;
}

/** Two flavors that fit a simulated host many times, and one that fits none. */
const SMALL = { name: 'small', vcpus: 1, memoryMiB: 128, diskGiB: 1 };
export const FLAVORS = [
  SMALL,
  { ...SMALL, name: 'large', vcpus: 2, memoryMiB: 1024 },
  { ...SMALL, name: 'giant', memoryMiB: 9_000_000 },
];

const SILENT = { debug() {}, info() {}, warn() {} };

export class Rig {
  readonly clock = new VirtualClock();
  readonly hosts: readonly MemoryHost[];
  readonly events: LoggedEvent[] = [];
  readonly bugs: string[] = [];
  readonly turnSeconds: number[] = [];
  store: Store = new SqliteStore({ path: ':memory:' });
  readonly images = new MemoryImageStore();
  readonly hooks = new ScriptedHooks();
  readonly balancer = new MemoryBalancer('front');
  readonly recorder = recordInMemory();
  /** Answers of the monitoring system; a query that is not in it fails. */
  readonly queries = new Map<string, number>();
  settings: FabricSettings;
  policies: readonly Policy[];
  #engine: Engine | undefined;
  #hypervisors: readonly MemoryHypervisor[] = [];
  #life = { dead: false };
  readonly #ids = new SeededIds(7);

  constructor({ hosts = ['h1'], policies = [], settings = {} }: RigOptions = {}) {
    this.policies = policies;
    this.settings = {
      ...DEFAULT_SETTINGS,
      flavors: FLAVORS.map((flavor) => ({ flavor, key: flavor.name })),
      ...settings,
    };
    const startMs = this.clock.nowMs();
    this.hosts = hosts.map((name, index) => new MemoryHost({ name, startMs, addressPrefix: `127.0.${index + 1}` }));
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error('the daemon is not running');
    return this.#engine;
  }

  host(name = 'h1'): MemoryHost {
    const host = this.hosts.find((candidate) => candidate.name === name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  /** CPU of every guest from now on, 0..1. */
  load(ratio: number): void {
    for (const host of this.hosts) host.load = () => ratio;
  }

  async start(): Promise<this> {
    const { clock } = this;
    this.#hypervisors = this.hosts.map((host) => new MemoryHypervisor(host, clock));
    const telemetry: Telemetry = {
      polled() {},
      decided() {},
      observed() {},
      stepped() {},
      turnEnded: (seconds) => this.turnSeconds.push(seconds),
    };
    const life = { dead: false };
    this.#life = life;
    const engine = await Engine.open({
      hosts: this.#hypervisors.map((hypervisor) => ({ hypervisor, uri: `memory://${hypervisor.host}` })),
      store: mortal(this.store, life, ['commit']),
      images: this.images,
      settings: this.settings,
      clock,
      ids: this.#ids,
      prober: new MemoryProber(this.hosts, clock),
      hooks: mortal(this.hooks, life, ['call']),
      calendar: new CronCalendar(),
      balancers: new Map([[this.balancer.name, mortal(this.balancer, life, ['apply'])]]),
      queries: { value: async (query) => this.#answerTo(query) },
      recorder: this.recorder,
      telemetry,
      log: { ...SILENT, error: (fields, message) => this.bugs.push(`${message} ${JSON.stringify(fields)}`) },
      version: 'test',
    });
    engine.log.subscribe((event) => this.events.push(event));
    for (const policy of this.policies) await engine.setPolicy({ policy, file: `${policy.group}.yaml` });
    await engine.start();
    this.#engine = engine;
    return this;
  }

  #answerTo(query: string): { readonly value: number; readonly ageMs: number } {
    const value = this.queries.get(query);
    if (value === undefined) throw new Fault('unreachable', 'the monitoring system does not answer');
    return { value, ageMs: 0 };
  }

  /** A database that remembers nothing, as after a loss. */
  freshStore(): Store {
    return new SqliteStore({ path: ':memory:' });
  }

  /** The daemon dies at this instant: nothing more of it happens, the hosts and the store stay. */
  kill(): void {
    for (const hypervisor of this.#hypervisors) hypervisor.crash();
    this.#life.dead = true;
    this.#engine = undefined;
  }

  async stop(): Promise<void> {
    const stopping = this.engine.stop('the test is over');
    await this.run(5);
    await stopping;
  }

  async run(seconds: number): Promise<void> {
    await this.clock.run(this.clock.nowMs() + seconds * 1000);
  }

  /** Lets time pass until `type` has been told (again), at most `seconds`. */
  async until(type: LoggedEvent['type'], seconds = 120): Promise<LoggedEvent> {
    const from = this.events.length;
    for (let waited = 0; waited < seconds * 10; waited += 1) {
      const found = this.events.slice(from).find((event) => event.type === type);
      if (found) return found;
      await this.run(0.1);
    }
    throw new Error(`no ${type} within ${seconds} s; told: ${this.types(from).join(', ')}`);
  }

  types(from = 0): string[] {
    return this.events.slice(from).map((event) => event.type);
  }

  /** Domains that really run on all hosts, by name. */
  running(): string[] {
    return this.hosts
      .flatMap((host) => host.domains(this.clock.nowMs()))
      .filter((domain) => domain.running)
      .map((domain) => domain.name)
      .sort();
  }

  disks(): string[] {
    return this.hosts.flatMap((host) => host.diskNames()).sort();
  }

  violations(): string[] {
    return [...this.hosts.flatMap((host) => host.violations), ...this.bugs];
  }
}

/** What is left of a killed daemon in this process must not write or call any more, as a dead process would not. */
function mortal<T extends object>(port: T, life: { readonly dead: boolean }, acts: readonly (keyof T)[]): T {
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (!acts.some((act) => act === name)) return value.bind(target);
      return (...args: readonly unknown[]) => (life.dead ? new Promise(() => {}) : value.apply(target, args));
    },
  });
}
