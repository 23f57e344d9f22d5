// The tables, as SQL for SQLite and as types for kysely, and the numbered migrations that lead to them.
// Not here: when migrations run (open-database.ts). A migration that was released is never edited; add the next number.

import type { Generated, GeneratedAlways } from 'kysely';

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
    /** Whose it is, read out of the body by SQLite. */
    readonly owner: GeneratedAlways<string | null>;
  };
  readonly decisions: {
    /** Order of arrival; gapless. */
    readonly n: Generated<number>;
    readonly id: string;
    readonly group_name: string;
    readonly body: string;
    /** Wall time, RFC 3339 in UTC with milliseconds; read out of the body by SQLite. */
    readonly at: GeneratedAlways<string>;
  };
  /** The learned load of groups: text that only the core can read. */
  readonly loads: { readonly group_name: string; readonly load: string };
  readonly operations: {
    /** Order of arrival. */
    readonly n: Generated<number>;
    readonly id: string;
    readonly body: string;
    // What is searched by is read out of the body by SQLite, so that it can never say something else.
    readonly kind: GeneratedAlways<string>;
    readonly state: GeneratedAlways<string>;
    /** 1 when the state is one of those that end it; anything else, also what is no state at all, is 0. */
    readonly ended: GeneratedAlways<number>;
    readonly owner: GeneratedAlways<string>;
    readonly key: GeneratedAlways<string | null>;
  };
  /** Which VMs an operation is about. */
  readonly operation_vms: { readonly vm_id: number; readonly n: number };
  readonly images: { readonly name: string; readonly body: string };
  readonly tokens: { readonly name: string; readonly body: string };
  readonly users: { readonly name: string; readonly body: string };
  readonly clusters: { readonly id: string; readonly body: string };
  readonly audit: {
    /** Order of arrival. */
    readonly n: Generated<number>;
    readonly who: string;
    readonly body: string;
  };
  readonly numbers: { readonly kind: NumberedKind; readonly key: string; readonly id: number };
  readonly cordons: { readonly host: string; readonly reason: string };
  /** One row at the most. */
  readonly last_host: { readonly one: 1; readonly host: string };
  readonly answers: {
    /** Order in which they were kept. */
    readonly n: Generated<number>;
    readonly key: string;
    /** Of `at`, since 1970. */
    readonly at_ms: number;
    readonly body: string;
  };
}

type NumberedKind = 'host' | 'image' | 'flavor';

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
  {
    version: 2,
    name: 'operations, images, tokens, numbers, cordons, kept answers',
    sql: `
      CREATE TABLE operations (
        n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        body TEXT NOT NULL CHECK (json_valid(body)),
        kind TEXT AS (body ->> '$.kind') VIRTUAL,
        state TEXT AS (body ->> '$.state') VIRTUAL,
        ended INTEGER AS (coalesce(body ->> '$.state' IN ('succeeded', 'failed', 'cancelled'), 0)) VIRTUAL,
        owner TEXT AS (body ->> '$.owner') VIRTUAL,
        key TEXT AS (body ->> '$.key') VIRTUAL
      ) STRICT;
      CREATE UNIQUE INDEX operations_by_key ON operations (owner, key) WHERE key IS NOT NULL;
      CREATE INDEX operations_by_ended ON operations (ended, n);
      CREATE INDEX operations_by_state ON operations (state, n);
      CREATE INDEX operations_by_kind ON operations (kind, n);

      CREATE TABLE operation_vms (
        vm_id INTEGER NOT NULL,
        n INTEGER NOT NULL REFERENCES operations (n) ON DELETE CASCADE,
        PRIMARY KEY (vm_id, n)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX operation_vms_by_operation ON operation_vms (n);

      CREATE TABLE images (
        name TEXT NOT NULL PRIMARY KEY,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;

      CREATE TABLE tokens (
        name TEXT NOT NULL PRIMARY KEY,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;

      CREATE TABLE numbers (
        kind TEXT NOT NULL CHECK (kind IN ('host', 'image', 'flavor')),
        key TEXT NOT NULL,
        id INTEGER NOT NULL CHECK (id > 0),
        PRIMARY KEY (kind, key),
        UNIQUE (kind, id)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE cordons (
        host TEXT NOT NULL PRIMARY KEY,
        reason TEXT NOT NULL
      ) STRICT;

      CREATE TABLE last_host (
        one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        host TEXT NOT NULL
      ) STRICT;

      CREATE TABLE answers (
        n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        at_ms INTEGER NOT NULL,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;
      CREATE INDEX answers_by_time ON answers (at_ms);
    `,
  },
  {
    version: 3,
    name: 'the time of decisions, learned load',
    sql: `
      ALTER TABLE decisions ADD COLUMN at TEXT AS (body ->> '$.at') VIRTUAL;
      CREATE INDEX decisions_by_group_and_time ON decisions (group_name, at, n);
      CREATE INDEX decisions_by_time ON decisions (at, n);

      CREATE TABLE loads (
        group_name TEXT NOT NULL PRIMARY KEY,
        load TEXT NOT NULL
      ) STRICT;
    `,
  },
  {
    version: 4,
    name: 'users, the audit record, whose events are',
    sql: `
      ALTER TABLE events ADD COLUMN owner TEXT
        AS (coalesce(body ->> '$.vm.owner', body ->> '$.operation.owner', body ->> '$.owner')) VIRTUAL;
      CREATE INDEX events_by_owner ON events (owner, seq) WHERE owner IS NOT NULL;
      CREATE INDEX operations_by_owner ON operations (owner, n);

      CREATE TABLE users (
        name TEXT NOT NULL PRIMARY KEY,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;

      CREATE TABLE audit (
        n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        who TEXT NOT NULL,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;
      CREATE INDEX audit_by_who ON audit (who, n);
    `,
  },
  {
    version: 5,
    name: 'virtual clusters',
    sql: `
      CREATE TABLE clusters (
        id TEXT NOT NULL PRIMARY KEY,
        body TEXT NOT NULL CHECK (json_valid(body))
      ) STRICT;
    `,
  },
];

export const SCHEMA_VERSION = MIGRATIONS.reduce((newest, migration) => Math.max(newest, migration.version), 0);
