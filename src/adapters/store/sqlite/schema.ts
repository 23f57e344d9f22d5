// The tables, as SQL for SQLite and as types for kysely, and the numbered migrations that lead to them.
// Not here: when migrations run (open-database.ts). A migration that was released is never edited; add the next number.

import type { Generated } from 'kysely';

/** In the file's header, so that `file` and we can tell whose it is: "VSCL". */
export const APPLICATION_ID = 0x5653434c;

export interface Tables {
  readonly counters: { readonly name: CounterName; readonly value: number };
  readonly vms: { readonly id: number; readonly body: string };
  readonly group_memory: { readonly group_name: string; readonly body: string };
  readonly events: {
    readonly seq: number;
    readonly at: string;
    readonly type: string;
    readonly group_name: string | null;
    /** The event without `seq` and `at`. */
    readonly body: string;
  };
  readonly decisions: {
    /** Order of arrival; gapless. */
    readonly n: Generated<number>;
    readonly id: string;
    readonly group_name: string;
    readonly body: string;
  };
}

/** `last_seq`: number of the newest event ever. `next_vm_id`: the next free VM id. Both only grow. */
export type CounterName = 'last_seq' | 'next_vm_id';

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: 'vms, memory, events, decisions',
    sql: `
      CREATE TABLE counters (
        name TEXT NOT NULL PRIMARY KEY,
        value INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      INSERT INTO counters VALUES ('last_seq', 0), ('next_vm_id', 1);

      CREATE TABLE vms (
        id INTEGER NOT NULL PRIMARY KEY,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;

      CREATE TABLE group_memory (
        group_name TEXT NOT NULL PRIMARY KEY,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;

      CREATE TABLE events (
        seq INTEGER NOT NULL PRIMARY KEY,
        at TEXT NOT NULL,
        type TEXT NOT NULL,
        group_name TEXT,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;
      CREATE INDEX events_by_group ON events (group_name, seq);
      CREATE INDEX events_by_type ON events (type, seq);

      CREATE TABLE decisions (
        n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        group_name TEXT NOT NULL,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;
      CREATE INDEX decisions_by_group ON decisions (group_name, n);
    `,
  },
];

export const SCHEMA_VERSION = MIGRATIONS.reduce((newest, migration) => Math.max(newest, migration.version), 0);
