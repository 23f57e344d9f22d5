// What every host has left for VMs: all it may promise, what is promised, what is really free. Claims are taken from it one after
// the other. Not here: which host a VM may go to (obstacles), which of those it goes to (place).

import type {
  Amounts,
  Flavor,
  HostName,
  HostTraits,
  HostView,
  Image,
  ImageContent,
  PlacementName,
  Snapshot,
  VmRecord,
  VmView,
} from '../model.ts';

/**
 * A host of which the configuration says nothing. Four vCPUs on a CPU: most guests idle most of the time. Memory and disk only
 * once: when they run out, guests die.
 */
export const DEFAULT_TRAITS: HostTraits = {
  index: 0,
  labels: {},
  overcommit: { cpus: 4, memory: 1, disk: 1 },
  reserved: { vcpus: 0, memoryMiB: 0, diskGiB: 0 },
};

/** What one VM takes of a host. */
export interface Need extends Amounts {
  /** Brought to the host with the first VM that is made from it. */
  readonly image?: ImageContent;
}

/** A VM in a room: one that has a record, or a claim that will have one. */
export interface RoomVm {
  /** Absent on a claim. */
  readonly id?: number;
  readonly group?: string;
  readonly operation: string;
}

export interface Room {
  readonly host: HostName;
  /** Its place among all hosts, from 0, in the order of the configuration. */
  readonly index: number;
  /** Why it takes no VM now, in words for people; absent when it does. */
  readonly closed?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What its hypervisor did not tell, in words for people; absent when it told everything. */
  readonly unknown?: string;
  /** All that may be promised: capacity less what is reserved, times overcommit. */
  readonly total: Amounts;
  /** What is promised of it: to our VMs from the intent until the record is gone, to others' domains while they run. */
  readonly promised: Amounts;
  /** Really free, less what VMs being launched will take: a guest has not touched its memory yet. */
  readonly memoryFreeMiB: number;
  /** Really free, less the images that are still to come. */
  readonly diskFreeGiB: number;
  /** Images (sha256) that lie there, or are on their way. */
  readonly images: ReadonlySet<string>;
  readonly vms: readonly RoomVm[];
  /** Of its CPUs in use, 0–1; absent while nobody knows. */
  readonly cpuRatio?: number;
}

/** Immutable: whoever places next is given the rooms that the one before has left. */
export interface Rooms {
  /** In the order of the configuration: `all[room.index]` is the room. */
  readonly all: readonly Room[];
  readonly index: ReadonlyMap<HostName, number>;
  /** The algorithm for requests and policies that name none. Absent: DEFAULT_PLACEMENT. */
  readonly placement?: PlacementName;
  /** The host that took a VM last. */
  readonly lastHost?: HostName;
}

const BYTES_PER_GIB = 1024 ** 3;
const BYTES_PER_MIB = 1024 ** 2;
const MIB_PER_GIB = 1024;

/** Disk: the flavor's; else the image's, rounded up to MiB (so that sums are exact); else 0: nobody knows. */
export function needOf(flavor: Flavor, image?: Image): Need {
  const content = image?.content;
  const imageGiB = content === undefined ? 0 : Math.ceil(content.virtualBytes / BYTES_PER_MIB) / MIB_PER_GIB;
  return {
    vcpus: flavor.vcpus,
    memoryMiB: flavor.memoryMiB,
    diskGiB: flavor.diskGiB ?? imageGiB,
    ...(content !== undefined && { image: content }),
  };
}

export function roomsOf(snapshot: Snapshot): Rooms {
  const used = new Map<HostName, Usage>(snapshot.hosts.map((host) => [host.name, new Usage()]));
  for (const view of snapshot.vms) {
    used.get(view.record.host)?.addVm(view);
    // Until it is certain where it is, it counts on both.
    if (view.record.moving !== undefined) used.get(view.record.moving.to)?.addVm(view);
  }
  const hosts = inOrder(snapshot.hosts);
  const all = hosts.map((host, index) => roomOf(host, index, used.get(host.name) ?? new Usage()));
  return {
    all,
    index: new Map(all.map((room) => [room.host, room.index])),
    ...(snapshot.placement !== undefined && { placement: snapshot.placement }),
    ...(snapshot.lastHost !== undefined && { lastHost: snapshot.lastHost }),
  };
}

/** The room after one more VM has been promised to it. `set`: its group, or the operation that brings it. */
export function withClaim(room: Room, need: Need, set: string): Room {
  const { promised, images, vms } = room;
  const { image } = need;
  return {
    ...room,
    promised: {
      vcpus: promised.vcpus + need.vcpus,
      memoryMiB: promised.memoryMiB + need.memoryMiB,
      diskGiB: promised.diskGiB + need.diskGiB,
    },
    memoryFreeMiB: room.memoryFreeMiB - need.memoryMiB,
    diskFreeGiB: room.diskFreeGiB - imageGiB(room, need),
    images: image === undefined || images.has(image.sha256) ? images : new Set(images).add(image.sha256),
    vms: [...vms, { operation: set }],
  };
}

/** GiB that the VM's image will take on the host: nothing when it is there already. */
export function imageGiB(room: Pick<Room, 'images'>, { image }: Need): number {
  return image === undefined || room.images.has(image.sha256) ? 0 : image.fileBytes / BYTES_PER_GIB;
}

/** All that a host of this capacity may promise. */
export function totalOf({ last, traits = DEFAULT_TRAITS }: HostView): Amounts {
  const { cpus = 0, memoryMiB = 0, diskGiB = 0 } = last?.capacity ?? {};
  const { overcommit, reserved } = traits;
  const times = (amount: number, kept: number, ratio: number) => Math.max(0, amount - kept) * ratio;
  return {
    vcpus: times(cpus, reserved.vcpus, overcommit.cpus),
    memoryMiB: times(memoryMiB, reserved.memoryMiB, overcommit.memory),
    diskGiB: times(diskGiB, reserved.diskGiB, overcommit.disk),
  };
}

/** Which capacities a host that has answered did not tell. libvirt gives 0 for what it does not know. */
export function unknownOf({ last }: HostView): string | undefined {
  if (last === undefined) return undefined;
  const { cpus, memoryMiB, diskGiB } = last.capacity;
  const missing = [
    ...(cpus > 0 ? [] : ['how many CPUs it has']),
    ...(memoryMiB > 0 ? [] : ['how much memory it has']),
    ...(diskGiB > 0 ? [] : ['a storage pool for the disks']),
  ];
  return missing.length === 0 ? undefined : `it does not tell ${missing.join(', ')}`;
}

/** Sums up what is promised on one host. */
class Usage {
  vcpus = 0;
  memoryMiB = 0;
  diskGiB = 0;
  launchingMiB = 0;
  readonly vms: VmRecord[] = [];
  images: Set<string> | undefined;
  coming: Map<string, ImageContent> | undefined;

  addVm({ record, domain }: VmView): void {
    const { flavor, image } = record;
    this.vms.push(record);
    const memoryMiB = flavor?.memoryMiB ?? domain?.memoryMiB ?? 0;
    this.vcpus += flavor?.vcpus ?? domain?.vcpus ?? 0;
    this.memoryMiB += memoryMiB;
    if (flavor !== undefined) this.diskGiB += needOf(flavor, image).diskGiB;
    if (record.phase === 'launching') this.launchingMiB += memoryMiB;
    if (image?.content !== undefined) this.#addImage(record, image.content);
  }

  #addImage({ phase, step }: VmRecord, content: ImageContent): void {
    // One that is removed may have failed before its image was there.
    if (phase === 'removing') return;
    if (phase === 'launching' && step === 'intended') {
      this.coming ??= new Map();
      this.coming.set(content.sha256, content);
    } else {
      this.images ??= new Set();
      this.images.add(content.sha256);
    }
  }
}

const NO_IMAGES: ReadonlySet<string> = new Set();

function roomOf(host: HostView, index: number, used: Usage): Room {
  const { last, traits = DEFAULT_TRAITS } = host;
  const ours = new Set(used.vms.map(({ uuid }) => uuid));
  for (const domain of last?.domains ?? []) {
    if (domain.state === 'stopped' || ours.has(domain.uuid)) continue;
    used.vcpus += domain.vcpus;
    used.memoryMiB += domain.memoryMiB;
  }
  let comingGiB = 0;
  for (const content of used.coming?.values() ?? []) {
    if (used.images?.has(content.sha256)) continue;
    comingGiB += content.fileBytes / BYTES_PER_GIB;
    used.images ??= new Set();
    used.images.add(content.sha256);
  }
  const [closed, unknown, cpuRatio] = [closedReason(host), unknownOf(host), last?.capacity.cpuRatio];
  return {
    host: host.name,
    index,
    labels: traits.labels,
    total: totalOf(host),
    promised: { vcpus: used.vcpus, memoryMiB: used.memoryMiB, diskGiB: used.diskGiB },
    memoryFreeMiB: (last?.capacity.memoryFreeMiB ?? 0) - used.launchingMiB,
    diskFreeGiB: (last?.capacity.diskFreeGiB ?? 0) - comingGiB,
    images: used.images ?? NO_IMAGES,
    vms: used.vms,
    ...(closed !== undefined && { closed }),
    ...(unknown !== undefined && { unknown }),
    ...(cpuRatio !== undefined && { cpuRatio }),
  };
}

function closedReason({ state, reason, traits }: HostView): string | undefined {
  if (state !== 'up') return `not up: ${reason ?? 'it has not answered yet'}`;
  return traits?.cordoned === undefined ? undefined : `cordoned: ${traits.cordoned}`;
}

/** In the order of the configuration; by name where that says nothing. */
function inOrder(hosts: readonly HostView[]): readonly HostView[] {
  const compare = (a: HostView, b: HostView) =>
    (a.traits?.index ?? 0) - (b.traits?.index ?? 0) || (a.name < b.name ? -1 : 1);
  return hosts.toSorted(compare);
}
