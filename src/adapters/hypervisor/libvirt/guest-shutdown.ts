// Asking a guest to shut down so that it hears it: by button and agent, and again while it may still have been booting.
// Not here: what happens when it does not (the engine pulls the plug after its deadline).

import {
  type CallOptions,
  type Domain,
  DomainShutdownFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import type { Clock } from '../../../ports/clock.ts';

/** An agent that is there answers in some ms; one that hangs is not waited for. */
const AGENT_TIMEOUT_MS = 2000;
/** Pauses before each further press. A guest under emulation has its button some 1–3 s after it first serves. */
const AGAIN_AFTER_MS = [1000, 2000, 4000] as const;
const AGAIN_TIMEOUT_MS = 5000;

export class GuestShutdown {
  /** Looks: must not be held up by work. */
  readonly #control: LibvirtClient;
  readonly #work: LibvirtClient;
  readonly #clock: Clock;
  readonly #closing: AbortSignal;
  /** Who is being asked again, by uuid. */
  readonly #asking = new Set<string>();

  constructor(control: LibvirtClient, work: LibvirtClient, clock: Clock, closing: AbortSignal) {
    this.#control = control;
    this.#work = work;
    this.#clock = clock;
    this.#closing = closing;
  }

  /** Resolves when one way was taken, or when the domain is off anyway. @throws what libvirt said to the button. */
  async ask(domain: Domain, call: CallOptions): Promise<void> {
    // Both at once: the button works where the agent is missing or hangs, the agent where nobody minds the button.
    const button = this.#work.shutdownDomain(domain, DomainShutdownFlags.ACPI_POWER_BTN, call);
    const agentCall = { ...call, timeoutMs: AGENT_TIMEOUT_MS };
    const agent = this.#work.shutdownDomain(domain, DomainShutdownFlags.GUEST_AGENT, agentCall);
    try {
      await Promise.any([button, agent]);
    } catch (error) {
      if (!(error instanceof AggregateError)) throw error;
      if (await this.#isOff(domain, call)) return;
      throw error.errors[0];
    }
    void this.#askAgain(domain);
  }

  async #isOff(domain: Domain, call: CallOptions): Promise<boolean> {
    try {
      return (await this.#control.call('DOMAIN_IS_ACTIVE', { dom: domain }, call)).active === 0;
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return true;
      throw error;
    }
  }

  /** A guest that still boots hears neither; so the button is pressed some more, as long as this very run of it lasts. */
  async #askAgain(asked: Domain): Promise<void> {
    if (this.#asking.has(asked.uuid)) return;
    this.#asking.add(asked.uuid);
    try {
      for (const pauseMs of AGAIN_AFTER_MS) {
        await this.#clock.sleep(pauseMs, this.#closing);
        const call = { signal: this.#closing, timeoutMs: AGAIN_TIMEOUT_MS };
        // libvirt gives each start another id.
        if ((await this.#control.domainByUuid(asked.uuid, call)).id !== asked.id) return;
        await this.#work.shutdownDomain(asked, DomainShutdownFlags.ACPI_POWER_BTN, call);
      }
    } catch {
      // Gone, closed, or out of reach: who asked looks at the domain's state anyway.
    } finally {
      this.#asking.delete(asked.uuid);
    }
  }
}
