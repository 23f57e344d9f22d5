// Images that virtscale brings to a host: uploaded into its pool, checked, listed, removed when nothing refers to them.
// Not here: joining several calls for one image (image-transfers), overlays (vm-disks).
//
// libvirt answers OK to a short upload, cannot rename a volume, and its clone runs qemu-img over what it takes for qcow2 (after an
// upload it looks at the content, whatever format was said), which writes other bytes and, cut off, looks finished. So:
//   1. each try has a volume of its own, `vs-image-<16 hex of the checksum>.<try>.base`. Two daemons, or one that was killed and its
//      successor, never write into the same file.
//   2. its length is counted, its checksum taken from what was sent, its length on the host and its head and tail read back.
//   3. only then a marker is made, an empty volume whose name says checksum, length and try. Making a file is all or nothing, so there
//      is no half a marker; libvirt syncs it. A volume without a marker is no image: whatever dies at any moment before leaves just that,
//      and it is deleted after the next success. A marker whose volume is gone, or shorter, or has lost blocks on disk, is none.
// The last is for a host that loses its power before the kernel has written the image out: its file is then long enough, but not all of
// it is there. A file system that compresses hides that; there the seconds after an upload stay a risk.

import { createHash, randomBytes } from 'node:crypto';
import type { Image, ImageContent } from '../../../core/model.ts';
import {
  type CallOptions,
  ErrorCode,
  isLibvirtError,
  type LibvirtClient,
  type StoragePool,
  type StorageVolume,
  StreamLengthError,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { ImageReader, PlacedImage } from '../../../ports/hypervisor.ts';
import type { HostPool } from './host-pool.ts';
import { userOfVolumes } from './image-users.ts';
import { inBatches } from './in-batches.ts';
import type { PoolVolumes } from './pool-volumes.ts';
import { baseName, type ImageTry, isBaseOf, markerName, readMarker } from './volume-names.ts';
import { fileXml, readVolume, type VolumeFacts } from './volume-xml.ts';

/** Read back from each end of what was uploaded. */
const SAMPLE_BYTES = 65_536;
/** Left free beside an image, for the file system and other disks. */
const SPARE_BYTES = 16 * 1024 * 1024;
/** For deleting what was begun, when the caller's own time is over. */
const CLEAN_UP_MS = 5000;

type PlaceableImage = Image & { readonly content: ImageContent };

/** An image that lies in the pool, whole when it was looked at. */
interface Found {
  readonly marker: StorageVolume;
  readonly base: StorageVolume;
}

/** What was sent, as it went by. */
interface Sent {
  sha256: string;
  head: Buffer;
  tail: Buffer;
}

export class PlacedImages {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;
  readonly #volumes: PoolVolumes;
  /** By checksum. Whole when it was found; that it is still there is asked each time. */
  readonly #found = new Map<string, Found>();

  constructor(client: LibvirtClient, pool: HostPool, volumes: PoolVolumes) {
    this.#client = client;
    this.#pool = pool;
    this.#volumes = volumes;
  }

  /** Path of the image on the host; undefined when it is not there, or not whole. */
  async pathOf(content: ImageContent, options: CallOptions): Promise<string | undefined> {
    const pool = await this.#pool.need(options);
    const found = await this.#find(pool, content, options);
    return found && this.#client.volumePath(found.base, options);
  }

  /** Asked after something was made that refers to it: whoever removes it looks for such things after the marker is gone. */
  async isStillThere({ sha256 }: ImageContent, options: CallOptions): Promise<boolean> {
    const found = this.#found.get(sha256);
    if (found === undefined) return false;
    const pool = await this.#pool.need(options);
    return (await this.#volumes.find(pool, found.marker.name, options)) !== undefined;
  }

  async list(options: CallOptions): Promise<readonly PlacedImage[]> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined) return [];
    await this.#pool.refreshIfPossible(pool, options);
    const volumes = await this.#client.listVolumes(pool, options);
    const tries = volumes.flatMap(({ name }) => readMarker(name) ?? []);
    const whole = await inBatches(tries, async (each) => {
      const found = await this.#wholeOf(volumes, each, options);
      return found && { sha256: each.sha256, fileBytes: each.fileBytes };
    });
    const images = new Map(whole.flatMap((image) => (image ? [[image.sha256, image]] : [])));
    return [...images.values()].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
  }

  // --- bringing -----------------------------------------------------------------------------------------------------

  /** Sees to it that the image is there. `onBytes` tells how many have been sent. */
  async place(
    image: PlaceableImage,
    read: ImageReader,
    onBytes: (bytes: number) => void,
    options: CallOptions & { readonly signal: AbortSignal },
  ): Promise<void> {
    const { content } = image;
    const pool = await this.#pool.need(options);
    if (await this.#find(pool, content, options)) return;
    // On storage that several hosts share, another may have brought it.
    await this.#pool.refreshIfPossible(pool, options);
    if (await this.#find(pool, content, options)) return;
    await this.#needRoom(pool, content, options);
    const id = randomBytes(4).toString('hex');
    const xml = fileXml(baseName(content.sha256, id), content.fileBytes);
    const base = await this.#client.createVolume(pool, xml, 0, options);
    try {
      const facts = await this.#upload(image, base, read, onBytes, options);
      // A file system that stores less than the bytes it was given compresses: then less on disk means nothing.
      const allocatedBytes = facts.allocationBytes >= content.fileBytes ? content.fileBytes : 0;
      const { fileBytes, sha256 } = content;
      const marker = fileXml(markerName({ sha256, fileBytes, allocatedBytes, id }), 0);
      await this.#client.createVolume(pool, marker, 0, options);
    } catch (error) {
      await this.#delete([base]);
      // Somebody else brought it meanwhile, and took our half-done volume for a leftover.
      const isGone = isLibvirtError(error, ErrorCode.NO_STORAGE_VOL);
      if (isGone && (await this.#find(pool, content, options))) return;
      throw error;
    }
    if (!(await this.#find(pool, content, options))) {
      throw new Fault('busy', `host ${this.#pool.host}: image ${image.name} was removed while it was being brought`);
    }
    await this.#deleteLeftovers(pool, content.sha256);
  }

  async #needRoom(pool: StoragePool, { fileBytes, sha256 }: ImageContent, options: CallOptions): Promise<void> {
    const isEnough = async (): Promise<boolean> =>
      (await this.#client.poolInfo(pool, options)).availableBytes >= fileBytes + SPARE_BYTES;
    if (await isEnough()) return;
    await this.#deleteLeftovers(pool, sha256);
    await this.#pool.refreshIfPossible(pool, options);
    if (!(await isEnough())) throw this.#pool.full();
  }

  /** @throws Fault `refused` when other bytes came than those of the image. */
  async #upload(
    { content, name }: PlaceableImage,
    base: StorageVolume,
    read: ImageReader,
    onBytes: (bytes: number) => void,
    options: CallOptions & { readonly signal: AbortSignal },
  ): Promise<VolumeFacts> {
    const { fileBytes, sha256 } = content;
    const sent: Sent = { sha256: '', head: Buffer.alloc(0), tail: Buffer.alloc(0) };
    const bytes = watched(read(options.signal), sent, onBytes);
    try {
      await this.#client.uploadVolume(base, { length: fileBytes }, bytes, options);
    } catch (error) {
      if (!(error instanceof StreamLengthError)) throw error;
      throw this.#pool.refused(`image ${name}: ${error.message}`, 'Import the image again.');
    }
    if (sent.sha256 !== sha256) {
      throw this.#pool.refused(`image ${name}: its checksum is ${sent.sha256}, not ${sha256}`, 'Import it again.');
    }
    const facts = readVolume(await this.#client.volumeXml(base, 0, options));
    const [head, tail] = await Promise.all([
      this.#volumes.read(base, 0, sent.head.length, options),
      this.#volumes.read(base, fileBytes - sent.tail.length, sent.tail.length, options),
    ]);
    if (facts.physicalBytes === fileBytes && head.equals(sent.head) && tail.equals(sent.tail)) return facts;
    const message = `host ${this.#pool.host}: image ${name}: not all of it lies on the host (${facts.physicalBytes} of ${fileBytes} bytes)`;
    throw new Fault('busy', message);
  }

  // --- finding ------------------------------------------------------------------------------------------------------

  async #find(pool: StoragePool, content: ImageContent, options: CallOptions): Promise<Found | undefined> {
    const known = this.#found.get(content.sha256);
    if (known !== undefined) {
      const parts = [known.marker, known.base].map(({ name }) => this.#volumes.find(pool, name, options));
      if ((await Promise.all(parts)).every((volume) => volume !== undefined)) return known;
      this.#found.delete(content.sha256);
    }
    const volumes = await this.#client.listVolumes(pool, options);
    for (const each of triesOf(volumes, content.sha256)) {
      if (each.fileBytes !== content.fileBytes) continue;
      const found = await this.#wholeOf(volumes, each, options);
      if (found === undefined) continue;
      this.#found.set(content.sha256, found);
      return found;
    }
    return undefined;
  }

  /** The volumes of a try that has a marker, if all of it lies there. */
  async #wholeOf(volumes: readonly StorageVolume[], each: ImageTry, options: CallOptions): Promise<Found | undefined> {
    const marker = volumes.find(({ name }) => name === markerName(each));
    const base = volumes.find(({ name }) => name === baseName(each.sha256, each.id));
    if (marker === undefined || base === undefined) return undefined;
    try {
      const { allocationBytes, physicalBytes } = readVolume(await this.#client.volumeXml(base, 0, options));
      const isWhole = physicalBytes === each.fileBytes && allocationBytes >= each.allocatedBytes;
      return isWhole ? { marker, base } : undefined;
    } catch (error) {
      // Gone, or deleted behind libvirt's back.
      if (isLibvirtError(error)) return undefined;
      throw error;
    }
  }

  // --- removing -----------------------------------------------------------------------------------------------------

  async remove(sha256: string, options: CallOptions): Promise<void> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined) return;
    await this.#pool.refreshIfPossible(pool, options);
    const volumes = await this.#client.listVolumes(pool, options);
    const bases = volumes.filter(({ name }) => isBaseOf(name, sha256));
    await this.#mustBeUnused(pool, sha256, bases, options);
    const markers = volumes.filter(({ name }) => readMarker(name)?.sha256 === sha256);
    for (const marker of markers) await this.#volumes.delete(marker, options);
    this.#found.delete(sha256);
    try {
      // An overlay made since the first look: its maker either saw the marker gone, or is seen here.
      await this.#mustBeUnused(pool, sha256, bases, options);
    } catch (error) {
      for (const { name } of markers) await this.#client.createVolume(pool, fileXml(name, 0), 0, options);
      throw error;
    }
    for (const base of bases) await this.#volumes.delete(base, options);
  }

  /** @throws Fault `conflict` when a disk in the pool, or a domain, refers to one of them. */
  async #mustBeUnused(
    pool: StoragePool,
    sha256: string,
    bases: readonly StorageVolume[],
    options: CallOptions,
  ): Promise<void> {
    const user = await userOfVolumes(this.#client, pool, bases, options);
    if (user === undefined) return;
    throw new Fault('conflict', `host ${this.#pool.host}: image ${sha256} is in use by ${user}`, {
      advice: 'Delete the VMs that were made from it first.',
    });
  }

  /** Volumes of that image that no marker stands for, and damaged ones with theirs, as far as nothing refers to them. Never throws. */
  async #deleteLeftovers(pool: StoragePool, sha256: string): Promise<void> {
    const options = { timeoutMs: CLEAN_UP_MS };
    try {
      const volumes = await this.#client.listVolumes(pool, options);
      const whole = new Set<string>();
      for (const each of triesOf(volumes, sha256)) {
        const marker = volumes.find(({ name }) => name === markerName(each));
        if (await this.#wholeOf(volumes, each, options)) whole.add(baseName(sha256, each.id));
        else if (marker !== undefined) await this.#delete([marker]);
      }
      const left = volumes.filter(({ name }) => isBaseOf(name, sha256) && !whole.has(name));
      for (const base of left) {
        if ((await userOfVolumes(this.#client, pool, [base], options)) === undefined) await this.#delete([base]);
      }
    } catch {
      // The next success, or the removal of the image, tries again.
    }
  }

  /** Best effort, for what must not hold up or hide what happened. */
  async #delete(volumes: readonly StorageVolume[]): Promise<void> {
    for (const volume of volumes) {
      await this.#client.deleteVolume(volume, 0, { timeoutMs: CLEAN_UP_MS }).catch(() => undefined);
    }
  }
}

/** Tries that have a marker. */
function triesOf(volumes: readonly StorageVolume[], sha256: string): readonly ImageTry[] {
  return volumes
    .flatMap(({ name }) => readMarker(name) ?? [])
    .filter((each) => each.sha256 === sha256)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Passes bytes on, and keeps what is needed to check them. */
async function* watched(
  bytes: AsyncIterable<Uint8Array>,
  sent: Sent,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const chunk of bytes) {
    hash.update(chunk);
    const missing = SAMPLE_BYTES - sent.head.length;
    if (missing > 0) sent.head = Buffer.concat([sent.head, chunk.subarray(0, missing)]);
    // A copy: the source may use its buffer again.
    sent.tail = Buffer.concat([sent.tail, chunk.subarray(-SAMPLE_BYTES)]).subarray(-SAMPLE_BYTES);
    yield chunk;
    count += chunk.length;
    onBytes(count);
  }
  sent.sha256 = hash.digest('hex');
}
