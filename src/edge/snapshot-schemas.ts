// The public shapes of snapshots: what one is, and what may be asked for. Not here: the routes (routes/snapshots).

import { z } from '@hono/zod-openapi';
import { SNAPSHOT_NAME, type Snapshot } from '../core/snapshot.ts';
import { oneLine } from './fabric-schemas.ts';
import { time } from './schemas.ts';

const kindSchema = z.enum(['internal', 'external']).openapi({
  description:
    'internal: inside the disk’s file. external: the file is frozen, and a new one is written on from then on',
});

export const snapshotSchema = z
  .object({
    name: z.string(),
    parent: z.string().optional().openapi({ description: 'Absent: a root of the tree' }),
    current: z.boolean().openapi({ description: 'What the VM has come from: the next one’s parent' }),
    kind: kindSchema,
    memory: z.boolean().openapi({ description: 'A revert goes on where the VM was, with every program' }),
    state: z.enum(['running', 'paused', 'stopped']).openapi({ description: 'Of the VM when it was taken' }),
    consistency: z.enum(['application', 'filesystem', 'crash']).openapi({
      description:
        'application: every program as it was, or nothing ran. filesystem: file systems were frozen by the agent. crash: as after a power cut',
    }),
    createdAt: time,
    description: z.string().optional(),
    operation: z
      .string()
      .optional()
      .openapi({ description: 'That took it, perhaps of other VMs too. Absent: it was not virtscale' }),
  })
  .openapi('Snapshot');
export const snapshotsSchema = z
  .object({ snapshots: z.array(snapshotSchema).openapi({ description: 'Parents before their children' }) })
  .openapi('Snapshots');
export type PublicSnapshot = z.infer<typeof snapshotSchema>;

export const snapshotNameSchema = z
  .string()
  .regex(SNAPSHOT_NAME, 'must be 1 to 63 letters, digits and . _ -, and begin with a letter or digit');
/** In an address also one that somebody else has given. */
export const anySnapshotNameSchema = oneLine(255);

const KEEP_MAX = 1000;
const KEEP_HOURS_MAX = 87_600;
const parts = {
  name: snapshotNameSchema.optional().openapi({ example: 'before-upgrade', description: 'Absent: the time' }),
  kind: kindSchema.optional().openapi({ description: 'Absent: internal where that is possible' }),
  memory: z.boolean().optional().openapi({ description: 'Default true. Of a VM that is off there is none' }),
  quiesce: z.boolean().optional().openapi({
    description:
      'Without memory. true: fails where no agent freezes the file systems. false: does not ask. Absent: where an agent answers',
  }),
  description: oneLine(500).optional(),
  keep: z
    .strictObject({
      count: z.int().min(1).max(KEEP_MAX).optional().openapi({ description: 'At most so many, this one included' }),
      hours: z.int().min(1).max(KEEP_HOURS_MAX).optional().openapi({ description: 'None older than this' }),
    })
    .refine(({ count, hours }) => count !== undefined || hours !== undefined, {
      error: 'must have count, hours or both',
    })
    .optional()
    .openapi({
      description:
        'Older ones of the VM are removed once this one is taken. Absent: as its labels snapshots/keep-count and snapshots/keep-hours say',
    }),
};

export const snapshotCreateSchema = z.strictObject(parts).openapi('SnapshotCreate');
export const snapshotsCreateSchema = z
  .strictObject({
    vms: z
      .array(z.int().positive())
      .min(1)
      .max(64)
      .openapi({ description: 'Ids. All are taken at one moment, or none', example: [7, 8] }),
    ...parts,
  })
  .openapi('SnapshotsCreate');

export const revertSchema = z
  .strictObject({
    power: z.enum(['running', 'stopped']).optional().openapi({
      description: 'What it shall be when the snapshot has no memory. Absent: as it was asked to be',
    }),
  })
  .openapi('SnapshotRevert');

export function publicSnapshot({ hasMemory, isCurrent, ...same }: Snapshot): PublicSnapshot {
  return { ...same, current: isCurrent, memory: hasMemory };
}
