// SqliteStore: the contract on a file and in memory, and what the world does to files: kills, locks, damage, a full disk.
// Not here: what every store promises (test/contracts/store.ts).

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { SCHEMA_VERSION } from '../../../src/adapters/store/sqlite/schema.ts';
import { SqliteStore, type SqliteStoreOptions } from '../../../src/adapters/store/sqlite/sqlite-store.ts';
import { Fault, type FaultKind } from '../../../src/ports/fault.ts';
import { aDecision, anEvent, aVmRecord, storeContract } from '../../contracts/store.ts';

const folders: string[] = [];
const stores: SqliteStore[] = [];
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
  for (const store of stores.splice(0)) await store.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFile(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'virtscale-store-'));
  folders.push(folder);
  return path.join(folder, 'state', 'virtscale.db');
}

function open(options: SqliteStoreOptions): SqliteStore {
  const store = new SqliteStore(options);
  stores.push(store);
  return store;
}

function edit(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

async function fault(work: () => unknown): Promise<Fault> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error('there was no fault');
}

async function expectFault(work: () => unknown, kind: FaultKind, text: RegExp): Promise<void> {
  const { kind: found, message, advice } = await fault(work);
  expect({ kind: found, message }).toEqual({ kind, message: expect.stringMatching(text) });
  expect(advice).toBeTruthy();
}

storeContract('sqlite file', async (options) => {
  const file = newFile();
  let store = open({ path: file, ...options });
  return {
    store,
    reopen: async () => {
      await store.close();
      store = open({ path: file, ...options });
      return store;
    },
    dispose: () => store.close(),
  };
});

storeContract('sqlite in memory', async (options) => {
  const store = open({ path: ':memory:', ...options });
  return { store, dispose: () => store.close() };
});

test('a second daemon on the same state is refused, until the first has closed', async () => {
  const file = newFile();
  const first = open({ path: file });
  await expectFault(() => new SqliteStore({ path: file }), 'refused', /another virtscale daemon/);
  await first.commit({ events: [anEvent('a')] });
  await first.close();
  expect((await open({ path: file }).load()).lastSeq).toBe(1);
});

test('others may read the file while the daemon has it', async () => {
  const file = newFile();
  const store = open({ path: file });
  await store.commit({ putVms: [aVmRecord(1)] });
  const reader = new DatabaseSync(file, { readOnly: true });
  expect(reader.prepare("select body ->> 'name' as name from vms").all()).toMatchObject([{ name: 'web-1' }]);
  reader.close();
  await store.commit({ putVms: [aVmRecord(2)] });
});

test('a retention that was lowered is reached over several commits', async () => {
  const file = newFile();
  const events = Array.from({ length: 2500 }, (_, i) => anEvent(`${i}`));
  const decisions = Array.from({ length: 2500 }, (_, i) => aDecision(`d-${i}`));
  const before = open({ path: file });
  await before.commit({ events, decisions });
  await before.close();
  const store = open({ path: file, keepEvents: 5, keepDecisions: 5 });
  const oldest: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    await store.commit({ events: [anEvent('more')], decisions: [aDecision(`e-${i}`)] });
    oldest.push((await store.events({ since: 0, limit: 1 })).oldestSeq);
  }
  expect(oldest).toEqual([1001, 2001, 2499]);
  expect(await store.decisions({ limit: 100 })).toHaveLength(5);
});

test('a full disk refuses the commit with advice, keeps nothing of it, and the store works on', async () => {
  const file = newFile();
  const store = open({ path: file, pagesMax: 60 });
  await store.commit({ putVms: [aVmRecord(1)], events: [anEvent('kept')] });
  const before = await store.load();
  const large = { putVms: [aVmRecord(2)], events: [anEvent('x'.repeat(300_000))], decisions: [aDecision('large')] };
  await expectFault(() => store.commit(large), 'refused', /no space left/);
  expect(await store.load()).toEqual(before);
  expect(await store.decision('large')).toBeUndefined();
  expect((await store.commit({ putVms: [aVmRecord(3)], events: [anEvent('next')] }))[0]?.seq).toBe(2);
  await store.close();
  expect((await open({ path: file }).load()).vms.map((vm) => vm.id)).toEqual([1, 3]);
});

test.each([
  ['is no database', (file: string) => writeFileSync(file, 'once upon a time '.repeat(1000)), /damaged/],
  ['was cut short', (file: string) => truncateSync(file, 3 * 4096), /damaged/],
  [
    'has garbage in the middle',
    (file: string) => {
      const bytes = readFileSync(file);
      bytes.fill(0xa5, 3 * 4096, 12 * 4096);
      writeFileSync(file, bytes);
    },
    /damaged/,
  ],
  [
    'is of a newer version',
    (file: string) => edit(file, "insert into migrations values (999, 'future', 'x')"),
    /newer virtscale/,
  ],
  ['is of another program', (file: string) => edit(file, 'pragma application_id = 7'), /another program/],
])('a file that %s is refused with advice and left as it is', async (_, spoil, text) => {
  const file = newFile();
  const store = open({ path: file });
  await store.commit({ events: Array.from({ length: 500 }, (_, i) => anEvent(`host ${i}`)) });
  await store.close();
  spoil(file);
  const before = readFileSync(file);
  await expectFault(() => open({ path: file }), 'refused', text);
  await expectFault(() => open({ path: file }), 'refused', text);
  expect(readFileSync(file).equals(before)).toBe(true);
});

test('a file that was created but never filled is a new one', async () => {
  const file = newFile();
  await open({ path: file }).close();
  writeFileSync(file, '');
  expect((await open({ path: file }).load()).nextVmId).toBe(1);
});

test('a state folder that cannot be made is refused with advice', async () => {
  const file = newFile();
  await open({ path: file }).close();
  await expectFault(() => open({ path: path.join(file, 'virtscale.db') }), 'refused', /cannot make the state folder/);
});

test.each([
  ['a field of the wrong type', `update vms set body = json_set(body, '$.host', 7) where id = 2`, /vms 2 in .*host/],
  ['a field missing', `update vms set body = json_remove(body, '$.phase') where id = 2`, /vms 2 in .*phase/],
  ['the number of another', `update vms set body = json_set(body, '$.id', 3) where id = 2`, /vms 2 in .*says to be 3/],
  ['a memory of the wrong form', `update group_memory set body = '[]'`, /group_memory web/],
])('a row with %s refuses the load and is named', async (_, sql, text) => {
  const file = newFile();
  const store = open({ path: file });
  const memory = { web: { desired: 1, paused: false, breaker: { failures: 0 } } };
  await store.commit({ putVms: [aVmRecord(1), aVmRecord(2)], putMemory: memory });
  edit(file, sql);
  await expectFault(() => store.load(), 'refused', text);
});

test('a row of history that cannot be read refuses only the query that meets it', async () => {
  const file = newFile();
  const store = open({ path: file });
  await store.commit({ events: [anEvent('a'), anEvent('b'), anEvent('c')], decisions: [aDecision('d-1')] });
  edit(file, `update events set body = '7' where seq = 2; update decisions set body = '{}'`);
  await expectFault(() => store.events({ since: 0, limit: 10 }), 'refused', /events 2 in/);
  await expectFault(() => store.decision('d-1'), 'refused', /decisions d-1 in/);
  expect((await store.events({ since: 2, limit: 10 })).events).toHaveLength(1);
  expect((await store.load()).lastSeq).toBe(3);
});

test('text that is not JSON cannot even be written by hand', async () => {
  const file = newFile();
  await open({ path: file }).close();
  expect(() => edit(file, "insert into vms values (1, 'not json')")).toThrow(/CHECK/);
});

test('the schema says its version', async () => {
  const file = newFile();
  await open({ path: file }).close();
  const database = new DatabaseSync(file);
  expect(database.prepare('select max(version) as version from migrations').get()).toMatchObject({
    version: SCHEMA_VERSION,
  });
  database.close();
});

/** Starts the commit loop, kills it after `acks` acknowledgements, and says the last one. */
async function killedAfter(file: string, acks: number): Promise<{ readonly id: number; readonly seq: number }> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./commit-loop.ts', import.meta.url)), file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.split('\n').length > acks) child.kill('SIGKILL');
  });
  await once(child, 'close');
  expect({ signal: child.signalCode, errors }).toMatchObject({ signal: 'SIGKILL' });
  const [id, seq] = (output.trimEnd().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { id: id ?? 0, seq: seq ?? 0 };
}

test('killed in the middle of commits, it opens again with everything that was acknowledged', async () => {
  const file = newFile();
  let previous = 0;
  for (const acks of [1, 37, 150, 400]) {
    const acknowledged = await killedAfter(file, acks);
    const store = open({ path: file });
    const state = await store.load();
    // One more commit than was acknowledged may have happened, never a part of one.
    const reached = state.memory['web']?.desired ?? 0;
    expect([acknowledged.id, acknowledged.id + 1]).toContain(reached);
    expect(state).toMatchObject({ lastSeq: 2 * reached, nextVmId: reached + 1 });
    expect(state.vms.map((vm) => vm.id)).toEqual([reached - 2, reached - 1, reached].filter((id) => id > 0));
    const { events, oldestSeq } = await store.events({ since: 0, limit: 1000 });
    expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => oldestSeq + i));
    expect(events.at(-1)?.seq).toBe(2 * reached);
    expect((await store.decisions({ limit: 1 }))[0]?.id).toBe(`d-${reached}`);
    expect(reached).toBeGreaterThan(previous);
    previous = reached;
    await store.close();
  }
});
