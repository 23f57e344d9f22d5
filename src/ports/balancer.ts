// Port: a load balancer that a group's VMs are put into. The contract is what test/contracts/balancer.ts checks on every adapter.
// Throws only `Fault`; honours `signal`. It is told the whole each time: what a restart of the balancer lost, the next call brings back.

export interface BalancerServer {
  /** The VM's name: what the server is called in the balancer. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** `ready`: takes requests. `drain`: those it has may end, new ones go elsewhere. */
  readonly state: 'ready' | 'drain';
}

export interface ServerSessions {
  readonly name: string;
  /** Connections and requests that are under way or queued; absent: the balancer does not tell. */
  readonly sessions?: number;
}

export interface Balancer {
  /** Its name in the configuration. */
  readonly name: string;
  /**
   * Makes the backend consist of exactly these servers, of those that virtscale put there: others are left alone. When it resolves, clients are
   * routed so. Calling it again with the same servers changes nothing. A server that is no longer listed is removed at once.
   */
  apply(servers: readonly BalancerServer[], signal: AbortSignal): Promise<readonly ServerSessions[]>;
  close(): Promise<void>;
}
