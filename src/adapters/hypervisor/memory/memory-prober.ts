// The prober port over simulated hosts: a guest answers when it has booted, a forwarded port accepts before that.
// Not here: when a guest is ready (memory-host).

import type { Endpoint } from '../../../core/model.ts';
import { portOf } from '../../../core/ready-check.ts';
import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type { NetworkCheck, Prober } from '../../../ports/prober.ts';
import type { MemoryDomain, MemoryHost } from './memory-host.ts';

const ANSWER_MS = 1;

export class MemoryProber implements Prober {
  readonly #hosts: readonly MemoryHost[];
  readonly #clock: Clock;

  constructor(hosts: readonly MemoryHost[], clock: Clock) {
    this.#hosts = hosts;
    this.#clock = clock;
  }

  async probe(endpoint: Endpoint, check: NetworkCheck, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) throw new Fault('aborted', 'the probe was cancelled');
    const guest = this.#guestAt(endpoint, check);
    const answerMs = guest === undefined || guest.serves ? ANSWER_MS : timeoutMs;
    await this.#clock.sleep(Math.min(answerMs, timeoutMs), signal);
    if (signal.aborted) throw new Fault('aborted', 'the probe was cancelled');
    return guest?.serves === true && this.#guestAt(endpoint, check)?.running === true;
  }

  /** The running guest behind an endpoint; undefined when the connection would be refused. */
  #guestAt(endpoint: Endpoint, check: NetworkCheck): MemoryDomain | undefined {
    const nowMs = this.#clock.nowMs();
    for (const host of this.#hosts) {
      if (host.script.active('unreachable', nowMs)?.guests === true) continue;
      for (const domain of host.domains(nowMs)) {
        const at = host.endpointOf(domain.uuid, portOf(check) ?? endpoint.port, nowMs);
        if (domain.running && at?.address === endpoint.address && at.port === endpoint.port) return domain;
      }
    }
    return undefined;
  }
}
