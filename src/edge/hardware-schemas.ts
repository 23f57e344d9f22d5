// The public shapes of a VM's hardware: what it has and will have, and what may be asked for. Not here: the routes (routes/hardware).

import { z } from '@hono/zod-openapi';
import { DISK_MAX_GIB, MEMORY_MAX_MIB, MEMORY_MIN_MIB, VCPUS_MAX, type VmHardware } from '../core/hardware.ts';
import { count } from './schemas.ts';

const sizes = z.object({ vcpus: count, maxVcpus: count, memoryMiB: z.number(), maxMemoryMiB: z.number() });

export const hardwareSchema = z
  .object({
    running: z.boolean(),
    saved: z.boolean().openapi({ description: 'Its memory is saved on disk: start it before anything is changed' }),
    now: sizes.optional().openapi({
      description:
        'What it has; up to `maxVcpus` and `maxMemoryMiB` it can have more without a restart. Absent while it does not run',
    }),
    next: sizes.openapi({ description: 'What its next start gives it' }),
    onlineVcpus: count.optional().openapi({ description: 'vCPUs that its guest uses; absent: its agent does not say' }),
    diskBytes: count.optional().openapi({ description: 'Of its first disk; absent: it has none that can be grown' }),
    freeSlots: count.openapi({ description: 'Network cards that can be added while it runs' }),
    interfaces: z.array(
      z.object({
        mac: z.string(),
        kind: z.enum(['forward', 'user', 'network', 'bridge', 'cluster', 'other']).openapi({
          description:
            '`forward`: the one with the port that leads to the VM; it stays. `cluster`: of its cluster; it stays',
        }),
        source: z.string().optional().openapi({ description: 'Name of the network or bridge' }),
        now: z.boolean().openapi({ description: 'What runs has it' }),
        next: z.boolean().openapi({ description: 'Its next start gives it' }),
        fixed: z.boolean().openapi({ description: 'Only a restart takes it away' }),
      }),
    ),
  })
  .openapi('VmHardware');
export type PublicHardware = z.infer<typeof hardwareSchema>;

const options = {
  restart: z.boolean().optional().openapi({
    description:
      'It may be shut down and started again where it cannot be done otherwise. Without it, such a change is refused (409)',
  }),
  force: z
    .boolean()
    .optional()
    .openapi({ description: 'With `restart`: a guest that does not shut down has its plug pulled' }),
};

export const resizeSchema = z
  .strictObject({
    vcpus: z.int().min(1).max(VCPUS_MAX).optional().openapi({ example: 2 }),
    memoryMiB: z.int().min(MEMORY_MIN_MIB).max(MEMORY_MAX_MIB).optional().openapi({ example: 512 }),
    diskGiB: z.int().min(1).max(DISK_MAX_GIB).optional().openapi({ example: 4, description: 'Never less than it has' }),
    ...options,
  })
  .refine((wish) => wish.vcpus !== undefined || wish.memoryMiB !== undefined || wish.diskGiB !== undefined, {
    error: 'must have vcpus, memoryMiB, diskGiB or several of them',
  })
  .openapi('VmResize');

export const nicRequestSchema = z.strictObject(options).openapi('VmInterfaceAdd');

export const macSchema = z
  .string()
  .regex(/^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$/, 'must be six pairs of hex digits, such as 52:54:00:12:34:56')
  .openapi({ example: '52:54:00:12:34:56' });

export function publicHardware(seen: VmHardware): PublicHardware {
  const { diskBytes, freeSlots, next, nics, now, onlineVcpus, running, saved } = seen;
  return {
    running,
    saved,
    ...(now && { now: { ...now } }),
    next: { ...next },
    ...(onlineVcpus !== undefined && { onlineVcpus }),
    ...(diskBytes !== undefined && { diskBytes }),
    freeSlots,
    interfaces: nics.map(({ fixed = false, ...nic }) => ({ ...nic, fixed })),
  };
}
