// What is there, for people or as JSON: status, hosts, vms, groups, why.

import { z } from '@hono/zod-openapi';
import {
  groupDetailSchema,
  groupsSchema,
  hostsSchema,
  type PublicDecision,
  type PublicGroup,
  type PublicGroupDetail,
  type PublicHost,
  type PublicVm,
  problemSchema,
  vmsSchema,
} from '../schemas.ts';
import type { ApiClient } from './api-client.ts';
import type { Cell, Style, Terminal } from './terminal.ts';

export interface ShowContext {
  readonly api: ApiClient;
  readonly terminal: Terminal;
  readonly json: boolean;
}

const healthSchema = z.object({ status: z.string(), version: z.string() });

export async function showStatus({ api, terminal, json }: ShowContext): Promise<void> {
  const health = await api.get('/healthz', healthSchema);
  const [readiness, { hosts }, { groups }] = await Promise.all([
    api.ask(api.at('/readyz')),
    api.get('/v1/hosts', hostsSchema),
    api.get('/v1/groups', groupsSchema),
  ]);
  const ready = readiness.status === 200;
  const problem = problemSchema.safeParse(readiness.body);
  const reason = ready || !problem.success ? undefined : problem.data.detail;
  const daemon = { url: api.url.origin, version: health.version, ready, ...(reason !== undefined && { reason }) };
  if (json) return terminal.json({ daemon, hosts, groups }, 2);
  const state = ready
    ? terminal.styled('green', 'ready')
    : terminal.styled('red', `not ready: ${reason ?? 'no reason given'}`);
  terminal.line(`virtscale ${terminal.styled(undefined, health.version)} at ${api.url.origin}: ${state}`);
  terminal.line('');
  printGroups(terminal, groups);
  terminal.line('');
  printHosts(terminal, hosts);
}

export async function showHosts({ api, terminal, json }: ShowContext): Promise<void> {
  const { hosts } = await api.get('/v1/hosts', hostsSchema);
  if (json) return terminal.json(hosts, 2);
  printHosts(terminal, hosts);
}

export async function showVms({ api, terminal, json }: ShowContext, group?: string): Promise<void> {
  const { vms } = await api.get('/v1/vms', vmsSchema, { group });
  if (json) return terminal.json(vms, 2);
  printVms(terminal, vms);
}

export async function showGroups({ api, terminal, json }: ShowContext): Promise<void> {
  const { groups } = await api.get('/v1/groups', groupsSchema);
  if (json) return terminal.json(groups, 2);
  printGroups(terminal, groups);
}

export async function showWhy({ api, terminal, json }: ShowContext, name: string): Promise<void> {
  const group = await api.get(`/v1/groups/${encodeURIComponent(name)}`, groupDetailSchema);
  if (json) return terminal.json(group.lastDecision ?? null, 2);
  printWhy(terminal, group);
}

function printGroups(terminal: Terminal, groups: readonly PublicGroup[]): void {
  const rows = groups.map((group): (Cell | string)[] => [
    { text: group.name, style: 'bold' },
    stateOf(group),
    `${group.vmCounts.inService}/${group.desired ?? '?'}`,
    `${group.min}–${group.max}`,
    percent(group.cpuPercent),
    group.text ?? 'not evaluated yet',
  ]);
  terminal.table(['GROUP', 'STATE', 'READY', 'RANGE', 'CPU', 'WHY'], rows, 'No groups: no policy is loaded.');
}

function stateOf(group: PublicGroup): Cell {
  if (group.breaker.open) return { text: 'launches stopped', style: 'red' };
  return group.paused ? { text: 'paused', style: 'yellow' } : { text: 'active', style: 'green' };
}

function printHosts(terminal: Terminal, hosts: readonly PublicHost[]): void {
  const rows = hosts.map(({ name, uri, state, capacity, vmCount, domainCount, accel, reason }): (Cell | string)[] => [
    { text: name, style: 'bold' },
    { text: state, style: state === 'up' ? 'green' : state === 'stale' ? 'yellow' : 'red' },
    `${vmCount}/${domainCount}`,
    capacity === undefined ? '–' : `${capacity.cpus}`,
    capacity === undefined ? '–' : `${gib(capacity.memoryFreeMiB)}/${gib(capacity.memoryMiB)} GiB`,
    capacity === undefined ? '–' : `${capacity.diskFreeGiB.toFixed(0)}/${capacity.diskGiB.toFixed(0)} GiB`,
    accel ?? '–',
    reason ?? uri,
  ]);
  const heads = ['HOST', 'STATE', 'VMS/DOMAINS', 'CPUS', 'MEMORY FREE', 'DISK FREE', 'ACCEL', ''];
  terminal.table(heads, rows, 'No hosts.');
}

const PHASE_STYLES: Readonly<Record<PublicVm['phase'], Style>> = {
  launching: 'yellow',
  'in-service': 'green',
  draining: 'yellow',
  removing: 'yellow',
};

function printVms(terminal: Terminal, vms: readonly PublicVm[]): void {
  const rows = vms.map((vm): (Cell | string)[] => [
    `${vm.id}`,
    { text: vm.name, style: 'bold' },
    vm.group,
    vm.host,
    { text: vm.phase, style: PHASE_STYLES[vm.phase] },
    vm.state,
    percent(vm.cpuPercent),
    vm.endpoint === undefined ? '–' : `${vm.endpoint.address}:${vm.endpoint.port}`,
    vm.phaseAt,
    vm.reason ?? '',
  ]);
  terminal.table(['ID', 'NAME', 'GROUP', 'HOST', 'PHASE', 'DOMAIN', 'CPU', 'ENDPOINT', 'SINCE', ''], rows, 'No VMs.');
}

function printWhy(terminal: Terminal, group: PublicGroupDetail): void {
  const { lastDecision: decision, breaker } = group;
  const wanted = group.desired === undefined ? '' : `, ${group.desired} wanted`;
  terminal.line(
    `${terminal.styled('bold', group.name)}: ${group.vmCounts.inService} in service${wanted}, ${group.min} to ${group.max}`,
  );
  if (group.paused) terminal.line(terminal.styled('yellow', 'Paused: nothing is launched or removed.'));
  if (breaker.open) {
    const again = breaker.retryAt === undefined ? '' : `, next try at ${breaker.retryAt}`;
    terminal.line(
      terminal.styled('red', `Launches stopped after ${breaker.failures} failures${again}: ${breaker.reason ?? ''}`),
    );
  }
  if (decision === undefined) {
    terminal.line('Not evaluated yet: ask again after the first turn.');
    return;
  }
  terminal.line(`${terminal.styled('dim', decision.at)}  ${terminal.styled(undefined, decision.text)}`);
  for (const [title, lines] of trailOf(decision)) {
    if (lines.length === 0) continue;
    terminal.line('');
    terminal.line(terminal.styled('dim', title));
    for (const line of lines) terminal.line(`  ${terminal.styled(undefined, line)}`);
  }
}

function trailOf(decision: PublicDecision): readonly (readonly [title: string, lines: readonly string[]])[] {
  const choice = ({ name, chosen, text }: { name: string; chosen: boolean; text: string }): string =>
    `${chosen ? '→' : ' '} ${name}: ${text}`;
  return [
    ['CPU', Object.entries(decision.cpuPercentByVm).map(([name, value]) => `${name}: ${percent(value)}`)],
    ['RULES', decision.verdicts.map(({ rule, text }) => `${rule}: ${text}`)],
    ['LIMITS', decision.limits.map(({ limit, text }) => `${limit}: ${text}`)],
    ['HOSTS', decision.hosts.map(choice)],
    ['VMS TO REMOVE', decision.victims.map(choice)],
  ];
}

function percent(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(0)} %`;
}

function gib(mib: number): string {
  return (mib / 1024).toFixed(1);
}
