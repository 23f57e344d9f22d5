// Steps that take a VM out of service and away. Not here: which VM goes (core/victims), when its plug is pulled (core/steps).

import { aboutVm, inPhase } from '../records.ts';
import { type Executors, reached } from './outcome.ts';

/** How often the balancer's count of sessions is looked at. */
const SESSIONS_AGAIN_MS = 200;

export const leaving: Executors<
  | 'await-sessions'
  | 'begin-removal'
  | 'delete-disk'
  | 'destroy'
  | 'forget'
  | 'mark-stopped'
  | 'release'
  | 'shutdown'
  | 'undefine'
> = {
  'await-sessions': async (record, _step, { balancing, clock }) => {
    if (balancing.sessions(record) === 0) return { kind: 'progress', facts: { deadlineAtMs: clock.nowMs() } };
    return { kind: 'again', afterMs: SESSIONS_AGAIN_MS };
  },

  'begin-removal': async (record, _step, { clock }) => ({
    kind: 'moved',
    record: inPhase(record, 'removing', clock.nowMs(), { step: 'intended' }),
    events: [{ type: 'vm.drained', ...aboutVm(record) }],
  }),

  shutdown: async (record, _step, { hypervisor, clock, conduct, signal }) => {
    await hypervisor.shutdown(record.uuid, signal);
    const nowMs = clock.nowMs();
    // Whoever asked for the removal may have said how long the guest has; one that is asked again gets new time.
    const said = record.step === 'intended' ? record.deadlineAtMs : undefined;
    return reached('stopping', { deadlineAtMs: Math.max(nowMs, said ?? nowMs + conduct.shutdownDeadlineMs) });
  },

  destroy: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.destroy(record.uuid, signal);
    return reached('stopped');
  },

  'mark-stopped': async () => reached('stopped'),

  undefine: async (record, _step, { hypervisor, signal }) => {
    await hypervisor.undefine(record.uuid, signal);
    return reached('undefined');
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
