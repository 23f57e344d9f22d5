// The storage pool of a simulated machine: images that lie there, images that were brought, and the VMs' disks.
// Each act throws what libvirt would answer. Not here: which domains use a disk (memory-domains).

import type { CloudInit, Image, ImageContent } from '../../../core/model.ts';
import { Fault } from '../../../ports/fault.ts';
import type { PlacedImage, VmSpec } from '../../../ports/hypervisor.ts';
import type { MemoryNotes } from './memory-notes.ts';

/** What `createDisk` made for a VM, as it really is. */
export interface MemoryDisk {
  readonly vmName: string;
  /** False: an interrupted clone. Nobody can see that from outside; to boot from it is a violation. */
  readonly complete: boolean;
  /** The template it was forked from. */
  readonly template?: string;
  /** Path or checksum of the image below; absent: an empty disk. */
  readonly image?: string;
  readonly diskGiB?: number;
  readonly cloudInit?: CloudInit;
}

export interface MemoryPoolOptions {
  readonly host: string;
  readonly diskGiB: number;
  readonly notes: MemoryNotes;
  /** The domain that refers to the disk of that VM name. */
  readonly userOf: (vmName: string) => { readonly name: string; readonly uuid: string } | undefined;
}

interface ImageFile {
  readonly state: 'good' | 'absent' | 'corrupt';
  readonly virtualBytes: number;
}

const GIB = 1024 ** 3;
const GIB_PER_DISK = 0.1;

export class MemoryPool {
  readonly #options: MemoryPoolOptions;
  readonly #disks = new Map<string, MemoryDisk>();
  readonly #files = new Map<string, ImageFile>();
  readonly #placed = new Map<string, ImageContent>();

  constructor(options: MemoryPoolOptions) {
    this.#options = options;
  }

  freeGiB(): number {
    let usedGiB = this.#disks.size * GIB_PER_DISK;
    for (const { fileBytes } of this.#placed.values()) usedGiB += fileBytes / GIB;
    return Math.max(0, this.#options.diskGiB - usedGiB);
  }

  // --- images -----------------------------------------------------------------------------------------------------

  setFile(path: string, state: ImageFile['state'], virtualBytes: number): void {
    this.#files.set(path, { state, virtualBytes });
  }

  isPlaced(sha256: string): boolean {
    return this.#placed.has(sha256);
  }

  /** All its bytes have come and were right. */
  finishImage(content: ImageContent, full: boolean): void {
    if (full || content.fileBytes / GIB > this.freeGiB()) throw this.#full();
    this.#placed.set(content.sha256, content);
  }

  images(): PlacedImage[] {
    return [...this.#placed.values()]
      .map(({ fileBytes, sha256 }) => ({ sha256, fileBytes }))
      .sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
  }

  dropImage(sha256: string): void {
    const disk = [...this.#disks.values()].find(({ image }) => image === sha256);
    if (disk !== undefined) {
      this.#options.notes.refuse(`removeImage ${sha256}: the disk of ${disk.vmName} refers to it`);
      throw new Fault('conflict', `host ${this.#options.host}: image ${sha256} is used by the disk of ${disk.vmName}`);
    }
    this.#placed.delete(sha256);
  }

  /** A VM whose disk lies on that of the template. */
  userOfTemplate(key: string): string | undefined {
    return [...this.#disks.values()].find(({ template }) => template === key)?.vmName;
  }

  // --- disks ------------------------------------------------------------------------------------------------------

  makeDisk(spec: VmSpec, full: boolean): void {
    const { cloudInit, flavor, image, name, template } = spec;
    this.#mustBeUnused('createDisk', name);
    if (image === undefined && flavor.diskGiB === undefined) {
      throw this.#refused(`flavor ${flavor.name} has no disk, and ${name} no image`, 'Give the flavor a disk.');
    }
    const below = image && this.#lookAtImage(image);
    const leastGiB = (below?.virtualBytes ?? 0) / GIB;
    if (flavor.diskGiB !== undefined && flavor.diskGiB < leastGiB) {
      const what = `flavor ${flavor.name} has a disk of ${flavor.diskGiB} GiB, and image ${image?.name} is of ${leastGiB} GiB`;
      throw this.#refused(what, 'Choose a flavor with a larger disk.');
    }
    if (full || this.freeGiB() <= 0) throw this.#full();
    this.#disks.set(name, {
      vmName: name,
      complete: true,
      ...(template !== undefined && { template }),
      ...(below && { image: below.file }),
      ...(flavor.diskGiB === undefined ? {} : { diskGiB: flavor.diskGiB }),
      ...(cloudInit && { cloudInit }),
    });
  }

  /** For a guest that comes from another host. */
  makeMoved(vmName: string, sha256: string | undefined, cloudInit: CloudInit | undefined, full: boolean): void {
    this.#mustBeUnused('prepare', vmName);
    if (sha256 !== undefined && !this.#placed.has(sha256)) {
      throw this.#refused(`the image below ${vmName} (${sha256}) is not on this host`, 'Place the image first.');
    }
    if (full || this.freeGiB() <= 0) throw this.#full();
    const below = sha256 === undefined ? {} : { image: sha256 };
    this.#disks.set(vmName, { vmName, complete: true, ...below, ...(cloudInit && { cloudInit }) });
  }

  #lookAtImage(image: Image): { readonly file: string; readonly virtualBytes: number } {
    const { content, name, path } = image;
    if (content !== undefined) {
      if (!this.#placed.has(content.sha256)) {
        throw this.#refused(`image ${name} (${content.sha256}) is not on this host`, 'Place the image first.');
      }
      return { file: content.sha256, virtualBytes: content.virtualBytes };
    }
    const file = path === undefined ? undefined : this.#files.get(path);
    if (path === undefined || (file !== undefined && file.state !== 'good')) {
      throw this.#refused(`image ${name} (${path}) is ${file?.state ?? 'absent'}`, 'Look at the image.');
    }
    return { file: path, virtualBytes: file?.virtualBytes ?? 0 };
  }

  /** What an interrupted clone leaves: a disk that is listed as if it were good. */
  leaveHalfMade(vmName: string): void {
    this.#disks.set(vmName, { vmName, complete: false });
  }

  dropDisk(vmName: string): void {
    this.#mustBeUnused('deleteDisk', vmName);
    this.#disks.delete(vmName);
  }

  disk(vmName: string): MemoryDisk | undefined {
    return this.#disks.get(vmName);
  }

  diskNames(): string[] {
    return [...this.#disks.keys()].sort();
  }

  #mustBeUnused(call: string, vmName: string): void {
    const user = this.#options.userOf(vmName);
    if (user === undefined) return;
    this.#options.notes.refuse(`${call} ${vmName}: domain ${user.name} (${user.uuid}) refers to it`);
    throw new Fault('conflict', `host ${this.#options.host}: disk of ${vmName} is used by domain ${user.name}`);
  }

  #full(): Fault {
    return this.#refused('no space left in the pool', 'Free space in the storage pool.');
  }

  #refused(what: string, advice: string): Fault {
    return new Fault('refused', `host ${this.#options.host}: ${what}`, { advice });
  }
}
