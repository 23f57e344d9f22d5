// Steps from a guest that runs to one that serves, or waits in standby. Not here: making it (making), taking it out (leaving).

import { recordLaunchSuccess } from '../../core/breaker.ts';
import type { VmRecord } from '../../core/model.ts';
import { portOf } from '../../core/ready-check.ts';
import { aboutVm, inPhase } from '../records.ts';
import { askHook } from './ask-hook.ts';
import { failedLaunch } from './failed-launch.ts';
import { type Executors, type Outcome, reached, type StepContext } from './outcome.ts';

/** A probe that gets no answer is asked again this soon. The answer itself takes a busy guest some ms. */
const PROBE_TIMEOUT_MS = 150;
const PROBE_AGAIN_MS = 30;
const ENDPOINT_AGAIN_MS = 250;
/** A guest that is asked to shut down may not hear it the first time. */
const SHUTDOWN_AGAIN_MS = 2_000;
/** A guest without an agent is put to sleep all the same. */
const PARK_AGENT_MS = 10_000;
const AGENT_AGAIN_MS = 250;
/** A balancer that does not answer must not keep a good VM out of service for longer: it is put there as soon as that is back. */
const JOIN_MS = 10_000;

export const serving: Executors<'ask-hook' | 'enter' | 'give-up' | 'lost' | 'park' | 'probe'> = {
  probe: async (record, _step, context) => {
    const found = await answered(record, context);
    return found ?? afterAnswer(record, context);
  },

  'ask-hook': askHook,

  enter: async (record, _step, context) => {
    const { balancing, clock, conduct, signal } = context;
    if (conduct.balancer !== undefined) {
      await clock
        .deadline(JOIN_MS, (inner) => balancing.join(record, inner), signal)
        .catch((error: unknown) => {
          if (signal.aborted) throw error;
        });
    }
    return inService(record, context);
  },

  park: async (record, { settled }, { clock, hypervisor, signal }) => {
    const { standby = 'stopped', uuid } = record;
    const isYoung = clock.nowMs() - record.changedAtMs < PARK_AGENT_MS;
    const agentless = standby !== 'stopped' && !(await hypervisor.agentAnswers(uuid, PROBE_TIMEOUT_MS, signal));
    // Many a guest serves before its agent is there; one that sleeps before it is, would boot on when it is woken.
    if (agentless && isYoung) return { kind: 'again', afterMs: AGENT_AGAIN_MS };
    if (standby === 'paused') await hypervisor.pause(uuid, signal);
    if (standby === 'saved') await hypervisor.save(uuid, signal);
    if (standby === 'stopped' && !settled) {
      await hypervisor.shutdown(uuid, signal);
      return { kind: 'again', afterMs: SHUTDOWN_AGAIN_MS };
    }
    return {
      kind: 'moved',
      record: { ...inPhase(record, 'standby', clock.nowMs(), { step: 'parked' }), ...(agentless && { agentless }) },
      events: [{ type: 'vm.standby', ...aboutVm(record), standby }],
      breaker: recordLaunchSuccess,
    };
  },

  'give-up': async (record, { reason }, { clock }) => failedLaunch(record, reason, clock.nowMs()),

  lost: async (record, { reason }, { clock }) => ({
    kind: 'moved',
    record: inPhase(record, 'removing', clock.nowMs(), { step: 'intended', reason }),
    events: [{ type: 'vm.lost', ...aboutVm(record), reason }],
  }),
};

/** What becomes of a VM that answers its readiness check. */
export function afterAnswer(record: VmRecord, context: StepContext): Outcome {
  const { conduct, clock } = context;
  const { hooks, balancer, launchDeadlineMs } = conduct;
  if (record.standby === undefined && hooks.launch === undefined && balancer === undefined)
    return inService(record, context);
  // What is still to come has its own patience.
  const deadlineAtMs = clock.nowMs() + (hooks.launch?.deadlineMs ?? 0) + launchDeadlineMs;
  return reached('ready', { deadlineAtMs });
}

/** Undefined: it answers its readiness check, or has none. */
export async function answered(record: VmRecord, context: StepContext): Promise<Outcome | undefined> {
  const { hypervisor, prober, signal } = context;
  const { endpoint, ready, uuid } = record;
  if (ready === undefined) return undefined;
  const port = portOf(ready);
  if (port !== undefined && endpoint === undefined) {
    const known = await hypervisor.endpoint(uuid, port, signal);
    return known ? { kind: 'progress', facts: { endpoint: known } } : { kind: 'again', afterMs: ENDPOINT_AGAIN_MS };
  }
  let answers = false;
  if ('agent' in ready) answers = await hypervisor.agentAnswers(uuid, PROBE_TIMEOUT_MS, signal);
  else if (endpoint !== undefined) answers = await prober.probe(endpoint, ready, PROBE_TIMEOUT_MS, signal);
  return answers ? undefined : { kind: 'again', afterMs: PROBE_AGAIN_MS };
}

function inService(record: VmRecord, { clock }: StepContext): Outcome {
  const nowMs = clock.nowMs();
  const launched = {
    type: 'vm.launched',
    ...aboutVm(record),
    ...(record.endpoint && { endpoint: record.endpoint }),
    ...(record.way && { way: record.way }),
    launchMs: Math.round(nowMs - record.phaseAtMs),
  } as const;
  return {
    kind: 'moved',
    record: { servedSinceMs: nowMs, ...inPhase(record, 'in-service', nowMs) },
    events: [launched],
    breaker: recordLaunchSuccess,
  };
}
