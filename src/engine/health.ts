// Asks VMs in service whether they are still well, each at its own beat. Not here: what follows from that (core/health-budget).

import type { HostView, VmRecord } from '../core/model.ts';
import type { HealthCheck } from '../core/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { Hypervisor } from '../ports/hypervisor.ts';
import type { Prober } from '../ports/prober.ts';
import type { Ledger } from './ledger.ts';
import { aboutVm } from './records.ts';

export interface HealthOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly prober: Prober;
  readonly hosts: ReadonlyMap<string, { readonly hypervisor: Hypervisor; view(): HostView }>;
  readonly checkOf: (group: string) => HealthCheck | undefined;
  /** A turn should look at once. */
  readonly onUnhealthy: () => void;
}

/** How often it is looked whose check is due. */
const TICK_MS = 250;
/** Checks under way at the same time; the rest wait for the next look. */
const CHECKS_MAX = 100;

interface Watched {
  nextAtMs: number;
  failures: number;
  busy: boolean;
  unhealthy?: string;
}

export class Health {
  readonly #options: HealthOptions;
  readonly #watched = new Map<number, Watched>();
  #underWay = 0;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Why a VM counts as unhealthy, in words for people; undefined when it does not. */
  unhealthy(vmId: number): string | undefined {
    return this.#watched.get(vmId)?.unhealthy;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      this.#tick(signal);
      await clock.sleep(TICK_MS, signal);
    }
  }

  #tick(signal: AbortSignal): void {
    const { checkOf, clock, hosts, ledger } = this.#options;
    const nowMs = clock.nowMs();
    const seen = new Set<number>();
    for (const record of ledger.state.vms.values()) {
      const check = record.group === undefined ? undefined : checkOf(record.group);
      if (check === undefined || record.phase !== 'in-service') continue;
      seen.add(record.id);
      const watched = this.#watched.get(record.id) ?? {
        nextAtMs: record.phaseAtMs + check.graceMs,
        failures: 0,
        busy: false,
      };
      this.#watched.set(record.id, watched);
      if (hosts.get(record.host)?.view().state !== 'up') {
        // What its VMs do, nobody knows, and what they failed to answer before says as little: they begin anew.
        this.#watched.set(record.id, { nextAtMs: nowMs + check.intervalMs, failures: 0, busy: false });
        continue;
      }
      if (watched.busy || nowMs < watched.nextAtMs || this.#underWay >= CHECKS_MAX) continue;
      watched.nextAtMs = nowMs + check.intervalMs;
      void this.#check(record, check, watched, signal);
    }
    for (const id of this.#watched.keys()) if (!seen.has(id)) this.#watched.delete(id);
  }

  async #check(record: VmRecord, check: HealthCheck, watched: Watched, signal: AbortSignal): Promise<void> {
    const { ledger, onUnhealthy } = this.#options;
    watched.busy = true;
    this.#underWay += 1;
    const isWell = await this.#ask(record, check, signal).catch(() => undefined);
    this.#underWay -= 1;
    watched.busy = false;
    if (isWell === undefined || signal.aborted || this.#watched.get(record.id) !== watched) return;
    if (isWell) {
      watched.failures = 0;
      delete watched.unhealthy;
      return;
    }
    watched.failures += 1;
    if (watched.failures < check.failures || watched.unhealthy !== undefined) return;
    watched.unhealthy = `its health check failed ${watched.failures} times in a row`;
    await ledger.tell({ type: 'vm.unhealthy', ...aboutVm(record), reason: watched.unhealthy }).catch(() => undefined);
    onUnhealthy();
  }

  /** Undefined: it could not be asked, which says nothing about it. */
  async #ask(record: VmRecord, { check, timeoutMs }: HealthCheck, signal: AbortSignal): Promise<boolean | undefined> {
    const { hosts, prober } = this.#options;
    if ('agent' in check) return hosts.get(record.host)?.hypervisor.agentAnswers(record.uuid, timeoutMs, signal);
    if (record.endpoint === undefined) return undefined;
    const { port } = 'http' in check ? check.http : check.tcp;
    // Where a port is forwarded, the endpoint is that of the readiness check: the only one there is.
    const isForwarded = record.endpoint.address.startsWith('127.');
    const endpoint = isForwarded ? record.endpoint : { ...record.endpoint, port };
    return prober.probe(endpoint, check, timeoutMs, signal);
  }
}
