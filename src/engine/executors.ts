// One executor per kind of step: does it once and says what became true. Each may be repeated; the compiler demands one per kind.
// Not here: which step is next (core/steps), when to try again (worker), keeping the outcome (ledger).

import { recordLaunchFailure, recordLaunchSuccess } from '../core/breaker.ts';
import type { NewEvent } from '../core/events.ts';
import type { BreakerMemory } from '../core/memory.ts';
import type { Endpoint, Image, VmRecord, VmStep } from '../core/model.ts';
import type { Step } from '../core/steps.ts';
import type { Clock } from '../ports/clock.ts';
import { Fault } from '../ports/fault.ts';
import type { Hypervisor, VmSpec } from '../ports/hypervisor.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { Prober } from '../ports/prober.ts';
import { aboutVm, inPhase } from './records.ts';

export interface StepContext {
  readonly hypervisor: Hypervisor;
  readonly prober: Prober;
  readonly clock: Clock;
  readonly images: Pick<ImageStore, 'read'>;
  /** How much of the VM's image has gone to its host. */
  readonly onImageBytes: (bytes: number) => void;
  readonly onImagePlaced: (image: Image) => void;
  readonly shutdownDeadlineMs: number;
  readonly signal: AbortSignal;
}

/**
 * - `progress`: facts for the record, which stays in its phase.
 * - `moved`: the record in another phase, with the events and the breaker's new memory.
 * - `gone`: nothing of the VM is left.
 * - `again`: nothing yet; ask once more after `afterMs`.
 *
 * All are dropped when a turn has moved the record to another phase while the step ran: removing does not ask how far a launch came.
 */
export type Outcome =
  | { readonly kind: 'progress'; readonly step?: VmStep; readonly endpoint?: Endpoint; readonly deadlineAtMs?: number }
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
type Executors = {
  readonly [K in Doing['kind']]: (
    record: VmRecord,
    step: Extract<Doing, { kind: K }>,
    context: StepContext,
  ) => Promise<Outcome>;
};

/** A probe that gets no answer is asked again this soon. The answer itself takes a busy guest some ms. */
const PROBE_TIMEOUT_MS = 150;
const PROBE_AGAIN_MS = 30;
const ENDPOINT_AGAIN_MS = 250;

/** An image of which nothing has moved for so long is given up for now. */
const IMAGE_STALL_MS = 120_000;

export const executors: Executors = {
  'place-image': async (record, _step, { hypervisor, images, clock, onImageBytes, onImagePlaced, signal }) => {
    const { image, deadlineAtMs = record.phaseAtMs, phaseAtMs } = record;
    const content = image?.content;
    if (image === undefined || content === undefined) throw new Error(`VM ${record.name} has no image to be brought`);
    await unlessStalled(clock, signal, (beat, inner) =>
      hypervisor.placeImage(
        { ...image, content },
        (reading) => images.read(content, reading),
        (bytes) => {
          beat();
          onImageBytes(bytes);
        },
        inner,
      ),
    );
    onImagePlaced(image);
    return { kind: 'progress', step: 'image-there', deadlineAtMs: clock.nowMs() + (deadlineAtMs - phaseAtMs) };
  },

  'create-disk': async (record, _step, { hypervisor, signal }) => {
    await hypervisor.createDisk(specOf(record), signal);
    return { kind: 'progress', step: 'disk-made' };
  },

  define: async (record, _step, { hypervisor, signal }) => {
    const { endpoint } = await hypervisor.define(specOf(record), signal);
    return { kind: 'progress', step: 'defined', ...(endpoint && { endpoint }) };
  },

  start: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.start(record.uuid, signal);
    return { kind: 'progress', step: 'started' };
  },

  probe: async (record, _step, { hypervisor, prober, clock, signal }) => {
    const { ready } = record;
    if (ready !== undefined && record.endpoint === undefined) {
      const endpoint = await hypervisor.endpoint(record.uuid, ready.http.port, signal);
      return endpoint ? { kind: 'progress', endpoint } : { kind: 'again', afterMs: ENDPOINT_AGAIN_MS };
    }
    if (ready !== undefined && record.endpoint !== undefined) {
      const answers = await prober.probe(record.endpoint, ready, PROBE_TIMEOUT_MS, signal);
      if (!answers) return { kind: 'again', afterMs: PROBE_AGAIN_MS };
    }
    const nowMs = clock.nowMs();
    const launched = {
      type: 'vm.launched',
      ...aboutVm(record),
      ...(record.endpoint && { endpoint: record.endpoint }),
      launchMs: Math.round(nowMs - record.phaseAtMs),
    } as const;
    return {
      kind: 'moved',
      record: inPhase(record, 'in-service', nowMs),
      events: [launched],
      breaker: recordLaunchSuccess,
    };
  },

  'give-up': async (record, { reason }, { clock }) => failedLaunch(record, reason, clock.nowMs()),

  lost: async (record, { reason }, { clock }) => ({
    kind: 'moved',
    record: inPhase(record, 'removing', clock.nowMs(), { step: 'intended', reason }),
    events: [{ type: 'vm.lost', ...aboutVm(record), reason }],
  }),

  'begin-removal': async (record, _step, { clock }) => ({
    kind: 'moved',
    record: inPhase(record, 'removing', clock.nowMs(), { step: 'intended' }),
    events: [{ type: 'vm.drained', ...aboutVm(record) }],
  }),

  shutdown: async (record, _step, { hypervisor, clock, shutdownDeadlineMs, signal }) => {
    await hypervisor.shutdown(record.uuid, signal);
    const nowMs = clock.nowMs();
    // Whoever asked for the removal may have said how long the guest has; one that is asked again gets new time.
    const said = record.step === 'intended' ? record.deadlineAtMs : undefined;
    const deadlineAtMs = Math.max(nowMs, said ?? nowMs + shutdownDeadlineMs);
    return { kind: 'progress', step: 'stopping', deadlineAtMs };
  },

  destroy: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.destroy(record.uuid, signal);
    return { kind: 'progress', step: 'stopped' };
  },

  'mark-stopped': async () => ({ kind: 'progress', step: 'stopped' }),

  undefine: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.undefine(record.uuid, signal);
    return { kind: 'progress', step: 'undefined' };
  },

  'delete-disk': async (record, _step, { hypervisor, signal }) => {
    await hypervisor.deleteDisk(record.name, signal);
    return { kind: 'gone' };
  },

  forget: async () => ({ kind: 'gone' }),

  release: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.release(record.uuid, signal);
    return { kind: 'gone' };
  },
};

/** Runs `work` until it is done, or nothing has beaten for {@link IMAGE_STALL_MS}. */
async function unlessStalled(
  clock: Clock,
  signal: AbortSignal,
  work: (beat: () => void, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stalled = new AbortController();
  const done = new AbortController();
  let beatAtMs = clock.nowMs();
  const watch = async (): Promise<void> => {
    while (!done.signal.aborted) {
      await clock.sleep(IMAGE_STALL_MS / 4, done.signal);
      if (clock.nowMs() - beatAtMs > IMAGE_STALL_MS) stalled.abort();
    }
  };
  const watching = watch();
  const beat = (): void => {
    beatAtMs = clock.nowMs();
  };
  try {
    await work(beat, AbortSignal.any([signal, stalled.signal]));
  } catch (error) {
    if (!stalled.signal.aborted || signal.aborted) throw error;
    const message = `nothing of the image has moved for ${IMAGE_STALL_MS / 1000} s`;
    throw new Fault('timed-out', message, { cause: error });
  } finally {
    done.abort();
    await watching;
  }
}

/** A launch that will not succeed: said, counted by the breaker, and cleaned up. */
export function failedLaunch(record: VmRecord, reason: string, nowMs: number): Extract<Outcome, { kind: 'moved' }> {
  return {
    kind: 'moved',
    record: inPhase(record, 'removing', nowMs, { ...withoutAsking(record, nowMs), reason }),
    events: [{ type: 'vm.failed', ...aboutVm(record), reason, step: record.step }],
    breaker: (memory) => recordLaunchFailure(memory, nowMs, reason),
  };
}

/** A guest of ours that never served has nothing to finish: its plug is pulled at once, so that it does not count against max for long. */
function withoutAsking(record: VmRecord, nowMs: number): { step: VmStep; deadlineAtMs?: number } {
  return record.kind === 'existing' ? { step: 'intended' } : { step: 'stopping', deadlineAtMs: nowMs };
}

function specOf(record: VmRecord): VmSpec {
  const { cloudInit, flavor, group, image, kind, ready } = record;
  if (flavor === undefined || (image === undefined && kind !== 'blank')) {
    throw new Error(`VM ${record.name} is to be made, but its record has no image or flavor`);
  }
  return {
    name: record.name,
    uuid: record.uuid,
    flavor,
    ...(image && { image }),
    ...(ready && { ready }),
    ...(cloudInit && { cloudInit }),
    metadata: {
      id: record.id,
      ...(group !== undefined && { group }),
      owner: record.owner,
      operation: record.operation,
      image: image?.name ?? '',
      flavor: flavor.name,
    },
  };
}
