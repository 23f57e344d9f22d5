// The form of users and of the audit record as the store reads them back.
// Not here: tokens (catalog-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type { AuditEntry } from '../../core/audit.ts';
import type { Quota, Role, UserRecord } from '../../core/user.ts';
import { oneOf, type Shape } from './model-schemas.ts';

const amount = z.number().nonnegative().exactOptional();
const quota: z.ZodType<Quota> = z.object({
  vms: amount,
  vcpus: amount,
  memoryMiB: amount,
  diskGiB: amount,
  snapshots: amount,
} satisfies Shape<Quota>);

export const userRecord: z.ZodType<UserRecord> = z.object({
  name: z.string().min(1),
  role: oneOf<Role>({ user: true, admin: true }),
  createdAt: z.string(),
  disabled: z.string().exactOptional(),
  quota,
  deletedAt: z.string().exactOptional(),
  password: z.string(),
} satisfies Shape<UserRecord>);

export const auditEntry: z.ZodType<AuditEntry> = z.object({
  at: z.string(),
  who: z.string(),
  token: z.string().exactOptional(),
  method: z.string(),
  route: z.string(),
  target: z.record(z.string(), z.string()).exactOptional(),
  from: z.string().exactOptional(),
  proxied: z.boolean().exactOptional(),
  status: z.int(),
  operation: z.string().exactOptional(),
  problem: z.string().exactOptional(),
} satisfies Shape<AuditEntry>);
