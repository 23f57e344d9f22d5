// Records as JSON text in a database, and back: what is read is checked against the model before anyone acts on it.
// Not here: tables and queries (sqlite/).
//
// The rule for a row that cannot be read: it is never skipped in silence. VM records and memories are what the daemon acts
// upon, so one bad row refuses the whole load; events and decisions are history, so it refuses only the query that meets it.

import { z } from 'zod';
import type { LoggedDecision } from '../../core/decision.ts';
import type { LoggedEvent, NewEvent } from '../../core/events.ts';
import type { BreakerMemory, DurableMemory } from '../../core/memory.ts';
import type { Endpoint, Flavor, Image, ReadyCheck, VmRecord } from '../../core/model.ts';
import { Fault } from '../../ports/fault.ts';

/** A schema for each key of the model, optional ones too: a key that is added there must be added here, or it would be lost. */
type Shape<T> = { readonly [K in keyof T]-?: z.ZodType<Exclude<T[K], undefined>> };

const atMs = z.number().nonnegative();

const endpoint: z.ZodType<Endpoint> = z.object({ address: z.string(), port: z.int() } satisfies Shape<Endpoint>);

const image: z.ZodType<Image> = z.object({
  name: z.string(),
  path: z.string(),
  format: z.enum(['qcow2', 'raw']),
  direct: z.object({ kernel: z.string(), initrd: z.string(), args: z.string() }).exactOptional(),
} satisfies Shape<Image>);

const flavor: z.ZodType<Flavor> = z.object({
  name: z.string(),
  vcpus: z.int().positive(),
  memoryMiB: z.number().positive(),
  diskGiB: z.number().positive().exactOptional(),
} satisfies Shape<Flavor>);

const ready: z.ZodType<ReadyCheck> = z.object({
  http: z.object({ port: z.int(), path: z.string() }),
} satisfies Shape<ReadyCheck>);

const vmRecord: z.ZodType<VmRecord> = z.object({
  id: z.int().positive(),
  name: z.string(),
  uuid: z.string(),
  group: z.string(),
  host: z.string(),
  kind: z.enum(['clone', 'existing']),
  owner: z.string(),
  operation: z.string(),
  image: image.exactOptional(),
  flavor: flavor.exactOptional(),
  ready,
  phase: z.enum(['launching', 'in-service', 'draining', 'removing']),
  step: z.enum(['intended', 'disk-made', 'defined', 'started', 'stopping', 'stopped', 'undefined']),
  phaseAtMs: atMs,
  changedAtMs: atMs,
  deadlineAtMs: atMs.exactOptional(),
  endpoint: endpoint.exactOptional(),
  reason: z.string().exactOptional(),
  tries: z.int().nonnegative(),
} satisfies Shape<VmRecord>);

const breaker: z.ZodType<BreakerMemory> = z.object({
  failures: z.int().nonnegative(),
  openedAtMs: atMs.exactOptional(),
  retryAtMs: atMs.exactOptional(),
  lastReason: z.string().exactOptional(),
} satisfies Shape<BreakerMemory>);

const durableMemory: z.ZodType<DurableMemory> = z.object({
  desired: z.int().nonnegative().exactOptional(),
  desiredBy: z.literal('user').exactOptional(),
  paused: z.boolean(),
  lastOutAtMs: atMs.exactOptional(),
  lastInAtMs: atMs.exactOptional(),
  breaker,
} satisfies Shape<DurableMemory>);

// Kinds of events and decisions grow from version to version and nothing is decided from them: only their frame is checked.
const eventBody = z.looseObject({ type: z.string() });
const decisionBody = z.looseObject({ id: z.string(), at: z.string(), group: z.string() });

/** Where a row lies, for the message about it. */
export interface RowPlace {
  readonly file: string;
  readonly table: 'vms' | 'group_memory' | 'events' | 'decisions';
  readonly key: string | number;
}

function parse<T>(place: RowPlace, schema: z.ZodType<T>, body: string, advice: string): T {
  const row = `${place.table} ${place.key} in ${place.file}`;
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

const ACTED_UPON =
  'Something other than this version of virtscale wrote it. Correct or delete that row, or move the file away: ' +
  'the VMs keep running, and a daemon that starts with an empty state finds them again by their metadata.';
const HISTORY = 'Something other than this version of virtscale wrote it. Only history is affected: correct the row.';

/** Throws `Fault('refused')` naming the row and the field. Keys unknown to the model are dropped. */
export function parseVmRecord(file: string, id: number, body: string): VmRecord {
  const place: RowPlace = { file, table: 'vms', key: id };
  const record = parse(place, vmRecord, body, ACTED_UPON);
  if (record.id !== id) {
    throw new Fault('refused', `cannot read the row vms ${id} in ${file}: it says to be ${record.id}`, {
      advice: ACTED_UPON,
    });
  }
  return record;
}

/** Throws `Fault('refused')` naming the row and the field. */
export function parseDurableMemory(file: string, group: string, body: string): DurableMemory {
  return parse({ file, table: 'group_memory', key: group }, durableMemory, body, ACTED_UPON);
}

/** Throws `Fault('refused')` naming the row. */
export function parseLoggedEvent(file: string, seq: number, at: string, body: string): LoggedEvent {
  const event: object = parse({ file, table: 'events', key: seq }, eventBody, body, HISTORY);
  return { seq, at, ...(event as NewEvent) };
}

/** Throws `Fault('refused')` naming the row. */
export function parseLoggedDecision(file: string, id: string, body: string): LoggedDecision {
  const decision: object = parse({ file, table: 'decisions', key: id }, decisionBody, body, HISTORY);
  return decision as LoggedDecision;
}
