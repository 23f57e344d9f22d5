// Port: asking a guest whether it serves. Only an answer counts; an accepted connection does not.

import type { Endpoint, ReadyCheck } from '../core/model.ts';

export interface Prober {
  /** True when the endpoint answered the check within `timeoutMs` (HTTP status 200–399). False for everything else; never throws except `Fault('aborted')`. */
  probe(endpoint: Endpoint, check: ReadyCheck, timeoutMs: number, signal: AbortSignal): Promise<boolean>;
}
