// Records as JSON text in a database, and back: what is read is checked against the model before anyone acts on it.
// Not here: the form of each record (*-schemas.ts), tables and queries (sqlite/).
//
// The rule for a row that cannot be read: it is never skipped in silence. VM records, memories, operations under way, images
// and tokens are what the daemon acts upon, so one bad row refuses the whole load; events, decisions, ended operations and
// kept answers are history, so a bad one refuses only the query that meets it.

import { z } from 'zod';
import type { LoggedAudit } from '../../core/audit.ts';
import type { CatalogImage, Token } from '../../core/catalog.ts';
import type { Cluster } from '../../core/cluster.ts';
import type { LoggedDecision } from '../../core/decision.ts';
import type { LoggedEvent, NewEvent } from '../../core/events.ts';
import type { DurableMemory } from '../../core/memory.ts';
import type { VmRecord } from '../../core/model.ts';
import type { Operation } from '../../core/operation.ts';
import type { UserRecord } from '../../core/user.ts';
import { Fault } from '../../ports/fault.ts';
import type { KeptAnswer } from '../../ports/store.ts';
import { catalogImage, keptAnswer, token } from './catalog-schemas.ts';
import { cluster } from './cluster-schemas.ts';
import { durableMemory } from './memory-schemas.ts';
import { vmRecord } from './model-schemas.ts';
import { ofToday } from './older-decisions.ts';
import { operation } from './operation-schemas.ts';
import { auditEntry, userRecord } from './user-schemas.ts';

// Kinds of events and decisions grow from version to version and nothing is decided from them: only their frame is checked.
const eventBody = z.looseObject({ type: z.string() });
const decisionBody = z.looseObject({ id: z.string(), at: z.string(), group: z.string() });

/** Where a row lies, for the message about it. */
interface RowPlace {
  readonly file: string;
  readonly table:
    | 'vms'
    | 'group_memory'
    | 'events'
    | 'decisions'
    | 'operations'
    | 'images'
    | 'tokens'
    | 'users'
    | 'clusters'
    | 'answers'
    | 'audit';
  readonly key: string | number;
  readonly advice: string;
}

const ACTED_UPON =
  'Something other than this version of virtscale wrote it. Correct or delete that row, or move the file away: ' +
  'the VMs keep running, and a daemon that starts with an empty state finds them again by their metadata.';
const HISTORY = 'Something other than this version of virtscale wrote it. Only history is affected: correct the row.';

function parse<T>(place: RowPlace, schema: z.ZodType<T>, body: string): T {
  const row = `${place.table} ${place.key} in ${place.file}`;
  const { advice } = place;
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (cause) {
    throw new Fault('refused', `cannot read the row ${row}: it is not JSON`, { advice, cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw new Fault('refused', `cannot read the row ${row}: ${where}${issue?.message ?? 'not of the expected form'}`, {
    advice,
  });
}

/** As `parse`, of a record that names itself: it must be the one the row says it is. */
function parseOwn<T, K extends keyof T>(place: RowPlace, schema: z.ZodType<T>, own: K, body: string): T {
  const record = parse(place, schema, body);
  if (record[own] === place.key) return record;
  const { file, table, key, advice } = place;
  throw new Fault('refused', `cannot read the row ${table} ${key} in ${file}: it says to be ${String(record[own])}`, {
    advice,
  });
}

/** Throws `Fault('refused')` naming the row and the field. Keys unknown to the model are dropped. */
export function parseVmRecord(file: string, id: number, body: string): VmRecord {
  return parseOwn({ file, table: 'vms', key: id, advice: ACTED_UPON }, vmRecord, 'id', body);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseDurableMemory(file: string, group: string, body: string): DurableMemory {
  return parse({ file, table: 'group_memory', key: group, advice: ACTED_UPON }, durableMemory, body);
}

/** Throws `Fault('refused')` naming the row. */
export function parseLoggedEvent(file: string, seq: number, at: string, body: string): LoggedEvent {
  const event: object = parse({ file, table: 'events', key: seq, advice: HISTORY }, eventBody, body);
  return { seq, at, ...(event as NewEvent) };
}

/** Throws `Fault('refused')` naming the row. */
export function parseLoggedDecision(file: string, id: string, body: string): LoggedDecision {
  const decision: object = parse({ file, table: 'decisions', key: id, advice: HISTORY }, decisionBody, body);
  return ofToday(decision as LoggedDecision);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseOperation(file: string, row: { id: string; ended: number; body: string }): Operation {
  const advice = row.ended === 1 ? HISTORY : ACTED_UPON;
  return parseOwn({ file, table: 'operations', key: row.id, advice }, operation, 'id', row.body);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseCatalogImage(file: string, name: string, body: string): CatalogImage {
  return parseOwn({ file, table: 'images', key: name, advice: ACTED_UPON }, catalogImage, 'name', body);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseToken(file: string, name: string, body: string): Token {
  return parseOwn({ file, table: 'tokens', key: name, advice: ACTED_UPON }, token, 'name', body);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseCluster(file: string, id: string, body: string): Cluster {
  return parseOwn({ file, table: 'clusters', key: id, advice: ACTED_UPON }, cluster, 'id', body);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseUser(file: string, name: string, body: string): UserRecord {
  return parseOwn({ file, table: 'users', key: name, advice: ACTED_UPON }, userRecord, 'name', body);
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseAudit(file: string, n: number, body: string): LoggedAudit {
  return { n, ...parse({ file, table: 'audit', key: n, advice: HISTORY }, auditEntry, body) };
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseKeptAnswer(file: string, key: string, body: string): KeptAnswer {
  return parseOwn({ file, table: 'answers', key, advice: HISTORY }, keptAnswer, 'key', body);
}
