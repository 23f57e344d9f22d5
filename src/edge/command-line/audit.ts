// `virtscale audit`: every write that was asked for, newest last as in a log.

import type { z } from '@hono/zod-openapi';
import type { Command } from 'commander';
import { type auditEntrySchema, auditSchema } from '../user-schemas.ts';
import { type ClientContext, type ClientOptions, type ContextOf, clientCommand } from './client-context.ts';
import type { Cell } from './terminal.ts';
import { wholeNumber } from './values.ts';

interface AuditOptions {
  readonly who?: string;
  readonly limit: number;
}

/** What the daemon gives at once. */
const PAGE = 1000;

export function addAuditCommand(root: Command, contextOf: ContextOf): void {
  clientCommand(root, 'audit', 'who asked for what, from where, with which result (by admins)')
    .option('-w, --who <name>', 'only of this user or token')
    .option('-n, --limit <count>', 'so many at most', wholeNumber, 50)
    .action((options: ClientOptions & AuditOptions) => show(contextOf(options), options));
}

type Entry = z.infer<typeof auditEntrySchema>;

async function show({ api, terminal, json }: ClientContext, { who, limit }: AuditOptions): Promise<void> {
  const entries: Entry[] = [];
  for (let before: number | undefined; entries.length < limit; ) {
    const query = { who, limit: Math.min(limit - entries.length, PAGE), before };
    const page: z.infer<typeof auditSchema> = await api.get('/v1/audit', auditSchema, query);
    entries.push(...page.entries);
    before = page.nextBefore;
    if (before === undefined) break;
  }
  entries.reverse();
  if (json) return terminal.json(entries, 2);
  terminal.table(
    ['AT', 'WHO', 'FROM', 'WHAT', 'RESULT', 'OPERATION'],
    entries.map(rowOf),
    'Nothing was asked for yet.',
  );
}

function rowOf({
  at,
  who,
  from,
  proxied,
  method,
  route,
  target = {},
  status,
  problem,
  operation,
}: Entry): (Cell | string)[] {
  const filled = route.replaceAll(/\{(\w+)\}/g, (_, name: string) => target[name] ?? '?');
  const rest = Object.entries(target).filter(([name]) => !route.includes(`{${name}}`));
  const about = rest.map(([name, value]) => ` ${name}=${value}`).join('');
  return [
    at,
    { text: who, style: 'bold' },
    `${from ?? ''}${proxied ? ' (proxy)' : ''}`,
    `${method} ${filled}${about}`,
    { text: problem === undefined ? String(status) : `${status} ${problem}`, style: status < 400 ? 'green' : 'red' },
    operation ?? '',
  ];
}
