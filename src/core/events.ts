// Every event virtscale tells, as types: one ordered log, read by the store, the WebSocket, pino and the metrics.
// Not here: how events are kept or sent. The table for users is docs/EVENTS.md.

import type { DecisionSummary } from './decision.ts';
import type { Endpoint, GroupName, HostName } from './model.ts';

/** The part of a VM every `vm.*` event carries. */
export interface EventVm {
  readonly id: number;
  readonly name: string;
  readonly uuid: string;
  readonly host: HostName;
  readonly endpoint?: Endpoint;
}

interface VmEvent {
  readonly group: GroupName;
  readonly vm: EventVm;
}

/** What happened, before the log has given it a number and a time. */
export type NewEvent =
  | { readonly type: 'daemon.started'; readonly version: string; readonly hosts: readonly HostName[] }
  | { readonly type: 'daemon.stopping'; readonly reason: string }
  | { readonly type: 'host.up'; readonly host: HostName }
  | { readonly type: 'host.unreachable'; readonly host: HostName; readonly reason: string }
  | { readonly type: 'policy.loaded'; readonly group: GroupName; readonly file: string }
  | { readonly type: 'policy.rejected'; readonly file: string; readonly line?: number; readonly reason: string }
  | { readonly type: 'policy.removed'; readonly group: GroupName; readonly file: string }
  | { readonly type: 'group.changed'; readonly group: GroupName; readonly change: GroupChange }
  | { readonly type: 'decision.made'; readonly group: GroupName; readonly decision: DecisionSummary }
  | ({ readonly type: 'vm.launching'; readonly decision: string } & VmEvent)
  /** It answers its readiness check: the moment a client may use it. */
  | ({ readonly type: 'vm.launched'; readonly endpoint: Endpoint; readonly launchMs: number } & VmEvent)
  | ({ readonly type: 'vm.adopted'; readonly reason: string } & VmEvent)
  | ({ readonly type: 'vm.draining'; readonly reason: string; readonly graceMs: number } & VmEvent)
  | ({ readonly type: 'vm.drained' } & VmEvent)
  | ({ readonly type: 'vm.removed'; readonly reason: string } & VmEvent)
  | ({ readonly type: 'vm.failed'; readonly reason: string; readonly step: string } & VmEvent)
  | ({ readonly type: 'vm.lost'; readonly reason: string } & VmEvent)
  | {
      readonly type: 'breaker.opened';
      readonly group: GroupName;
      readonly failures: number;
      readonly retryAt: string;
      readonly reason: string;
    }
  | { readonly type: 'breaker.closed'; readonly group: GroupName };

export type GroupChange =
  | { readonly what: 'desired'; readonly from: number; readonly to: number; readonly by: 'policy' | 'user' | 'limits' }
  | { readonly what: 'paused'; readonly by: 'user' }
  | { readonly what: 'resumed'; readonly by: 'user' };

export type EventType = NewEvent['type'];

/** As the log keeps it and as it goes over the wire: `seq` grows by one, `at` is RFC 3339 wall time. */
export type LoggedEvent = NewEvent & { readonly seq: number; readonly at: string };
