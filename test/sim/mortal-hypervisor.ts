// A host's adapter as one daemon's life sees it: every call is told to the invariants, and death may come before or after each.
// Not here: the simulated host (src/adapters/hypervisor/memory).

import type { MemoryHypervisor } from '../../src/adapters/hypervisor/memory/memory-hypervisor.ts';
import type { Endpoint, HostObservation } from '../../src/core/model.ts';
import { isFault } from '../../src/ports/fault.ts';
import type { HostInfo, Hypervisor, VmSpec } from '../../src/ports/hypervisor.ts';
import type { Invariants } from './invariants.ts';
import { type Life, never } from './mortal.ts';
import type { Trace } from './trace.ts';

export interface MortalHypervisorOptions {
  readonly inner: MemoryHypervisor;
  readonly life: Life;
  readonly invariants: Invariants;
  readonly trace: Trace;
  /** Engine time minus the time of the simulated hosts. */
  readonly offsetMs: number;
}

export class MortalHypervisor implements Hypervisor {
  readonly host: string;
  readonly #options: MortalHypervisorOptions;

  constructor(options: MortalHypervisorOptions) {
    this.host = options.inner.host;
    this.#options = options;
  }

  crash(): void {
    this.#options.inner.crash();
  }

  info(signal: AbortSignal): Promise<HostInfo> {
    return this.#call('info', '', () => this.#options.inner.info(signal));
  }

  async observe(signal: AbortSignal): Promise<HostObservation> {
    const { invariants } = this.#options;
    try {
      const seen = await this.#call('observe', '', () => this.#options.inner.observe(signal));
      invariants.observed(this.host, seen);
      return inEngineTime(seen, this.#options.offsetMs);
    } catch (error) {
      invariants.notObserved(this.host);
      throw error;
    }
  }

  async *changes(signal: AbortSignal): AsyncIterable<void> {
    for await (const change of this.#options.inner.changes(signal)) {
      if (this.#options.life.dead) return;
      yield change;
    }
  }

  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#call('createDisk', spec.name, () => this.#options.inner.createDisk(spec, signal));
  }

  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    return this.#call('define', spec.name, () => this.#options.inner.define(spec, signal));
  }

  start(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('start', uuid, () => this.#options.inner.start(uuid, signal));
  }

  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return this.#call('endpoint', uuid, () => this.#options.inner.endpoint(uuid, port, signal));
  }

  shutdown(uuid: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('shutdown', this.host, { uuid });
    return this.#call('shutdown', uuid, () => this.#options.inner.shutdown(uuid, signal));
  }

  destroy(uuid: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('destroy', this.host, { uuid });
    return this.#call('destroy', uuid, () => this.#options.inner.destroy(uuid, signal));
  }

  undefine(uuid: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('undefine', this.host, { uuid });
    return this.#call('undefine', uuid, () => this.#options.inner.undefine(uuid, signal));
  }

  deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    this.#options.invariants.takesAway('deleteDisk', this.host, { name: vmName });
    return this.#call('deleteDisk', vmName, () => this.#options.inner.deleteDisk(vmName, signal));
  }

  listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return this.#call('listDisks', '', () => this.#options.inner.listDisks(signal));
  }

  close(): Promise<void> {
    return this.#options.inner.close();
  }

  async #call<T>(name: string, subject: string, work: () => Promise<T>): Promise<T> {
    const { life, trace } = this.#options;
    if (life.retired) trace.violation(`${name} on ${this.host} after the daemon had stopped`);
    const quiet = name === 'observe' || name === 'info' || name === 'endpoint' || name === 'listDisks';
    if (!quiet) await life.point(`before ${name}`);
    if (life.dead) return never();
    try {
      const value = await life.guard(work());
      trace.count(`call ${name} ok`);
      if (!quiet) {
        trace.line(`${this.host} ${name} ${subject}`);
        await life.point(`after ${name}`);
      }
      return value;
    } catch (error) {
      const kind = isFault(error) ? error.kind : 'bug';
      if (!isFault(error)) trace.violation(`${this.host} ${name} threw no Fault: ${String(error)}`);
      trace.count(`call ${name} ${kind}`);
      trace.line(`${this.host} ${name} ${subject} failed: ${kind} ${error instanceof Error ? error.message : ''}`);
      await life.point(`after failed ${name}`);
      throw error;
    }
  }
}

function inEngineTime(seen: HostObservation, offsetMs: number): HostObservation {
  return {
    ...seen,
    startedAtMs: seen.startedAtMs + offsetMs,
    endedAtMs: seen.endedAtMs + offsetMs,
    domains: seen.domains.map((domain) => ({ ...domain, readAtMs: domain.readAtMs + offsetMs })),
  };
}
