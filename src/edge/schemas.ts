// The public shapes of the HTTP API, once: they check requests, type responses, make the OpenAPI document and check what the
// command line is told. Not here: how engine pictures become these (representation).

import { z } from '@hono/zod-openapi';
import { EVENT_TYPES } from './event-text.ts';

const count = z.int().min(0);
const percent = z.number().openapi({ description: 'Percent' });
const time = z.string().openapi({ format: 'date-time', description: 'RFC 3339, UTC' });
const durationMs = z.number().min(0).openapi({ description: 'Milliseconds' });

export const endpointSchema = z.object({ address: z.string(), port: z.int() }).openapi('Endpoint');

export const flavorSchema = z
  .object({
    name: z.string(),
    vcpus: count,
    memoryMiB: z.number(),
    diskGiB: z.number().optional().openapi({ description: 'Absent: as large as the image' }),
  })
  .openapi('Flavor');

export const readySchema = z
  .object({ http: z.object({ port: z.int(), path: z.string() }) })
  .openapi('ReadyCheck', { description: 'Ready means an HTTP answer with status 200–399' });

export const hostSchema = z
  .object({
    name: z.string(),
    uri: z.string(),
    state: z.enum(['up', 'stale', 'down']).openapi({
      description: '`stale`: does not answer now and is shown as last seen. `down`: never answered yet',
    }),
    reason: z.string().optional().openapi({ description: 'Why it is not up' }),
    lastSeenAt: time.optional(),
    libvirtVersion: z.string().optional(),
    qemuVersion: z.string().optional(),
    accel: z.enum(['kvm', 'qemu']).optional(),
    accelReason: z.string().optional(),
    capacity: z
      .object({
        cpus: count,
        memoryMiB: z.number(),
        memoryFreeMiB: z.number(),
        diskGiB: z.number(),
        diskFreeGiB: z.number(),
      })
      .optional(),
    domainCount: count.openapi({ description: 'All domains on it, whoever made them' }),
    vmCount: count.openapi({ description: 'The VMs virtscale is responsible for' }),
  })
  .openapi('Host');

export const phaseSchema = z.enum(['launching', 'in-service', 'draining', 'removing']);

export const vmSchema = z
  .object({
    id: z.int().positive(),
    name: z.string(),
    uuid: z.string(),
    group: z.string(),
    host: z.string(),
    kind: z.enum(['clone', 'existing']).openapi({
      description: '`clone`: made from the template and removed with its disk. `existing`: only started and shut down',
    }),
    phase: phaseSchema,
    step: z.enum(['intended', 'disk-made', 'defined', 'started', 'stopping', 'stopped', 'undefined']),
    phaseAt: time,
    deadlineAt: time.optional().openapi({ description: 'When the patience with the present phase ends' }),
    state: z.enum(['running', 'stopped', 'unknown', 'absent']).openapi({
      description: 'What its host last said. `unknown`: the host cannot be asked; that is not `absent`',
    }),
    reason: z.string().optional().openapi({ description: 'Why it is draining or being removed' }),
    tries: count.openapi({ description: 'Failed tries of the present step' }),
    endpoint: endpointSchema.optional().openapi({ description: 'Where clients reach it' }),
    cpuPercent: percent.optional().openapi({ description: 'Of its vCPUs, as last measured, 0–100' }),
    vcpus: count.optional(),
    memoryMiB: z.number().optional(),
    image: z.string().optional(),
    flavor: flavorSchema.optional(),
    ready: readySchema,
    owner: z.string(),
    operation: z.string().openapi({ description: 'The operation that brought it' }),
  })
  .openapi('Vm');

export const ruleSchema = z
  .object({
    name: z.string(),
    type: z.string(),
    metric: z.string(),
    direction: z.enum(['out', 'in']),
    thresholdPercent: percent,
    forMs: durationMs,
    by: count,
    cooldownMs: durationMs,
  })
  .openapi('ScaleRule');

export const decisionSchema = z
  .object({
    id: z.string().optional().openapi({ description: 'Absent on an evaluation that was not worth keeping' }),
    at: time,
    group: z.string(),
    desiredBefore: count,
    desired: count,
    cause: z.enum(['rule', 'limits', 'replace', 'user', 'none']),
    rule: z.string().optional(),
    counts: z.object({
      desired: count,
      inService: count,
      launching: count,
      draining: count,
      removing: count,
      existing: count.openapi({ description: 'All that count against max, failed and unknown ones too' }),
    }),
    cpuPercent: percent.optional().openapi({ description: 'Mean CPU of the ready VMs with data' }),
    cpuPercentByVm: z.record(z.string(), percent),
    verdicts: z.array(
      z.object({
        rule: z.string(),
        direction: z.enum(['out', 'in']),
        verdict: z.enum(['fires', 'quiet', 'counting', 'cooling-down', 'no-data', 'would-flap', 'warming']),
        metric: z.string(),
        valuePercent: percent.optional(),
        thresholdPercent: percent,
        crossedAt: time.optional(),
        recommends: z.int().openapi({ description: 'VMs: positive adds, negative removes' }),
        text: z.string(),
      }),
    ),
    limits: z.array(z.object({ limit: z.string(), from: z.int(), to: z.int(), text: z.string() })),
    hosts: z.array(z.object({ name: z.string(), chosen: z.boolean(), text: z.string() })),
    victims: z.array(z.object({ name: z.string(), chosen: z.boolean(), text: z.string() })),
    actions: z.array(
      z.looseObject({ kind: z.enum(['launch', 'start', 'drain']), group: z.string() }).openapi('Action', {
        description: '`launch`: host. `start`: host, domain, uuid, address?. `drain`: vmId, reason',
      }),
    ),
    text: z.string().openapi({ description: 'The whole in one sentence' }),
  })
  .openapi('Decision');

export const groupSchema = z
  .object({
    name: z.string(),
    file: z.string().openapi({ description: 'The policy file it comes from' }),
    min: count,
    max: count,
    desired: count.optional().openapi({ description: 'Absent before the first turn' }),
    paused: z.boolean(),
    cpuPercent: percent.optional(),
    vmCounts: z.object({ launching: count, inService: count, draining: count, removing: count, total: count }),
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
    source: z.union([
      z.object({ kind: z.literal('template'), image: z.string(), flavor: flavorSchema, ready: readySchema }),
      z.object({
        kind: z.literal('domains'),
        domains: z.array(z.object({ name: z.string(), address: z.string().optional() })),
        ready: readySchema,
      }),
    ]),
    rules: z.array(ruleSchema),
    placement: z.string().optional().openapi({ description: 'Which host takes the next VM. Absent: least-loaded' }),
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
  })
  .openapi('GroupDetail');

export const eventSchema = z
  .looseObject({ seq: z.int().positive(), at: time, type: z.string(), group: z.string().optional() })
  .openapi('Event', {
    description: `One of ${EVENT_TYPES.map((type) => `\`${type}\``).join(', ')}. Fields by type: docs/EVENTS.md`,
  });

export const hostsSchema = z.object({ hosts: z.array(hostSchema) }).openapi('Hosts');
export const vmsSchema = z.object({ vms: z.array(vmSchema) }).openapi('Vms');
export const groupsSchema = z.object({ groups: z.array(groupSchema) }).openapi('Groups');

export const decisionsSchema = z
  .object({
    decisions: z.array(decisionSchema),
    nextBefore: z.string().optional().openapi({ description: 'Give it as `before` for the next, older page' }),
  })
  .openapi('Decisions');

export const eventsSchema = z
  .object({
    events: z.array(eventSchema),
    oldestSeq: count.openapi({ description: 'Oldest event still kept; 0: none' }),
    lastSeq: count.openapi({ description: 'Newest event' }),
    nextSince: count.openapi({ description: 'Give it as `since` for the next page; also when this one is empty' }),
  })
  .openapi('Events');

export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z.array(z.object({ where: z.string(), what: z.string() })).optional(),
  })
  .openapi('Problem', { description: 'RFC 9457' });

export type PublicHost = z.infer<typeof hostSchema>;
export type PublicVm = z.infer<typeof vmSchema>;
export type PublicGroup = z.infer<typeof groupSchema>;
export type PublicGroupDetail = z.infer<typeof groupDetailSchema>;
export type PublicDecision = z.infer<typeof decisionSchema>;
export type PublicEvent = z.infer<typeof eventSchema>;
