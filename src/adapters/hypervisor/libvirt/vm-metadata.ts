// The metadata element that virtscale puts into each domain it makes, written and read back.
// Not here: when it is read and how long it is believed (domain-catalog).

import type { ClusterNetwork, Endpoint, VmMetadata } from '../../../core/model.ts';
import { element, type XmlText } from './xml-text.ts';
import { childOf, parseXml, type XmlElement } from './xml-tree.ts';

/** Ends in the version of the element's form. */
export const METADATA_URI = 'https://virtscale.dev/xmlns/vm/1';
export const METADATA_PREFIX = 'virtscale';

/** As it stands in a domain's XML. */
export function metadataXml(metadata: VmMetadata): XmlText {
  return written(`${METADATA_PREFIX}:`, { [`xmlns:${METADATA_PREFIX}`]: METADATA_URI }, metadata);
}

/** As libvirt wants it for a domain that is there: it adds the namespace itself. */
export function metadataElement(metadata: VmMetadata): XmlText {
  return written('', {}, metadata);
}

function written(prefix: string, namespace: Readonly<Record<string, string>>, metadata: VmMetadata): XmlText {
  const { adopted, endpoint, networks = [], ...attributes } = metadata;
  return element(
    `${prefix}vm`,
    // Attributes, since white space around an element's text does not survive everybody who edits XML.
    { ...namespace, ...attributes, adopted: adopted === true ? 'true' : undefined },
    endpoint && element(`${prefix}endpoint`, { address: endpoint.address, port: endpoint.port }),
    ...networks.map((network) => element(`${prefix}network`, { ...network })),
  );
}

/** Undefined when it is not what {@link metadataXml} writes: such a domain is nobody's of ours. */
export function readMetadata(xml: string): VmMetadata | undefined {
  let vm: XmlElement;
  try {
    vm = parseXml(xml);
  } catch {
    return undefined;
  }
  const { adopted, flavor, group, image, operation, owner, template } = vm.attributes;
  const id = Number(vm.attributes['id']);
  if (vm.name !== 'vm' || !Number.isSafeInteger(id) || id < 1) return undefined;
  if (owner === undefined || operation === undefined || image === undefined || flavor === undefined) return undefined;
  const endpoint = readEndpoint(childOf(vm, 'endpoint'));
  const networks = vm.children.filter(({ name }) => name === 'network').flatMap((each) => readNetwork(each) ?? []);
  return {
    id,
    ...(group !== undefined && { group }),
    owner,
    operation,
    image,
    flavor,
    ...(template !== undefined && { template }),
    ...(endpoint && { endpoint }),
    ...(networks.length > 0 && { networks }),
    ...(adopted === 'true' && { adopted: true }),
  };
}

function readNetwork({ attributes }: XmlElement): ClusterNetwork | undefined {
  const { address, id } = attributes;
  const prefixBits = Number(attributes['prefixBits']);
  return id === undefined || address === undefined || !Number.isInteger(prefixBits)
    ? undefined
    : { id, address, prefixBits };
}

function readEndpoint(found: XmlElement | undefined): Endpoint | undefined {
  const address = found?.attributes['address'];
  const port = Number(found?.attributes['port']);
  if (address === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { address, port };
}
