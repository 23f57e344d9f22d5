// Opens the state file: alone, checked, and with the newest schema; or refuses and leaves it as it is.
// Not here: what is in the tables (sqlite-store.ts).

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault } from '../../../ports/fault.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';
import { damagedAdvice, isBusy, sqliteFault } from './sqlite-fault.ts';

export const MEMORY_PATH = ':memory:';

/** For a program that reads the file beside us (`sqlite3 state.db`); it blocks the event loop, so it is short. */
const BUSY_TIMEOUT_MS = 500;
/** A daemon that is just going away, or was just killed, needs a moment to let the lock go. */
const LOCK_TIMEOUT_MS = 500;
/** The write-ahead log is cut back to this after a checkpoint. */
const WAL_LIMIT_BYTES = 16 * 1024 * 1024;

export interface OpenOptions {
  /** The file, or ':memory:'. Its folder is made when absent. */
  readonly path: string;
  /** The file may not grow beyond this many pages of 4 KiB: then `commit` is refused as on a full disk. Default: the disk decides. */
  readonly pagesMax?: number;
}

export interface OpenedDatabase {
  readonly database: DatabaseSync;
  /** Closes the database, then lets the lock go. */
  close(): void;
}

/**
 * Durability. WAL with `synchronous=FULL`: a commit is fsynced before it returns, so what was acknowledged survives a kill of
 * the process and, as far as the disk keeps the promise of fsync, a power loss. (0.3 ms on an SSD; `NORMAL` would survive the
 * kill alike, but could lose the last commits at a power loss, and these are intents about VMs on other machines.)
 *
 * Throws `Fault('refused')`: another daemon holds the state, the file is damaged, not ours, of a newer version, or not writable.
 */
export function openDatabase(options: OpenOptions): OpenedDatabase {
  const file = options.path;
  const release = file === MEMORY_PATH ? () => {} : lock(file);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
    const version = check(database, file);
    configure(database, options);
    migrate(database, version);
  } catch (error) {
    if (database?.isOpen === true) database.close();
    release();
    throw sqliteFault(error, file);
  }
  const opened = database;
  return {
    database: opened,
    close() {
      try {
        opened.close();
      } finally {
        release();
      }
    },
  };
}

/**
 * Held for the life of the process as an SQLite lock on an empty file beside the database: the kernel takes it back however the
 * process ends, and others may still read the database itself.
 */
function lock(file: string): () => void {
  const lockFile = `${file}.lock`;
  let holder: DatabaseSync | undefined;
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    holder = new DatabaseSync(lockFile, { timeout: LOCK_TIMEOUT_MS });
    holder.exec('begin exclusive');
  } catch (error) {
    if (holder?.isOpen === true) holder.close();
    if (isBusy(error)) {
      throw new Fault('refused', `another virtscale daemon is using the state in ${path.dirname(file)}`, {
        advice:
          `Stop it ('fuser ${lockFile}' names its process), or give this one another --state-dir. ` +
          'A daemon that was killed holds nothing: there is no lock file to delete.',
        cause: error,
      });
    }
    if (error instanceof Error && 'syscall' in error) {
      throw new Fault('refused', `cannot make the state folder ${path.dirname(file)}: ${error.message}`, {
        advice: 'Give a folder that can be written with --state-dir.',
        cause: error,
      });
    }
    throw sqliteFault(error, lockFile);
  }
  const held = holder;
  return () => held.close();
}

/** Reads only. Returns the schema version, 0 for a new file. */
function check(database: DatabaseSync, file: string): number {
  if (pragma(database, 'schema_version') === 0) return 0;
  if (pragma(database, 'application_id') !== APPLICATION_ID) {
    throw new Fault('refused', `${file} is a database of another program`, {
      advice: `Nothing was changed. Move ${file} away or give another --state-dir.`,
    });
  }
  const problem = pragma(database, 'quick_check(1)');
  if (problem !== 'ok') {
    throw new Fault('refused', `the database ${file} is damaged: ${String(problem)}`, { advice: damagedAdvice(file) });
  }
  const row = database.prepare('select max(version) as version from migrations').get();
  const version = Number(row?.['version'] ?? 0);
  if (version > SCHEMA_VERSION) {
    throw new Fault(
      'refused',
      `${file} was written by a newer virtscale (schema ${version}; this one knows ${SCHEMA_VERSION})`,
      { advice: 'Nothing was changed. Start the newer virtscale, or give another --state-dir.' },
    );
  }
  return version;
}

function configure(database: DatabaseSync, options: OpenOptions): void {
  database.exec('pragma journal_mode = wal');
  database.exec('pragma synchronous = full');
  database.exec(`pragma journal_size_limit = ${WAL_LIMIT_BYTES}`);
  if (options.pagesMax !== undefined) database.exec(`pragma max_page_count = ${Math.trunc(options.pagesMax)}`);
}

/** All in one transaction: a file has all of a version or nothing of it. */
function migrate(database: DatabaseSync, from: number): void {
  const pending = MIGRATIONS.filter((migration) => migration.version > from);
  if (pending.length === 0) return;
  database.exec('begin immediate');
  try {
    database.exec(`pragma application_id = ${APPLICATION_ID}`);
    database.exec(
      'create table if not exists migrations (version integer not null primary key, name text not null, applied_at text not null) strict',
    );
    const note = database.prepare("insert into migrations values (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))");
    for (const migration of pending) {
      database.exec(migration.sql);
      note.run(migration.version, migration.name);
    }
    database.exec('commit');
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

function pragma(database: DatabaseSync, name: string): unknown {
  const row = database.prepare(`pragma ${name}`).get();
  return row === undefined ? undefined : Object.values(row)[0];
}
