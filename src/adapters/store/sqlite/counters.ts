// Numbers that only grow. Not here: what they number (schema.ts).

import type { Transaction } from 'kysely';
import type { CounterName, Tables } from './schema.ts';

export async function counter(tx: Transaction<Tables>, name: CounterName): Promise<number> {
  const row = await tx.selectFrom('counters').select('value').where('name', '=', name).executeTakeFirst();
  if (row === undefined) throw new Error(`the counter ${name} is missing`);
  return row.value;
}

/** Does nothing when it has reached `value` already. */
export async function raiseCounter(tx: Transaction<Tables>, name: CounterName, value: number): Promise<void> {
  await tx.updateTable('counters').set({ value }).where('name', '=', name).where('value', '<', value).execute();
}
