// Events for people: one sentence each, and how loud it is in the log. The compiler holds both to the list of event types.
// Not here: where it is printed (log, command-line).

import type { EventType, EventVm, LoggedEvent, NewEvent } from '../core/events.ts';
import type { Endpoint, LaunchWay } from '../core/model.ts';

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
  'vm.returned': 'info',
  'vm.migrated': 'info',
  'vm.standby': 'info',
  'vm.unhealthy': 'warn',
  'vm.fallback': 'warn',
  'vm.removed': 'info',
  'vm.failed': 'error',
  'vm.lost': 'error',
  'hook.ended': 'info',
  'template.ready': 'info',
  'template.failed': 'warn',
  'template.removed': 'info',
  'balancer.failed': 'error',
  'balancer.recovered': 'info',
  'refresh.changed': 'info',
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
      return `${policyText(event)} loaded from ${event.file}`;
    case 'policy.rejected':
      return `policy file ${event.file}${event.line === undefined ? '' : `, line ${event.line}`} refused: ${event.reason}`;
    case 'policy.removed':
      return `${policyText(event)} is gone with ${event.file}`;
    case 'group.changed':
      return groupChangeText(event);
    case 'decision.made':
      return `${event.group}: ${event.decision.text}`;
    case 'breaker.opened':
      return `${event.group}: no more launches until ${event.retryAt} after ${event.failures} failures: ${event.reason}`;
    case 'breaker.closed':
      return `${event.group}: launches are tried again`;
    case 'template.ready':
    case 'template.failed':
    case 'template.removed':
      return templateEventText(event);
    case 'balancer.failed':
      return `balancer ${event.balancer} does not do as it is told: ${event.reason}`;
    case 'balancer.recovered':
      return `balancer ${event.balancer} does as it is told again`;
    case 'refresh.changed':
      return `${event.group}: refresh ${event.state}, ${event.done} of ${event.total} VMs: ${event.text}`;
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

function policyText({ group, candidate }: { readonly group: string; readonly candidate?: string }): string {
  return candidate === undefined ? `policy of ${group}` : `candidate ${candidate} of ${group}`;
}

function templateEventText(event: Extract<NewEvent, { readonly type: `template.${string}` }>): string {
  switch (event.type) {
    case 'template.ready':
      return `${event.group}: VMs can be forked on ${event.host}, after ${seconds(event.tookMs)}: template ${event.template}`;
    case 'template.failed':
      return `${event.group}: VMs cannot be forked on ${event.host}: ${event.reason}`;
    case 'template.removed':
      return `template ${event.template} removed from ${event.host}: ${event.reason}`;
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
  if (change.what === 'suspended') {
    return change.processes.length === 0
      ? `${event.group}: nothing is suspended any more, by ${change.by}`
      : `${event.group}: ${change.processes.join(', ')} suspended by ${change.by}`;
  }
  if (change.what !== 'desired') return `${event.group}: ${change.what} by ${change.by}`;
  return `${event.group}: desired ${change.from} → ${change.to} by ${change.by}`;
}

function vmEventText(event: Extract<NewEvent, { readonly vm: EventVm }>): string {
  const vm = `${event.group === undefined ? '' : `${event.group}: `}${event.vm.name} on ${event.vm.host}`;
  switch (event.type) {
    case 'vm.launching':
      return `${vm} is being launched`;
    case 'vm.launched':
      return `${vm} ${servesText(event.endpoint)} after ${seconds(event.launchMs)}${wayText(event.way)}`;
    case 'vm.changed':
      return `${vm}: ${event.change} by operation ${event.operation}`;
    case 'vm.adopted':
      return `${vm} adopted: ${event.reason}`;
    case 'vm.draining':
      return `${vm} drains for ${event.graceMs / 1000} s: ${event.reason}`;
    case 'vm.drained':
      return `${vm} has drained`;
    case 'vm.migrated': {
      const stood = event.downtimeMs === undefined ? '' : `, stood still for ${event.downtimeMs} ms`;
      const where =
        event.vm.endpoint === undefined ? '' : `, at ${event.vm.endpoint.address}:${event.vm.endpoint.port}`;
      return `${event.vm.name} moved from host ${event.from} to host ${event.to} in ${event.tookMs} ms${stood}${where}`;
    }
    case 'vm.returned':
      return `${vm} is in service again: ${event.reason}`;
    case 'vm.standby':
      return `${vm} waits in standby, ${event.standby}`;
    case 'vm.unhealthy':
      return `${vm} is unhealthy: ${event.reason}`;
    case 'vm.fallback':
      return `${vm} cannot be launched by ${event.from}, tried next: ${event.to}: ${event.reason}`;
    case 'hook.ended':
      return `${vm}: the ${event.hook} hook ${OUTCOMES[event.outcome]} after ${event.tries} ${event.tries === 1 ? 'try' : 'tries'}: ${event.text}`;
    case 'vm.removed':
      return `${vm} removed: ${event.reason}`;
    case 'vm.failed':
      return `${vm} failed at ${event.step}: ${event.reason}`;
    case 'vm.lost':
      return `${vm} was lost: ${event.reason}`;
  }
}

const OUTCOMES = { agreed: 'agreed', refused: 'refused', 'timed-out': 'did not agree in time' } as const;

const WAYS: Readonly<Record<LaunchWay, string>> = {
  cold: '',
  fork: ', forked from a template',
  paused: ', from a paused standby',
  saved: ', from a saved standby',
  stopped: ', from a stopped standby',
};

function wayText(way: LaunchWay | undefined): string {
  return way === undefined ? '' : WAYS[way];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function servesText(endpoint: Endpoint | undefined): string {
  return endpoint === undefined ? 'runs' : `serves at ${endpoint.address}:${endpoint.port}`;
}
