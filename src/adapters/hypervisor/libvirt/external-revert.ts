// Going back to an external snapshot, which libvirt 9 cannot: a fresh layer over the frozen file, the definition pointed at it, and the
// memory restored where there is one. Every step may be repeated; the layer's name, which is the operation's, tells how far a try came.
// Not here: which snapshot (libvirt-snapshots), what becomes of the layer that was written on until now (snapshot-files: tidy).
//
//   running on another file ─▶ off ─▶ layer made ─▶ defined on the layer ─▶ runs (restored or started), or stays off ─▶ made current

import {
  type CallOptions,
  type Domain,
  DomainState,
  DomainXmlFlags,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  SaveRestoreFlags,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import { unless } from './domain-lookups.ts';
import type { FoundSnapshot, SnapshotFiles } from './snapshot-files.ts';
import { domainDisks, onFile } from './snapshot-xml.ts';

/** What a start would take. */
const DEFINITION = DomainXmlFlags.INACTIVE | DomainXmlFlags.SECURE;

interface Parts {
  readonly client: LibvirtClient;
  readonly host: string;
  readonly files: SnapshotFiles;
}

interface Wish {
  readonly power: 'running' | 'stopped';
  /** Of the layer: the operation's. */
  readonly id: string;
}

export async function revertExternal(
  { client, files, host }: Parts,
  domain: Domain,
  { disks, memoryPath, snapshot, xml: itsXml }: FoundSnapshot,
  { id, power }: Wish,
  call: CallOptions,
): Promise<void> {
  const [disk, ...others] = disks;
  if (disk?.path === undefined || others.length > 0) {
    throw new Fault(
      'refused',
      `host ${host}: ${domain.name} had not one disk of a file when ${snapshot.name} was taken`,
    );
  }
  const { path: frozen, target } = disk;
  const layer = await files.path(domain, id, 'layer', call);
  const isOnLayer = async (flags: number): Promise<boolean> =>
    domainDisks(await client.domainXml(domain, flags, call)).some((one) => one.path === layer);
  const runs = async (): Promise<boolean> => {
    const { state } = await client.domainState(domain, call);
    return state !== DomainState.SHUTOFF && state !== DomainState.CRASHED;
  };
  const goesOn = memoryPath !== undefined || power === 'running';
  // A try that was cut off at its end: what runs from there is it already.
  if (!((await runs()) && goesOn && (await isOnLayer(0)))) {
    // Before anything is given up for it: what cannot be read cannot be gone back to.
    const saved =
      memoryPath === undefined
        ? undefined
        : (await client.call('DOMAIN_SAVE_IMAGE_GET_XML_DESC', { file: memoryPath, flags: 1 }, call)).xml;
    await files.mustBeThere(domain, frozen, call);
    if (await runs()) await client.destroyDomain(domain, 0, call).catch(unless(ErrorCode.OPERATION_INVALID));
    // Memory that was saved over another disk would spoil this one.
    if (await client.hasManagedSave(domain, call)) await client.removeManagedSave(domain, call);
    await files.makeLayer(domain, id, frozen, call);
    const before = await client.domainXml(domain, DEFINITION, call);
    if (!(await isOnLayer(DEFINITION))) await client.defineDomain(onFile(before, target, layer), 0, call);
    try {
      if (memoryPath !== undefined && saved !== undefined) {
        const flags = snapshot.state === 'paused' ? SaveRestoreFlags.PAUSED : SaveRestoreFlags.RUNNING;
        await client.restoreDomain(memoryPath, { xml: onFile(saved, target, layer), flags }, call);
      } else if (power === 'running') {
        await client.createDomain(domain, 0, call);
      }
    } catch (error) {
      // libvirt said no: the disk as it was is the VM's again, rather than one that nobody could start.
      if (isLibvirtError(error) && !(await runs())) await client.defineDomain(before, 0, call);
      throw error;
    }
  }
  await files.redefine(domain, itsXml, true, call);
}
