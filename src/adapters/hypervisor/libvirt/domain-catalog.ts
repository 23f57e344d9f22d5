// What is known of each domain beyond its counters: virtscale's metadata, read once and believed until something changed.
// Not here: states and counters, which are read anew by each poll (libvirt-hypervisor).

import type { VmMetadata } from '../../../core/model.ts';
import {
  type CallOptions,
  type Domain,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  MetadataType,
} from '../../../libvirt/index.ts';
import { METADATA_URI, readMetadata } from './vm-metadata.ts';

interface Entry {
  /** Null: read, and it is not ours. Undefined: not read yet. */
  metadata: VmMetadata | null | undefined;
  /** Something may have changed since it was read. */
  stale: boolean;
}

export class DomainCatalog {
  readonly #client: LibvirtClient;
  /** In order of reading: the first was read longest ago. */
  readonly #entries = new Map<string, Entry>();

  constructor(client: LibvirtClient) {
    this.#client = client;
  }

  /** Events may have been missed: read everything again, and until then believe what is known. */
  invalidateAll(): void {
    for (const entry of this.#entries.values()) entry.stale = true;
  }

  invalidate(uuid: string): void {
    const entry = this.#entries.get(uuid);
    if (entry !== undefined) entry.stale = true;
  }

  /** We wrote it ourselves just now; undefined: we took it out. */
  put(uuid: string, metadata: VmMetadata | undefined): void {
    this.#entries.delete(uuid);
    this.#entries.set(uuid, { metadata: metadata ?? null, stale: false });
  }

  /** It was read, nothing changed since, and it is not ours. */
  isForeign(uuid: string): boolean {
    const entry = this.#entries.get(uuid);
    return entry !== undefined && entry.metadata === null && !entry.stale;
  }

  /**
   * Brings the catalog up to date with the host's list: forgets the vanished, reads what is new or stale, and one more
   * entry each time, the oldest, because somebody else may edit metadata unseen. What cannot be read now is tried again next time.
   * @returns the domains whose metadata is still unknown.
   */
  async refresh(domains: readonly Domain[], options: CallOptions): Promise<readonly Domain[]> {
    const there = new Map(domains.map((domain) => [domain.uuid, domain]));
    for (const uuid of this.#entries.keys()) if (!there.has(uuid)) this.#entries.delete(uuid);
    const oldest = this.#entries.keys().next().value;
    const toRead = domains.filter(({ uuid }) => {
      const entry = this.#entries.get(uuid);
      return entry === undefined || entry.stale || entry.metadata === undefined || uuid === oldest;
    });
    await Promise.all(toRead.map((domain) => this.#read(domain, options)));
    return domains.filter(({ uuid }) => this.#entries.get(uuid)?.metadata === undefined);
  }

  /** As far as it is known; undefined for a domain that is not ours or that could not be read yet. */
  metadataOf(uuid: string): VmMetadata | undefined {
    return this.#entries.get(uuid)?.metadata ?? undefined;
  }

  /** Asks libvirt when it is not known for sure. Undefined: not ours. @throws LibvirtError NO_DOMAIN, ConnectionError. */
  async lookUp(domain: Domain, options: CallOptions): Promise<VmMetadata | undefined> {
    const entry = this.#entries.get(domain.uuid);
    if (entry?.metadata && !entry.stale) return entry.metadata;
    const metadata = await this.#ask(domain, options);
    this.#entries.delete(domain.uuid);
    this.#entries.set(domain.uuid, { metadata, stale: false });
    return metadata ?? undefined;
  }

  async #read(domain: Domain, options: CallOptions): Promise<void> {
    const before = this.#entries.get(domain.uuid);
    // An event that comes while it is being read makes this very entry stale again.
    const entry: Entry = { metadata: before?.metadata, stale: false };
    this.#entries.delete(domain.uuid);
    this.#entries.set(domain.uuid, entry);
    try {
      entry.metadata = await this.#ask(domain, options);
    } catch (error) {
      entry.stale = true;
      // A broken connection fails the poll itself; one domain that does not answer does not.
      if (!isLibvirtError(error)) throw error;
    }
  }

  async #ask(domain: Domain, options: CallOptions): Promise<VmMetadata | null> {
    try {
      const what = { type: MetadataType.ELEMENT, uri: METADATA_URI };
      return readMetadata(await this.#client.getMetadata(domain, what, options)) ?? null;
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.NO_DOMAIN_METADATA)) return null;
      throw error;
    }
  }
}
