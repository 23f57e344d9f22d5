// Whether a VM was made from a template, and a template's name for memories. Not here: what follows from it (refresh, standby).

import { type GuestSetup, guestSetup } from './guest-setup.ts';
import type { CloudInit, Flavor, Image, VmRecord } from './model.ts';
import type { Policy, Template } from './policy.ts';

/** The template that the policy's new VMs are made from; undefined for a group of listed domains. */
export function templateOf({ source }: Pick<Policy, 'source'>): Template | undefined {
  return source.kind === 'template' ? source.template : undefined;
}

/** The same for two templates exactly when VMs made from them are alike. The readiness check is asked from outside and does not count. */
export function templateKey({ image, flavor, setup }: Template): string {
  const { content, path, format, direct } = image;
  const what = content === undefined ? ['path', path] : ['content', content.sha256];
  const boot = direct === undefined ? null : [direct.kernel, direct.initrd, direct.args];
  const told = setup !== undefined && saysMore(setup, image) ? [setup.sshKeys, setup.userData ?? null] : null;
  const { vcpus, memoryMiB, diskGiB = null } = flavor;
  const room = roomOf(flavor);
  return JSON.stringify([what, format, boot, vcpus, memoryMiB, diskGiB, told, ...(room === undefined ? [] : [room])]);
}

/**
 * Is this VM as the template would make it today? What a record does not say (it was found again after the database was lost) is
 * taken for alike: nothing is replaced for want of knowledge. Domains that were not made by us are never outdated.
 */
export function madeFrom(record: VmRecord, { image, flavor, setup }: Template): boolean {
  if (record.kind !== 'clone' && record.kind !== 'blank') return true;
  if (record.image !== undefined && !sameImage(record.image, image)) return false;
  if (record.flavor !== undefined && !sameFlavor(record.flavor, flavor)) return false;
  if (record.cloudInit === undefined) return true;
  const wanted = guestSetup(record.name, image, setup);
  return wanted !== undefined && sameCloudInit(record.cloudInit, wanted);
}

/** The template that a VM was made from, as far as its record tells; undefined when it does not tell enough. */
export function templateBehind({ kind, image, flavor, ready, cloudInit }: VmRecord): Template | undefined {
  if (kind !== 'clone' || image === undefined || flavor === undefined || ready === undefined) return undefined;
  if (cloudInit === undefined) return { image, flavor, ready };
  const { hostname: _ownName, ...setup } = cloudInit;
  return { image, flavor, ready, ...(saysMore(setup, image) && { setup }) };
}

/** Whether a guest is told anything by this that it is not told anyway. */
function saysMore({ sshKeys, userData }: GuestSetup, { direct }: Image): boolean {
  return sshKeys.length > 0 || userData !== undefined || direct !== undefined;
}

/** Images of the same content are the same, whatever they are called. */
function sameImage(a: Image, b: Image): boolean {
  if (a === b) return true;
  const sameFile = a.content?.sha256 === b.content?.sha256 && (a.content !== undefined || a.path === b.path);
  const sameBoot =
    a.direct?.kernel === b.direct?.kernel && a.direct?.initrd === b.direct?.initrd && a.direct?.args === b.direct?.args;
  return sameFile && sameBoot && a.format === b.format;
}

function sameFlavor(a: Flavor, b: Flavor): boolean {
  return a.vcpus === b.vcpus && a.memoryMiB === b.memoryMiB && a.diskGiB === b.diskGiB && roomOf(a) === roomOf(b);
}

/** What a VM can be given while it runs; undefined where that is what it begins with. */
function roomOf({ vcpus, memoryMiB, maxVcpus = vcpus, maxMemoryMiB = memoryMiB, spareNics = 0 }: Flavor) {
  const hasRoom = maxVcpus > vcpus || maxMemoryMiB > memoryMiB || spareNics > 0;
  return hasRoom ? `${maxVcpus} ${maxMemoryMiB} ${spareNics}` : undefined;
}

function sameCloudInit(a: CloudInit, b: CloudInit): boolean {
  return (
    a.hostname === b.hostname &&
    a.userData === b.userData &&
    a.sshKeys.length === b.sshKeys.length &&
    a.sshKeys.every((key, index) => key === b.sshKeys[index])
  );
}
