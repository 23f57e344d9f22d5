// Defining and undefining VMs of ours: the name and the address must be free, and whose domain it is is asked first.
// Not here: the XML (domain-xml), whose address is tried how (forward-addresses).

import type { Endpoint } from '../../../core/model.ts';
import {
  type CallOptions,
  type Domain,
  DomainUndefineFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import type { AccelSource } from './accel-source.ts';
import { type ClusterLink, checkClusterNetworks } from './cluster-cards.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import { absent, byUuid, isActive } from './domain-lookups.ts';
import { type DomainSpec, domainXml, type GuestNetwork, writtenMetadata } from './domain-xml.ts';
import { canBind, freeAddress } from './forward-addresses.ts';
import { orAborted } from './or-aborted.ts';
import type { VmDisks } from './vm-disks.ts';
import { consoleName, seedName, volumeName } from './volume-names.ts';

/** Given up from the right when a libvirt says that it does not know one. */
const UNDEFINE_FLAGS = [
  DomainUndefineFlags.MANAGED_SAVE,
  DomainUndefineFlags.SNAPSHOTS_METADATA,
  DomainUndefineFlags.NVRAM,
  DomainUndefineFlags.CHECKPOINTS_METADATA,
] as const;

export interface DefinitionsParts {
  readonly host: string;
  readonly control: LibvirtClient;
  readonly work: LibvirtClient;
  readonly catalog: DomainCatalog;
  readonly disks: VmDisks;
  readonly network: GuestNetwork;
  readonly clusterLink?: ClusterLink | undefined;
  readonly consoleLog: boolean;
  readonly accel: AccelSource;
}

export class Definitions {
  readonly #parts: DefinitionsParts;
  /** Choosing an address and defining (or starting) the domain that has it: one after another. */
  #choosing: Promise<unknown> = Promise.resolve();
  /** Chosen for VMs that are on their way here, by uuid. */
  readonly #reserved = new Map<string, Endpoint>();

  constructor(parts: DefinitionsParts) {
    this.#parts = parts;
  }

  define(spec: VmSpec, call: CallOptions): Promise<{ readonly endpoint?: Endpoint }> {
    return this.#inTurn(call, () => this.#define(spec, call));
  }

  /** Starts a template's domain: transient, nobody's VM; its console is kept where those of VMs are. */
  startTemplate(
    spec: DomainSpec,
    { consolePath, ...files }: { readonly diskPath: string; readonly seedPath?: string; readonly consolePath: string },
    flags: number,
    call: CallOptions,
  ): Promise<readonly [Domain, Endpoint | undefined]> {
    const { accel, consoleLog, network, work } = this.#parts;
    return this.#inTurn(call, async () => {
      const domains = await work.listDomains(0, call);
      const endpoint = network.kind === 'forward' ? await this.#freeEndpoint(domains, network, call) : undefined;
      const xml = domainXml(spec, {
        accel: (await accel.get(call.signal)).kind,
        network,
        ...files,
        ...(endpoint && { endpoint }),
        ...(consoleLog && { consolePath }),
      });
      return [await work.createDomainXml(xml, flags, call), endpoint];
    });
  }

  /** What decides how a domain of this spec is made, with neither names nor files of its own. */
  async formOf(spec: DomainSpec, call: CallOptions): Promise<string> {
    const { accel, consoleLog, network } = this.#parts;
    return domainXml(spec, {
      accel: (await accel.get(call.signal)).kind,
      network,
      diskPath: '/disk',
      ...(network.kind === 'forward' && { endpoint: { address: '127.0.0.1', port: network.port } }),
      ...(spec.cloudInit && { seedPath: '/seed' }),
      ...(consoleLog && { consolePath: '/console' }),
    });
  }

  #inTurn<T>(call: CallOptions, work: () => Promise<T>): Promise<T> {
    const previous = this.#choosing;
    const turn = orAborted(previous, call.signal).then(work);
    this.#choosing = Promise.allSettled([previous, turn]);
    return turn;
  }

  async #define(spec: VmSpec, call: CallOptions): Promise<{ readonly endpoint?: Endpoint }> {
    const { accel, catalog, clusterLink, consoleLog, disks, network, work } = this.#parts;
    checkClusterNetworks(spec.networks ?? []);
    const domains = await work.listDomains(0, call);
    const known = domains.find(({ uuid }) => uuid === spec.uuid);
    const clash = domains.find(({ name, uuid }) => (name === spec.name) !== (uuid === spec.uuid));
    if (clash !== undefined) throw this.#taken(spec, clash);
    const before = known && (await catalog.lookUp(known, call));
    if (known !== undefined && before === undefined) throw this.#taken(spec, known);
    const endpoint =
      network.kind === 'forward' ? (before?.endpoint ?? (await this.#freeEndpoint(domains, network, call))) : undefined;
    const folder = await disks.folder(call);
    const xml = domainXml(spec, {
      accel: (await accel.get(call.signal)).kind,
      network,
      ...(clusterLink && { clusterLink }),
      diskPath: `${folder}/${volumeName(spec.name)}`,
      ...(endpoint && { endpoint }),
      ...(spec.cloudInit && { seedPath: `${folder}/${seedName(spec.name)}` }),
      ...(consoleLog && { consolePath: `${folder}/${consoleName(spec.name)}` }),
    });
    await work.defineDomain(xml, 0, call);
    catalog.put(spec.uuid, writtenMetadata(spec, spec.metadata, endpoint));
    return endpoint ? { endpoint } : {};
  }

  /** An address for a VM that is coming: given to nobody else until it is released. */
  reserve(uuid: string, network: Extract<GuestNetwork, { kind: 'forward' }>, call: CallOptions): Promise<Endpoint> {
    return this.#inTurn(call, async () => {
      const endpoint =
        this.#reserved.get(uuid) ??
        (await this.#freeEndpoint(await this.#parts.work.listDomains(0, call), network, call));
      this.#reserved.set(uuid, endpoint);
      return endpoint;
    });
  }

  release(uuid: string): void {
    this.#reserved.delete(uuid);
  }

  async #freeEndpoint(
    domains: readonly Domain[],
    network: Extract<GuestNetwork, { kind: 'forward' }>,
    call: CallOptions,
  ): Promise<Endpoint> {
    // Whoever cannot be asked might have any address: then none is given away.
    const { catalog } = this.#parts;
    const all = await Promise.all(domains.map((domain) => catalog.lookUp(domain, call).catch(absent)));
    const known = all.flatMap((metadata) => metadata?.endpoint?.address ?? []);
    const coming = Array.from(this.#reserved.values(), ({ address }) => address);
    const taken = new Set([...known, ...coming]);
    return freeAddress(network.addressPrefix, network.port, taken, canBind);
  }

  async undefine(uuid: string, call: CallOptions): Promise<void> {
    const { control, host, work } = this.#parts;
    const active = await isActive(control, uuid, call);
    if (active === undefined) return;
    const metadata = await this.mustBeOurs(uuid, call);
    if (metadata?.adopted === true) {
      throw new Fault('conflict', `host ${host}: domain ${uuid} was adopted, so it is not undefined`);
    }
    // libvirt would let it run on without a definition.
    if (active) throw new Fault('conflict', `host ${host}: domain ${uuid} runs, so it is not undefined`);
    for (let count: number = UNDEFINE_FLAGS.length; ; count -= 1) {
      const flags = UNDEFINE_FLAGS.slice(0, count).reduce((sum, flag) => sum | flag, 0);
      try {
        return await work.undefineDomain(byUuid(uuid), flags, call);
      } catch (error) {
        if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return;
        if (count === 0 || !isLibvirtError(error, ErrorCode.INVALID_ARG)) throw error;
      }
    }
  }

  /** The last net: what the engine asks by mistake about somebody else's domain is not done. Undefined: it is gone. */
  async mustBeOurs(uuid: string, call: CallOptions): Promise<{ readonly adopted?: boolean } | undefined> {
    const { catalog, control, host } = this.#parts;
    const metadata = await catalog.lookUp(byUuid(uuid), call).catch(absent);
    if (metadata !== undefined) return metadata;
    if ((await isActive(control, uuid, call)) === undefined) return undefined;
    throw new Fault('conflict', `host ${host}: domain ${uuid} has no virtscale metadata: it is somebody else's`);
  }

  #taken(spec: VmSpec, by: Domain): Fault {
    return new Fault(
      'conflict',
      `host ${this.#parts.host}: ${spec.name} (${spec.uuid}) cannot be defined: there is ${by.name} (${by.uuid})`,
      { advice: `Rename or remove that domain (virsh undefine ${by.name}), if it is not needed.` },
    );
  }
}
