// What goes wrong on a simulated host, and when: plain data that a simulation generates from its seed.
// Not here: what each trouble does (memory-host, memory-hypervisor).

import type { FaultKind } from '../../../ports/fault.ts';

/** The port's calls, as names that a script can match. */
export type HypervisorCall =
  | 'info'
  | 'observe'
  | 'placeImage'
  | 'listImages'
  | 'removeImage'
  | 'createDisk'
  | 'define'
  | 'start'
  | 'templateKey'
  | 'makeTemplate'
  | 'listTemplates'
  | 'removeTemplate'
  | 'fork'
  | 'personalise'
  | 'exec'
  | 'save'
  | 'agentAnswers'
  | 'pause'
  | 'resume'
  | 'reboot'
  | 'reset'
  | 'addresses'
  | 'console'
  | 'adopt'
  | 'release'
  | 'endpoint'
  | 'shutdown'
  | 'destroy'
  | 'undefine'
  | 'deleteDisk'
  | 'listDisks'
  | 'offer'
  | 'describe'
  | 'prepare'
  | 'move'
  | 'cancelMove'
  | 'figures'
  | 'lookAtCopy'
  | 'listSnapshots'
  | 'freeze'
  | 'thaw'
  | 'takeSnapshot'
  | 'revertSnapshot'
  | 'deleteSnapshot'
  | 'look'
  | 'growDisk'
  | 'growFileSystem'
  | 'redefine'
  | 'setMemory'
  | 'setVcpus'
  | 'attachNic'
  | 'detachNic';

/** Half open, in engine time: from ≤ t < until. `untilMs` absent: for ever, or until the script is cleared. */
interface Period {
  readonly fromMs: number;
  readonly untilMs?: number;
}

/** Of one domain, or of every domain of the host when `uuid` is absent. */
interface PerDomain extends Period {
  readonly uuid?: string;
}

/**
 * One trouble.
 * - `unreachable`: connections are refused and open ones cut. A call on its way loses its effect, or only its answer, by how far it was.
 *   `guests: true`: the guests cannot be reached either (the machine's network is gone, not just its libvirtd).
 * - `hang`: the host takes calls and answers nothing until the end. `effect: 'late'` (default) carries them out when it wakes, even
 *   those whose caller has long given up; `'lost'` drops them.
 * - `fail-call`: the next `times` calls of that name fail with `fault`. `effect: 'before'`: nothing was done; `'after'`: it was done and
 *   the answer was lost; `'half'`: a disk is left half-made that is listed as if it were good (createDisk only; else as `'before'`).
 * - `disk-full`: the pool has no space.
 * - `never-ready`: guests *started* in the period never serve. `unready`: guests do not serve *during* the period.
 * - `agentless`: no agent answers in guests.
 * - `ignores-shutdown`: guests do not react when asked to shut down.
 * - `stats-absent`: cpuTimeNs is missing from observations. `metadata-absent`: the metadata is.
 */
export type Trouble =
  | ({ readonly kind: 'unreachable'; readonly guests?: boolean } & Period)
  | ({ readonly kind: 'hang'; readonly effect?: 'late' | 'lost' } & Period)
  | ({
      readonly kind: 'fail-call';
      readonly call: HypervisorCall | '*';
      readonly fault: FaultKind;
      readonly effect: 'before' | 'after' | 'half';
      readonly times?: number;
    } & Period)
  | ({ readonly kind: 'disk-full' } & Period)
  | ({
      readonly kind: DomainTrouble;
    } & PerDomain);

export type TroubleKind = Trouble['kind'];
type TroubleOf<K extends TroubleKind> = Extract<Trouble, { readonly kind: K }>;
export type DomainTrouble =
  | 'never-ready'
  | 'unready'
  | 'agentless'
  | 'ignores-shutdown'
  | 'stats-absent'
  | 'metadata-absent';

export function untilOf(trouble: Trouble): number {
  return trouble.untilMs ?? Number.POSITIVE_INFINITY;
}

/** The troubles of one host, asked by time. */
export class TroubleScript {
  #troubles: Trouble[] = [];
  readonly #used = new Map<Trouble, number>();

  add(trouble: Trouble): void {
    this.#troubles.push(trouble);
  }

  /** Ends every trouble now, or those of one kind. */
  clear(kind?: TroubleKind): void {
    this.#troubles = kind === undefined ? [] : this.#troubles.filter((trouble) => trouble.kind !== kind);
  }

  active<K extends Exclude<TroubleKind, DomainTrouble>>(kind: K, atMs: number): TroubleOf<K> | undefined {
    return this.#troubles.find(
      (trouble): trouble is TroubleOf<K> => trouble.kind === kind && trouble.fromMs <= atMs && atMs < untilOf(trouble),
    );
  }

  hits(kind: DomainTrouble, uuid: string, atMs: number): boolean {
    return this.#troubles.some(
      (trouble) =>
        trouble.kind === kind &&
        trouble.fromMs <= atMs &&
        atMs < untilOf(trouble) &&
        (trouble.uuid === undefined || trouble.uuid === uuid),
    );
  }

  /** The failure this call is to meet, used up by asking. */
  takeFailure(call: HypervisorCall, atMs: number): TroubleOf<'fail-call'> | undefined {
    for (const trouble of this.#troubles) {
      if (trouble.kind !== 'fail-call' || atMs < trouble.fromMs || atMs >= untilOf(trouble)) continue;
      if (trouble.call !== '*' && trouble.call !== call) continue;
      const used = this.#used.get(trouble) ?? 0;
      if (used >= (trouble.times ?? 1)) continue;
      this.#used.set(trouble, used + 1);
      return trouble;
    }
    return undefined;
  }
}
