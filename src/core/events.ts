// Every event virtscale tells, as types: one ordered log, read by the store, the WebSocket, pino and the metrics.
// Not here: how events are kept or sent. The table for users is docs/EVENTS.md.

import type { DecisionSummary } from './decision.ts';
import type { Suspendable } from './memory.ts';
import type { Endpoint, GroupName, HostName, LaunchWay, StandbyKind } from './model.ts';
import type { HardwareVerb, OperationKind, OperationState, PowerVerb } from './operation.ts';

/** The part of a VM every `vm.*` event carries. */
export interface EventVm {
  readonly id: number;
  readonly name: string;
  readonly uuid: string;
  readonly host: HostName;
  readonly endpoint?: Endpoint;
  /** Whose it is; absent on a VM of a group, which is the operator's. */
  readonly owner?: string;
}

interface VmEvent {
  /** Absent on a VM that belongs to no group. */
  readonly group?: GroupName;
  readonly vm: EventVm;
}

/** What happened, before the log has given it a number and a time. */
export type NewEvent =
  | { readonly type: 'daemon.started'; readonly version: string; readonly hosts: readonly HostName[] }
  | { readonly type: 'daemon.stopping'; readonly reason: string }
  | { readonly type: 'host.up'; readonly host: HostName }
  | { readonly type: 'host.unreachable'; readonly host: HostName; readonly reason: string }
  | { readonly type: 'policy.loaded'; readonly group: GroupName; readonly file: string; readonly candidate?: string }
  | { readonly type: 'policy.rejected'; readonly file: string; readonly line?: number; readonly reason: string }
  | { readonly type: 'policy.removed'; readonly group: GroupName; readonly file: string; readonly candidate?: string }
  | { readonly type: 'group.changed'; readonly group: GroupName; readonly change: GroupChange }
  | { readonly type: 'decision.made'; readonly group: GroupName; readonly decision: DecisionSummary }
  /** Brought by a decision of a policy, or by an operation. */
  | ({ readonly type: 'vm.launching'; readonly decision?: string; readonly operation?: string } & VmEvent)
  /** It answers its readiness check (where it has one): the moment a client may use it. */
  | ({
      readonly type: 'vm.launched';
      readonly endpoint?: Endpoint;
      readonly launchMs: number;
      readonly way?: LaunchWay;
    } & VmEvent)
  /** People changed its power (started, paused, resumed, shut down, rebooted, reset, stopped) or what it is made of, or went back to a snapshot. */
  | ({
      readonly type: 'vm.changed';
      readonly change: PowerVerb | HardwareVerb | 'revert';
      readonly operation: string;
    } & VmEvent)
  | ({ readonly type: 'vm.adopted'; readonly reason: string } & VmEvent)
  | ({ readonly type: 'vm.draining'; readonly reason: string; readonly graceMs: number } & VmEvent)
  | ({ readonly type: 'vm.drained' } & VmEvent)
  /** It runs on another host now, and is reached at `vm.endpoint`, which may be another than before. */
  | ({
      readonly type: 'vm.migrated';
      readonly from: HostName;
      readonly to: HostName;
      readonly tookMs: number;
      /** For how long it stood still, as libvirt measured; absent: it was not told. */
      readonly downtimeMs?: number;
      readonly operation: string;
    } & VmEvent)
  /** Load returned while it was draining: it is in service again, clients may use it. */
  | ({ readonly type: 'vm.returned'; readonly reason: string } & VmEvent)
  /** It waits in standby: it is not for clients yet. */
  | ({ readonly type: 'vm.standby'; readonly standby: StandbyKind } & VmEvent)
  /** Its health check has failed too often in a row; it will be replaced. */
  | ({ readonly type: 'vm.unhealthy'; readonly reason: string } & VmEvent)
  /** A quicker way was not possible: the next one is tried. */
  | ({
      readonly type: 'vm.fallback';
      readonly from: LaunchWay;
      readonly to: LaunchWay;
      readonly reason: string;
    } & VmEvent)
  /** A hook has answered, or its time was over. */
  | ({
      readonly type: 'hook.ended';
      readonly hook: 'launch' | 'remove';
      readonly outcome: 'agreed' | 'refused' | 'timed-out';
      readonly tries: number;
      readonly text: string;
    } & VmEvent)
  /** VMs of the group can be forked on that host from now on, or no longer. */
  | {
      readonly type: 'template.ready';
      readonly group: GroupName;
      readonly host: HostName;
      readonly template: string;
      readonly tookMs: number;
    }
  | { readonly type: 'template.failed'; readonly group: GroupName; readonly host: HostName; readonly reason: string }
  | { readonly type: 'template.removed'; readonly host: HostName; readonly template: string; readonly reason: string }
  | { readonly type: 'balancer.failed'; readonly balancer: string; readonly reason: string }
  | { readonly type: 'balancer.recovered'; readonly balancer: string }
  | {
      readonly type: 'refresh.changed';
      readonly group: GroupName;
      readonly state: 'started' | 'paused' | 'resumed' | 'rolling-back' | 'stopped' | 'finished';
      readonly done: number;
      readonly total: number;
      readonly text: string;
    }
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
  | { readonly type: 'breaker.closed'; readonly group: GroupName }
  | {
      readonly type: 'operation.changed';
      readonly operation: {
        readonly id: string;
        readonly kind: OperationKind;
        readonly state: OperationState;
        readonly owner: string;
        readonly vmIds: readonly number[];
        readonly image?: string;
      };
      readonly text: string;
    }
  | { readonly type: 'host.cordoned'; readonly host: HostName; readonly reason: string; readonly by: string }
  | { readonly type: 'host.uncordoned'; readonly host: HostName; readonly by: string }
  | { readonly type: 'host.slow'; readonly host: HostName; readonly reason: string }
  | {
      readonly type: 'image.added';
      readonly image: string;
      readonly sha256: string;
      readonly fileBytes: number;
      readonly owner?: string;
    }
  | { readonly type: 'image.removed'; readonly image: string; readonly owner?: string }
  /** It lies on a host now, or no longer does. */
  | { readonly type: 'image.placed'; readonly image: string; readonly host: HostName }
  | { readonly type: 'image.unplaced'; readonly sha256: string; readonly host: HostName }
  | { readonly type: 'config.loaded'; readonly file: string; readonly text: string }
  | { readonly type: 'config.rejected'; readonly file: string; readonly reason: string };

export type GroupChange =
  | { readonly what: 'desired'; readonly from: number; readonly to: number; readonly by: 'policy' | 'user' | 'limits' }
  | { readonly what: 'paused'; readonly by: 'user' }
  | { readonly what: 'resumed'; readonly by: 'user' }
  | { readonly what: 'suspended'; readonly processes: readonly Suspendable[]; readonly by: 'user' };

export type EventType = NewEvent['type'];

/** Whose doing or VM an event is about; absent: the operator's. The store finds a user's events by the same three places. */
export function ownerOfEvent(event: NewEvent): string | undefined {
  if ('vm' in event) return event.vm.owner;
  if ('operation' in event && typeof event.operation === 'object') return event.operation.owner;
  return 'owner' in event ? event.owner : undefined;
}

/** As the log keeps it and as it goes over the wire: `seq` grows by one, `at` is RFC 3339 wall time. */
export type LoggedEvent = NewEvent & { readonly seq: number; readonly at: string };
