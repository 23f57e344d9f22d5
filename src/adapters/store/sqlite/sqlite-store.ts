// The store in one SQLite file: VM records, memories, decisions and the event log, each change a single transaction.
// Not here: opening and locking the file (open-database.ts), checking what is read (../records.ts).

import { Kysely, type Transaction } from 'kysely';
import type { LoggedDecision } from '../../../core/decision.ts';
import type { LoggedEvent } from '../../../core/events.ts';
import type { DurableMemory } from '../../../core/memory.ts';
import type { EventPage, EventQuery, Store, StoreChanges, StoredState } from '../../../ports/store.ts';
import { parseDurableMemory, parseLoggedDecision, parseLoggedEvent, parseVmRecord } from '../records.ts';
import { NodeSqliteDialect } from './node-sqlite-dialect.ts';
import { type OpenedDatabase, type OpenOptions, openDatabase } from './open-database.ts';
import type { CounterName, Tables } from './schema.ts';
import { sqliteFault } from './sqlite-fault.ts';

export interface SqliteStoreOptions extends OpenOptions {
  /** Newest events kept. Default 100 000. */
  readonly keepEvents?: number;
  /** Newest decisions kept. Default 20 000. */
  readonly keepDecisions?: number;
}

const KEEP_EVENTS = 100_000;
const KEEP_DECISIONS = 20_000;
/** Old rows one commit removes at the most: a lowered retention is reached over several commits, none of them long. */
const PRUNE_MAX = 1000;

export class SqliteStore implements Store {
  readonly #file: string;
  readonly #opened: OpenedDatabase;
  readonly #kysely: Kysely<Tables>;
  readonly #keepEvents: number;
  readonly #keepDecisions: number;
  #closed = false;

  /** Opens, checks and migrates the file (see `openDatabase`). Throws `Fault('refused')` with advice. */
  constructor(options: SqliteStoreOptions) {
    this.#file = options.path;
    this.#keepEvents = options.keepEvents ?? KEEP_EVENTS;
    this.#keepDecisions = options.keepDecisions ?? KEEP_DECISIONS;
    this.#opened = openDatabase(options);
    this.#kysely = new Kysely<Tables>({ dialect: new NodeSqliteDialect(this.#opened.database) });
  }

  async load(): Promise<StoredState> {
    return this.#transaction(async (tx) => {
      const vms = await tx.selectFrom('vms').selectAll().orderBy('id').execute();
      const memories = await tx.selectFrom('group_memory').selectAll().orderBy('group_name').execute();
      // A group may be called like anything, `__proto__` too: fromEntries defines own keys only.
      const memory: Readonly<Record<string, DurableMemory>> = Object.fromEntries(
        memories.map((row) => [row.group_name, parseDurableMemory(this.#file, row.group_name, row.body)]),
      );
      return {
        vms: vms.map((row) => parseVmRecord(this.#file, row.id, row.body)),
        memory,
        lastSeq: await counter(tx, 'last_seq'),
        nextVmId: await counter(tx, 'next_vm_id'),
      };
    });
  }

  async commit(changes: StoreChanges): Promise<readonly LoggedEvent[]> {
    return this.#transaction(async (tx) => {
      await this.#putRecords(tx, changes);
      await this.#putDecisions(tx, changes.decisions ?? []);
      return this.#appendEvents(tx, changes.events ?? []);
    });
  }

  async events(query: EventQuery): Promise<EventPage> {
    return this.#transaction(async (tx) => {
      let select = tx.selectFrom('events').select(['seq', 'at', 'body']).where('seq', '>', query.since);
      if (query.group !== undefined) select = select.where('group_name', '=', query.group);
      if (query.types !== undefined) select = select.where('type', 'in', query.types);
      const rows = await select.orderBy('seq').limit(query.limit).execute();
      const { oldest } = await tx
        .selectFrom('events')
        .select((eb) => eb.fn.min('seq').as('oldest'))
        .executeTakeFirstOrThrow();
      return {
        events: rows.map((row) => parseLoggedEvent(this.#file, row.seq, row.at, row.body)),
        oldestSeq: oldest ?? 0,
        lastSeq: await counter(tx, 'last_seq'),
      };
    });
  }

  /** `before` names a decision; one that retention has removed has nothing before it. */
  async decisions(query: {
    readonly group?: string;
    readonly limit: number;
    readonly before?: string;
  }): Promise<readonly LoggedDecision[]> {
    return this.#transaction(async (tx) => {
      let select = tx.selectFrom('decisions').select(['id', 'body']);
      if (query.group !== undefined) select = select.where('group_name', '=', query.group);
      if (query.before !== undefined) {
        const before = await tx.selectFrom('decisions').select('n').where('id', '=', query.before).executeTakeFirst();
        if (before === undefined) return [];
        select = select.where('n', '<', before.n);
      }
      const rows = await select.orderBy('n', 'desc').limit(query.limit).execute();
      return rows.map((row) => parseLoggedDecision(this.#file, row.id, row.body));
    });
  }

  async decision(id: string): Promise<LoggedDecision | undefined> {
    return this.#transaction(async (tx) => {
      const row = await tx.selectFrom('decisions').select('body').where('id', '=', id).executeTakeFirst();
      return row === undefined ? undefined : parseLoggedDecision(this.#file, id, row.body);
    });
  }

  /** Waits for what was begun, then closes the file and lets the lock go. Closing twice is no error. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // A turn in kysely's queue: every transaction begun before has ended when it comes.
    await this.#kysely.connection().execute(async () => {});
    await this.#kysely.destroy();
    this.#opened.close();
  }

  async #transaction<T>(work: (tx: Transaction<Tables>) => Promise<T>): Promise<T> {
    try {
      return await this.#kysely.transaction().execute(work);
    } catch (error) {
      throw sqliteFault(error, this.#file);
    }
  }

  async #putRecords(tx: Transaction<Tables>, changes: StoreChanges): Promise<void> {
    let nextVmId = changes.nextVmId ?? 0;
    for (const record of changes.putVms ?? []) {
      nextVmId = Math.max(nextVmId, record.id + 1);
      const body = JSON.stringify(record);
      await tx
        .insertInto('vms')
        .values({ id: record.id, body })
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ body }))
        .execute();
    }
    for (const id of changes.deleteVms ?? []) await tx.deleteFrom('vms').where('id', '=', id).execute();
    for (const [group_name, memory] of Object.entries(changes.putMemory ?? {})) {
      const body = JSON.stringify(memory);
      await tx
        .insertInto('group_memory')
        .values({ group_name, body })
        .onConflict((conflict) => conflict.column('group_name').doUpdateSet({ body }))
        .execute();
    }
    if (nextVmId > 0) {
      await tx
        .updateTable('counters')
        .set({ value: nextVmId })
        .where('name', '=', 'next_vm_id')
        .where('value', '<', nextVmId)
        .execute();
    }
  }

  async #putDecisions(tx: Transaction<Tables>, decisions: readonly LoggedDecision[]): Promise<void> {
    if (decisions.length === 0) return;
    for (const decision of decisions) {
      const body = JSON.stringify(decision);
      await tx.insertInto('decisions').values({ id: decision.id, group_name: decision.group, body }).execute();
    }
    const { oldest, newest } = await tx
      .selectFrom('decisions')
      .select((eb) => [eb.fn.min('n').as('oldest'), eb.fn.max('n').as('newest')])
      .executeTakeFirstOrThrow();
    const excess = newest - oldest + 1 - this.#keepDecisions;
    if (excess <= 0) return;
    await tx
      .deleteFrom('decisions')
      .where('n', '<', oldest + Math.min(excess, PRUNE_MAX))
      .execute();
  }

  async #appendEvents(
    tx: Transaction<Tables>,
    events: NonNullable<StoreChanges['events']>,
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
          group_name: 'group' in event ? event.group : null,
          body: JSON.stringify(event),
        })
        .execute();
    }
    const last = before + events.length;
    await tx.updateTable('counters').set({ value: last }).where('name', '=', 'last_seq').execute();
    const { oldest } = await tx
      .selectFrom('events')
      .select((eb) => eb.fn.min('seq').as('oldest'))
      .executeTakeFirstOrThrow();
    const excess = last - oldest + 1 - this.#keepEvents;
    if (excess > 0) {
      await tx
        .deleteFrom('events')
        .where('seq', '<', oldest + Math.min(excess, PRUNE_MAX))
        .execute();
    }
    return logged;
  }
}

async function counter(tx: Transaction<Tables>, name: CounterName): Promise<number> {
  const row = await tx.selectFrom('counters').select('value').where('name', '=', name).executeTakeFirst();
  if (row === undefined) throw new Error(`the counter ${name} is missing`);
  return row.value;
}
