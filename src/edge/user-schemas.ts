// The public shapes of users, signing in and the audit record, and what is taken for them.
// Not here: tokens (fabric-schemas), how records become these (user-representation).

import { z } from '@hono/zod-openapi';
import { newTokenSchema, oneLine, scopeSchema } from './fabric-schemas.ts';
import { durationWithin, nameSchema } from './query-values.ts';
import { count, time } from './schemas.ts';

export const PASSWORD_MIN = 10;

const roleSchema = z.enum(['user', 'admin']).openapi('Role', {
  description: 'user: sees and touches only what is his. admin: everything',
});

const amount = z.number().nonnegative();
const parts = { vms: amount, vcpus: amount, memoryMiB: amount, diskGiB: amount, snapshots: amount };

const quotaSchema = z.object(parts).partial().openapi('Quota', { description: 'What is absent has no limit' });
const limit = z.int().min(0).max(1_000_000_000).nullable().optional();
export const quotaChangeSchema = z
  .strictObject({ vms: limit, vcpus: limit, memoryMiB: limit, diskGiB: limit, snapshots: limit })
  .openapi('QuotaChange', { description: 'null: without a limit of his own. What is not said stays' });

export const userSchema = z
  .object({
    name: z.string(),
    role: roleSchema,
    createdAt: time,
    disabled: z.string().optional().openapi({ description: 'Why he is not let in' }),
    quota: quotaSchema,
    used: z.object(parts),
  })
  .openapi('User');
export const usersSchema = z.object({ users: z.array(userSchema) }).openapi('Users');

/** Never in an answer, a log or an event. */
const passwordSchema = z
  .string()
  .min(PASSWORD_MIN, `must have ${PASSWORD_MIN} characters at least`)
  .max(1024, 'must have 1024 characters at the most')
  .openapi({ format: 'password' });
const anyPassword = z.string().min(1).max(1024).openapi({ format: 'password' });

export const userCreateSchema = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^[a-z](?:[a-z0-9._-]{0,30}[a-z0-9])?$/,
        'must be 1 to 32 lower-case letters, digits and . _ -, begin with a letter and end with a letter or digit',
      ),
    password: passwordSchema,
    role: roleSchema.optional().openapi({ description: 'Default: user. By admins only' }),
    quota: quotaChangeSchema.optional().openapi({ description: 'By admins only. Absent: as configured for new users' }),
  })
  .openapi('UserCreate');

export const userPatchSchema = z
  .strictObject({
    password: passwordSchema.optional().openapi({ description: 'His other sign-ins end' }),
    oldPassword: anyPassword
      .optional()
      .openapi({ description: 'Needed with a password, unless an admin changes another’s' }),
    role: roleSchema.optional().openapi({ description: 'By admins only' }),
    disabled: oneLine(500)
      .nullable()
      .optional()
      .openapi({ description: 'By admins only. Why he is not let in any more, from now on; null: he is again' }),
    quota: quotaChangeSchema.optional().openapi({ description: 'By admins only' }),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), { error: 'must change something' })
  .openapi('UserPatch');

export const signInSchema = z
  .strictObject({
    name: z.string().min(1).max(64),
    password: anyPassword,
    expiresIn: durationWithin(1000, '90d').optional().openapi({ example: '12h', description: 'Default 12h' }),
  })
  .openapi('SignIn');

export const signedInSchema = newTokenSchema.required({ token: true }).extend({ user: userSchema }).openapi('SignedIn');

export const whoamiSchema = z
  .object({
    name: z.string().openapi({ description: 'The `owner` of what is done: a user, a token, or `anonymous`' }),
    scope: scopeSchema,
    token: z.string().optional(),
    expiresAt: time.optional(),
    user: userSchema.optional().openapi({ description: 'Absent: a token of the operator’s, or none' }),
  })
  .openapi('WhoAmI');

export const auditEntrySchema = z
  .object({
    n: z.int().positive(),
    at: time,
    who: z.string().openapi({ description: '`unknown`: nobody was let in' }),
    token: z.string().optional(),
    method: z.string(),
    route: z.string(),
    target: z.record(z.string(), z.string()).optional(),
    from: z.string().optional(),
    proxied: z.boolean().optional().openapi({ description: '`from` is a proxy' }),
    status: z.int(),
    operation: z.string().optional(),
    problem: z.string().optional(),
  })
  .openapi('AuditEntry');
export const auditSchema = z
  .object({
    entries: z.array(auditEntrySchema),
    nextBefore: count.optional().openapi({ description: 'For the next page, as `before`' }),
  })
  .openapi('Audit');

export const userNameParams = z.object({
  name: nameSchema.openapi({ param: { name: 'name', in: 'path' }, example: 'ada' }),
});

export type PublicUser = z.infer<typeof userSchema>;
