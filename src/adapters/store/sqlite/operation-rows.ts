// Operations in SQLite: put with the VMs they are about, found by id, key, VM, state and kind, and the oldest ended ones dropped.
// Not here: transactions (sqlite-store.ts), the form of an operation (../operation-schemas.ts).

import type { Transaction } from 'kysely';
import { ENDED_STATES, type Operation } from '../../../core/operation.ts';
import type { Store } from '../../../ports/store.ts';
import { parseOperation } from '../records.ts';
import { PRUNE_MAX } from './prune.ts';
import type { Tables } from './schema.ts';

type Query = Parameters<Store['operations']>[0];

const COLUMNS = ['id', 'ended', 'body'] as const;

/** `keep`: how many ended ones stay. Those that have not ended are never dropped. */
export async function putOperations(
  tx: Transaction<Tables>,
  operations: readonly Operation[],
  keep: number,
): Promise<void> {
  for (const operation of operations) {
    const body = JSON.stringify(operation);
    const { n } = await tx
      .insertInto('operations')
      .values({ id: operation.id, body })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ body }))
      .returning('n')
      .executeTakeFirstOrThrow();
    await putVms(tx, n, new Set(operation.vms.map(({ id }) => id)));
  }
  if (operations.some(({ state }) => ENDED_STATES.has(state))) await prune(tx, keep);
}

/** Most puts change nothing here: an operation's VMs are known once it is placed. */
async function putVms(tx: Transaction<Tables>, n: number, wanted: ReadonlySet<number>): Promise<void> {
  const rows = await tx.selectFrom('operation_vms').select('vm_id').where('n', '=', n).execute();
  const there = new Set(rows.map((row) => row.vm_id));
  for (const vm_id of there) {
    if (wanted.has(vm_id)) continue;
    await tx.deleteFrom('operation_vms').where('n', '=', n).where('vm_id', '=', vm_id).execute();
  }
  for (const vm_id of wanted) {
    if (!there.has(vm_id)) await tx.insertInto('operation_vms').values({ vm_id, n }).execute();
  }
}

async function prune(tx: Transaction<Tables>, keep: number): Promise<void> {
  const { ended } = await tx
    .selectFrom('operations')
    .select((eb) => eb.fn.countAll<number>().as('ended'))
    .where('ended', '=', 1)
    .executeTakeFirstOrThrow();
  const excess = Math.min(ended - keep, PRUNE_MAX);
  if (excess <= 0) return;
  const oldest = tx.selectFrom('operations').select('n').where('ended', '=', 1).orderBy('n').limit(excess);
  await tx.deleteFrom('operations').where('n', 'in', oldest).execute();
}

/** Those that have not ended, oldest first. */
export async function operationsUnderWay(tx: Transaction<Tables>, file: string): Promise<readonly Operation[]> {
  const rows = await tx.selectFrom('operations').select(COLUMNS).where('ended', '=', 0).orderBy('n').execute();
  return rows.map((row) => parseOperation(file, row));
}

/** Newest first. A `before` that retention has removed has nothing before it. */
export async function operationPage(
  tx: Transaction<Tables>,
  file: string,
  query: Query,
): Promise<readonly Operation[]> {
  const { vmId, state, kind, before, owner } = query;
  let select = tx.selectFrom('operations').select(COLUMNS);
  if (vmId !== undefined) {
    select = select.where('n', 'in', tx.selectFrom('operation_vms').select('n').where('vm_id', '=', vmId));
  }
  if (state !== undefined) select = select.where('state', '=', state);
  if (kind !== undefined) select = select.where('kind', '=', kind);
  if (owner !== undefined) select = select.where('owner', '=', owner);
  if (before !== undefined) {
    const row = await tx.selectFrom('operations').select('n').where('id', '=', before).executeTakeFirst();
    if (row === undefined) return [];
    select = select.where('n', '<', row.n);
  }
  const rows = await select.orderBy('n', 'desc').limit(query.limit).execute();
  return rows.map((row) => parseOperation(file, row));
}

export async function operationById(tx: Transaction<Tables>, file: string, id: string): Promise<Operation | undefined> {
  const row = await tx.selectFrom('operations').select(COLUMNS).where('id', '=', id).executeTakeFirst();
  return row && parseOperation(file, row);
}

export async function operationOfKey(
  tx: Transaction<Tables>,
  file: string,
  owner: string,
  key: string,
): Promise<Operation | undefined> {
  const row = await tx
    .selectFrom('operations')
    .select(COLUMNS)
    .where('owner', '=', owner)
    .where('key', '=', key)
    .executeTakeFirst();
  return row && parseOperation(file, row);
}
