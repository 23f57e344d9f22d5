// Steps that make a VM's domain and let it run: disk, definition, start, fork, wake, its own identity.
// Not here: whether it serves (serving), bringing images (place-image).

import type { NewEvent } from '../../core/events.ts';
import type { VmRecord } from '../../core/model.ts';
import { isFault } from '../../ports/fault.ts';
import type { GuestIdentity } from '../../ports/hypervisor.ts';
import { aboutVm } from '../records.ts';
import { type Executors, type Outcome, reached, type StepContext } from './outcome.ts';
import { placeImage } from './place-image.ts';
import { afterAnswer, answered } from './serving.ts';
import { specOf } from './vm-spec.ts';

const AGAIN: Outcome = { kind: 'again', afterMs: 0 };
/** An agent that does not answer yet is asked again this soon. */
const AGENT_AGAIN_MS = 15;
/** What is to be taken away waits for a host that is up. */
const HOST_AGAIN_MS = 250;
/** A copy that cannot be made its own in this time is given up: it must not serve as somebody else. */
const FORK_AGENT_MS = 15_000;
/** One that only slept may serve with a clock that is behind. */
const WOKEN_AGENT_MS = 3_000;

export const making: Executors<'create-disk' | 'define' | 'fork' | 'personalise' | 'place-image' | 'start' | 'wake'> = {
  'place-image': placeImage,

  'create-disk': (record, _step, context) =>
    orBooted(record, context, async () => {
      await context.hypervisor.createDisk(specOf(record), context.signal);
      return reached('disk-made');
    }),

  define: (record, _step, context) =>
    orBooted(record, context, async () => {
      const { endpoint } = await context.hypervisor.define(specOf(record), context.signal);
      return reached('defined', endpoint && { endpoint });
    }),

  start: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.start(record.uuid, signal);
    return reached('started');
  },

  fork: (record, _step, context) =>
    orBooted(record, context, async () => {
      await context.hypervisor.fork(specOf(record), context.signal);
      return reached('started');
    }),

  wake: async (record, _step, context) => {
    const { hypervisor, signal } = context;
    if (record.way !== 'paused') {
      await hypervisor.start(record.uuid, signal);
      return reached('started');
    }
    await hypervisor.resume(record.uuid, signal);
    // To keep that it runs would take as long as the rest.
    const next = await personalise(record, context);
    return next.kind === 'again' ? reached('started') : next;
  },

  personalise: (record, _step, context) => personalise(record, context),
};

function personalise(record: VmRecord, context: StepContext): Promise<Outcome> {
  return orBooted(record, context, async () => {
    const { clock, hypervisor, signal } = context;
    const isFork = record.way === 'fork';
    // Nobody is there to put its clock right.
    if (record.agentless && !isFork) return (await answered(record, context)) ?? afterAnswer(record, context);
    // One that only stood still is asked while its clock is put right: it takes as long as the longer of the two.
    const asking = record.way === 'paused' ? answered(record, context).catch(() => AGAIN) : AGAIN;
    try {
      await hypervisor.personalise(record.uuid, identityOf(record, isFork ? 'fork' : 'woken'), signal);
    } catch (error) {
      const isBusy = isFault(error, 'busy', 'timed-out');
      const patienceMs = isFork ? FORK_AGENT_MS : WOKEN_AGENT_MS;
      if (isBusy && clock.nowMs() - record.changedAtMs < patienceMs) return { kind: 'again', afterMs: AGENT_AGAIN_MS };
      // Nothing about the guest is known by a host that does not answer.
      if (!isBusy && !isFault(error, 'refused', 'conflict')) throw error;
      // One that was found without a record may serve for long: it is not taken down because nobody can say who it believes to be.
      if (isFork && record.template !== undefined) return bootInstead(record, error.message, context);
    }
    return (await asking) === undefined ? afterAnswer(record, context) : reached('personalised');
  });
}

/** A guest's identity follows from its record, so that giving it twice changes nothing. */
function identityOf(record: VmRecord, after: GuestIdentity['after']): GuestIdentity {
  return { hostname: record.name, machineId: record.uuid.replaceAll('-', ''), after };
}

/** Where a fork turns out not to be possible, the VM is booted. */
async function orBooted(record: VmRecord, context: StepContext, work: () => Promise<Outcome>): Promise<Outcome> {
  if (record.way !== 'fork') return work();
  try {
    return await work();
  } catch (error) {
    if (!isFault(error, 'refused', 'conflict')) throw error;
    return bootInstead(record, error.message, context);
  }
}

async function bootInstead(record: VmRecord, reason: string, context: StepContext): Promise<Outcome> {
  const { clock, conduct, hypervisor, isHostUp, onForkFailed, signal } = context;
  if (!isHostUp()) return { kind: 'again', afterMs: HOST_AGAIN_MS };
  await hypervisor.destroy(record.uuid, signal);
  await hypervisor.undefine(record.uuid, signal);
  if (record.template !== undefined) onForkFailed(record.template, reason);
  const event: NewEvent = { type: 'vm.fallback', ...aboutVm(record), from: 'fork', to: 'cold', reason };
  return {
    kind: 'progress',
    facts: { way: 'cold', step: 'intended', deadlineAtMs: clock.nowMs() + conduct.launchDeadlineMs },
    forgets: ['template', 'endpoint'],
    events: [event],
  };
}
