// The accelerator of a host: told, or probed once per life of an adapter. Not here: the probe (accel-probe).

import type { LibvirtClientOptions } from '../../../libvirt/index.ts';
import { type AccelVerdict, probeAccel } from './accel-probe.ts';
import type { HostPool } from './host-pool.ts';
import { orAborted } from './or-aborted.ts';

export class AccelSource {
  readonly #told: AccelVerdict | undefined;
  readonly #pool: HostPool;
  readonly #client: LibvirtClientOptions;
  readonly #closing: AbortSignal;
  #probing: Promise<AccelVerdict> | undefined;

  constructor(told: AccelVerdict | undefined, pool: HostPool, client: LibvirtClientOptions, closing: AbortSignal) {
    this.#told = told;
    this.#pool = pool;
    this.#client = client;
    this.#closing = closing;
  }

  /** The probe goes on when a caller gives up: with a broken KVM it takes its time. One that failed is made again. */
  async get(signal: AbortSignal | undefined): Promise<AccelVerdict> {
    if (this.#told !== undefined) return this.#told;
    this.#probing ??= this.#pool
      .capacity({ signal: this.#closing })
      .then(() => probeAccel(this.#client, this.#pool.name, this.#closing))
      .catch((error: unknown) => {
        this.#probing = undefined;
        throw error;
      });
    return orAborted(this.#probing, signal);
  }
}
