// Decisions and the event log in SQLite: appended, and the oldest dropped.
// Not here: transactions and retention (sqlite-store.ts), the form of the records (../records.ts).

import { sql, type Transaction } from 'kysely';
import type { LoggedDecision } from '../../../core/decision.ts';
import type { LoggedEvent } from '../../../core/events.ts';
import type { EventPage, EventQuery, Store, StoreChanges } from '../../../ports/store.ts';
import { parseLoggedDecision, parseLoggedEvent } from '../records.ts';
import { counter } from './counters.ts';
import { PRUNE_MAX } from './prune.ts';
import type { Tables } from './schema.ts';

export async function putDecisions(
  tx: Transaction<Tables>,
  decisions: readonly LoggedDecision[],
  keep: number,
): Promise<void> {
  if (decisions.length === 0) return;
  for (const decision of decisions) {
    const body = JSON.stringify(decision);
    await tx.insertInto('decisions').values({ id: decision.id, group_name: decision.group, body }).execute();
  }
  const { oldest, newest } = await tx
    .selectFrom('decisions')
    .select((eb) => [eb.fn.min('n').as('oldest'), eb.fn.max('n').as('newest')])
    .executeTakeFirstOrThrow();
  const excess = newest - oldest + 1 - keep;
  if (excess <= 0) return;
  await tx
    .deleteFrom('decisions')
    .where('n', '<', oldest + Math.min(excess, PRUNE_MAX))
    .execute();
}

export async function appendEvents(
  tx: Transaction<Tables>,
  events: NonNullable<StoreChanges['events']>,
  keep: number,
): Promise<readonly LoggedEvent[]> {
  if (events.length === 0) return [];
  const before = await counter(tx, 'last_seq');
  const logged = events.map(({ at, event }, index): LoggedEvent => ({ ...event, seq: before + 1 + index, at }));
  for (const [index, { at, event }] of events.entries()) {
    await tx
      .insertInto('events')
      .values({
        seq: before + 1 + index,
        at,
        type: event.type,
        group_name: ('group' in event ? event.group : undefined) ?? null,
        body: JSON.stringify(event),
      })
      .execute();
  }
  const last = before + events.length;
  await tx.updateTable('counters').set({ value: last }).where('name', '=', 'last_seq').execute();
  const oldest = await oldestSeq(tx);
  const excess = last - oldest + 1 - keep;
  if (excess > 0) {
    await tx
      .deleteFrom('events')
      .where('seq', '<', oldest + Math.min(excess, PRUNE_MAX))
      .execute();
  }
  return logged;
}

export async function eventPage(tx: Transaction<Tables>, file: string, query: EventQuery): Promise<EventPage> {
  let select = tx.selectFrom('events').select(['seq', 'at', 'body']).where('seq', '>', query.since);
  if (query.group !== undefined) select = select.where('group_name', '=', query.group);
  if (query.types !== undefined) select = select.where('type', 'in', query.types);
  if (query.owner !== undefined) select = select.where('owner', '=', query.owner);
  const rows = await select.orderBy('seq').limit(query.limit).execute();
  return {
    events: rows.map((row) => parseLoggedEvent(file, row.seq, row.at, row.body)),
    oldestSeq: await oldestSeq(tx),
    lastSeq: await counter(tx, 'last_seq'),
  };
}

/** 0 when there is none. */
async function oldestSeq(tx: Transaction<Tables>): Promise<number> {
  const { oldest } = await tx
    .selectFrom('events')
    .select((eb) => eb.fn.min<number | null>('seq').as('oldest'))
    .executeTakeFirstOrThrow();
  return oldest ?? 0;
}

/** Newest first. A `before` that retention has removed has nothing before it. */
export async function decisionPage(
  tx: Transaction<Tables>,
  file: string,
  query: Parameters<Store['decisions']>[0],
): Promise<readonly LoggedDecision[]> {
  let select = tx.selectFrom('decisions').select(['id', 'body']);
  if (query.group !== undefined) select = select.where('group_name', '=', query.group);
  if (query.before !== undefined) {
    const before = await tx.selectFrom('decisions').select('n').where('id', '=', query.before).executeTakeFirst();
    if (before === undefined) return [];
    select = select.where('n', '<', before.n);
  }
  if (query.until !== undefined) {
    // Where to begin is told by an index alone (`+n`: not by walking back through the rows); from there back, the first rows are the
    // right ones unless the clock was set back.
    let latest = tx.selectFrom('decisions').select(sql<number | null>`max(+n)`.as('n'));
    latest = latest.where('at', '<=', query.until);
    if (query.group !== undefined) latest = latest.where('group_name', '=', query.group);
    const { n } = await latest.executeTakeFirstOrThrow();
    if (n === null) return [];
    select = select.where('n', '<=', n).where('at', '<=', query.until);
  }
  const rows = await select.orderBy('n', 'desc').limit(query.limit).execute();
  return rows.map((row) => parseLoggedDecision(file, row.id, row.body));
}

export async function decisionById(
  tx: Transaction<Tables>,
  file: string,
  id: string,
): Promise<LoggedDecision | undefined> {
  const row = await tx.selectFrom('decisions').select('body').where('id', '=', id).executeTakeFirst();
  return row && parseLoggedDecision(file, id, row.body);
}
