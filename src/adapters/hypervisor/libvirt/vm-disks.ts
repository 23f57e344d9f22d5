// The VMs' disks: overlays of images or empty ones, with a seed image for cloud-init, in one storage pool of the host: made,
// verified, listed and deleted. What any domain refers to is never touched. Not here: bringing images (placed-images).

import type { Image } from '../../../core/model.ts';
import type { CallOptions, LibvirtClient, StoragePool, StorageVolume } from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { VmSpec } from '../../../ports/hypervisor.ts';
import { cloudInitFiles } from '../../images/cloud-init.ts';
import { seedIso } from '../../images/seed-iso.ts';
import { type ClusterLink, clusterNetworkConfig } from './cluster-cards.ts';
import { type DomainSpec, macAddress } from './domain-xml.ts';
import type { HostPool } from './host-pool.ts';
import { lookAtImage } from './image-file.ts';
import type { PlacedImages } from './placed-images.ts';
import type { PoolVolumes } from './pool-volumes.ts';
import type { Templates } from './templates.ts';
import { isConsoleOf, readSnapshotPart, seedName, vmNameOf, volumeName } from './volume-names.ts';
import { type Backing, diskXml, fileXml, readVolume } from './volume-xml.ts';

/** Less than an empty overlay takes. */
const POOL_LEAST_BYTES = 1024 * 1024;
const GIB = 1024 ** 3;

/** What a disk is laid over, as far as it is known before. */
interface Below extends Backing {
  readonly virtualBytes?: number;
}

export class VmDisks {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;
  readonly #volumes: PoolVolumes;
  readonly #images: PlacedImages;
  readonly #templates: Templates;
  readonly #hostIsHere: boolean;
  readonly #clusterLink: ClusterLink;

  /** `hostIsHere`: paths on the host are paths of this machine too, so images can be looked at before libvirt is asked. */
  constructor(parts: {
    readonly client: LibvirtClient;
    readonly pool: HostPool;
    readonly volumes: PoolVolumes;
    readonly images: PlacedImages;
    readonly templates: Templates;
    readonly hostIsHere: boolean;
    readonly clusterLink: ClusterLink;
  }) {
    this.#client = parts.client;
    this.#pool = parts.pool;
    this.#volumes = parts.volumes;
    this.#images = parts.images;
    this.#templates = parts.templates;
    this.#hostIsHere = parts.hostIsHere;
    this.#clusterLink = parts.clusterLink;
  }

  /** The folder of the pool, where the VM's files are or would be. */
  async folder(options: CallOptions): Promise<string> {
    return this.#pool.folder(await this.#pool.need(options), options);
  }

  async create(spec: VmSpec, options: CallOptions): Promise<void> {
    const { cloudInit, image, name, networks = [], template } = spec;
    const network = clusterNetworkConfig(spec.uuid, macAddress(spec.uuid), networks, this.#clusterLink);
    const told = { instanceId: spec.uuid, ...(networks.length > 0 && { network }) };
    const seed = cloudInit && seedIso(cloudInitFiles({ ...cloudInit, ...told }));
    const pool = await this.#pool.need(options);
    await this.createAs(pool, spec, volumeName(name), seed && [seedName(name), seed], options);
    const isThere =
      template === undefined
        ? image?.content === undefined || (await this.#images.isStillThere(image.content, options))
        : await this.#templates.isStillThere(template, options);
    if (isThere) return;
    await this.remove(name, options);
    const what = template === undefined ? `image ${image?.name}` : `template ${template}`;
    throw new Fault('busy', `host ${this.#pool.host}: ${what} was being removed from the host`);
  }

  /** Makes a disk for a domain, and its seed image where it is to have one, under these names of volumes. */
  async createAs(
    pool: StoragePool,
    spec: DomainSpec,
    diskName: string,
    seed: readonly [name: string, content: Uint8Array] | undefined,
    options: CallOptions,
  ): Promise<void> {
    const { flavor, image, name, template } = spec;
    // A template's disk has the flavor's size already.
    const sizeBytes = flavor.diskGiB === undefined || template !== undefined ? undefined : flavor.diskGiB * GIB;
    if (image === undefined && template === undefined && sizeBytes === undefined) {
      const advice = 'Choose an image, or a flavor with a disk.';
      throw this.#pool.refused(`${name} has no image, and flavor ${flavor.name} no disk size`, advice);
    }
    const below =
      template === undefined
        ? image && (await this.#below(image, options))
        : await this.#templates.below(template, options);
    if (image !== undefined) this.#mustFit(sizeBytes, below?.virtualBytes, spec);
    const { availableBytes } = await this.#client.poolInfo(pool, options);
    // What an earlier try left is deleted first, so that it does not stand in its own way.
    const needBytes = POOL_LEAST_BYTES + (seed?.[1].length ?? 0);
    if (availableBytes < needBytes && !(await this.#makesRoom(pool, name, needBytes, options))) throw this.#pool.full();
    await this.#createDisk(pool, spec, diskName, below, sizeBytes, options);
    if (seed !== undefined) await this.#createSeed(pool, ...seed, options);
  }

  async #makesRoom(pool: StoragePool, vmName: string, needBytes: number, options: CallOptions): Promise<boolean> {
    await this.remove(vmName, options);
    await this.#pool.refreshIfPossible(pool, options);
    return (await this.#client.poolInfo(pool, options)).availableBytes >= needBytes;
  }

  /** @throws Fault `refused` for an image that is not there, or is not what it should be. */
  async #below(image: Image, options: CallOptions): Promise<Below> {
    const { content, format, name, path } = image;
    if (content !== undefined) {
      const placed = await this.#images.pathOf(content, options);
      if (placed !== undefined) return { path: placed, format, virtualBytes: content.virtualBytes };
      throw this.#pool.refused(
        `image ${name} (${content.sha256}) is not on this host`,
        'It is brought with the next VM; if not, look at the events of the image.',
      );
    }
    if (path === undefined) throw this.#pool.refused(`image ${name} is nowhere`, 'Give it a path, or import it.');
    const look = this.#hostIsHere ? await lookAtImage(path, format) : {};
    if ('problem' in look) throw this.#pool.refused(`image ${name}: ${look.problem}`, look.advice);
    return { path, format, ...look };
  }

  #mustFit(sizeBytes: number | undefined, leastBytes: number | undefined, { flavor, image }: DomainSpec): void {
    if (sizeBytes === undefined || leastBytes === undefined || sizeBytes >= leastBytes) return;
    const least = `${Math.ceil((leastBytes / GIB) * 100) / 100} GiB`;
    throw this.#pool.refused(
      `the disk of flavor ${flavor.name} has ${flavor.diskGiB} GiB, and image ${image?.name} needs ${least}`,
      'Choose a flavor with a larger disk, or one without a size of its own.',
    );
  }

  async #createDisk(
    pool: StoragePool,
    spec: DomainSpec,
    name: string,
    below: Below | undefined,
    sizeBytes: number | undefined,
    options: CallOptions,
  ): Promise<void> {
    // Where nobody could say how large the image is, the overlay tells: it begins as large as that.
    const isKnown = below === undefined || below.virtualBytes !== undefined;
    const xml = diskXml(name, below, isKnown ? sizeBytes : undefined);
    const volume = await this.#volumes.replace(pool, name, xml, options);
    try {
      const capacityBytes = await this.#verify(volume, below, options);
      if (sizeBytes === undefined || capacityBytes === sizeBytes) return;
      this.#mustFit(sizeBytes, capacityBytes, spec);
      await this.#client.resizeVolume(volume, sizeBytes, 0, options);
    } catch (error) {
      if (error instanceof Fault) await this.#volumes.delete(volume, options);
      throw error;
    }
  }

  /** What a crash of libvirtd leaves half-made is listed as if it were good: only what says all it should say, is. */
  async #verify(volume: StorageVolume, below: Below | undefined, options: CallOptions): Promise<number> {
    const found = readVolume(await this.#client.volumeXml(volume, 0, options));
    const good =
      found.format === 'qcow2' &&
      found.backingPath === below?.path &&
      found.backingFormat === below?.format &&
      found.capacityBytes >= (below?.virtualBytes ?? 1);
    if (good) return found.capacityBytes;
    const on = below === undefined ? 'the empty disk' : `the overlay of ${below.path}`;
    throw this.#pool.refused(
      `${on} came out wrong (${found.format} of ${found.capacityBytes} bytes on ${found.backingPath})`,
      'Look at the image with `qemu-img check`.',
    );
  }

  async #createSeed(pool: StoragePool, name: string, seed: Uint8Array, options: CallOptions): Promise<void> {
    const volume = await this.#volumes.replace(pool, name, fileXml(name, seed.length), options);
    await this.#client.uploadVolume(volume, { length: seed.length }, once(seed), options);
  }

  /** The disk with the layers and memories of its snapshots, the seed image, and what the guest wrote to its console. */
  async remove(vmName: string, options: CallOptions): Promise<void> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined) return;
    const ours = (volume: StorageVolume): boolean =>
      [volumeName(vmName), seedName(vmName)].includes(volume.name) ||
      isConsoleOf(volume.name, vmName) ||
      readSnapshotPart(volume.name)?.vmName === vmName;
    let volumes = (await this.#client.listVolumes(pool, options)).filter(ours);
    if (!volumes.some(({ name }) => isConsoleOf(name, vmName))) {
      // QEMU made the log behind libvirt's back.
      await this.#pool.refreshIfPossible(pool, options);
      volumes = (await this.#client.listVolumes(pool, options)).filter(ours);
    }
    await this.#volumes.deleteUnused(volumes, options);
  }

  async list(options: CallOptions): Promise<readonly string[]> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined) return [];
    await this.#client.refreshPool(pool, options);
    const volumes = await this.#client.listVolumes(pool, options);
    const names = volumes.flatMap(({ name }) => vmNameOf(name) ?? readSnapshotPart(name)?.vmName ?? []);
    return [...new Set(names)].sort();
  }
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
