// The public shapes of groups: their policy, how they stand, their candidates and templates, and what one may tell them.
// Not here: decisions (decision-schemas), how engine pictures become these (group-representation).

import { z } from '@hono/zod-openapi';
import type { RefreshMemory, Suspendable } from '../core/memory.ts';
import type { Hook, RemovalOrder } from '../core/policy.ts';
import type { TemplateStatus } from '../engine/view.ts';
import { decisionSchema, unitSchema } from './decision-schemas.ts';
import { count, durationMs, flavorSchema, percent, placementSchema, readySchema, time, vmSchema } from './schemas.ts';

const name = z.string();
const changeSchema = z.union([z.object({ vms: count }), z.object({ percent: z.number() })]).openapi('Change', {
  description: 'A number of VMs, or a share of the group’s size: at least one VM',
});

const metricShape = {
  metric: z.string().openapi({
    description: '`cpu`, `memory`, `network`, `disk`, `steal`, `query …` (of Prometheus) or `posted NAME`',
  }),
  unit: unitSchema,
  aggregate: z.string().openapi({ description: 'Over the ready VMs: `mean`, `max`, or a percentile such as `p95`' }),
  overMs: durationMs.openapi({ description: 'The mean over so long. 0: the latest value' }),
  scope: z.enum(['mean', 'total']).openapi({
    description: '`mean`: each VM’s; more VMs lower it. `total`: the group’s, which its VMs share',
  }),
};
const direction = z.enum(['out', 'in']);

export const ruleSchema = z
  .union([
    z.object({
      name,
      type: z.literal('threshold'),
      ...metricShape,
      direction,
      threshold: z.number(),
      forMs: durationMs,
      by: changeSchema,
      cooldownMs: durationMs,
    }),
    z.object({
      name,
      type: z.literal('step'),
      ...metricShape,
      direction,
      bands: z.array(z.object({ bound: z.number(), by: changeSchema })).openapi({ description: 'Nearest first' }),
      forMs: durationMs,
      cooldownMs: durationMs,
    }),
    z.object({
      name,
      type: z.literal('target'),
      ...metricShape,
      target: z.number(),
      tolerancePercent: z.object({ up: percent, down: percent }).openapi({ description: 'Of the target' }),
      forMs: durationMs,
      cooldownMs: z.object({ out: durationMs, in: durationMs }),
      leadMs: durationMs.optional().openapi({ description: 'Rising load is met as it will be so long from now' }),
      boost: z.number().optional().openapi({ description: 'Times the VMs, at least, when they are full' }),
    }),
    z.object({
      name,
      type: z.literal('schedule'),
      cron: z.string(),
      timezone: z.string(),
      forMs: durationMs,
      min: count.optional(),
      max: count.optional(),
      desired: count.optional(),
    }),
    z.object({ name, type: z.literal('forecast'), ...metricShape, target: z.number(), leadMs: durationMs }),
  ])
  .openapi('ScaleRule');

const paceSchema = z
  .object({
    rate: z
      .object({ windowMs: durationMs, vms: count.optional(), percent: percent.optional() })
      .optional()
      .openapi({ description: 'At most so many VMs, or this share, within any window: the larger. Absent: no limit' }),
    stabiliseMs: durationMs,
  })
  .openapi('PaceLimit');

const ON_TIMEOUT = ['continue', 'abandon'] as const satisfies readonly Hook['onTimeout'][];
const hookSchema = z
  .object({
    url: z.string().openapi({ description: 'Without credentials and arguments' }),
    signed: z.boolean(),
    deadlineMs: durationMs,
    onTimeout: z.enum(ON_TIMEOUT),
  })
  .openapi('Hook');

const ORDERS = [
  'idlest',
  'oldest',
  'newest',
  'fullest-host',
  'label',
] as const satisfies readonly RemovalOrder['kind'][];

/** Of the policy, in force or observing. */
const policyShape = {
  min: count,
  max: count,
  mode: z.enum(['act', 'observe']).openapi({ description: '`observe`: decides and records, and does nothing' }),
  rules: z.array(ruleSchema),
  pace: z.object({ out: paceSchema, in: paceSchema }),
  warmupMs: durationMs,
};

const STATES = ['ready', 'making', 'impossible', 'waiting'] as const satisfies readonly TemplateStatus['state'][];
export const templateSchema = z
  .object({
    host: z.string(),
    state: z.enum(STATES).openapi({ description: '`ready`: VMs can be forked there' }),
    key: z.string().optional(),
    bytes: count.optional(),
    reason: z.string().optional().openapi({ description: 'Why it is not ready' }),
  })
  .openapi('Template');

export const candidateSchema = z
  .object({
    name,
    file: z.string(),
    ...policyShape,
    desired: count.optional().openapi({ description: 'The size the group would have if it had acted' }),
    text: z.string().optional().openapi({ description: 'Its latest evaluation in one sentence' }),
  })
  .openapi('Candidate', { description: 'A policy that decides beside the one in force, and acts not' });

const PROCESSES = ['launch', 'remove', 'health', 'schedule'] as const satisfies readonly Suspendable[];
export const processSchema = z.enum(PROCESSES).openapi({
  description: 'Launching, removing, replacing the unhealthy, schedules',
});

const REFRESH_STATES = [
  'running',
  'paused',
  'stopped',
  'rolling-back',
] as const satisfies readonly RefreshMemory['state'][];
const refreshSchema = z
  .object({
    state: z.enum(REFRESH_STATES),
    startedAt: time,
    pausedAt: time.optional(),
    resumeAt: time.optional().openapi({ description: 'When the pause at a checkpoint ends' }),
    total: count.openapi({ description: 'VMs to be replaced, when it began' }),
    done: count.optional(),
    failures: count,
    checkpointsPassed: count,
    reason: z.string().optional(),
  })
  .openapi('Refresh', { description: 'VMs of another template are being replaced' });

export const groupSchema = z
  .object({
    name,
    file: z.string().openapi({ description: 'The policy file it comes from' }),
    ...policyShape,
    desired: count.optional().openapi({ description: 'Absent before the first turn' }),
    paused: z.boolean(),
    suspended: z.array(processSchema).openapi({ description: 'Parts that people have stopped' }),
    cpuPercent: percent.optional(),
    vmCounts: z.object({
      launching: count,
      standby: count,
      inService: count,
      draining: count,
      removing: count,
      total: count,
    }),
    text: z.string().optional().openapi({ description: 'The latest evaluation in one sentence' }),
    lastEvaluatedAt: time.optional(),
    lastScaleOutAt: time.optional(),
    lastScaleInAt: time.optional(),
    breaker: z.object({
      open: z.boolean().openapi({ description: 'Open: launches failed in a row, none is tried until `retryAt`' }),
      failures: count,
      openedAt: time.optional(),
      retryAt: time.optional(),
      reason: z.string().optional(),
    }),
    refresh: refreshSchema.optional().openapi({ description: 'Absent: none is under way' }),
    candidates: z.array(candidateSchema),
    templates: z.array(templateSchema).openapi({ description: 'Of groups that fork' }),
    source: z.union([
      z.object({ kind: z.literal('template'), image: z.string(), flavor: flavorSchema, ready: readySchema }),
      z.object({
        kind: z.literal('domains'),
        domains: z.array(z.object({ name, address: z.string().optional() })),
        ready: readySchema,
      }),
    ]),
    placement: placementSchema
      .optional()
      .openapi({ description: 'Where its VMs go. Absent: as the configuration says' }),
    capacity: z
      .object({ fork: z.boolean(), paused: count, saved: count, stopped: count })
      .openapi({ description: 'Quicker ways than a cold boot: forks, and standbys kept of each kind' }),
    removal: z
      .object({ order: z.enum(ORDERS), label: z.string().optional() })
      .openapi({ description: 'Whom to remove first' }),
    balancer: z.string().optional().openapi({ description: 'Its name in the configuration' }),
    hooks: z.object({ launch: hookSchema.optional(), remove: hookSchema.optional() }),
    health: z
      .object({
        check: readySchema,
        intervalMs: durationMs,
        timeoutMs: durationMs,
        failures: count,
        graceMs: durationMs,
        budget: changeSchema,
      })
      .optional(),
    refreshPolicy: z
      .object({
        surge: count,
        unavailable: count,
        checkpointsPercent: z.array(percent),
        pauseMs: durationMs,
        failures: count,
        onFailure: z.enum(['rollback', 'stop']),
      })
      .optional()
      .openapi({ description: 'Absent: VMs of another template are left' }),
    launchDeadlineMs: durationMs,
    drainGraceMs: durationMs,
    shutdownDeadlineMs: durationMs,
  })
  .openapi('Group');

export const groupDetailSchema = groupSchema
  .extend({
    vms: z.array(vmSchema),
    lastDecision: decisionSchema
      .optional()
      .openapi({ description: 'The latest evaluation, also when it did nothing: the answer to "why"' }),
    candidateDecisions: z
      .record(z.string(), decisionSchema)
      .openapi({ description: 'The latest evaluation of each candidate, by its name' }),
  })
  .openapi('GroupDetail');

export const groupsSchema = z.object({ groups: z.array(groupSchema) }).openapi('Groups');

export const groupPatchSchema = z.strictObject({ desired: z.int().min(0).max(1_000_000) }).openapi('GroupPatch');

export const suspendedSchema = z
  .strictObject({
    processes: z
      .array(processSchema)
      .max(PROCESSES.length)
      .openapi({ description: 'Exactly these from now on; none: everything goes on' }),
  })
  .openapi('Suspended');

export const postedSchema = z
  .strictObject({
    value: z.number().openapi({ description: 'Finite', example: 17 }),
    vm: z.int().positive().optional().openapi({ description: 'Id of one of its VMs. Absent: of the whole group' }),
  })
  .openapi('PostedMetric');

export type PublicGroup = z.infer<typeof groupSchema>;
export type PublicGroupDetail = z.infer<typeof groupDetailSchema>;
export type PublicRule = z.infer<typeof ruleSchema>;
export type PublicCandidate = z.infer<typeof candidateSchema>;
