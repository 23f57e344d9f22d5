// Keeps the balancers in step with who serves: ready while in service, drain while draining, otherwise not there. One loop per balancer,
// which is told the whole each time. Not here: the balancers themselves (adapters), who drains (core).

import type { VmRecord } from '../core/model.ts';
import type { Balancer, BalancerServer, ServerSessions } from '../ports/balancer.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';

export interface BalancingOptions {
  readonly balancers: ReadonlyMap<string, Balancer>;
  /** The balancer of a group's policy. */
  readonly balancerOf: (group: string) => string | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}

/** A balancer takes no longer to answer; then it has failed. */
const APPLY_MS = 5_000;
/** Looked at so often without a reason: what its restart lost comes back then. */
const REPEAT_MS = 1_000;
/** So long after the start an empty list is not told: the database may be lost, and those in it about to be found again. */
const FINDING_MS = 10_000;
/** While servers drain, for the count of their sessions. */
const DRAINING_MS = 200;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

export class Balancing {
  readonly #options: BalancingOptions;
  readonly #loops: ReadonlyMap<string, BalancerLoop>;

  constructor(options: BalancingOptions) {
    this.#options = options;
    this.#loops = new Map([...options.balancers].map(([name, one]) => [name, new BalancerLoop(one, options)]));
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = this.#options.ledger.subscribe(({ type }) => {
      if (type.startsWith('vm.')) for (const loop of this.#loops.values()) loop.wake();
    });
    await Promise.all(Array.from(this.#loops.values(), (loop) => loop.run(signal)));
    stop();
  }

  /** Resolves when the balancer routes clients to this VM. */
  async join(record: VmRecord, signal: AbortSignal): Promise<void> {
    await this.#of(record)?.join(record, signal);
  }

  /** Sessions that a draining VM still has; undefined while nobody knows. */
  sessions(record: VmRecord): number | undefined {
    return this.#of(record)?.sessions(record.name);
  }

  #of({ group }: VmRecord): BalancerLoop | undefined {
    const name = group === undefined ? undefined : this.#options.balancerOf(group);
    return name === undefined ? undefined : this.#loops.get(name);
  }

  async close(): Promise<void> {
    await Promise.allSettled(Array.from(this.#options.balancers.values(), (balancer) => balancer.close()));
  }
}

class BalancerLoop {
  readonly #balancer: Balancer;
  readonly #options: BalancingOptions;
  /** On their way into service: in the balancer before their record says so. */
  readonly #joining = new Map<number, VmRecord>();
  #applied: readonly BalancerServer[] = [];
  #sessions = new Map<string, number | undefined>();
  #failures = 0;
  #nap = new AbortController();
  #waiting: (() => void)[] = [];

  constructor(balancer: Balancer, options: BalancingOptions) {
    this.#balancer = balancer;
    this.#options = options;
  }

  wake(): void {
    this.#nap.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const foundAtMs = clock.nowMs() + FINDING_MS;
    while (!signal.aborted) {
      this.#nap = new AbortController();
      const servers = this.#wanted();
      const findingMs = foundAtMs - clock.nowMs();
      if (servers.length === 0 && this.#applied.length === 0 && findingMs > 0) {
        await clock.sleep(findingMs, AbortSignal.any([signal, this.#nap.signal]));
        continue;
      }
      await this.#apply(servers, signal);
      for (const resolve of this.#waiting.splice(0)) resolve();
      const isDraining = servers.some(({ state }) => state === 'drain');
      const pauseMs =
        this.#failures > 0
          ? Math.min(RETRY_MIN_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS)
          : isDraining
            ? DRAINING_MS
            : REPEAT_MS;
      await clock.sleep(pauseMs, AbortSignal.any([signal, this.#nap.signal]));
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async join(record: VmRecord, signal: AbortSignal): Promise<void> {
    this.#joining.set(record.id, record);
    // Once: a balancer that fails is tried again at its own pace, however many wait for it.
    this.wake();
    const has = ({ name, state }: BalancerServer): boolean => name === record.name && state === 'ready';
    while (!signal.aborted && !this.#applied.some(has)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
    }
    if (signal.aborted) this.#joining.delete(record.id);
  }

  sessions(name: string): number | undefined {
    const isDraining = this.#applied.some((server) => server.name === name && server.state === 'drain');
    return isDraining ? this.#sessions.get(name) : undefined;
  }

  #wanted(): readonly BalancerServer[] {
    const { balancerOf, ledger } = this.#options;
    const servers: BalancerServer[] = [];
    for (const record of ledger.state.vms.values()) {
      const { endpoint, group, id, name, phase } = record;
      const joins = this.#joining.has(id) && phase === 'launching';
      if (!joins) this.#joining.delete(id);
      if (!joins && phase !== 'in-service' && phase !== 'draining') continue;
      if (endpoint === undefined || group === undefined || balancerOf(group) !== this.#balancer.name) continue;
      servers.push({ name, ...endpoint, state: phase === 'draining' ? 'drain' : 'ready' });
    }
    return servers;
  }

  async #apply(servers: readonly BalancerServer[], signal: AbortSignal): Promise<void> {
    const { clock, ledger, log } = this.#options;
    const balancer = this.#balancer.name;
    try {
      const told = await clock.deadline(APPLY_MS, (inner) => this.#balancer.apply(servers, inner), signal);
      this.#applied = servers;
      this.#sessions = new Map(told.map(({ name, sessions }: ServerSessions) => [name, sessions]));
      if (this.#failures > 0) await ledger.tell({ type: 'balancer.recovered', balancer }).catch(() => undefined);
      this.#failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      const reason = error instanceof Error ? error.message : String(error);
      if (this.#failures > 1) return;
      log.warn({ err: error, balancer }, 'the balancer cannot be told who serves; it is tried again');
      await ledger.tell({ type: 'balancer.failed', balancer, reason }).catch(() => undefined);
    }
  }
}
