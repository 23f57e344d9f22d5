// Events for people: one sentence each, and how loud it is in the log. The compiler holds both to the list of event types.
// Not here: where it is printed (log, command-line).

import type { EventType, EventVm, LoggedEvent, NewEvent } from '../core/events.ts';
import type { Endpoint } from '../core/model.ts';

export type EventLevel = 'info' | 'warn' | 'error';

export const EVENT_LEVELS: Readonly<Record<EventType, EventLevel>> = {
  'daemon.started': 'info',
  'daemon.stopping': 'info',
  'host.up': 'info',
  'host.slow': 'warn',
  'host.unreachable': 'error',
  'host.cordoned': 'warn',
  'host.uncordoned': 'info',
  'policy.loaded': 'info',
  'policy.rejected': 'error',
  'policy.removed': 'warn',
  'group.changed': 'info',
  'decision.made': 'info',
  'vm.launching': 'info',
  'vm.launched': 'info',
  'vm.changed': 'info',
  'vm.adopted': 'info',
  'vm.draining': 'info',
  'vm.drained': 'info',
  'vm.removed': 'info',
  'vm.failed': 'error',
  'vm.lost': 'error',
  'breaker.opened': 'error',
  'breaker.closed': 'info',
  'operation.changed': 'info',
  'image.added': 'info',
  'image.removed': 'info',
  'image.placed': 'info',
  'image.unplaced': 'info',
  'config.loaded': 'info',
  'config.rejected': 'error',
};

export const EVENT_TYPES: readonly EventType[] = Object.keys(EVENT_LEVELS).filter(isEventType);

export function isEventType(text: string): text is EventType {
  return Object.hasOwn(EVENT_LEVELS, text);
}

/** The group an event is about, for filters; absent on events about hosts, policies' files and the daemon. */
export function eventGroup(event: NewEvent | LoggedEvent): string | undefined {
  return 'group' in event ? event.group : undefined;
}

export function eventText(event: NewEvent | LoggedEvent): string {
  switch (event.type) {
    case 'daemon.started':
      return `virtscale ${event.version} started with ${event.hosts.length === 1 ? 'host' : 'hosts'} ${event.hosts.join(', ') || '(none)'}`;
    case 'daemon.stopping':
      return `stopping: ${event.reason}`;
    case 'host.up':
      return `host ${event.host} answers`;
    case 'host.slow':
      return `host ${event.host} answers late: ${event.reason}`;
    case 'host.unreachable':
      return `host ${event.host} does not answer: ${event.reason}`;
    case 'host.cordoned':
      return `host ${event.host} takes no new VMs, by ${event.by}: ${event.reason}`;
    case 'host.uncordoned':
      return `host ${event.host} takes new VMs again, by ${event.by}`;
    case 'policy.loaded':
      return `policy of ${event.group} loaded from ${event.file}`;
    case 'policy.rejected':
      return `policy file ${event.file}${event.line === undefined ? '' : `, line ${event.line}`} refused: ${event.reason}`;
    case 'policy.removed':
      return `policy of ${event.group} is gone with ${event.file}`;
    case 'group.changed':
      return groupChangeText(event);
    case 'decision.made':
      return `${event.group}: ${event.decision.text}`;
    case 'breaker.opened':
      return `${event.group}: no more launches until ${event.retryAt} after ${event.failures} failures: ${event.reason}`;
    case 'breaker.closed':
      return `${event.group}: launches are tried again`;
    case 'operation.changed':
      return `operation ${event.operation.id} (${event.operation.kind}, ${event.operation.owner}) ${event.operation.state}: ${event.text}`;
    case 'image.added':
    case 'image.removed':
    case 'image.placed':
    case 'image.unplaced':
      return imageEventText(event);
    case 'config.loaded':
      return `configuration read from ${event.file}: ${event.text}`;
    case 'config.rejected':
      return `configuration ${event.file} refused, what was in force stays: ${event.reason}`;
    default:
      return vmEventText(event);
  }
}

function imageEventText(event: Extract<NewEvent, { readonly type: `image.${string}` }>): string {
  switch (event.type) {
    case 'image.added':
      return `image ${event.image} is there: ${event.fileBytes} bytes, sha256 ${event.sha256}`;
    case 'image.removed':
      return `image ${event.image} removed`;
    case 'image.placed':
      return `image ${event.image} lies on host ${event.host}`;
    case 'image.unplaced':
      return `image ${event.sha256} no longer lies on host ${event.host}`;
  }
}

function groupChangeText(event: Extract<NewEvent, { type: 'group.changed' }>): string {
  const { change } = event;
  if (change.what !== 'desired') return `${event.group}: ${change.what} by ${change.by}`;
  return `${event.group}: desired ${change.from} → ${change.to} by ${change.by}`;
}

function vmEventText(event: Extract<NewEvent, { readonly vm: EventVm }>): string {
  const vm = `${event.group === undefined ? '' : `${event.group}: `}${event.vm.name} on ${event.vm.host}`;
  switch (event.type) {
    case 'vm.launching':
      return `${vm} is being launched`;
    case 'vm.launched':
      return `${vm} ${servesText(event.endpoint)} after ${(event.launchMs / 1000).toFixed(2)} s`;
    case 'vm.changed':
      return `${vm}: ${event.change} by operation ${event.operation}`;
    case 'vm.adopted':
      return `${vm} adopted: ${event.reason}`;
    case 'vm.draining':
      return `${vm} drains for ${event.graceMs / 1000} s: ${event.reason}`;
    case 'vm.drained':
      return `${vm} has drained`;
    case 'vm.removed':
      return `${vm} removed: ${event.reason}`;
    case 'vm.failed':
      return `${vm} failed at ${event.step}: ${event.reason}`;
    case 'vm.lost':
      return `${vm} was lost: ${event.reason}`;
  }
}

function servesText(endpoint: Endpoint | undefined): string {
  return endpoint === undefined ? 'runs' : `serves at ${endpoint.address}:${endpoint.port}`;
}
