// What a VM is made of while it exists (vCPUs, memory, disk, network cards), what somebody wants of it, and the next step towards that.
// Pure. Not here: how a hypervisor does a step (ports/hardware), carrying a change through (engine/hardware).

import type { Amounts, Flavor } from './model.ts';
import { sizeText } from './wording.ts';

/** Of vCPUs and memory: what there is, and what it can become without a restart. */
export interface Sizes {
  readonly vcpus: number;
  readonly maxVcpus: number;
  readonly memoryMiB: number;
  readonly maxMemoryMiB: number;
}

/** `forward`: of QEMU's user network, with the port that leads to the VM. `user`: of that network, without one. `cluster`: of its cluster's. */
export type NicKind = 'forward' | 'user' | 'network' | 'bridge' | 'cluster' | 'other';

export interface VmNic {
  /** Lower case. */
  readonly mac: string;
  readonly kind: NicKind;
  /** The network's or bridge's name. */
  readonly source?: string;
  /** The running VM has it; the next start gives it. */
  readonly now: boolean;
  readonly next: boolean;
  /** It sits where it cannot be unplugged while the VM runs. */
  readonly fixed?: boolean;
}

/** One VM's hardware as its host says. */
export interface VmHardware {
  readonly running: boolean;
  /** Its memory is saved on disk: it goes on from there, so nothing of it can change before. */
  readonly saved: boolean;
  /** What the next start gives it. */
  readonly next: Sizes;
  /** What it has; absent while it does not run. */
  readonly now?: Sizes;
  /** vCPUs that the guest uses; absent: it does not run, or its agent does not say. */
  readonly onlineVcpus?: number;
  /** Of its first disk, as the guest sees it; absent: it has none that can be grown. */
  readonly diskBytes?: number;
  readonly nics: readonly VmNic[];
  /** Cards that can be added while it runs. */
  readonly freeSlots: number;
}

/** Sizes somebody asked for; what is absent stays. */
export interface HardwareWish {
  readonly vcpus?: number;
  readonly memoryMiB?: number;
  /** Whole GiB. */
  readonly diskGiB?: number;
  readonly addNic?: string;
  readonly removeNic?: string;
}

/** A change that was accepted, as its operation keeps it: enough to go on after a crash, or to undo what was done. */
export interface HardwareChange {
  readonly wish: HardwareWish;
  /** The VM may be shut down and started again for it. */
  readonly restart: boolean;
  /** A guest that does not shut down has its plug pulled. */
  readonly force: boolean;
  /** What the next start would have given it before, and what it was promised. */
  readonly before: Sizes;
  readonly flavor?: Flavor;
  /** The guest was asked to shut down for the change: it is to run again, however the change ends. */
  readonly restarting?: boolean;
  /** It failed for this reason, and what was done of it is being undone. */
  readonly undoing?: string;
  /** The disk has grown, and of the file system in the guest it is known what became. */
  readonly fileSystem?: string;
}

export type HardwareStep =
  | { readonly do: 'grow-disk'; readonly bytes: number }
  | { readonly do: 'grow-file-system' }
  | { readonly do: 'define'; readonly sizes: Sizes }
  | { readonly do: 'set-memory'; readonly memoryMiB: number }
  | { readonly do: 'set-vcpus'; readonly vcpus: number }
  | { readonly do: 'attach-nic'; readonly mac: string; readonly live: boolean }
  | { readonly do: 'detach-nic'; readonly mac: string; readonly live: boolean }
  | { readonly do: 'shutdown' }
  | { readonly do: 'start' };

const BYTES_PER_GIB = 1024 ** 3;

/** The largest sizes that may be asked for; far beyond any machine, and exact as numbers. */
export const VCPUS_MAX = 4096;
export const MEMORY_MAX_MIB = 64 * 1024 * 1024;
export const DISK_MAX_GIB = 64 * 1024;
/** Less than this boots nothing. */
export const MEMORY_MIN_MIB = 16;

/** What a definition holds for this wish: as much as it wants, and as much room above as the flavor gives. */
export function definedFor({ vcpus, memoryMiB }: HardwareWish, before: Sizes, flavor: Flavor | undefined): Sizes {
  const sizes = {
    vcpus: vcpus ?? before.vcpus,
    memoryMiB: memoryMiB ?? before.memoryMiB,
  };
  return {
    ...sizes,
    maxVcpus: vcpus === undefined ? before.maxVcpus : Math.max(sizes.vcpus, flavor?.maxVcpus ?? 0),
    maxMemoryMiB: memoryMiB === undefined ? before.maxMemoryMiB : Math.max(sizes.memoryMiB, flavor?.maxMemoryMiB ?? 0),
  };
}

/** Why the VM, as it is seen, must be started anew for this, one sentence each; empty: it need not. */
export function restartReasons(
  { vcpus, memoryMiB, addNic, removeNic }: HardwareWish,
  seen: VmHardware,
): readonly string[] {
  const { now, onlineVcpus } = seen;
  if (now === undefined) return [];
  const reasons: string[] = [];
  if (memoryMiB !== undefined && memoryMiB > now.maxMemoryMiB) {
    reasons.push(`${memoryMiB} MiB are more than the ${now.maxMemoryMiB} MiB it can have while it runs`);
  }
  if (vcpus !== undefined && vcpus > now.maxVcpus) {
    reasons.push(`${vcpus} vCPUs are more than the ${now.maxVcpus} it can have while it runs`);
  }
  if (vcpus !== undefined && vcpus < now.vcpus && onlineVcpus === undefined) {
    reasons.push('vCPUs are taken from a running VM by its guest agent, and none answers');
  }
  if (addNic !== undefined && seen.freeSlots === 0 && !hasNic(seen, addNic, 'now')) {
    reasons.push('it has no free slot for another network card while it runs');
  }
  if (removeNic !== undefined && seen.nics.some((nic) => nic.mac === removeNic && nic.now && nic.fixed === true)) {
    reasons.push(`network card ${removeNic} sits where it cannot be unplugged while it runs`);
  }
  return reasons;
}

/** Why this can never be done to the VM as it is seen; undefined: it can. */
export function impossible({ diskGiB, removeNic }: HardwareWish, seen: VmHardware): string | undefined {
  if (seen.saved) return 'its memory is saved and goes on from there at the next start; start it first';
  if (diskGiB !== undefined) {
    const { diskBytes } = seen;
    if (diskBytes === undefined) return 'it has no disk that can be grown';
    if (diskGiB * BYTES_PER_GIB < diskBytes) {
      const has = sizeText(diskBytes / BYTES_PER_GIB);
      return `its disk has ${has} GiB, and a disk is never made smaller: nobody can tell from outside what the guest still keeps behind the new end. Make a new VM with a smaller disk and copy what is needed`;
    }
  }
  if (removeNic !== undefined) {
    const nic = seen.nics.find(({ mac }) => mac === removeNic);
    if (nic === undefined) return `it has no network card ${removeNic}`;
    if (nic.kind === 'cluster') return `network card ${removeNic} is the one of its cluster`;
    if (nic.kind === 'forward') return `network card ${removeNic} is the one that the VM is reached by`;
  }
  return undefined;
}

/** The next step from what is seen towards what is wanted; undefined: it is there. */
export function nextHardwareStep(change: HardwareChange, seen: VmHardware): HardwareStep | undefined {
  const { before, flavor, undoing } = change;
  const wish = undoing === undefined ? change.wish : undoOf(change);
  const disk = undoing === undefined ? diskStep(change, seen) : undefined;
  if (disk !== undefined) return disk;
  const sizes = undoing === undefined ? definedFor(wish, before, flavor) : before;
  if (touchesSizes(wish) && !sameSizes(seen.next, sizes)) return { do: 'define', sizes };
  const nic = nicStep(wish, seen);
  if (nic !== undefined) return nic;
  if (!seen.running) return change.restarting === true ? { do: 'start' } : undefined;
  if (undoing === undefined && restartReasons(wish, seen).length > 0) return { do: 'shutdown' };
  return liveStep(wish, seen);
}

/** What takes back as much of a change as can be: a disk that has grown stays so. */
function undoOf({ before, wish }: HardwareChange): HardwareWish {
  return {
    ...(wish.vcpus !== undefined && { vcpus: before.vcpus }),
    ...(wish.memoryMiB !== undefined && { memoryMiB: before.memoryMiB }),
    ...(wish.addNic !== undefined && { removeNic: wish.addNic }),
    ...(wish.removeNic !== undefined && { addNic: wish.removeNic }),
  };
}

function diskStep({ wish, fileSystem }: HardwareChange, seen: VmHardware): HardwareStep | undefined {
  if (wish.diskGiB === undefined || fileSystem !== undefined) return undefined;
  const bytes = wish.diskGiB * BYTES_PER_GIB;
  return (seen.diskBytes ?? 0) < bytes ? { do: 'grow-disk', bytes } : { do: 'grow-file-system' };
}

function touchesSizes({ vcpus, memoryMiB }: HardwareWish): boolean {
  return vcpus !== undefined || memoryMiB !== undefined;
}

function sameSizes(a: Sizes, b: Sizes): boolean {
  return (
    a.vcpus === b.vcpus && a.maxVcpus === b.maxVcpus && a.memoryMiB === b.memoryMiB && a.maxMemoryMiB === b.maxMemoryMiB
  );
}

function hasNic({ nics }: VmHardware, mac: string, when: 'now' | 'next'): boolean {
  return nics.some((nic) => nic.mac === mac && nic[when]);
}

function nicStep({ addNic, removeNic }: HardwareWish, seen: VmHardware): HardwareStep | undefined {
  if (addNic !== undefined) {
    const live = seen.running && seen.freeSlots > 0 && !hasNic(seen, addNic, 'now');
    if (live || !hasNic(seen, addNic, 'next')) return { do: 'attach-nic', mac: addNic, live };
  }
  if (removeNic !== undefined) {
    const live = seen.nics.some((nic) => nic.mac === removeNic && nic.now && nic.fixed !== true);
    if (live || hasNic(seen, removeNic, 'next')) return { do: 'detach-nic', mac: removeNic, live };
  }
  return undefined;
}

function liveStep({ memoryMiB, vcpus }: HardwareWish, seen: VmHardware): HardwareStep | undefined {
  const { now, onlineVcpus } = seen;
  if (now === undefined) return undefined;
  if (memoryMiB !== undefined && now.memoryMiB !== memoryMiB && memoryMiB <= now.maxMemoryMiB) {
    return { do: 'set-memory', memoryMiB };
  }
  if (vcpus === undefined || vcpus > now.maxVcpus) return undefined;
  // Never taken from a running VM: its guest stops using them (a hot-unplug under emulation kills VMs).
  const isOnline = onlineVcpus === undefined || onlineVcpus === vcpus;
  return vcpus > now.vcpus || !isOnline ? { do: 'set-vcpus', vcpus } : undefined;
}

/** The VM's flavor with the amounts that are true, of those parts that the wish is about. */
export function flavorAfter(flavor: Flavor, wish: HardwareWish, seen: VmHardware): Flavor {
  const sizes = seen.now ?? seen.next;
  const seenGiB = (seen.diskBytes ?? 0) / BYTES_PER_GIB;
  return {
    ...flavor,
    ...(wish.vcpus !== undefined && { vcpus: Math.min(sizes.vcpus, seen.onlineVcpus ?? sizes.vcpus) }),
    ...(wish.memoryMiB !== undefined && { memoryMiB: sizes.memoryMiB }),
    ...(wish.diskGiB !== undefined && seenGiB >= wish.diskGiB && { diskGiB: wish.diskGiB }),
  };
}

/** The flavor that is promised while a change is under way: of each part the larger. */
export function flavorDuring(flavor: Flavor, { vcpus = 0, memoryMiB = 0, diskGiB }: HardwareWish): Flavor {
  return {
    ...flavor,
    vcpus: Math.max(flavor.vcpus, vcpus),
    memoryMiB: Math.max(flavor.memoryMiB, memoryMiB),
    ...(diskGiB !== undefined && { diskGiB: Math.max(flavor.diskGiB ?? 0, diskGiB) }),
  };
}

/** What a wish takes beyond what the VM has been promised; no part below 0. */
export function growthOf(has: Amounts, { vcpus = 0, memoryMiB = 0, diskGiB = 0 }: HardwareWish): Amounts {
  return {
    vcpus: Math.max(0, vcpus - has.vcpus),
    memoryMiB: Math.max(0, memoryMiB - has.memoryMiB),
    diskGiB: Math.max(0, diskGiB - has.diskGiB),
  };
}

/** `2 vCPUs, 512 MiB and 4 GiB of disk` */
export function wishText({ vcpus, memoryMiB, diskGiB, addNic, removeNic }: HardwareWish): string {
  const parts = [
    ...(vcpus === undefined ? [] : [vcpus === 1 ? '1 vCPU' : `${vcpus} vCPUs`]),
    ...(memoryMiB === undefined ? [] : [`${memoryMiB} MiB of memory`]),
    ...(diskGiB === undefined ? [] : [`${diskGiB} GiB of disk`]),
    ...(addNic === undefined ? [] : [`network card ${addNic}`]),
    ...(removeNic === undefined ? [] : [`no network card ${removeNic}`]),
  ];
  return parts.length < 2 ? (parts[0] ?? 'nothing') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}
