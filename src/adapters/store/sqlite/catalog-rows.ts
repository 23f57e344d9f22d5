// What the daemon keeps beside VMs and operations, in SQLite: images, tokens, users, clusters, numbers, cordons, the host that took a VM last.
// Not here: transactions (sqlite-store.ts), the form of the records (../catalog-schemas.ts).

import type { Transaction } from 'kysely';
import type { Cluster } from '../../../core/cluster.ts';
import type { Numbered, StoreChanges, StoredState } from '../../../ports/store.ts';
import { parseCatalogImage, parseCluster, parseToken, parseUser } from '../records.ts';
import type { Tables } from './schema.ts';

type Catalog = Pick<StoredState, 'images' | 'tokens' | 'users' | 'clusters' | 'numbers' | 'cordons' | 'lastHost'>;

/** Images and tokens by name, numbers by kind and id. */
export async function loadCatalog(tx: Transaction<Tables>, file: string): Promise<Catalog> {
  const images = await tx.selectFrom('images').selectAll().orderBy('name').execute();
  const tokens = await tx.selectFrom('tokens').selectAll().orderBy('name').execute();
  const users = await tx.selectFrom('users').selectAll().orderBy('name').execute();
  const clusters = await tx.selectFrom('clusters').selectAll().orderBy('id').execute();
  const numbers = await tx.selectFrom('numbers').selectAll().orderBy('kind').orderBy('id').execute();
  const cordons = await tx.selectFrom('cordons').selectAll().orderBy('host').execute();
  const last = await tx.selectFrom('last_host').select('host').executeTakeFirst();
  return {
    images: images.map((row) => parseCatalogImage(file, row.name, row.body)),
    tokens: tokens.map((row) => parseToken(file, row.name, row.body)),
    users: users.map((row) => parseUser(file, row.name, row.body)),
    clusters: clusters.map((row) => parseCluster(file, row.id, row.body)),
    numbers: numbers.map(({ kind, key, id }): Numbered => ({ kind, key, id })),
    // A host may be called like anything, `__proto__` too: fromEntries defines own keys only.
    cordons: Object.fromEntries(cordons.map(({ host, reason }) => [host, reason])),
    ...(last !== undefined && { lastHost: last.host }),
  };
}

export async function putCatalog(tx: Transaction<Tables>, changes: StoreChanges): Promise<void> {
  for (const image of changes.putImages ?? []) await putNamed(tx, 'images', image);
  for (const name of changes.deleteImages ?? []) await tx.deleteFrom('images').where('name', '=', name).execute();
  for (const token of changes.putTokens ?? []) await putNamed(tx, 'tokens', token);
  for (const name of changes.deleteTokens ?? []) await tx.deleteFrom('tokens').where('name', '=', name).execute();
  for (const user of changes.putUsers ?? []) await putNamed(tx, 'users', user);
  for (const cluster of changes.putClusters ?? []) await putCluster(tx, cluster);
  for (const id of changes.deleteClusters ?? []) await tx.deleteFrom('clusters').where('id', '=', id).execute();
  for (const numbered of changes.putNumbers ?? []) await putNumber(tx, numbered);
  for (const [host, reason] of Object.entries(changes.putCordons ?? {})) await putCordon(tx, host, reason);
  const host = changes.lastHost;
  if (host === undefined) return;
  await tx
    .insertInto('last_host')
    .values({ one: 1, host })
    .onConflict((conflict) => conflict.column('one').doUpdateSet({ host }))
    .execute();
}

async function putNamed(
  tx: Transaction<Tables>,
  table: 'images' | 'tokens' | 'users',
  record: { readonly name: string },
): Promise<void> {
  const body = JSON.stringify(record);
  await tx
    .insertInto(table)
    .values({ name: record.name, body })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ body }))
    .execute();
}

async function putCluster(tx: Transaction<Tables>, cluster: Cluster): Promise<void> {
  const body = JSON.stringify(cluster);
  await tx
    .insertInto('clusters')
    .values({ id: cluster.id, body })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ body }))
    .execute();
}

/** A number once given stays. Another number for the same key, or another key for the same number, fails the commit. */
async function putNumber(tx: Transaction<Tables>, { kind, key, id }: Numbered): Promise<void> {
  const same = await tx
    .selectFrom('numbers')
    .select('id')
    .where('kind', '=', kind)
    .where('key', '=', key)
    .where('id', '=', id)
    .executeTakeFirst();
  if (same === undefined) await tx.insertInto('numbers').values({ kind, key, id }).execute();
}

async function putCordon(tx: Transaction<Tables>, host: string, reason: string | null): Promise<void> {
  if (reason === null) {
    await tx.deleteFrom('cordons').where('host', '=', host).execute();
    return;
  }
  await tx
    .insertInto('cordons')
    .values({ host, reason })
    .onConflict((conflict) => conflict.column('host').doUpdateSet({ reason }))
    .execute();
}
