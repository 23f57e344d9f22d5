// The prober port over the network: one connection per question, let go in any case.
// Not here: how often to ask (engine).

import type { Endpoint } from '../../core/model.ts';
import { Fault } from '../../ports/fault.ts';
import type { NetworkCheck, Prober } from '../../ports/prober.ts';
import { probeHttp } from './http-probe.ts';
import { probeTcp } from './tcp-probe.ts';

export class NetworkProber implements Prober {
  probe(endpoint: Endpoint, check: NetworkCheck, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.reject(new Fault('aborted', 'the probe was cancelled'));
    if ('http' in check) return probeHttp(endpoint, check.http.path, timeoutMs, signal);
    return probeTcp(endpoint, timeoutMs, signal);
  }
}
