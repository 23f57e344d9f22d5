// Copies of a template's saved memory that VMs are restored from, one after another: each takes the head of the next VM, some kilobytes,
// and what follows stays as it is. So a fork copies nothing, wherever the host is, with nothing but libvirt's own storage.
// Not here: the heads (saved-memory), restoring (forks).
//
// A copy that libvirt's death has cut off looks finished, so slots are of one life of this adapter: what an earlier one left is
// deleted, and a slot from which a restore failed is too. Forks that find none free wait for one.

import { randomBytes } from 'node:crypto';
import type { CallOptions, LibvirtClient, StorageVolume } from '../../../libvirt/index.ts';
import type { HostPool } from './host-pool.ts';
import { orAborted } from './or-aborted.ts';
import type { FoundTemplate } from './templates.ts';
import { readTemplatePart, slotName } from './volume-names.ts';
import { fileXml } from './volume-xml.ts';

/** As many as a connection has calls under way. */
const SLOTS_MAX = 4;
/** All slots of a template together, as long as there is one. */
const BYTES_MAX = 1024 ** 3;
/** They go when nobody forked for so long. */
const IDLE_MS = 300_000;
const CLEAN_UP_MS = 2000;

interface Slot {
  readonly volume: StorageVolume;
  readonly path: string;
}

export class MemorySlots {
  readonly #client: LibvirtClient;
  readonly #pool: HostPool;
  readonly #found: FoundTemplate;
  readonly #closing: AbortSignal;
  readonly #most: number;
  readonly #free: Slot[] = [];
  readonly #waiting: (() => void)[] = [];
  /** Made or being made. */
  #count = 0;
  #swept: Promise<void> | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(client: LibvirtClient, pool: HostPool, found: FoundTemplate, closing: AbortSignal) {
    this.#client = client;
    this.#pool = pool;
    this.#found = found;
    this.#closing = closing;
    this.#most = Math.min(SLOTS_MAX, Math.max(1, Math.floor(BYTES_MAX / found.its.memoryBytes)));
  }

  /** Somebody will soon want one. */
  prepare(): void {
    if (this.#free.length > 0 || this.#count >= this.#most) return;
    // The failure is told to whoever wants it.
    void this.#add({ signal: this.#closing }).catch(() => undefined);
  }

  /** Writes `head` into a free slot and has `work` restore from its path. */
  async use(head: Uint8Array, call: CallOptions, work: (path: string) => Promise<void>): Promise<void> {
    const slot = await this.#take(call);
    try {
      await this.#client.uploadVolume(slot.volume, { length: head.length }, once(head), call);
      await work(slot.path);
    } catch (error) {
      this.#count -= 1;
      void this.#delete(slot);
      this.#waiting.shift()?.();
      throw error;
    }
    this.#free.push(slot);
    this.#waiting.shift()?.();
    this.#rest();
  }

  async #take(call: CallOptions): Promise<Slot> {
    clearTimeout(this.#idle);
    for (;;) {
      call.signal?.throwIfAborted();
      const slot = this.#free.pop();
      if (slot !== undefined) return slot;
      if (this.#count < this.#most) await this.#add(call);
      else await orAborted(this.#oneIsFree(), call.signal);
    }
  }

  #oneIsFree(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  async #add(call: CallOptions): Promise<void> {
    this.#count += 1;
    try {
      this.#swept ??= this.#sweep();
      await this.#swept;
      const pool = await this.#pool.need(call);
      const { its, memory } = this.#found;
      const name = slotName(its.key, its.id, randomBytes(4).toString('hex'));
      const volume = await this.#client.createVolumeFrom(pool, fileXml(name, its.memoryBytes), memory, 0, call);
      this.#free.push({ volume, path: await this.#client.volumePath(volume, call) });
      this.#waiting.shift()?.();
    } catch (error) {
      this.#count -= 1;
      this.#waiting.shift()?.();
      throw error;
    }
  }

  /** What an earlier life left. Never throws. */
  async #sweep(): Promise<void> {
    const call = { timeoutMs: CLEAN_UP_MS };
    try {
      const pool = await this.#pool.need(call);
      for (const volume of await this.#client.listVolumes(pool, call)) {
        const part = readTemplatePart(volume.name);
        if (part?.isSlot && part.id === this.#found.its.id) await this.#client.deleteVolume(volume, 0, call);
      }
    } catch {
      // They go with the template.
    }
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.drop(), IDLE_MS).unref();
  }

  /** Deletes those that nobody uses. */
  async drop(): Promise<void> {
    clearTimeout(this.#idle);
    const slots = this.#free.splice(0);
    this.#count -= slots.length;
    await Promise.all(slots.map((slot) => this.#delete(slot)));
  }

  /** Never throws. */
  async #delete({ volume }: Slot): Promise<void> {
    await this.#client.deleteVolume(volume, 0, { timeoutMs: CLEAN_UP_MS }).catch(() => undefined);
  }
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
