// What the API takes about VMs: asking for some, adopting one, changing one, shutting one down.
// Not here: what it tells of them (schemas), whether it can be done (engine).

import { z } from '@hono/zod-openapi';
import { MEMORY_MIN_MIB } from '../core/hardware.ts';
import { oneLine, plainName } from './fabric-schemas.ts';
import { durationWithin } from './query-values.ts';

const VM_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;
const idPositive = z.int().positive();
const label = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/);
const port = z.int().min(1).max(65_535);
const readyRequest = z.union(
  [
    z.strictObject({
      http: z.strictObject({
        port,
        path: z
          .string()
          .max(1000)
          .regex(/^\/[\x21-\x7e]*$/, 'must begin with / and be printable ASCII'),
      }),
    }),
    z.strictObject({ tcp: z.strictObject({ port }) }),
    z.strictObject({ agent: z.literal(true) }),
  ],
  {
    error: 'must be exactly one of {http: {port, path}}, {tcp: {port}} and {agent: true}, with a port from 1 to 65535',
  },
);

export const placementRulesSchema = z
  .strictObject({
    algorithm: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be the name of an algorithm')
      .optional(),
    host: z.string().min(1).max(253).optional().openapi({ description: 'Only this host' }),
    labels: z.record(label, oneLine(253)).optional().openapi({ description: 'Only hosts that have all of these' }),
    apart: z.boolean().optional().openapi({ description: 'Each VM of the request on a host of its own' }),
    withVms: z.array(idPositive).max(1000).optional().openapi({ description: 'Only hosts where these VMs are' }),
    withoutVms: z.array(idPositive).max(1000).optional().openapi({ description: 'Only hosts where they are not' }),
  })
  .openapi('PlacementRules');

export const createRequestSchema = z
  .strictObject({
    name: z
      .string()
      .regex(VM_NAME, 'must be 1 to 63 letters, digits and _ . -, and not begin with a dot or a dash')
      .openapi({ example: 'job', description: 'With a count above 1: NAME-1, NAME-2, …' }),
    count: z.int().min(1).max(1000).optional().openapi({ description: 'Default 1' }),
    flavor: plainName.openapi({ example: 'small' }),
    image: plainName
      .optional()
      .openapi({ example: 'backend', description: "Absent: an empty disk of the flavor's size" }),
    ready: readyRequest.optional().openapi({ description: 'When it counts as ready. Absent: as soon as it runs' }),
    sshKeys: z
      .array(oneLine(16_384))
      .max(100)
      .optional()
      .openapi({ description: 'Public keys for cloud-init, as in authorized_keys' }),
    userData: z
      .string()
      .max(60_000)
      .refine((text) => !text.includes('\0'), 'must not have a NUL')
      .optional()
      .openapi({ description: 'For cloud-init, as it is' }),
    placement: placementRulesSchema.optional(),
    allOrNothing: z.boolean().optional().openapi({ description: 'All VMs or none. Default: as many as fit' }),
    maxVcpus: z.int().min(1).max(256).optional().openapi({
      description: 'What it can be given while it runs, in place of what the flavor says. Default: what it begins with',
    }),
    maxMemoryMiB: z
      .int()
      .min(MEMORY_MIN_MIB)
      .max(16 * 1024 * 1024)
      .optional(),
    spareNics: z
      .int()
      .min(0)
      .max(16)
      .optional()
      .openapi({ description: 'Network cards that can be added while it runs' }),
  })
  .openapi('VmCreate');

export const adoptSchema = z
  .strictObject({
    host: z.string().min(1).max(253),
    domain: oneLine(253).openapi({ description: 'Name or uuid' }),
  })
  .openapi('VmAdopt');

const LABELS_MAX = 32;
export const vmPatchSchema = z
  .strictObject({
    protected: z.boolean().optional().openapi({ description: 'Never chosen for removal by a policy' }),
    labels: z
      .record(label, oneLine(253))
      .refine((labels) => Object.keys(labels).length <= LABELS_MAX, `must be ${LABELS_MAX} at the most`)
      .optional()
      .openapi({ description: `All of its labels from now on, ${LABELS_MAX} at the most`, example: { priority: '3' } }),
  })
  .refine((change) => change.protected !== undefined || change.labels !== undefined, {
    error: 'must have protected, labels or both',
  })
  .openapi('VmPatch');

export const shutdownSchema = z
  .strictObject({
    grace: durationWithin(0, '1d').optional().openapi({
      description: 'When it has not gone down after this, the plug is pulled. Absent: it is not',
      example: '30s',
    }),
  })
  .openapi('VmShutdown');
