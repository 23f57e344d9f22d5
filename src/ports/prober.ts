// Port: asking a guest over the network whether it serves. Checks by guest agent are the hypervisor's.

import type { Endpoint, ReadyCheck } from '../core/model.ts';

export type NetworkCheck = Exclude<ReadyCheck, { agent: true }>;

export interface Prober {
  /**
   * True when the endpoint answered the check within `timeoutMs`: HTTP status 200–399; TCP: it accepted and did not hang up for 50 ms. False for everything else; never throws except
   * `Fault('aborted')`.
   */
  probe(endpoint: Endpoint, check: NetworkCheck, timeoutMs: number, signal: AbortSignal): Promise<boolean>;
}
