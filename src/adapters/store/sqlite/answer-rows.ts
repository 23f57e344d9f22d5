// Answers kept for repeated Idempotency-Keys, in SQLite: a day, and not too many.
// Not here: what is worth keeping and how a repeated request is told from another with the same key (edge).

import type { Transaction } from 'kysely';
import type { KeptAnswer } from '../../../ports/store.ts';
import { parseKeptAnswer } from '../records.ts';
import { PRUNE_MAX } from './prune.ts';
import type { Tables } from './schema.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

export async function answerOfKey(tx: Transaction<Tables>, file: string, key: string): Promise<KeptAnswer | undefined> {
  const row = await tx.selectFrom('answers').select('body').where('key', '=', key).executeTakeFirst();
  return row && parseKeptAnswer(file, key, row.body);
}

/** The store has no clock: the time of the answer that comes in says which ones are a day old. A key that is kept already gets the new answer. */
export async function putAnswer(tx: Transaction<Tables>, answer: KeptAnswer, keep: number): Promise<void> {
  const { key, at } = answer;
  const at_ms = Date.parse(at);
  if (Number.isNaN(at_ms)) throw new TypeError(`${at} is no time`);
  await tx.deleteFrom('answers').where('key', '=', key).execute();
  await tx
    .insertInto('answers')
    .values({ key, at_ms, body: JSON.stringify(answer) })
    .execute();
  const old = tx
    .selectFrom('answers')
    .select('n')
    .where('at_ms', '<', at_ms - DAY_MS)
    .orderBy('at_ms')
    .limit(PRUNE_MAX);
  await tx.deleteFrom('answers').where('n', 'in', old).execute();
  const { kept } = await tx
    .selectFrom('answers')
    .select((eb) => eb.fn.countAll<number>().as('kept'))
    .executeTakeFirstOrThrow();
  const excess = Math.min(kept - keep, PRUNE_MAX);
  if (excess <= 0) return;
  const oldest = tx.selectFrom('answers').select('n').orderBy('n').limit(excess);
  await tx.deleteFrom('answers').where('n', 'in', oldest).execute();
}
