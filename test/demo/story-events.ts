// The event log of a story that went well, as test data. Not a test.

import type { DecisionSummary } from '../../src/core/decision.ts';
import type { EventVm, LoggedEvent, NewEvent } from '../../src/core/events.ts';

/** Wall time of second `s` of the story. */
export function at(s: number): string {
  return new Date(Date.UTC(2026, 0, 2, 3, 4, 0) + s * 1000).toISOString();
}

export function vm(id: number): EventVm {
  return {
    id,
    name: `web-${id}`,
    uuid: `00000000-0000-4000-8000-00000000000${id}`,
    host: 'local',
    endpoint: { address: `127.0.1.${id}`, port: 8080 },
  };
}

function decision(desiredBefore: number, desired: number, crossedAt?: string): DecisionSummary {
  return {
    id: `d${desiredBefore}${desired}`,
    desiredBefore,
    desired,
    cause: desiredBefore === 0 ? 'limits' : 'rule',
    decideMs: 0.1,
    actions: [],
    text: `${desiredBefore} to ${desired}`,
    ...(crossedAt !== undefined && { crossedAt }),
  };
}

const group = 'web';
const endpoint = (id: number) => ({ address: `127.0.1.${id}`, port: 8080 });

const TOLD: readonly (readonly [number, NewEvent])[] = [
  [0, { type: 'daemon.started', version: '0.1.0', hosts: ['local'] }],
  [0.1, { type: 'decision.made', group, decision: decision(0, 1) }],
  [0.2, { type: 'vm.launching', group, vm: vm(1), decision: 'd01' }],
  [3, { type: 'vm.launched', group, vm: vm(1), endpoint: endpoint(1), launchMs: 2800 }],
  [14, { type: 'decision.made', group, decision: decision(1, 2, at(11)) }],
  [14.01, { type: 'vm.launching', group, vm: vm(2), decision: 'd12' }],
  [17.01, { type: 'vm.launched', group, vm: vm(2), endpoint: endpoint(2), launchMs: 3000 }],
  [40, { type: 'decision.made', group, decision: decision(2, 1, at(30)) }],
  [40.01, { type: 'vm.draining', group, vm: vm(2), reason: 'idle', graceMs: 2000 }],
  [42, { type: 'vm.drained', group, vm: vm(2) }],
  [43, { type: 'vm.removed', group, vm: vm(2), reason: 'idle' }],
];

export function storyEvents(): LoggedEvent[] {
  return TOLD.map(([s, event], i) => ({ ...event, seq: i + 1, at: at(s) }));
}
