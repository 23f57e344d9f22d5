// The metadata element that virtscale puts into each domain it makes, written and read back.
// Not here: when it is read and how long it is believed (domain-catalog).

import type { Endpoint, VmMetadata } from '../../../core/model.ts';
import { element, type XmlText } from './xml-text.ts';
import { childOf, parseXml, type XmlElement } from './xml-tree.ts';

/** Ends in the version of the element's form. */
export const METADATA_URI = 'https://virtscale.dev/xmlns/vm/1';

export function metadataXml(metadata: VmMetadata): XmlText {
  const { endpoint, ...attributes } = metadata;
  return element(
    'virtscale:vm',
    // Attributes, since white space around an element's text does not survive everybody who edits XML.
    { 'xmlns:virtscale': METADATA_URI, ...attributes },
    endpoint && element('virtscale:endpoint', { address: endpoint.address, port: endpoint.port }),
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
  const { flavor, group, image, operation, owner } = vm.attributes;
  const id = Number(vm.attributes['id']);
  if (vm.name !== 'vm' || !Number.isSafeInteger(id) || id < 1) return undefined;
  if (group === undefined || owner === undefined || operation === undefined) return undefined;
  if (image === undefined || flavor === undefined) return undefined;
  const endpoint = readEndpoint(childOf(vm, 'endpoint'));
  return { id, group, owner, operation, image, flavor, ...(endpoint && { endpoint }) };
}

function readEndpoint(found: XmlElement | undefined): Endpoint | undefined {
  const address = found?.attributes['address'];
  const port = Number(found?.attributes['port']);
  if (address === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { address, port };
}
