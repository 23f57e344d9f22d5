// What an executor of a step is given and what it says became true. Not here: doing (the executors), keeping it (worker).

import type { NewEvent } from '../../core/events.ts';
import type { BreakerMemory } from '../../core/memory.ts';
import type { Image, VmRecord } from '../../core/model.ts';
import type { Conduct, Step } from '../../core/steps.ts';
import type { Clock } from '../../ports/clock.ts';
import type { HookCaller } from '../../ports/hook-caller.ts';
import type { Hypervisor } from '../../ports/hypervisor.ts';
import type { ImageStore } from '../../ports/image-store.ts';
import type { Prober } from '../../ports/prober.ts';
import type { Balancing } from '../balancing.ts';

export interface StepContext {
  readonly hypervisor: Hypervisor;
  readonly prober: Prober;
  readonly clock: Clock;
  readonly images: Pick<ImageStore, 'read'>;
  readonly hooks: HookCaller;
  readonly balancing: Pick<Balancing, 'join' | 'sessions'>;
  readonly conduct: Conduct;
  /** The host answers: what it said last is no old picture. */
  readonly isHostUp: () => boolean;
  /** How much of the VM's image has gone to its host. */
  readonly onImageBytes: (bytes: number) => void;
  readonly onImagePlaced: (image: Image) => void;
  /** A fork of this template was not possible. */
  readonly onForkFailed: (template: string, reason: string) => void;
  readonly signal: AbortSignal;
}

/** What a step may change in a record that stays in its phase. */
export type RecordFacts = Partial<Pick<VmRecord, 'deadlineAtMs' | 'endpoint' | 'hook' | 'step' | 'way'>>;

/**
 * - `progress`: facts for the record, which stays in its phase; `forgets` names what is no longer true of it.
 * - `moved`: the record in another phase, with the events and the breaker's new memory.
 * - `gone`: nothing of the VM is left.
 * - `again`: nothing yet; ask once more after `afterMs`.
 *
 * All are dropped when a turn has moved the record to another phase while the step ran: removing does not ask how far a launch came.
 */
export type Outcome =
  | {
      readonly kind: 'progress';
      readonly facts: RecordFacts;
      readonly forgets?: readonly ('endpoint' | 'hook' | 'template')[];
      readonly events?: readonly NewEvent[];
      /** Nothing more is done for so long. */
      readonly napMs?: number;
    }
  | {
      readonly kind: 'moved';
      readonly record: VmRecord;
      readonly events: readonly NewEvent[];
      readonly breaker?: (memory: BreakerMemory) => BreakerMemory;
    }
  | { readonly kind: 'gone' }
  | { readonly kind: 'again'; readonly afterMs: number };

/** Every kind of step that does something. */
export type Doing = Exclude<Step, { kind: 'wait' }>;

export type Executor<K extends Doing['kind']> = (
  record: VmRecord,
  step: Extract<Doing, { kind: K }>,
  context: StepContext,
) => Promise<Outcome>;

export type Executors<K extends Doing['kind'] = Doing['kind']> = { readonly [Kind in K]: Executor<Kind> };

export function reached(step: NonNullable<RecordFacts['step']>, facts: RecordFacts = {}): Outcome {
  return { kind: 'progress', facts: { ...facts, step } };
}
