// SqliteStore and its tables: a file of an older version comes over, damaged rows are named, searches use an index, retention is bounded.
// Not here: what every store promises (test/contracts/store.ts), kills and full disks (sqlite-store.test.ts).

import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MIGRATIONS, SCHEMA_VERSION } from '../../../src/adapters/store/sqlite/schema.ts';
import { SqliteStore, type SqliteStoreOptions } from '../../../src/adapters/store/sqlite/sqlite-store.ts';
import { Fault } from '../../../src/ports/fault.ts';
import { aDecision, anEvent, aVmRecord, EMPTY } from '../../contracts/store.ts';
import { aCatalogImage, anAnswer, aToken } from '../../contracts/store-catalog.ts';
import { anOperation } from '../../contracts/store-operations.ts';

const VERSION_1 = new URL('./version-1.db', import.meta.url);
const VERSION_2 = new URL('./version-2.db', import.meta.url);

const stores: SqliteStore[] = [];
let folder = '';
let file = '';

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'virtscale-store-'));
  file = path.join(folder, 'virtscale.db');
});

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(options: Partial<SqliteStoreOptions> = {}): SqliteStore {
  const store = new SqliteStore({ path: file, ...options });
  stores.push(store);
  return store;
}

function edit(sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

test('a file of version 1, as it was released, comes over with everything in it', async () => {
  copyFileSync(VERSION_1, file);
  const store = open();
  const running = { kind: 'existing', phase: 'in-service', step: 'started' } as const;
  const endpoint = { address: '127.0.1.2', port: 80 };
  expect(await store.load()).toEqual({
    ...EMPTY,
    vms: [aVmRecord(1), aVmRecord(2, { ...running, endpoint })],
    memory: { web: { desired: 2, desiredBy: 'user', paused: true, lastOutAtMs: 5, breaker: { failures: 1 } } },
    lastSeq: 3,
    nextVmId: 9,
  });
  expect(await store.decisions({ limit: 9 })).toEqual([aDecision('d-2'), aDecision('d-1')]);
  const { events } = await store.events({ since: 0, limit: 9 });
  expect(events.map(({ seq, type, at }) => ({ seq, event: { type }, at }))).toEqual(
    [1, 2, 3].map((seq) => ({ seq, event: { type: 'host.up' }, at: anEvent('').at })),
  );
  await store.commit({ putOperations: [anOperation('o')], putVms: [aVmRecord(3)], events: [anEvent('d')] });
  await store.close();
  expect(await open().load()).toMatchObject({ operations: [anOperation('o')], lastSeq: 4, nextVmId: 9 });
});

test('a file of version 2, as it was released, comes over with everything in it', async () => {
  copyFileSync(VERSION_2, file);
  const store = open();
  const endpoint = { address: '127.0.1.1', port: 80 };
  expect(await store.load()).toEqual({
    ...EMPTY,
    vms: [aVmRecord(1, { phase: 'in-service', step: 'started', endpoint })],
    memory: {
      web: {
        desired: 2,
        paused: false,
        lastOutAtMs: 5,
        lastInAtMs: 4,
        breaker: { failures: 1, lastReason: 'no «space»' },
      },
    },
    lastSeq: 1,
    nextVmId: 2,
    operations: [anOperation('o')],
    images: [aCatalogImage('i')],
    tokens: [aToken('t')],
    numbers: [{ kind: 'host', key: 'h1', id: 3 }],
    cordons: { h1: 'new disks' },
    lastHost: 'h1',
  });
  expect(await store.answer('k')).toEqual(anAnswer('k'));
  await store.commit({ putLoads: { web: 'learned' } });
  expect(await store.decisions({ limit: 9, until: aDecision('').at })).toEqual(await store.decisions({ limit: 9 }));
});

test('a decision of version 2 is read in the form of today: what it did not say stays unsaid', async () => {
  copyFileSync(VERSION_2, file);
  const store = open();
  const { steps, ...before } = aDecision('d-1');
  const verdict = { type: 'threshold', unit: '%', metric: 'cpu', threshold: 75 };
  const text = 'CPU 81 % has been above 75 % for 3 s';
  expect(await store.decision('d-1')).toEqual({
    ...before,
    steps,
    verdicts: [
      {
        ...verdict,
        rule: 'hot',
        direction: 'out',
        verdict: 'fires',
        value: 81.25,
        crossedAtMs: 400,
        recommends: 1,
        text,
      },
      { ...verdict, rule: 'idle', direction: 'in', verdict: 'no-data', recommends: 0, text },
    ],
    limits: [{ limit: 'max', from: 3, to: 2, text: 'at most 2' }],
  });
  expect(await store.decision('d-2')).toMatchObject({ steps: [], verdicts: [], counts: { standby: 0 } });
});

test('a file of version 1 that cannot come over is left as it was', async () => {
  copyFileSync(VERSION_1, file);
  edit('create table tokens (something text)');
  const before = readFileSync(file);
  expect(() => open()).toThrow(/tokens/);
  const database = new DatabaseSync(file);
  expect(database.prepare('select max(version) as version from migrations').get()).toMatchObject({ version: 1 });
  expect(database.prepare("select 1 from sqlite_schema where name = 'operations'").get()).toBeUndefined();
  expect(database.prepare('select count(*) as n from vms').get()).toMatchObject({ n: 2 });
  database.close();
  expect(readFileSync(file).length).toBe(before.length);
});

test.each([
  [1, VERSION_1],
  [2, VERSION_2],
])('the released migrations up to %i are what they were', (version, fixture) => {
  copyFileSync(fixture, file);
  const tables = (database: DatabaseSync) =>
    database.prepare("select name, sql from sqlite_schema where name <> 'migrations' order by name").all();
  const released = new DatabaseSync(file);
  const made = new DatabaseSync(':memory:');
  for (const { sql } of MIGRATIONS.slice(0, version)) made.exec(sql);
  const names = tables(made).map(({ name }) => name);
  expect(names).toContain('events');
  expect(tables(made)).toEqual(tables(released).filter(({ name }) => names.includes(name)));
  expect(SCHEMA_VERSION).toBe(MIGRATIONS.length);
  made.close();
  released.close();
});

async function refusal(work: () => Promise<unknown>): Promise<string> {
  const error: unknown = await work().catch((caught: unknown) => caught);
  if (!(error instanceof Fault)) throw new Error(`no fault: ${String(error)}`);
  expect({ kind: error.kind, advised: error.advice !== undefined }).toEqual({ kind: 'refused', advised: true });
  return error.message;
}

test.each([
  ['an operation under way', `update operations set body = json_remove(body, '$.vms')`, /operations o in .*: vms: /],
  ['an operation in no known state', `update operations set body = json_set(body, '$.state', 'x')`, /o in .*: state: /],
  ['an operation in no state', `update operations set body = json_remove(body, '$.state')`, /o in .*: state: /],
  ['an operation of another id', `update operations set body = json_set(body, '$.id', 'p')`, /o in .*says to be p/],
  ['an image', `update images set body = json_set(body, '$.source.kind', 'x')`, /images i in .*: source\.kind: /],
  [
    'an image that is ready and absent',
    `update images set body = json_set(body, '$.state', 'ready')`,
    /i in .*: image: /,
  ],
  ['an image of another name', `update images set body = json_set(body, '$.name', 'j')`, /i in .*says to be j/],
  ['a token', `update tokens set body = json_set(body, '$.scope', 'root')`, /tokens t in .*: scope: /],
  ['a token without a hash', `update tokens set body = json_set(body, '$.sha256', '')`, /tokens t in .*: sha256: /],
  [
    'a VM whose image is nowhere',
    `update vms set body = json_remove(body, '$.image.path')`,
    /vms 1 in .*: image: must have either path or content/,
  ],
])('a row of %s that cannot be read refuses the load and is named', async (_, sql, text) => {
  const store = open();
  await store.commit({
    putVms: [aVmRecord(1)],
    putOperations: [anOperation('o')],
    putImages: [aCatalogImage('i')],
    putTokens: [aToken('t')],
  });
  await store.load();
  edit(sql);
  expect(await refusal(() => store.load())).toMatch(text);
});

test('an ended operation or a kept answer that cannot be read refuses only the query that meets it', async () => {
  const store = open();
  await store.commit({ putOperations: [anOperation('o', { state: 'failed' }), anOperation('p')] });
  await store.keepAnswer(anAnswer('a'));
  edit(`update operations set body = json_remove(body, '$.history') where id = 'o';
    update answers set body = json_set(body, '$.status', 'fine')`);
  expect(await refusal(() => store.operation('o'))).toMatch(/operations o in .*: history: /);
  expect(await refusal(() => store.operations({ limit: 9 }))).toMatch(/operations o in /);
  expect(await refusal(() => store.answer('a'))).toMatch(/answers a in .*: status: /);
  expect(await store.operations({ limit: 1 })).toEqual([anOperation('p')]);
  expect((await store.load()).operations).toEqual([anOperation('p')]);
});

test('a retention of operations and answers that was lowered is reached over several commits', async () => {
  const before = open();
  const many = Array.from({ length: 2500 }, (_, i) => anOperation(`o-${i}`, { state: 'succeeded' }));
  await before.commit({ putOperations: many });
  for (let i = 0; i < 1100; i += 1) await before.keepAnswer(anAnswer(`a-${i}`));
  await before.close();
  const store = open({ keepOperations: 5, keepAnswers: 5 });
  const left: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    await store.commit({ putOperations: [anOperation(`p-${i}`, { state: 'failed' })] });
    left.push((await store.operations({ limit: 10_000 })).length);
  }
  expect(left).toEqual([1501, 502, 5]);
  await store.keepAnswer(anAnswer('b'));
  expect([await store.answer('a-999'), (await store.answer('a-1000'))?.key]).toEqual([undefined, 'a-1000']);
  await store.keepAnswer(anAnswer('c'));
  expect([await store.answer('a-1096'), (await store.answer('a-1097'))?.key]).toEqual([undefined, 'a-1097']);
});

test('finding the decision that held at a moment reads no decision but that one', async () => {
  const store = open();
  await store.commit({ decisions: Array.from({ length: 200 }, (_, i) => aDecision(`d-${i}`)) });
  await store.close();
  const database = new DatabaseSync(file);
  const plan = (sql: string): string =>
    database
      .prepare(`explain query plan ${sql}`)
      .all()
      .map(({ detail }) => detail)
      .join('; ');
  const latest = 'select max(+n) as n from decisions where at <= ?';
  expect(plan(`${latest} and group_name = ?`)).toMatch(
    /USING INDEX decisions_by_group_and_time \(group_name=\? AND at<\?\)/,
  );
  expect(plan(latest)).toMatch(/USING INDEX decisions_by_time \(at<\?\)/);
  database.close();
});

test('no search of operations reads the whole table', async () => {
  const store = open();
  const operations = Array.from({ length: 500 }, (_, i) =>
    anOperation(`o-${i}`, { key: `k-${i}`, vms: [{ id: (i % 50) + 1, name: 'v', host: 'h' }] }),
  );
  await store.commit({ putOperations: operations });
  await store.close();
  const database = new DatabaseSync(file);
  const plan = (sql: string): string =>
    database
      .prepare(`explain query plan ${sql}`)
      .all()
      .map(({ detail }) => detail)
      .join('; ');
  const page = 'select id, body from operations where';
  expect(plan(`${page} owner = 'a' and key = 'b'`)).toMatch(/^SEARCH operations USING INDEX operations_by_key/);
  expect(plan(`${page} ended = 0 order by n`)).toMatch(/^SEARCH operations USING INDEX operations_by_ended/);
  expect(plan(`${page} state = 'a' order by n desc limit 9`)).toMatch(
    /^SEARCH operations USING INDEX operations_by_state/,
  );
  expect(plan(`${page} kind = 'a' order by n desc limit 9`)).toMatch(
    /^SEARCH operations USING INDEX operations_by_kind/,
  );
  expect(plan(`${page} n in (select n from operation_vms where vm_id = 7) order by n desc limit 9`)).toMatch(
    /^SEARCH operations USING INTEGER PRIMARY KEY.*SEARCH operation_vms USING PRIMARY KEY/,
  );
  database.close();
});
