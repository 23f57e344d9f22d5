// Templates and forks of one host as the port asks for them: put together, and one making of a template at a time.
// Not here: what each part does (template-key, template-maker, templates, memory-slots, forks).

import type { CallOptions, LibvirtClient } from '../../../libvirt/index.ts';
import type { SavedTemplate, TemplateSpec, VmSpec } from '../../../ports/hypervisor.ts';
import { SingleFlight } from '../embedded/single-flight.ts';
import type { Definitions } from './definitions.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import { Forks } from './forks.ts';
import type { GuestAgent } from './guest-agent.ts';
import type { HostFacts } from './host-facts.ts';
import type { HostPool } from './host-pool.ts';
import { TemplateKeys } from './template-key.ts';
import { type IsReady, TemplateMaker } from './template-maker.ts';
import type { Templates } from './templates.ts';
import type { VmDisks } from './vm-disks.ts';

export interface ForkingParts {
  readonly control: LibvirtClient;
  readonly work: LibvirtClient;
  readonly catalog: DomainCatalog;
  readonly pool: HostPool;
  readonly templates: Templates;
  readonly disks: VmDisks;
  readonly definitions: Definitions;
  readonly facts: HostFacts;
  readonly agent: GuestAgent;
  readonly guestsShareLink: boolean;
  /** Paths on the host are paths of this machine too. */
  readonly isHere: boolean;
  readonly closing: AbortSignal;
}

type SignalledCall = CallOptions & { readonly signal: AbortSignal };

export class Forking {
  readonly #templates: Templates;
  readonly #keys: TemplateKeys;
  readonly #maker: TemplateMaker;
  readonly #makings = new SingleFlight<SavedTemplate>();
  readonly #forks: Forks;
  readonly #closing: AbortSignal;

  constructor(parts: ForkingParts) {
    this.#templates = parts.templates;
    this.#keys = new TemplateKeys(parts.facts, parts.definitions, parts.isHere);
    this.#maker = new TemplateMaker({ ...parts, client: parts.work });
    this.#forks = new Forks(parts);
    this.#closing = parts.closing;
  }

  keyOf(spec: TemplateSpec, call: CallOptions): Promise<string> {
    return this.#keys.keyOf(spec, call);
  }

  /** Goes on while anybody of those who asked for the same one still wants it, and we are not closed. */
  async make(spec: TemplateSpec, isReady: IsReady, call: SignalledCall): Promise<SavedTemplate> {
    const key = await this.keyOf(spec, call);
    return this.#makings.run(key, call.signal, (wanted) => {
      const signal = AbortSignal.any([wanted, this.#closing]);
      return this.#maker.make(key, spec, isReady, { ...call, signal });
    });
  }

  list(call: CallOptions): Promise<readonly SavedTemplate[]> {
    return this.#templates.list(call);
  }

  async remove(key: string, call: CallOptions): Promise<void> {
    await this.#forks.forget(key);
    await this.#templates.remove(key, call);
  }

  /** A disk for a fork of it is about to be made. */
  prepare(key: string, call: CallOptions): Promise<void> {
    return this.#forks.prepare(key, call);
  }

  fork(spec: VmSpec, call: CallOptions): Promise<void> {
    return this.#forks.fork(spec, call);
  }

  /** A VM's disk is gone: what lay below it may be nobody's now. */
  sweep(): Promise<void> {
    return this.#templates.sweep();
  }

  close(): Promise<void> {
    return this.#forks.close();
  }
}
