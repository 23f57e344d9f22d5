// The form of what deciding remembers of a group over a restart, as the store reads it back.
// Not here: VM records (model-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type { BreakerMemory, DurableMemory, RefreshMemory, Suspendable } from '../../core/memory.ts';
import type { Template } from '../../core/policy.ts';
import { atMs, cloudInitShape, flavor, image, oneOf, ready, type Shape } from './model-schemas.ts';

const count = z.int().nonnegative();

const breaker: z.ZodType<BreakerMemory> = z.object({
  failures: count,
  openedAtMs: atMs.exactOptional(),
  retryAtMs: atMs.exactOptional(),
  lastReason: z.string().exactOptional(),
} satisfies Shape<BreakerMemory>);

const template: z.ZodType<Template> = z.object({
  image,
  flavor,
  ready,
  setup: z.object(cloudInitShape).exactOptional(),
} satisfies Shape<Template>);

const refresh: z.ZodType<RefreshMemory> = z.object({
  to: z.string(),
  startedAtMs: atMs,
  state: oneOf<RefreshMemory['state']>({ running: true, paused: true, stopped: true, 'rolling-back': true }),
  resumeAtMs: atMs.exactOptional(),
  pausedAtMs: atMs.exactOptional(),
  failures: count,
  passed: count,
  total: count,
  from: template.exactOptional(),
  rolledBack: z.literal(true).exactOptional(),
  reason: z.string().exactOptional(),
} satisfies Shape<RefreshMemory>);

export const durableMemory: z.ZodType<DurableMemory> = z.object({
  desired: count.exactOptional(),
  desiredBy: z.literal('user').exactOptional(),
  paused: z.boolean(),
  suspended: z.array(oneOf<Suspendable>({ launch: true, remove: true, health: true, schedule: true })).exactOptional(),
  lastOutAtMs: atMs.exactOptional(),
  lastInAtMs: atMs.exactOptional(),
  changes: z.array(z.object({ atMs, by: z.int() })).exactOptional(),
  scheduled: z.record(z.string(), atMs).exactOptional(),
  breaker,
  refresh: refresh.exactOptional(),
  observing: z.literal(true).exactOptional(),
} satisfies Shape<DurableMemory>);
