// Makes a template: boots a domain that is nobody's VM, waits until it serves and its agent answers, saves its memory, marks it whole.
// Not here: what lies in the pool (templates), the key (template-key).
//
// Its domain is transient and ends with our connection to libvirt. Whatever dies at any moment before the marker leaves files that count
// for nothing; they, and a domain of that name, are removed by the next try.

import { randomBytes, randomUUID } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '../../../core/model.ts';
import { portOf } from '../../../core/ready-check.ts';
import {
  type CallOptions,
  type Domain,
  DomainCreateFlags,
  ErrorCode,
  type LibvirtClient,
  type StoragePool,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { SavedTemplate, TemplateSpec } from '../../../ports/hypervisor.ts';
import { cloudInitFiles } from '../../images/cloud-init.ts';
import { seedIso } from '../../images/seed-iso.ts';
import type { Definitions } from './definitions.ts';
import { byUuid, unless } from './domain-lookups.ts';
import type { DomainSpec } from './domain-xml.ts';
import { guestAddress } from './guest-address.ts';
import type { GuestAgent } from './guest-agent.ts';
import type { HostPool } from './host-pool.ts';
import { savedTemplate, type Templates } from './templates.ts';
import type { VmDisks } from './vm-disks.ts';
import { templateMarker, templateName, templatePart } from './volume-names.ts';
import { fileXml, readVolume } from './volume-xml.ts';

/** Longest that a template may take to serve; the caller's signal may be earlier. */
const READY_LIMIT_MS = 600_000;
/** The agent of a guest that serves already. */
const AGENT_LIMIT_MS = 60_000;
const PROBE_PAUSE_MS = 50;
/** Left free beside the memory, for the file system and other disks. */
const SPARE_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
const CLEAN_UP_MS = 15_000;
/** What makes the saved memory smaller, and the frozen disk whole. */
const BEFORE_SAVE = 'sync; echo 3 >/proc/sys/vm/drop_caches';

export type IsReady = (endpoint: Endpoint | undefined, signal: AbortSignal) => Promise<boolean>;
type SignalledCall = CallOptions & { readonly signal: AbortSignal };

interface Parts {
  readonly client: LibvirtClient;
  readonly pool: HostPool;
  readonly templates: Templates;
  readonly disks: VmDisks;
  readonly definitions: Definitions;
  readonly agent: GuestAgent;
  /** Paths on the host are paths of this machine too. */
  readonly isHere: boolean;
}

export class TemplateMaker {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async make(key: string, spec: TemplateSpec, isReady: IsReady, call: SignalledCall): Promise<SavedTemplate> {
    const { client, pool: hostPool, templates } = this.#parts;
    const pool = await hostPool.need(call);
    await hostPool.refreshIfPossible(pool, call);
    const found = await templates.find(key, call);
    if (found !== undefined) return savedTemplate(found);
    await this.#endDomain(key, call);
    await templates.deleteLeftovers(key);
    const { availableBytes } = await client.poolInfo(pool, call);
    if (availableBytes < spec.flavor.memoryMiB * MIB + SPARE_BYTES) throw hostPool.full();
    const id = randomBytes(4).toString('hex');
    templates.begin(id);
    try {
      await this.#boot(pool, key, id, spec, isReady, call);
      await this.#finish(pool, key, id, call);
      const made = await templates.find(key, call);
      if (made !== undefined) return savedTemplate(made);
      throw new Fault('busy', `host ${hostPool.host}: template ${key} was removed while it was being made`);
    } catch (error) {
      await this.#endDomain(key, { timeoutMs: CLEAN_UP_MS }).catch(() => undefined);
      await templates.deleteTry(pool, id);
      throw error;
    } finally {
      templates.end(id);
    }
  }

  /** Boots, waits, saves: afterwards there is no domain, but its disk and its memory. */
  async #boot(
    pool: StoragePool,
    key: string,
    id: string,
    { cloudInit, flavor, image, ready }: TemplateSpec,
    isReady: IsReady,
    call: SignalledCall,
  ): Promise<void> {
    const { agent, client, definitions, disks } = this.#parts;
    const uuid = randomUUID();
    const name = templateName(key);
    const spec: DomainSpec = { name, uuid, image, flavor, ready, ...(cloudInit && { cloudInit }) };
    const seed = cloudInit && seedIso(cloudInitFiles({ ...cloudInit, hostname: name, instanceId: uuid }));
    await disks.createAs(
      pool,
      spec,
      templatePart(key, id, 'qcow2'),
      seed && [templatePart(key, id, 'seed.iso'), seed],
      call,
    );
    const folder = await disks.folder(call);
    const files = {
      diskPath: `${folder}/${templatePart(key, id, 'qcow2')}`,
      ...(seed && { seedPath: `${folder}/${templatePart(key, id, 'seed.iso')}` }),
      consolePath: `${folder}/${templatePart(key, id, 'console.log')}`,
    };
    const [domain, endpoint] = await definitions.startTemplate(spec, files, DomainCreateFlags.START_AUTODESTROY, call);
    await this.#untilReady(domain, ready, endpoint, isReady, call.signal);
    if (!(await agent.comes(uuid, AGENT_LIMIT_MS, call))) {
      throw this.#parts.pool.refused(
        `no agent answers in a guest of image ${image.name}, so it cannot be forked`,
        'Install qemu-guest-agent in the image; VMs of it are booted meanwhile.',
      );
    }
    await agent.run(uuid, { path: '/bin/sh', args: ['-c', BEFORE_SAVE] }, call);
    await client.saveDomain(domain, `${folder}/${templatePart(key, id, 'memory')}`, {}, call);
  }

  async #untilReady(
    domain: Domain,
    ready: TemplateSpec['ready'],
    known: Endpoint | undefined,
    isReady: IsReady,
    signal: AbortSignal,
  ): Promise<void> {
    const port = portOf(ready);
    // Whether its agent answers is looked at in any case.
    if (port === undefined) return;
    const endMs = performance.now() + READY_LIMIT_MS;
    const call = { signal, timeoutMs: 5000 };
    for (let endpoint = known; performance.now() < endMs; ) {
      if (endpoint === undefined) {
        const address = await guestAddress(this.#parts.client, domain, call);
        endpoint = address === undefined ? undefined : { address, port };
      }
      if (endpoint !== undefined && (await isReady(endpoint, signal))) return;
      await sleep(PROBE_PAUSE_MS, undefined, { signal });
      // One that ended by itself will never serve.
      await this.#parts.client.domainState(domain, call);
    }
    throw new Fault('timed-out', `host ${this.#parts.pool.host}: ${domain.name} does not serve`);
  }

  async #finish(pool: StoragePool, key: string, id: string, call: SignalledCall): Promise<void> {
    const { client, isHere, pool: hostPool, templates } = this.#parts;
    // libvirt wrote the file, but its pool does not know of it.
    await client.refreshPool(pool, call);
    const memory = await client.volumeByName(pool, templatePart(key, id, 'memory'), call);
    const { allocationBytes, physicalBytes } = readVolume(await client.volumeXml(memory, 0, call));
    await templates.readHead(memory, physicalBytes, call);
    if (isHere) {
      // A second net: QEMU locks what it writes to, and nobody writes to what lies below others.
      const folder = await hostPool.folder(pool, call);
      await chmod(`${folder}/${templatePart(key, id, 'qcow2')}`, 0o444).catch(() => undefined);
    }
    // A file system that stores less than the bytes it was given compresses: then less on disk means nothing.
    const allocatedBytes = allocationBytes >= physicalBytes ? physicalBytes : 0;
    const marker = templateMarker({ key, id, memoryBytes: physicalBytes, allocatedBytes });
    await client.createVolume(pool, fileXml(marker, 0), 0, call);
  }

  /** One that an earlier try left, or this one. */
  async #endDomain(key: string, call: CallOptions): Promise<void> {
    const { client } = this.#parts;
    const all = await client.listDomains(0, call);
    for (const { name, uuid } of all) {
      if (name !== templateName(key)) continue;
      await client.destroyDomain(byUuid(uuid), 0, call).catch(unless(ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID));
    }
  }
}
