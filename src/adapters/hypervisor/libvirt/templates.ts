// Templates that lie in a pool: found, listed, laid under disks, removed. Not here: making one (template-maker), forking (forks).
//
// A template is a frozen disk and the memory that a guest had over it, each try with files of its own, and a marker, an empty volume
// whose name says how long the memory is. Making a file is all or nothing, so there is no half a marker; without one there is no
// template, whatever else lies there, and one whose memory is shorter or has lost blocks is none either (as placed-images does).

import {
  type CallOptions,
  isLibvirtError,
  type LibvirtClient,
  type StoragePool,
  type StorageVolume,
} from '../../../libvirt/index.ts';
import { Fault } from '../../../ports/fault.ts';
import type { SavedTemplate } from '../../../ports/hypervisor.ts';
import type { HostPool } from './host-pool.ts';
import { userOfVolumes } from './image-users.ts';
import { inBatches } from './in-batches.ts';
import type { PoolVolumes } from './pool-volumes.ts';
import { readSavedMemory, type SavedMemory } from './saved-memory.ts';
import {
  readTemplateMarker,
  readTemplatePart,
  type TemplateTry,
  templateMarker,
  templatePart,
} from './volume-names.ts';
import { type Backing, readVolume } from './volume-xml.ts';

/** More than the head of a file of saved memory has as a rule. */
const HEAD_FIRST_BYTES = 128 * 1024;
const CLEAN_UP_MS = 5000;

/** A template that is there, whole when it was looked at. */
export interface FoundTemplate {
  readonly its: TemplateTry;
  readonly marker: StorageVolume;
  readonly memory: StorageVolume;
  readonly memoryPath: string;
  readonly disk: StorageVolume;
  readonly diskPath: string;
  readonly diskBytes: number;
  readonly virtualBytes: number;
}

export class Templates {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;
  readonly #volumes: PoolVolumes;
  /** By key. Whole when it was found; that its files are still there is asked each time. */
  readonly #found = new Map<string, FoundTemplate>();
  /** By try. */
  readonly #heads = new Map<string, SavedMemory>();
  /** Tries that are under way here. */
  readonly #making = new Set<string>();
  /** Keys of removed templates whose disks others still lie over. */
  readonly #orphans = new Set<string>();
  #hasListed = false;

  constructor(client: LibvirtClient, pool: HostPool, volumes: PoolVolumes) {
    this.#client = client;
    this.#pool = pool;
    this.#volumes = volumes;
  }

  async find(key: string, options: CallOptions): Promise<FoundTemplate | undefined> {
    const pool = await this.#pool.need(options);
    const known = this.#found.get(key);
    if (known !== undefined) {
      const parts = [known.marker, known.memory, known.disk];
      const there = await Promise.all(parts.map(({ name }) => this.#volumes.find(pool, name, options)));
      if (there.every((volume) => volume !== undefined)) return known;
      this.#forget(key);
    }
    const volumes = await this.#client.listVolumes(pool, options);
    for (const its of triesOf(volumes, key)) {
      const found = await this.#wholeOf(volumes, its, options);
      if (found === undefined) continue;
      this.#found.set(key, found);
      return found;
    }
    return undefined;
  }

  /** @throws Fault `refused` when it is not there (any more). */
  async need(key: string, options: CallOptions): Promise<FoundTemplate> {
    const found = await this.find(key, options);
    if (found !== undefined) return found;
    throw this.#pool.refused(
      `there is no template ${key}`,
      'It is made again in the background; VMs are booted meanwhile.',
    );
  }

  /** What a fork's disk is laid over. */
  async below(key: string, options: CallOptions): Promise<Backing & { readonly virtualBytes: number }> {
    const { diskPath, virtualBytes } = await this.need(key, options);
    return { path: diskPath, format: 'qcow2', virtualBytes };
  }

  /** Asked after a disk was made over it: whoever removes it looks for such disks after the marker is gone. */
  async isStillThere(key: string, options: CallOptions): Promise<boolean> {
    const found = this.#found.get(key);
    const pool = await this.#pool.need(options);
    return found !== undefined && (await this.#volumes.find(pool, found.marker.name, options)) !== undefined;
  }

  /** @throws Fault `refused` for a form that we do not know. */
  async head(found: FoundTemplate, options: CallOptions): Promise<SavedMemory> {
    const { id } = found.its;
    const known = this.#heads.get(id);
    if (known !== undefined) return known;
    const head = await this.readHead(found.memory, found.its.memoryBytes, options);
    this.#heads.set(id, head);
    return head;
  }

  async readHead(memory: StorageVolume, memoryBytes: number, options: CallOptions): Promise<SavedMemory> {
    const bytes = await this.#volumes.read(memory, 0, Math.min(HEAD_FIRST_BYTES, memoryBytes), options);
    const read = readSavedMemory(bytes);
    if (!('problem' in read)) return read;
    throw this.#pool.refused(
      `saved memory ${memory.name} cannot be forked: ${read.problem}`,
      'Forks need libvirt’s plain form of saved memory (save_image_format = "raw" in qemu.conf); VMs are booted instead.',
    );
  }

  async list(options: CallOptions): Promise<readonly SavedTemplate[]> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined) return [];
    await this.#pool.refreshIfPossible(pool, options);
    const volumes = await this.#client.listVolumes(pool, options);
    const tries = volumes.flatMap(({ name }) => readTemplateMarker(name) ?? []);
    if (!this.#hasListed) this.#findOrphans(volumes, tries);
    const whole = await inBatches(tries, (its) => this.#wholeOf(volumes, its, options));
    const byKey = new Map(whole.flatMap((found) => (found ? [[found.its.key, savedTemplate(found)]] : [])));
    return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** What an earlier life of ours removed as far as it could. */
  #findOrphans(volumes: readonly StorageVolume[], tries: readonly TemplateTry[]): void {
    this.#hasListed = true;
    for (const { name } of volumes) {
      const part = readTemplatePart(name);
      if (part === undefined || this.#making.has(part.id)) continue;
      if (!tries.some(({ id }) => id === part.id)) this.#orphans.add(part.key);
    }
  }

  // --- making: what the maker needs -----------------------------------------------------------------------------------

  begin(tryId: string): void {
    this.#making.add(tryId);
  }

  end(tryId: string): void {
    this.#making.delete(tryId);
  }

  async #wholeOf(
    volumes: readonly StorageVolume[],
    its: TemplateTry,
    options: CallOptions,
  ): Promise<FoundTemplate | undefined> {
    const named = (name: string): StorageVolume | undefined => volumes.find((volume) => volume.name === name);
    const marker = named(templateMarker(its));
    const memory = named(templatePart(its.key, its.id, 'memory'));
    const disk = named(templatePart(its.key, its.id, 'qcow2'));
    if (marker === undefined || memory === undefined || disk === undefined) return undefined;
    try {
      const [saved, frozen, memoryPath, diskPath] = await Promise.all([
        this.#client.volumeXml(memory, 0, options).then(readVolume),
        this.#client.volumeXml(disk, 0, options).then(readVolume),
        this.#client.volumePath(memory, options),
        this.#client.volumePath(disk, options),
      ]);
      const isWhole = saved.physicalBytes === its.memoryBytes && saved.allocationBytes >= its.allocatedBytes;
      if (!isWhole || frozen.format !== 'qcow2') return undefined;
      const { allocationBytes: diskBytes, capacityBytes: virtualBytes } = frozen;
      return { its, marker, memory, memoryPath, disk, diskPath, diskBytes, virtualBytes };
    } catch (error) {
      // Gone, or deleted behind libvirt's back.
      if (isLibvirtError(error)) return undefined;
      throw error;
    }
  }

  // --- removing -------------------------------------------------------------------------------------------------------

  async remove(key: string, options: CallOptions): Promise<void> {
    const pool = await this.#pool.lookUp(options);
    if (pool === undefined) return;
    await this.#pool.refreshIfPossible(pool, options);
    const volumes = await this.#client.listVolumes(pool, options);
    const markers = volumes.filter(({ name }) => readTemplateMarker(name)?.key === key);
    for (const marker of markers) await this.#volumes.delete(marker, options);
    this.#forget(key);
    const parts = volumes.filter(({ name }) => this.#isFreePart(name, key));
    const disks = parts.filter(({ name }) => name.endsWith('.qcow2'));
    for (const part of parts) if (!disks.includes(part)) await this.#volumes.delete(part, options);
    // A disk made since the first look: its maker either saw the marker gone, or is seen here.
    for (const disk of disks) {
      const user = await userOfVolumes(this.#client, pool, [disk], options);
      if (user === undefined) await this.#volumes.delete(disk, options);
      else {
        this.#orphans.add(key);
        const message = `host ${this.#pool.host}: the disk of template ${key} is in use by ${user}; its memory was removed`;
        throw new Fault('conflict', message, { advice: 'It goes when the VMs that were forked from it are gone.' });
      }
    }
  }

  #isFreePart(name: string, key: string): boolean {
    const part = readTemplatePart(name);
    return part !== undefined && part.key === key && !this.#making.has(part.id);
  }

  /** A VM's disk is gone: what lay below it may be nobody's now. Never throws. */
  async sweep(): Promise<void> {
    for (const key of [...this.#orphans]) if (await this.deleteLeftovers(key)) this.#orphans.delete(key);
  }

  /** Files of that template that no marker stands for, as far as nothing refers to them. True: none is left. Never throws. */
  async deleteLeftovers(key: string): Promise<boolean> {
    const options = { timeoutMs: CLEAN_UP_MS };
    try {
      const pool = await this.#pool.lookUp(options);
      if (pool === undefined) return true;
      let isNoneLeft = true;
      const volumes = await this.#client.listVolumes(pool, options);
      const whole = new Set(volumes.flatMap(({ name }) => readTemplateMarker(name)?.id ?? []));
      for (const volume of volumes) {
        const part = readTemplatePart(volume.name);
        if (part === undefined || part.key !== key) continue;
        if (whole.has(part.id) || this.#making.has(part.id)) continue;
        if ((await userOfVolumes(this.#client, pool, [volume], options)) === undefined) {
          await this.#client.deleteVolume(volume, 0, options).catch(() => undefined);
        } else isNoneLeft = false;
      }
      return isNoneLeft;
    } catch {
      // The next try, or the next removal, tries again.
      return false;
    }
  }

  /** Everything of one try, whoever refers to it: it failed. Never throws. */
  async deleteTry(pool: StoragePool, tryId: string): Promise<void> {
    const options = { timeoutMs: CLEAN_UP_MS };
    try {
      await this.#pool.refreshIfPossible(pool, options);
      for (const volume of await this.#client.listVolumes(pool, options)) {
        const id = readTemplateMarker(volume.name)?.id ?? readTemplatePart(volume.name)?.id;
        if (id === tryId) await this.#client.deleteVolume(volume, 0, options).catch(() => undefined);
      }
    } catch {
      // The next try finds it without a marker.
    }
  }

  #forget(key: string): void {
    const known = this.#found.get(key);
    if (known !== undefined) this.#heads.delete(known.its.id);
    this.#found.delete(key);
  }
}

export function savedTemplate({ diskBytes, its }: FoundTemplate): SavedTemplate {
  return { key: its.key, bytes: its.allocatedBytes + diskBytes };
}

/** Tries that have a marker. */
function triesOf(volumes: readonly StorageVolume[], key: string): readonly TemplateTry[] {
  return volumes
    .flatMap(({ name }) => readTemplateMarker(name) ?? [])
    .filter((its) => its.key === key)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
