// The audit record in SQLite: appended, read newest first, and the oldest dropped.
// Not here: transactions and retention (sqlite-store.ts), the form of an entry (../user-schemas.ts).

import type { Transaction } from 'kysely';
import type { AuditEntry, LoggedAudit } from '../../../core/audit.ts';
import type { Store } from '../../../ports/store.ts';
import { parseAudit } from '../records.ts';
import { PRUNE_MAX } from './prune.ts';
import type { Tables } from './schema.ts';

export async function putAudit(tx: Transaction<Tables>, entries: readonly AuditEntry[], keep: number): Promise<void> {
  if (entries.length === 0) return;
  for (const entry of entries) {
    await tx
      .insertInto('audit')
      .values({ who: entry.who, body: JSON.stringify(entry) })
      .execute();
  }
  const { oldest, newest } = await tx
    .selectFrom('audit')
    .select((eb) => [eb.fn.min('n').as('oldest'), eb.fn.max('n').as('newest')])
    .executeTakeFirstOrThrow();
  const excess = newest - oldest + 1 - keep;
  if (excess <= 0) return;
  await tx
    .deleteFrom('audit')
    .where('n', '<', oldest + Math.min(excess, PRUNE_MAX))
    .execute();
}

export async function auditPage(
  tx: Transaction<Tables>,
  file: string,
  { limit, before, who }: Parameters<Store['audit']>[0],
): Promise<readonly LoggedAudit[]> {
  let select = tx.selectFrom('audit').select(['n', 'body']);
  if (before !== undefined) select = select.where('n', '<', before);
  if (who !== undefined) select = select.where('who', '=', who);
  const rows = await select.orderBy('n', 'desc').limit(limit).execute();
  return rows.map((row) => parseAudit(file, row.n, row.body));
}
