// The public shapes of what the fabric tells beside hosts and VMs, and of what it takes for it: images, flavors, operations, tokens.
// Not here: what one may ask about VMs (vm-requests), hosts, VMs, problems (schemas), how engine pictures become these
// (fabric-representation).

import { z } from '@hono/zod-openapi';
import { readHost, readUser } from '../config/ssh-address.ts';
import type { OperationKind, OperationState } from '../core/operation.ts';
import { durationWithin } from './query-values.ts';
import { count, flavorSchema, nextCursor, time } from './schemas.ts';

/** Of images, flavors, hosts, placements, tokens. */
export const plainName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be a plain name');

export const oneLine = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\p{Cc}\u2028\u2029]+$/u, 'must be one line without control characters');

export const addressesSchema = z
  .object({
    addresses: z.array(
      z.object({
        address: z.string(),
        source: z.enum(['agent', 'lease', 'arp', 'forward']).openapi({ description: 'Who knows it' }),
        interface: z.string().optional(),
        mac: z.string().optional(),
      }),
    ),
  })
  .openapi('Addresses');

const sourceSchema = z
  .object({
    kind: z.enum(['upload', 'path', 'url', 'ssh', 'host', 'built']),
    from: z.string().optional().openapi({ description: 'The path or address. Credentials in a URL are not shown' }),
  })
  .openapi('ImageSource');

export const imageSchema = z
  .object({
    name: z.string(),
    id: z.int().positive().openapi({ description: 'For clients that call it by number' }),
    source: sourceSchema,
    state: z.enum(['importing', 'ready', 'failed']),
    reason: z.string().optional().openapi({ description: 'Why it failed' }),
    format: z.enum(['qcow2', 'raw']).optional(),
    sha256: z.string().optional(),
    fileBytes: count.optional(),
    virtualBytes: count.optional().openapi({ description: 'Size of the disk a guest sees' }),
    addedAt: time,
    configured: z.boolean().openapi({ description: 'It stands in the configuration and cannot be deleted here' }),
    hosts: z.array(z.string()).openapi({ description: 'Hosts it lies on, as last seen' }),
    vmCount: count.openapi({ description: 'VMs made from it that exist' }),
  })
  .openapi('Image');
export const imagesSchema = z.object({ images: z.array(imageSchema) }).openapi('Images');

const absolutePath = oneLine(4096).regex(/^\//, 'must be an absolute path');
const webUrl = oneLine(4096).superRefine((text, context) => {
  const fine = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  if (!fine) context.addIssue({ code: 'custom', message: 'must be an http or https URL' });
});
const sshSource = oneLine(4096).transform((text, context) => {
  const match = /^(?:([^@/]*)@)?([^@/]*):(\/.*)$/.exec(text);
  const fail = (message: string): never => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  if (match === null) return fail('must be [USER@]HOST:/PATH');
  const host = readHost(match[2] ?? '');
  if (!host.ok) return fail(host.reason);
  const path = match[3] ?? '';
  if (match[1] === undefined) return { host: host.value, path };
  const user = readUser(match[1]);
  return user.ok ? { user: user.value, host: host.value, path } : fail(user.reason);
});

export const formatSchema = z.enum(['qcow2', 'raw']);
export const sha256Schema = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hex digits')
  .transform((text) => text.toLowerCase())
  .openapi({ type: 'string', pattern: '^[0-9a-fA-F]{64}$' });

export const imageImportSchema = z
  .strictObject({
    name: plainName,
    source: z
      .union(
        [
          z.strictObject({ url: webUrl }),
          z.strictObject({ path: absolutePath }),
          z.strictObject({ ssh: sshSource.openapi({ type: 'string', example: 'root@10.0.0.5:/images/debian.qcow2' }) }),
          z.strictObject({ host: absolutePath }),
        ],
        { error: 'must be exactly one of {url}, {path}, {ssh: "[USER@]HOST:/PATH"} and {host: "/PATH"}' },
      )
      .openapi({
        description:
          '`path`: a file of the daemon’s machine. `host`: it lies on every host already. Only `url` without the scope admin',
      }),
    format: formatSchema.optional().openapi({ description: 'Absent: by its header' }),
    sha256: sha256Schema.optional().openapi({ description: 'Of the file; another one is refused' }),
  })
  .openapi('ImageImport');

export const numberedFlavorSchema = flavorSchema
  .extend({ id: z.int().positive().openapi({ description: 'For clients that call it by number' }) })
  .openapi('NumberedFlavor');
export const flavorsSchema = z.object({ flavors: z.array(numberedFlavorSchema) }).openapi('Flavors');

const KINDS = [
  'vm.create',
  'vm.start',
  'vm.pause',
  'vm.resume',
  'vm.shutdown',
  'vm.reboot',
  'vm.reset',
  'vm.stop',
  'vm.delete',
  'vm.adopt',
  'vm.migrate',
  'host.drain',
  'vm.resize',
  'vm.attach-nic',
  'vm.detach-nic',
  'cluster.create',
  'cluster.add',
  'cluster.remove',
  'cluster.delete',
  'snapshot.create',
  'snapshot.revert',
  'snapshot.delete',
  'image.import',
  'image.upload',
] as const satisfies readonly OperationKind[];
const STATES = [
  'queued',
  'placed',
  'running',
  'succeeded',
  'failed',
  'cancelled',
] as const satisfies readonly OperationState[];
export const operationKindSchema = z.enum(KINDS);
export const operationStateSchema = z.enum(STATES);

export const operationSchema = z
  .object({
    id: z.string(),
    kind: operationKindSchema,
    state: operationStateSchema.openapi({
      description:
        'queued → placed → running → succeeded | failed | cancelled. Only vm.create is queued and placed; what is refused outright never becomes an operation',
    }),
    owner: z.string(),
    createdAt: time,
    changedAt: time,
    endedAt: time.optional(),
    vms: z
      .array(
        z.object({
          id: z.int().positive(),
          name: z.string(),
          host: z.string(),
          outcome: z.enum(['done', 'failed', 'cancelled']).optional().openapi({ description: 'Absent: under way' }),
          reason: z.string().optional(),
        }),
      )
      .openapi({ description: 'Empty until they are placed' }),
    create: z
      .object({
        names: z.array(z.string()),
        flavor: z.string(),
        image: z.string().optional(),
        allOrNothing: z.boolean(),
      })
      .optional()
      .openapi({ description: 'vm.create: what is to be made' }),
    image: z.string().optional(),
    snapshot: z
      .object({
        name: z.string(),
        taken: z
          .array(
            z.object({
              vm: z.int().positive(),
              kind: z.enum(['internal', 'external']),
              memory: z.boolean(),
              consistency: z.enum(['application', 'filesystem', 'crash']),
              removed: z.array(z.string()).openapi({ description: 'Older ones that `keep` did not keep' }),
            }),
          )
          .optional()
          .openapi({ description: 'snapshot.create, once it has succeeded' }),
      })
      .optional()
      .openapi({ description: 'Only of snapshot operations' }),
    progress: z
      .object({ done: z.number(), total: z.number().optional(), unit: z.enum(['bytes', 'vms']), text: z.string() })
      .optional(),
    failure: z
      .object({
        type: z.enum(['no-capacity', 'failed', 'timed-out', 'interrupted']),
        detail: z.string(),
        hosts: z.array(z.object({ name: z.string(), chosen: z.boolean(), text: z.string() })).optional(),
      })
      .optional(),
    cancelling: z.boolean(),
    history: z.array(z.object({ at: time, text: z.string() })).openapi({ description: 'Oldest first' }),
  })
  .openapi('Operation');
export const operationsSchema = z.object({ operations: z.array(operationSchema), nextCursor }).openapi('Operations');

export const scopeSchema = z.enum(['post', 'read', 'operate', 'admin']).openapi('Scope', {
  description:
    'read: look. operate: also make, change and delete VMs and images. admin: also hosts and tokens. post: nothing but post metrics; operate and admin include it',
});

export const tokenSchema = z
  .object({
    name: z.string().openapi({ description: 'A user’s, as admins see it: `USER/NAME`' }),
    scope: scopeSchema,
    createdAt: time,
    expiresAt: time.optional(),
    user: z.string().optional().openapi({ description: 'The user it belongs to. Absent: the operator’s' }),
    signIn: z.literal(true).optional().openapi({ description: 'It came of signing in' }),
  })
  .openapi('Token');
export const tokensSchema = z.object({ tokens: z.array(tokenSchema) }).openapi('Tokens');
export const newTokenSchema = tokenSchema
  .extend({
    token: z.string().optional().openapi({
      description: 'Its text, shown this once: absent when the answer is repeated for an Idempotency-Key',
      example: 'vs_…',
    }),
  })
  .openapi('NewToken');
export const tokenCreateSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be 1 to 63 lower-case letters, digits and . _ -')
      .refine((name) => name !== 'anonymous', 'is what requests without a token are called'),
    scope: scopeSchema,
    expiresIn: durationWithin(1000, '3650d').optional().openapi({ example: '90d', description: 'Absent: never' }),
    user: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .openapi({ description: 'Whose it shall be, by admins; a user’s own are his without saying so' }),
  })
  .openapi('TokenCreate');

export const targetsSchema = z
  .array(z.object({ targets: z.array(z.string()), labels: z.record(z.string(), z.string()) }))
  .openapi('ServiceDiscovery', { description: 'As Prometheus reads it (http_sd_config)' });

export type PublicOperation = z.infer<typeof operationSchema>;
export type PublicImage = z.infer<typeof imageSchema>;
export type PublicFlavor = z.infer<typeof numberedFlavorSchema>;
export type PublicToken = z.infer<typeof tokenSchema>;
export type PublicTargets = z.infer<typeof targetsSchema>;
