// Counters besides the CPU's (memory, network, disks, waiting for the host), of the domains that somebody wants them of: read aside, every
// few seconds, on a connection that no poll waits for. A poll takes what is known and never waits for them.
// Not here: states and CPU counters (host-poll).

import type { DomainStats } from '../../../core/model.ts';
import {
  type Domain,
  DomainControlState,
  DomainStatsGroup,
  isLibvirtError,
  type LibvirtClient,
  type ParamValue,
} from '../../../libvirt/index.ts';
import type { Clock } from '../../../ports/clock.ts';
import { inBatches } from './in-batches.ts';

const EVERY_MS = 3000;
/** What was read longer ago is told to nobody. */
const KEPT_MS = 15_000;
/** One stuck QEMU holds up the whole call; after that, those that are stuck are left out. */
const CALL_TIMEOUT_MS = 8000;
/** A call that libvirt never answers holds one of its workers: no new one for so long. */
const AFTER_TIMEOUT_MS = 30_000;
const GROUPS = DomainStatsGroup.BALLOON | DomainStatsGroup.VCPU | DomainStatsGroup.INTERFACE | DomainStatsGroup.BLOCK;

type Params = Readonly<Record<string, ParamValue>>;

export class DomainStatsReader {
  readonly #client: LibvirtClient;
  readonly #clock: Clock;
  readonly #closing: AbortSignal;
  /** With the run of the domain that it is of. */
  readonly #known = new Map<string, { readonly id: number; readonly stats: DomainStats }>();
  #isReading = false;
  #nextAtMs = Number.NEGATIVE_INFINITY;

  /** A stuck QEMU can hold up calls of `client`. It connects with the first reading. */
  constructor(client: LibvirtClient, clock: Clock, closing: AbortSignal) {
    this.#client = client;
    this.#clock = clock;
    this.#closing = closing;
  }

  /** Begins a reading when one is due. `wanted`: the domains that run and that somebody wants to know of. */
  look(wanted: readonly Domain[]): void {
    const nowMs = this.#clock.nowMs();
    if (this.#isReading || wanted.length === 0 || nowMs < this.#nextAtMs) return;
    this.#isReading = true;
    this.#nextAtMs = nowMs + EVERY_MS;
    void this.#read(wanted).finally(() => {
      this.#isReading = false;
    });
  }

  /** What was read of this run of the domain last. */
  of(domain: Domain): DomainStats | undefined {
    const known = this.#known.get(domain.uuid);
    if (known === undefined || known.id !== domain.id) return undefined;
    return this.#clock.nowMs() - known.stats.readAtMs > KEPT_MS ? undefined : known.stats;
  }

  async #read(wanted: readonly Domain[]): Promise<void> {
    try {
      const doms = await this.#free(wanted);
      if (doms.length === 0) return;
      const query = { doms, stats: GROUPS };
      const call = { signal: this.#closing, timeoutMs: CALL_TIMEOUT_MS };
      const records = await this.#client.allDomainStats(query, call);
      const readAtMs = this.#clock.nowMs();
      const there = new Set(wanted.map(({ uuid }) => uuid));
      for (const uuid of this.#known.keys()) if (!there.has(uuid)) this.#known.delete(uuid);
      for (const { domain, params } of records) {
        // The id in the answer is of the moment it was read.
        this.#known.set(domain.uuid, { id: domain.id, stats: statsOf(params, readAtMs) });
      }
    } catch {
      // Nobody waits for it. A QEMU that is stuck, or a host that does not answer: the polls tell.
      this.#nextAtMs = this.#clock.nowMs() + AFTER_TIMEOUT_MS;
    }
  }

  /** Without those that a job or a stuck QEMU holds: asking that waits for nobody. */
  async #free(wanted: readonly Domain[]): Promise<readonly Domain[]> {
    const call = { signal: this.#closing, timeoutMs: CALL_TIMEOUT_MS };
    const states = await inBatches(wanted, async (dom) => {
      try {
        const { state } = await this.#client.call('DOMAIN_GET_CONTROL_INFO', { dom, flags: 0 }, call);
        return state === DomainControlState.OK;
      } catch (error) {
        if (isLibvirtError(error)) return false;
        throw error;
      }
    });
    return wanted.filter((_, index) => states[index] === true);
  }
}

/** Any of libvirt's keys may be absent at any time. */
export function statsOf(params: Params, readAtMs: number): DomainStats {
  const memoryPercent = memoryOf(params);
  const networkBytes = sumOf(params, 'net.count', (n) => [`net.${n}.rx.bytes`, `net.${n}.tx.bytes`]);
  const diskBytes = sumOf(params, 'block.count', (n) => [`block.${n}.rd.bytes`, `block.${n}.wr.bytes`]);
  const delayNs = sumOf(params, 'vcpu.maximum', (n) => [`vcpu.${n}.delay`]);
  return {
    readAtMs,
    ...(memoryPercent !== undefined && { memoryPercent }),
    ...(networkBytes !== undefined && { networkBytes }),
    ...(diskBytes !== undefined && { diskBytes }),
    ...(delayNs !== undefined && { delayNs }),
  };
}

/** What the guest's balloon driver says: of what it has, what programs could not get. Old ones tell only what nothing is in. */
function memoryOf(params: Params): number | undefined {
  const available = numberOf(params['balloon.available']);
  const usable = numberOf(params['balloon.usable']) ?? numberOf(params['balloon.unused']);
  if (available === undefined || usable === undefined || available <= 0) return undefined;
  return Math.min(100, Math.max(0, ((available - usable) / available) * 100));
}

/** Of all that are told; undefined when none is. */
function sumOf(params: Params, countKey: string, keysOf: (n: number) => readonly string[]): number | undefined {
  const count = numberOf(params[countKey]) ?? 0;
  let sum: number | undefined;
  for (let n = 0; n < count; n += 1) {
    for (const key of keysOf(n)) {
      const value = numberOf(params[key]);
      if (value !== undefined) sum = (sum ?? 0) + value;
    }
  }
  return sum;
}

function numberOf(value: ParamValue | undefined): number | undefined {
  return typeof value === 'bigint' || typeof value === 'number' ? Number(value) : undefined;
}
