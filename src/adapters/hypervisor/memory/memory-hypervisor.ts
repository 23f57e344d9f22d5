// The hypervisor port on a simulated host: what calls cost, which get lost, what an observation looks like from outside.
// The state is the MemoryHost's: a second MemoryHypervisor on the same host is a daemon that was started again.

import type { DomainObservation, Endpoint, HostObservation } from '../../../core/model.ts';
import type { Clock } from '../../../ports/clock.ts';
import { Fault } from '../../../ports/fault.ts';
import type { HostInfo, Hypervisor, VmSpec } from '../../../ports/hypervisor.ts';
import type { MemoryHost } from './memory-host.ts';
import type { Ticket } from './memory-queue.ts';
import { type HypervisorCall, untilOf } from './memory-script.ts';

export class MemoryHypervisor implements Hypervisor {
  readonly host: string;
  readonly #host: MemoryHost;
  readonly #clock: Clock;
  #crashed = false;
  #closed = false;

  constructor(host: MemoryHost, clock: Clock) {
    this.host = host.name;
    this.#host = host;
    this.#clock = clock;
  }

  /** The daemon that holds this adapter dies: what it sent is carried out, no answer comes back, nothing more is sent. */
  crash(): void {
    this.#crashed = true;
  }

  info(signal: AbortSignal): Promise<HostInfo> {
    return this.#call('info', signal, () => ({
      libvirt: '9.0.0',
      qemu: '7.2.0',
      accel: 'qemu' as const,
      accelReason: 'a simulated host',
    }));
  }

  async observe(signal: AbortSignal): Promise<HostObservation> {
    const startedAtMs = this.#clock.nowMs();
    const seen = await this.#call('observe', signal, (atMs) => ({
      capacity: this.#host.capacity(atMs),
      domains: this.#observeDomains(atMs),
    }));
    return { host: this.host, startedAtMs, endedAtMs: this.#clock.nowMs(), ...seen };
  }

  async *changes(signal: AbortSignal): AsyncIterable<void> {
    let changed = false;
    let wake: (() => void) | undefined;
    const signalled = (): void => {
      changed = true;
      wake?.();
    };
    const unwatch = this.#host.watch(signalled);
    signal.addEventListener('abort', signalled);
    try {
      while (!signal.aborted) {
        if (!changed) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        changed = false;
        if (signal.aborted) return;
        if (!this.#crashed && !this.#closed && !this.#silent(this.#clock.nowMs())) yield;
      }
    } finally {
      unwatch();
      signal.removeEventListener('abort', signalled);
    }
  }

  createDisk(spec: VmSpec, signal: AbortSignal): Promise<void> {
    return this.#call(
      'createDisk',
      signal,
      (atMs) => this.#host.makeDisk(spec, atMs),
      () => this.#host.leaveHalfMadeDisk(spec.name),
    );
  }

  define(spec: VmSpec, signal: AbortSignal): Promise<{ readonly endpoint?: Endpoint }> {
    return this.#call('define', signal, () => this.#host.defineDomain(spec));
  }

  start(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('start', signal, (atMs) => this.#host.boot(uuid, atMs));
  }

  endpoint(uuid: string, port: number, signal: AbortSignal): Promise<Endpoint | undefined> {
    return this.#call('endpoint', signal, (atMs) => this.#host.endpointOf(uuid, port, atMs));
  }

  shutdown(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('shutdown', signal, (atMs) => this.#host.askToShutDown(uuid, atMs));
  }

  destroy(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('destroy', signal, () => this.#host.pullPlug(uuid));
  }

  undefine(uuid: string, signal: AbortSignal): Promise<void> {
    return this.#call('undefine', signal, () => this.#host.forget(uuid));
  }

  deleteDisk(vmName: string, signal: AbortSignal): Promise<void> {
    return this.#call('deleteDisk', signal, () => this.#host.dropDisk(vmName));
  }

  listDisks(signal: AbortSignal): Promise<readonly string[]> {
    return this.#call('listDisks', signal, () => this.#host.diskNames());
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #observeDomains(atMs: number): DomainObservation[] {
    return this.#host.domains(atMs).map((domain) => {
      const cpuTimeNs = this.#host.script.hits('stats-absent', domain.uuid, atMs)
        ? undefined
        : this.#host.cpuTimeNs(domain.uuid);
      const metadata = this.#host.script.hits('metadata-absent', domain.uuid, atMs) ? undefined : domain.metadata;
      return {
        uuid: domain.uuid,
        name: domain.name,
        state: domain.running ? 'running' : 'stopped',
        vcpus: domain.vcpus,
        memoryMiB: domain.memoryMiB,
        readAtMs: atMs,
        ...(cpuTimeNs === undefined ? {} : { cpuTimeNs }),
        ...(metadata === undefined ? {} : { metadata }),
      };
    });
  }

  /** Sends a call, waits for the machine to carry it out, and for the answer to come back; each part can fail by itself. */
  async #call<T>(
    name: HypervisorCall,
    signal: AbortSignal,
    effect: (atMs: number) => T,
    half?: () => void,
  ): Promise<T> {
    if (this.#crashed) return this.#never();
    if (signal.aborted) throw this.#aborted(name);
    if (this.#closed) throw new Fault('unreachable', `host ${this.host}: the connection was closed`);
    const sentAtMs = this.#clock.nowMs();
    const halfWayMs = this.#host.latencyMs(name) / 2;
    if (this.#host.script.active('unreachable', sentAtMs) !== undefined) {
      await this.#sleep(halfWayMs, signal);
      if (this.#crashed) return this.#never();
      throw signal.aborted ? this.#aborted(name) : this.#unreachable();
    }
    const failure = this.#host.script.takeFailure(name, sentAtMs);
    const atMs = sentAtMs + halfWayMs;
    const ticket =
      failure === undefined || failure.effect === 'after'
        ? this.#host.submit<T | undefined>(atMs, effect)
        : this.#host.submit<T | undefined>(atMs, () => {
            if (failure.effect === 'half') half?.();
            return undefined;
          });
    await this.#settled(ticket, halfWayMs, name, signal);
    const outcome = ticket.outcome;
    if (outcome === undefined) throw new Error(`memory host ${this.host}: ${name} neither settled nor failed`);
    if ('error' in outcome) throw outcome.error;
    if (failure !== undefined) throw new Fault(failure.fault, `host ${this.host}: ${name} failed, as scripted`);
    return outcome.value as T;
  }

  async #settled<T>(ticket: Ticket<T>, halfWayMs: number, name: HypervisorCall, signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = this.#clock.nowMs();
      this.#host.advance(nowMs);
      if (this.#crashed) return this.#never();
      if (signal.aborted) throw this.#aborted(name);
      const hang = this.#host.script.active('hang', nowMs);
      if (hang === undefined && this.#host.script.active('unreachable', nowMs) !== undefined) throw this.#unreachable();
      const answerAtMs = ticket.outcome === undefined ? ticket.atMs : ticket.settledAtMs + halfWayMs;
      if (ticket.outcome !== undefined && hang === undefined && nowMs >= answerAtMs) return;
      await this.#sleep(Math.max(answerAtMs, hang === undefined ? 0 : untilOf(hang)) - nowMs, signal);
    }
  }

  #silent(nowMs: number): boolean {
    const { script } = this.#host;
    return script.active('hang', nowMs) !== undefined || script.active('unreachable', nowMs) !== undefined;
  }

  /** Until the time is over, the caller gives up, or the host changes (it may have been healed). */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const unwatch = this.#host.watch(() => woken.abort());
    const either = AbortSignal.any([signal, woken.signal]);
    try {
      if (ms !== Number.POSITIVE_INFINITY) await this.#clock.sleep(Math.max(0, ms), either);
      else if (!either.aborted)
        await new Promise((resolve) => either.addEventListener('abort', resolve, { once: true }));
    } finally {
      unwatch();
    }
  }

  #never(): Promise<never> {
    return new Promise<never>(() => {});
  }

  #aborted(name: HypervisorCall): Fault {
    return new Fault('aborted', `host ${this.host}: ${name} was cancelled`);
  }

  #unreachable(): Fault {
    return new Fault('unreachable', `host ${this.host}: not reachable`, {
      advice: 'Check that the host is up and that libvirtd runs on it.',
    });
  }
}
