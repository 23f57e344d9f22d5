// A balancer that is nothing but memory, for tests of those who use one: sessions are what the test says, faults come when it says.

import type { Balancer, BalancerServer, ServerSessions } from '../../src/ports/balancer.ts';
import { Fault } from '../../src/ports/fault.ts';

export class MemoryBalancer implements Balancer {
  readonly name: string;
  /** By VM name; a server without an entry has none. */
  readonly sessions = new Map<string, number>();
  /** Every list it was told, in order, without those that failed. */
  readonly applied: (readonly BalancerServer[])[] = [];
  /** Thrown by every call until it is taken away. */
  fault: Fault | undefined;
  #servers: readonly BalancerServer[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** What it consists of now, in the order it was told. */
  get servers(): readonly BalancerServer[] {
    return this.#servers;
  }

  /** Names of the servers that new clients are routed to, sorted. */
  get routed(): readonly string[] {
    return this.#servers
      .filter(({ state }) => state === 'ready')
      .map(({ name }) => name)
      .sort();
  }

  /** As a balancer that restarts: everything is forgotten. */
  forget(): void {
    this.#servers = [];
    this.sessions.clear();
  }

  async apply(servers: readonly BalancerServer[], signal: AbortSignal): Promise<readonly ServerSessions[]> {
    if (signal.aborted) throw new Fault('aborted', `balancer ${this.name}: cancelled`);
    if (this.fault !== undefined) throw this.fault;
    this.#servers = servers;
    this.applied.push(servers);
    return servers.map(({ name }) => ({ name, sessions: this.sessions.get(name) ?? 0 }));
  }

  async close(): Promise<void> {}
}
