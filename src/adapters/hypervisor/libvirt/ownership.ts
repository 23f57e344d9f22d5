// Making somebody else's domain ours, and letting it go again: our metadata in its definition and in what runs.
// Not here: the form of the metadata (vm-metadata), believing it (domain-catalog).

import type { VmMetadata } from '../../../core/model.ts';
import {
  AffectFlags,
  type CallOptions,
  type Domain,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  MetadataType,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { DomainCatalog } from './domain-catalog.ts';
import { METADATA_PREFIX, METADATA_URI, metadataElement, readMetadata } from './vm-metadata.ts';

export class Ownership {
  readonly #client: LibvirtClient;
  readonly #catalog: DomainCatalog;
  readonly #host: string;

  constructor(client: LibvirtClient, catalog: DomainCatalog, host: string) {
    this.#client = client;
    this.#catalog = catalog;
    this.#host = host;
  }

  /** @throws LibvirtError NO_DOMAIN; Fault `conflict` when another VM of ours is written there. */
  async adopt(uuid: string, metadata: VmMetadata, call: CallOptions): Promise<void> {
    const domain = await this.#client.domainByUuid(uuid, call);
    const places = await this.#placesOf(domain, call);
    await this.#mustBeFree(domain, places, metadata.id, call);
    await this.#write(domain, places, metadataElement(metadata).xml, call);
    // libvirt keeps the last writer's: two that adopt at the same time cannot both have it.
    await this.#mustBeFree(domain, places, metadata.id, call);
    this.#catalog.put(uuid, metadata);
  }

  async release(uuid: string, call: CallOptions): Promise<void> {
    try {
      const domain = await this.#client.domainByUuid(uuid, call);
      const places = await this.#placesOf(domain, call);
      const written = await Promise.all(places.map((place) => this.#read(domain, place, call)));
      await this.#write(
        domain,
        places.filter((_, index) => written[index] !== undefined),
        undefined,
        call,
      );
      this.#catalog.put(uuid, undefined);
    } catch (error) {
      if (!isLibvirtError(error, ErrorCode.NO_DOMAIN)) throw error;
    }
  }

  /** Where its metadata stands: in its definition, and in what runs. */
  async #placesOf(domain: Domain, call: CallOptions): Promise<readonly number[]> {
    const { persistent } = await this.#client.call('DOMAIN_IS_PERSISTENT', { dom: domain }, call);
    return [
      ...(persistent === 1 ? [AffectFlags.AFFECT_CONFIG] : []),
      ...(domain.id >= 0 ? [AffectFlags.AFFECT_LIVE] : []),
    ];
  }

  async #mustBeFree(domain: Domain, places: readonly number[], id: number, call: CallOptions): Promise<void> {
    const written = await Promise.all(places.map((place) => this.#read(domain, place, call)));
    const other = written.find((metadata) => metadata !== undefined && metadata.id !== id);
    if (other === undefined) return;
    const what = `domain ${domain.name} (${domain.uuid}) is VM ${other.id} of ${other.owner} already`;
    throw new Fault('conflict', `host ${this.#host}: ${what}`, { advice: 'Release it there first.' });
  }

  async #read(domain: Domain, place: number, call: CallOptions): Promise<VmMetadata | undefined> {
    try {
      const what = { type: MetadataType.ELEMENT, uri: METADATA_URI, flags: place };
      return readMetadata(await this.#client.getMetadata(domain, what, call));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN_METADATA)) return undefined;
      throw error;
    }
  }

  async #write(
    domain: Domain,
    places: readonly number[],
    metadata: string | undefined,
    call: CallOptions,
  ): Promise<void> {
    const flags = places.reduce((sum, place) => sum | place, 0);
    if (flags === 0) return;
    const what = { type: MetadataType.ELEMENT, metadata, key: METADATA_PREFIX, uri: METADATA_URI, flags };
    await this.#client.setMetadata(domain, what, call);
  }
}
