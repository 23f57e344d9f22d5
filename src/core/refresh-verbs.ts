// What people may tell a rolling refresh. Pure: memory in, memory or the reason why not out. Not here: the refresh itself (refresh).

import type { DurableMemory, RefreshMemory } from './memory.ts';
import { withoutPause } from './refresh.ts';

export type RefreshSteered =
  | { readonly ok: true; readonly durable: DurableMemory }
  /** One sentence for people. */
  | { readonly ok: false; readonly reason: string };

/** Until somebody resumes it. */
export function pauseRefresh(durable: DurableMemory): RefreshSteered {
  return steer(durable, ['running', 'paused'], 'be paused', (refresh) => ({
    ...withoutPause(refresh),
    state: 'paused',
    reason: 'by a user',
  }));
}

/** One that was stopped is tried anew, also after it went back. */
export function resumeRefresh(durable: DurableMemory): RefreshSteered {
  return steer(durable, ['paused', 'stopped'], 'be resumed', (refresh) => {
    const { reason: _reason, rolledBack: _back, ...kept } = withoutPause(refresh);
    const anew = refresh.state === 'stopped' ? { failures: 0, passed: 0 } : {};
    return { ...kept, ...anew, state: 'running' };
  });
}

export function rollbackRefresh(durable: DurableMemory): RefreshSteered {
  const { refresh } = durable;
  if (refresh?.rolledBack) return { ok: false, reason: 'The refresh went back already.' };
  if (refresh !== undefined && refresh.from === undefined) {
    return { ok: false, reason: 'The refresh cannot go back: nobody knows the template before.' };
  }
  return steer(durable, ['running', 'paused', 'stopped'], 'go back', (refresh) => ({
    ...withoutPause(refresh),
    state: 'rolling-back',
    reason: 'a user asked for it',
    // Counted when it sets out.
    total: 0,
  }));
}

/** It ends where it is: VMs of both templates stay, new ones are made from the policy's. */
export function cancelRefresh(durable: DurableMemory): RefreshSteered {
  return steer(durable, ['running', 'paused', 'rolling-back'], 'be cancelled', (refresh) => ({
    ...withoutPause(refresh),
    state: 'stopped',
    reason: 'a user cancelled it',
  }));
}

function steer(
  durable: DurableMemory,
  states: readonly RefreshMemory['state'][],
  verb: string,
  change: (refresh: RefreshMemory) => RefreshMemory,
): RefreshSteered {
  const { refresh } = durable;
  if (refresh === undefined) return { ok: false, reason: 'No refresh is under way.' };
  if (!states.includes(refresh.state)) {
    return { ok: false, reason: `The refresh cannot ${verb}: it is ${STATE_TEXT[refresh.state]}.` };
  }
  return { ok: true, durable: { ...durable, refresh: change(refresh) } };
}

const STATE_TEXT: Readonly<Record<RefreshMemory['state'], string>> = {
  running: 'running',
  paused: 'paused',
  stopped: 'stopped',
  'rolling-back': 'going back already',
};
