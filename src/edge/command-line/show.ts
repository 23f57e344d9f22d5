// The daemon with its groups and hosts at one glance. Not here: what has commands of its own (groups, hosts, vms, images, …).

import { z } from '@hono/zod-openapi';
import { groupsSchema } from '../group-schemas.ts';
import { hostsSchema, problemSchema } from '../schemas.ts';
import type { ClientContext } from './client-context.ts';
import { printGroups } from './groups.ts';
import { printHosts } from './hosts.ts';

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
