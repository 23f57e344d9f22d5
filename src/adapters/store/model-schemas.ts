// The form of what the store reads back and the daemon acts upon: VM records and memories, and the parts they are made of.
// Not here: operations and the catalog (operation-schemas.ts, catalog-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type { BreakerMemory, DurableMemory } from '../../core/memory.ts';
import type {
  CloudInit,
  Endpoint,
  Flavor,
  Image,
  ImageContent,
  PowerState,
  ReadyCheck,
  VmPhase,
  VmRecord,
  VmStep,
} from '../../core/model.ts';

/** A schema for each key of the model, optional ones too: a key that is added there must be added here, or it would be lost. */
export type Shape<T> = { readonly [K in keyof T]-?: z.ZodType<Exclude<T[K], undefined>> };

/** One of these words, and all of them: a word that is added to the model must be added here, or its rows could not be read. */
export function oneOf<T extends string>(words: { readonly [K in T]: true }): z.ZodType<T> {
  return z.enum(Object.keys(words) as T[]);
}

const atMs = z.number().nonnegative();

const SHA256 = /^[\da-f]{64}$/;
export const sha256 = z.string().regex(SHA256, { error: 'must be 64 lower-case hex digits' });

const endpoint: z.ZodType<Endpoint> = z.object({ address: z.string(), port: z.int() } satisfies Shape<Endpoint>);

const imageContent: z.ZodType<ImageContent> = z.object({
  sha256,
  fileBytes: z.int().positive(),
  virtualBytes: z.int().positive(),
} satisfies Shape<ImageContent>);

export const image: z.ZodType<Image> = z
  .object({
    name: z.string(),
    format: oneOf<Image['format']>({ qcow2: true, raw: true }),
    path: z.string().exactOptional(),
    content: imageContent.exactOptional(),
    direct: z.object({ kernel: z.string(), initrd: z.string(), args: z.string() }).exactOptional(),
  } satisfies Shape<Image>)
  .refine((found) => (found.path === undefined) !== (found.content === undefined), {
    error: 'must have either path or content',
  });

export const flavor: z.ZodType<Flavor> = z.object({
  name: z.string(),
  vcpus: z.int().positive(),
  memoryMiB: z.number().positive(),
  diskGiB: z.number().positive().exactOptional(),
} satisfies Shape<Flavor>);

export const ready: z.ZodType<ReadyCheck> = z.object({
  http: z.object({ port: z.int(), path: z.string() }),
} satisfies Shape<ReadyCheck>);

/** Of cloud-init, what does not depend on the VM. */
export const cloudInitShape = {
  sshKeys: z.array(z.string()),
  userData: z.string().exactOptional(),
} satisfies Shape<Omit<CloudInit, 'hostname'>>;

const cloudInit: z.ZodType<CloudInit> = z.object({
  hostname: z.string(),
  ...cloudInitShape,
} satisfies Shape<CloudInit>);

export const vmRecord: z.ZodType<VmRecord> = z.object({
  id: z.int().positive(),
  name: z.string(),
  uuid: z.string(),
  group: z.string().exactOptional(),
  host: z.string(),
  kind: oneOf<VmRecord['kind']>({ clone: true, blank: true, existing: true, adopted: true }),
  owner: z.string(),
  operation: z.string(),
  image: image.exactOptional(),
  flavor: flavor.exactOptional(),
  ready: ready.exactOptional(),
  cloudInit: cloudInit.exactOptional(),
  power: z.exactOptional(oneOf<PowerState>({ running: true, paused: true, stopped: true })),
  phase: oneOf<VmPhase>({ launching: true, 'in-service': true, draining: true, removing: true }),
  step: oneOf<VmStep>({
    intended: true,
    'image-there': true,
    'disk-made': true,
    defined: true,
    started: true,
    stopping: true,
    stopped: true,
    undefined: true,
  }),
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

export const durableMemory: z.ZodType<DurableMemory> = z.object({
  desired: z.int().nonnegative().exactOptional(),
  desiredBy: z.literal('user').exactOptional(),
  paused: z.boolean(),
  lastOutAtMs: atMs.exactOptional(),
  lastInAtMs: atMs.exactOptional(),
  breaker,
} satisfies Shape<DurableMemory>);
