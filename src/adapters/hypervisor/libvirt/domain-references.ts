// Which domain of a host refers to a file: as a disk, below one, or as a log. libvirt itself does not look before it deletes.

import {
  type CallOptions,
  type Domain,
  DomainXmlFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
} from '../../../libvirt/index.ts';
import { inBatches } from './in-batches.ts';
import { allBelow, parseXml } from './xml-tree.ts';

/** The first domain of the host, ours or not, whose XML names one of these files of the pool. */
export async function userOf(
  client: LibvirtClient,
  paths: readonly string[],
  pool: string,
  options: CallOptions,
): Promise<Domain | undefined> {
  const domains = await client.listDomains(0, options);
  const users = await inBatches(domains, async (domain) => {
    const xmls = await xmlsOf(client, domain, options);
    return xmls.some((xml) => paths.some((path) => refersTo(xml, path, pool))) ? domain : undefined;
  });
  return users.find((user) => user !== undefined);
}

/** The definition, and what runs now: they can differ. */
async function xmlsOf(client: LibvirtClient, domain: Domain, options: CallOptions): Promise<readonly string[]> {
  try {
    const definition = await client.domainXml(domain, DomainXmlFlags.INACTIVE, options);
    return domain.id < 0 ? [definition] : [definition, await client.domainXml(domain, 0, options)];
  } catch (error) {
    if (isLibvirtError(error, ErrorCode.NO_DOMAIN)) return [];
    throw error;
  }
}

/** By path, or by pool and volume, of a disk or of what lies below one. */
function refersTo(xml: string, path: string, pool: string): boolean {
  const volume = path.slice(path.lastIndexOf('/') + 1);
  // Cheap, before a whole XML is parsed; a name with characters that XML escapes cannot be looked for like this.
  if (!/[&<>'"]/.test(volume) && !xml.includes(volume)) return false;
  const top = parseXml(xml);
  return [...allBelow(top, 'source'), ...allBelow(top, 'log')].some(
    ({ attributes }) =>
      attributes['file'] === path ||
      attributes['dev'] === path ||
      attributes['path'] === path ||
      (attributes['pool'] === pool && attributes['volume'] === volume),
  );
}
