// The store in one SQLite file: each change a single transaction, each question a consistent look.
// Not here: opening and locking the file (open-database.ts), the rows of each kind (*-rows.ts), checking what is read (../records.ts).

import { Kysely, type Transaction } from 'kysely';
import type { AuditEntry, LoggedAudit } from '../../../core/audit.ts';
import type { LoggedDecision } from '../../../core/decision.ts';
import type { LoggedEvent } from '../../../core/events.ts';
import type { DurableMemory } from '../../../core/memory.ts';
import type { VmRecord } from '../../../core/model.ts';
import type { Operation } from '../../../core/operation.ts';
import type { EventPage, EventQuery, KeptAnswer, Store, StoreChanges, StoredState } from '../../../ports/store.ts';
import { parseDurableMemory, parseVmRecord } from '../records.ts';
import { answerOfKey, putAnswer } from './answer-rows.ts';
import { auditPage, putAudit } from './audit-rows.ts';
import { loadCatalog, putCatalog } from './catalog-rows.ts';
import { counter, raiseCounter } from './counters.ts';
import { appendEvents, decisionById, decisionPage, eventPage, putDecisions } from './history-rows.ts';
import { NodeSqliteDialect } from './node-sqlite-dialect.ts';
import { type OpenedDatabase, type OpenOptions, openDatabase } from './open-database.ts';
import { operationById, operationOfKey, operationPage, operationsUnderWay, putOperations } from './operation-rows.ts';
import type { Tables } from './schema.ts';
import { sqliteFault } from './sqlite-fault.ts';

/** How many of the newest are kept, of each kind. */
export interface Retention {
  /** Default 100 000. */
  readonly keepEvents?: number;
  /** Default 20 000. */
  readonly keepDecisions?: number;
  /** Ended ones; those under way are never dropped. Default 10 000. */
  readonly keepOperations?: number;
  /** Default 10 000. */
  readonly keepAnswers?: number;
  /** Default 100 000. */
  readonly keepAudit?: number;
}

export interface SqliteStoreOptions extends OpenOptions, Retention {}

const KEEP: Required<Retention> = {
  keepEvents: 100_000,
  keepDecisions: 20_000,
  keepOperations: 10_000,
  keepAnswers: 10_000,
  keepAudit: 100_000,
};

export class SqliteStore implements Store {
  readonly #file: string;
  readonly #opened: OpenedDatabase;
  readonly #kysely: Kysely<Tables>;
  readonly #keep: Required<Retention>;
  #closed = false;

  /** Opens, checks and migrates the file (see `openDatabase`). Throws `Fault('refused')` with advice. */
  constructor(options: SqliteStoreOptions) {
    this.#file = options.path;
    this.#keep = {
      keepEvents: options.keepEvents ?? KEEP.keepEvents,
      keepDecisions: options.keepDecisions ?? KEEP.keepDecisions,
      keepOperations: options.keepOperations ?? KEEP.keepOperations,
      keepAnswers: options.keepAnswers ?? KEEP.keepAnswers,
      keepAudit: options.keepAudit ?? KEEP.keepAudit,
    };
    this.#opened = openDatabase(options);
    this.#kysely = new Kysely<Tables>({ dialect: new NodeSqliteDialect(this.#opened.database) });
  }

  async load(): Promise<StoredState> {
    return this.#transaction(async (tx) => ({
      vms: await this.#loadVms(tx),
      memory: await this.#loadMemory(tx),
      lastSeq: await counter(tx, 'last_seq'),
      nextVmId: await counter(tx, 'next_vm_id'),
      operations: await operationsUnderWay(tx, this.#file),
      loads: await loadLoads(tx),
      ...(await loadCatalog(tx, this.#file)),
    }));
  }

  async commit(changes: StoreChanges): Promise<readonly LoggedEvent[]> {
    return this.#transaction(async (tx) => {
      await putVms(tx, changes);
      await putMemory(tx, changes.putMemory ?? {});
      await putLoads(tx, changes.putLoads ?? {});
      await putOperations(tx, changes.putOperations ?? [], this.#keep.keepOperations);
      await putCatalog(tx, changes);
      await putDecisions(tx, changes.decisions ?? [], this.#keep.keepDecisions);
      return appendEvents(tx, changes.events ?? [], this.#keep.keepEvents);
    });
  }

  async events(query: EventQuery): Promise<EventPage> {
    return this.#transaction((tx) => eventPage(tx, this.#file, query));
  }

  async decisions(query: Parameters<Store['decisions']>[0]): Promise<readonly LoggedDecision[]> {
    return this.#transaction((tx) => decisionPage(tx, this.#file, query));
  }

  async decision(id: string): Promise<LoggedDecision | undefined> {
    return this.#transaction((tx) => decisionById(tx, this.#file, id));
  }

  async operations(query: Parameters<Store['operations']>[0]): Promise<readonly Operation[]> {
    return this.#transaction((tx) => operationPage(tx, this.#file, query));
  }

  async operation(id: string): Promise<Operation | undefined> {
    return this.#transaction((tx) => operationById(tx, this.#file, id));
  }

  async operationByKey(owner: string, key: string): Promise<Operation | undefined> {
    return this.#transaction((tx) => operationOfKey(tx, this.#file, owner, key));
  }

  async answer(key: string): Promise<KeptAnswer | undefined> {
    return this.#transaction((tx) => answerOfKey(tx, this.#file, key));
  }

  async keepAnswer(answer: KeptAnswer): Promise<void> {
    return this.#transaction((tx) => putAnswer(tx, answer, this.#keep.keepAnswers));
  }

  async keepAudit(entries: readonly AuditEntry[]): Promise<void> {
    return this.#transaction((tx) => putAudit(tx, entries, this.#keep.keepAudit));
  }

  async audit(query: Parameters<Store['audit']>[0]): Promise<readonly LoggedAudit[]> {
    return this.#transaction((tx) => auditPage(tx, this.#file, query));
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

  async #loadVms(tx: Transaction<Tables>): Promise<readonly VmRecord[]> {
    const rows = await tx.selectFrom('vms').selectAll().orderBy('id').execute();
    return rows.map((row) => parseVmRecord(this.#file, row.id, row.body));
  }

  /** A group may be called like anything, `__proto__` too: fromEntries defines own keys only. */
  async #loadMemory(tx: Transaction<Tables>): Promise<Readonly<Record<string, DurableMemory>>> {
    const rows = await tx.selectFrom('group_memory').selectAll().orderBy('group_name').execute();
    return Object.fromEntries(
      rows.map((row) => [row.group_name, parseDurableMemory(this.#file, row.group_name, row.body)]),
    );
  }

  async #transaction<T>(work: (tx: Transaction<Tables>) => Promise<T>): Promise<T> {
    try {
      return await this.#kysely.transaction().execute(work);
    } catch (error) {
      throw sqliteFault(error, this.#file);
    }
  }
}

async function putVms(tx: Transaction<Tables>, { putVms = [], deleteVms = [], nextVmId = 0 }: StoreChanges) {
  for (const record of putVms) {
    const body = JSON.stringify(record);
    await tx
      .insertInto('vms')
      .values({ id: record.id, body })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ body }))
      .execute();
  }
  for (const id of deleteVms) await tx.deleteFrom('vms').where('id', '=', id).execute();
  const next = putVms.reduce((highest, { id }) => Math.max(highest, id + 1), nextVmId);
  if (next > 0) await raiseCounter(tx, 'next_vm_id', next);
}

async function putMemory(tx: Transaction<Tables>, memories: Readonly<Record<string, DurableMemory>>): Promise<void> {
  for (const [group_name, memory] of Object.entries(memories)) {
    const body = JSON.stringify(memory);
    await tx
      .insertInto('group_memory')
      .values({ group_name, body })
      .onConflict((conflict) => conflict.column('group_name').doUpdateSet({ body }))
      .execute();
  }
}

async function loadLoads(tx: Transaction<Tables>): Promise<StoredState['loads']> {
  const rows = await tx.selectFrom('loads').selectAll().orderBy('group_name').execute();
  return Object.fromEntries(rows.map(({ group_name, load }) => [group_name, load]));
}

async function putLoads(tx: Transaction<Tables>, loads: StoredState['loads']): Promise<void> {
  for (const [group_name, load] of Object.entries(loads)) {
    await tx
      .insertInto('loads')
      .values({ group_name, load })
      .onConflict((conflict) => conflict.column('group_name').doUpdateSet({ load }))
      .execute();
  }
}
