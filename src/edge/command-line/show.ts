// What is there, for people or as JSON: status, groups, why. Not here: what has commands of its own (hosts, vms, images, …).

import { z } from '@hono/zod-openapi';
import {
  groupDetailSchema,
  groupsSchema,
  hostsSchema,
  type PublicDecision,
  type PublicGroup,
  type PublicGroupDetail,
  problemSchema,
} from '../schemas.ts';
import type { ClientContext } from './client-context.ts';
import { percent } from './figures.ts';
import { printHosts } from './hosts.ts';
import type { Cell, Terminal } from './terminal.ts';

/** What showing takes: no waiting, no questions. */
export type ShowContext = Pick<ClientContext, 'api' | 'terminal' | 'json'>;

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
