// Running a VM from a template's memory: libvirt restores a copy of the template's saved file whose head says that it is this VM.
// Not here: the copies (memory-slots), the head's form (saved-memory), the VM's XML (fork-xml), making templates (template-maker).

import { type CallOptions, ErrorCode, isLibvirtError, type LibvirtClient } from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import { byUuid, isActive } from './domain-lookups.ts';
import { forkedXml } from './fork-xml.ts';
import type { HostPool } from './host-pool.ts';
import { MemorySlots } from './memory-slots.ts';
import { withXml } from './saved-memory.ts';
import type { FoundTemplate, Templates } from './templates.ts';

interface Parts {
  readonly control: LibvirtClient;
  readonly work: LibvirtClient;
  readonly catalog: DomainCatalog;
  readonly pool: HostPool;
  readonly templates: Templates;
  readonly guestsShareLink: boolean;
  readonly closing: AbortSignal;
}

export class Forks {
  readonly #parts: Parts;
  /** By template key: of the try that is there now. */
  readonly #slots = new Map<string, { readonly id: string; readonly slots: MemorySlots }>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** A fork of this template is near. */
  async prepare(key: string, call: CallOptions): Promise<void> {
    const found = await this.#parts.templates.find(key, call);
    if (found !== undefined) this.#slotsOf(found).prepare();
  }

  async fork(spec: VmSpec, call: CallOptions): Promise<void> {
    const { catalog, control, pool, templates, work } = this.#parts;
    if (spec.template === undefined) throw pool.refused(`${spec.name} has no template`, 'Boot it instead.');
    if (await isActive(control, spec.uuid, call)) return;
    const metadata = await catalog.lookUp(byUuid(spec.uuid), call);
    if (metadata === undefined) {
      const what = `domain ${spec.uuid} has no virtscale metadata: it is somebody else's`;
      throw new Fault('conflict', `host ${pool.host}: ${what}`);
    }
    const found = await templates.need(spec.template, call);
    const head = await this.#headFor(spec, metadata, found, call);
    try {
      await this.#slotsOf(found).use(head, call, (path) => work.restoreDomain(path, {}, call));
    } catch (error) {
      // Two at once: the other one did it.
      if (!isLibvirtError(error, ErrorCode.OPERATION_INVALID, ErrorCode.OPERATION_FAILED)) throw error;
      if (!(await isActive(control, spec.uuid, call))) throw error;
    }
  }

  async #headFor(
    spec: VmSpec,
    metadata: VmSpec['metadata'],
    found: FoundTemplate,
    call: CallOptions,
  ): Promise<Uint8Array> {
    const { guestsShareLink, pool, templates } = this.#parts;
    const { id, key } = found.its;
    const saved = await templates.head(found, call);
    const xml = forkedXml(saved.xml, key, id, {
      name: spec.name,
      uuid: spec.uuid,
      metadata,
      hasSeed: spec.cloudInit !== undefined,
      linkDown: guestsShareLink,
    });
    const head = typeof xml === 'string' ? withXml(saved, xml) : undefined;
    if (head !== undefined) return head;
    const why = typeof xml === 'object' ? xml.problem : 'the XML of the VM is too long for it';
    throw pool.refused(`template ${key} cannot be forked as ${spec.name}: ${why}`, 'Boot it instead.');
  }

  #slotsOf(found: FoundTemplate): MemorySlots {
    const { id, key } = found.its;
    const known = this.#slots.get(key);
    if (known?.id === id) return known.slots;
    void known?.slots.drop();
    const slots = new MemorySlots(this.#parts.work, this.#parts.pool, found, this.#parts.closing);
    this.#slots.set(key, { id, slots });
    return slots;
  }

  /** Its copies go; those that are being restored from go with the template. */
  async forget(key: string): Promise<void> {
    const known = this.#slots.get(key);
    this.#slots.delete(key);
    await known?.slots.drop();
  }

  /** While libvirt can still be asked. */
  async close(): Promise<void> {
    await Promise.all([...this.#slots.keys()].map((key) => this.forget(key)));
  }
}
