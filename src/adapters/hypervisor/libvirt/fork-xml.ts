// The XML of a domain that is to go on from a template's memory: the template's own, with the names of one VM in place of the
// template's. Pure text. Not here: the head of the file that it is put into (saved-memory).
//
// The machine must be the very one that was saved, down to each address, so the template's XML is not written anew: what is the
// template's alone is replaced where it stands. All of it are words that nothing else contains.

import type { Endpoint, VmMetadata } from '../../../core/model.ts';
import { macAddress } from './domain-xml.ts';
import { metadataXml } from './vm-metadata.ts';
import { consoleName, seedName, templateName, templatePart, volumeName } from './volume-names.ts';
import { escapeXml } from './xml-text.ts';
import { allBelow, childOf, parseXml } from './xml-tree.ts';

export interface ForkedDomain {
  readonly name: string;
  readonly uuid: string;
  /** With its endpoint, where it has one. */
  readonly metadata: VmMetadata;
  /** It has a seed image of its own. */
  readonly hasSeed: boolean;
  /** Guests share a network: its link stays down until it has an address of its own. */
  readonly linkDown: boolean;
}

/** Why the template's XML cannot be made into the VM's. */
export interface NoFork {
  readonly problem: string;
}

export function forkedXml(xml: string, key: string, tryId: string, vm: ForkedDomain): string | NoFork {
  const top = parseXml(xml);
  const uuid = childOf(top, 'uuid')?.text;
  if (uuid === undefined || childOf(top, 'name')?.text !== templateName(key)) {
    return { problem: 'it is not of the domain that it should be of' };
  }
  if (childOf(top, 'metadata') !== undefined) return { problem: 'its domain is a VM, not a template' };
  if (xml.includes(templatePart(key, tryId, 'seed.iso')) !== vm.hasSeed) {
    return { problem: `it was ${vm.hasSeed ? 'not ' : ''}made with cloud-init` };
  }
  const endpoint = forwardOf(xml);
  if ((endpoint === undefined) !== (vm.metadata.endpoint === undefined)) {
    return { problem: 'it was made for another kind of network' };
  }
  let text = xml;
  const put = (from: string, to: string): void => {
    text = text.replaceAll(from, () => escapeXml(to));
  };
  // Longest first: the template's name is part of its files' names.
  put(templatePart(key, tryId, 'qcow2'), volumeName(vm.name));
  put(templatePart(key, tryId, 'seed.iso'), seedName(vm.name));
  put(templatePart(key, tryId, 'console.log'), consoleName(vm.name));
  put(templateName(key), vm.name);
  put(macAddress(uuid), macAddress(vm.uuid));
  put(uuid, vm.uuid);
  if (endpoint && vm.metadata.endpoint) put(forwardText(endpoint), forwardText(vm.metadata.endpoint));
  text = text.replace('</uuid>', () => `</uuid><metadata>${metadataXml(vm.metadata).xml}</metadata>`);
  if (vm.linkDown) text = linkDown(text);
  return isTheirs(text, vm) ? text : { problem: 'its XML is not of a form that is known' };
}

/** As QEMU is told to forward a port. */
function forwardText({ address, port }: Endpoint): string {
  return `hostfwd=tcp:${address}:${port}-`;
}

function forwardOf(xml: string): Endpoint | undefined {
  const [, address, port] = /hostfwd=tcp:([0-9.]+):([0-9]+)-/.exec(xml) ?? [];
  return address === undefined ? undefined : { address, port: Number(port) };
}

function linkDown(xml: string): string {
  return xml.replace(/<\/interface>/g, "<link state='down'/></interface>");
}

/** A last look, by its meaning: nothing of the template is left, and every file is the VM's. */
function isTheirs(xml: string, vm: ForkedDomain): boolean {
  const top = parseXml(xml);
  const files = allBelow(top, 'disk').flatMap((disk) => childOf(disk, 'source')?.attributes['file'] ?? []);
  const expected = vm.hasSeed ? [volumeName(vm.name), seedName(vm.name)] : [volumeName(vm.name)];
  return (
    childOf(top, 'name')?.text === vm.name &&
    childOf(top, 'uuid')?.text === vm.uuid &&
    files.length === expected.length &&
    files.every((file, index) => file.endsWith(`/${expected[index]}`))
  );
}

/** The interfaces of a running domain as they are when their links are up; none that is up already. */
export function interfacesToRaise(liveXml: string): readonly string[] {
  return [...liveXml.matchAll(/<interface\b.*?<\/interface>/gs)].flatMap(([xml]) =>
    /<link state='down'\/>/.test(xml) ? [xml.replace(/<link state='down'\/>/, "<link state='up'/>")] : [],
  );
}
