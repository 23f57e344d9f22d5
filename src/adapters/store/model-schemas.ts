// The form of VM records as the store reads them back, and the parts that they and others are made of.
// Not here: memories, operations, the catalog (memory-, operation-, catalog-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type {
  CloudInit,
  ClusterNetwork,
  Endpoint,
  Flavor,
  Image,
  ImageContent,
  LaunchWay,
  Leaving,
  NodeOf,
  PowerState,
  ReadyCheck,
  StandbyKind,
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

export const atMs = z.number().nonnegative();

const SHA256 = /^[\da-f]{64}$/;
export const sha256 = z.string().regex(SHA256, { error: 'must be 64 lower-case hex digits' });

export const endpoint: z.ZodType<Endpoint> = z.object({ address: z.string(), port: z.int() } satisfies Shape<Endpoint>);

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

export const flavorShape = {
  name: z.string(),
  vcpus: z.int().positive(),
  memoryMiB: z.number().positive(),
  diskGiB: z.number().positive().exactOptional(),
  maxVcpus: z.int().positive().exactOptional(),
  maxMemoryMiB: z.number().positive().exactOptional(),
  spareNics: z.int().nonnegative().exactOptional(),
} satisfies Shape<Flavor>;

export const flavor: z.ZodType<Flavor> = z.object(flavorShape);

export const ready: z.ZodType<ReadyCheck> = z.union([
  z.object({ http: z.object({ port: z.int(), path: z.string() }) }),
  z.object({ tcp: z.object({ port: z.int() }) }),
  z.object({ agent: z.literal(true) }),
]);

/** Of cloud-init, what does not depend on the VM. */
export const cloudInitShape = {
  sshKeys: z.array(z.string()),
  userData: z.string().exactOptional(),
} satisfies Shape<Omit<CloudInit, 'hostname'>>;

const cloudInit: z.ZodType<CloudInit> = z.object({
  hostname: z.string(),
  ...cloudInitShape,
} satisfies Shape<CloudInit>);

const STANDBYS = { paused: true, saved: true, stopped: true } as const;

export const clusterNetwork: z.ZodType<ClusterNetwork> = z.object({
  id: z.string(),
  address: z.string(),
  prefixBits: z.int().min(8).max(30),
} satisfies Shape<ClusterNetwork>);

export const nodeOf: z.ZodType<NodeOf> = z.object({
  cluster: z.string(),
  number: z.int().positive(),
} satisfies Shape<NodeOf>);

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
  phase: oneOf<VmPhase>({ launching: true, standby: true, 'in-service': true, draining: true, removing: true }),
  step: oneOf<VmStep>({
    intended: true,
    'image-there': true,
    'disk-made': true,
    defined: true,
    started: true,
    personalised: true,
    ready: true,
    approved: true,
    parked: true,
    draining: true,
    stopping: true,
    stopped: true,
    undefined: true,
  }),
  phaseAtMs: atMs,
  changedAtMs: atMs,
  deadlineAtMs: atMs.exactOptional(),
  endpoint: endpoint.exactOptional(),
  reason: z.string().exactOptional(),
  leaving: z.exactOptional(oneOf<Leaving>({ size: true, asked: true, unhealthy: true, refresh: true })),
  way: z.exactOptional(oneOf<LaunchWay>({ cold: true, fork: true, ...STANDBYS })),
  template: z.string().exactOptional(),
  hook: z.object({ sinceMs: atMs, tries: z.int().nonnegative() }).exactOptional(),
  standby: z.exactOptional(oneOf<StandbyKind>(STANDBYS)),
  agentless: z.boolean().exactOptional(),
  servedSinceMs: atMs.exactOptional(),
  moving: z.object({ to: z.string(), operation: z.string() }).exactOptional(),
  isProtected: z.boolean().exactOptional(),
  node: nodeOf.exactOptional(),
  networks: z.array(clusterNetwork).exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  tries: z.int().nonnegative(),
} satisfies Shape<VmRecord>);
