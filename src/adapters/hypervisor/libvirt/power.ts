// Pausing, continuing, saving, rebooting and resetting what runs, with libvirt's "not running" as the port says it.
// Not here: starting and stopping (libvirt-hypervisor, guest-shutdown).

import {
  type CallOptions,
  type Domain,
  DomainRebootFlags,
  DomainState,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';

export class Power {
  /** Looks: must not be held up by work. */
  readonly #control: LibvirtClient;
  readonly #work: LibvirtClient;
  readonly #host: string;

  constructor(control: LibvirtClient, work: LibvirtClient, host: string) {
    this.#control = control;
    this.#work = work;
    this.#host = host;
  }

  pause(domain: Domain, call: CallOptions): Promise<void> {
    return this.#running(domain, 'paused', call, async () => {
      try {
        await this.#work.suspendDomain(domain, call);
      } catch (error) {
        if (!(await this.#isNow(domain, DomainState.PAUSED, error, call))) throw error;
      }
    });
  }

  resume(domain: Domain, call: CallOptions): Promise<void> {
    return this.#running(domain, 'resumed', call, async () => {
      try {
        await this.#work.resumeDomain(domain, call);
      } catch (error) {
        if (!(await this.#isNow(domain, DomainState.RUNNING, error, call))) throw error;
      }
    });
  }

  /** libvirt keeps the memory; its next start goes on from there. */
  async save(domain: Domain, call: CallOptions): Promise<void> {
    try {
      await this.#work.managedSave(domain, 0, call);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID, ErrorCode.NO_DOMAIN)) throw error;
      const isThere = !isLibvirtError(error, ErrorCode.NO_DOMAIN);
      if (isThere && (await this.#work.hasManagedSave(domain, call))) return;
      const what = await this.#whyNot(domain, error, call);
      throw new Fault('conflict', `host ${this.#host}: ${what}, so it cannot be saved`, { cause: error });
    }
  }

  /** libvirt asks the agent where one is connected, and presses the button when that did not do it. */
  reboot(domain: Domain, call: CallOptions): Promise<void> {
    const flags = DomainRebootFlags.GUEST_AGENT | DomainRebootFlags.ACPI_POWER_BTN;
    return this.#running(domain, 'rebooted', call, () => this.#work.rebootDomain(domain, flags, call));
  }

  reset(domain: Domain, call: CallOptions): Promise<void> {
    return this.#running(domain, 'reset', call, () => this.#work.resetDomain(domain, call));
  }

  async #running(domain: Domain, done: string, call: CallOptions, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID, ErrorCode.NO_DOMAIN)) throw error;
      const what = await this.#whyNot(domain, error, call);
      throw new Fault('conflict', `host ${this.#host}: ${what}, so it cannot be ${done}`, { cause: error });
    }
  }

  async #whyNot(domain: Domain, error: Error, call: CallOptions): Promise<string> {
    if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return `there is no domain ${domain.uuid}`;
    const { state } = await this.#control.domainState(domain, call);
    if (state === DomainState.SHUTOFF) return `domain ${domain.uuid} does not run`;
    return `domain ${domain.uuid} is not in a state for that (${error.message})`;
  }

  async #isNow(domain: Domain, state: number, error: unknown, call: CallOptions): Promise<boolean> {
    if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID)) return false;
    return (await this.#control.domainState(domain, call)).state === state;
  }
}
