// The public shapes of the HTTP API, once: they check requests, type responses, make the OpenAPI document and check what the
// command line is told. Not here: how engine pictures become these (representation).

import { z } from '@hono/zod-openapi';
import { EVENT_TYPES } from './event-text.ts';

export const count = z.int().min(0);
const percent = z.number().openapi({ description: 'Percent' });
export const time = z.string().openapi({ format: 'date-time', description: 'RFC 3339, UTC' });
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

const amounts = z.object({ vcpus: z.number(), memoryMiB: z.number(), diskGiB: z.number() });

export const hostSchema = z
  .object({
    name: z.string(),
    id: z.int().positive().openapi({ description: 'For clients that call it by number; stays with the address' }),
    uri: z.string(),
    state: z.enum(['connecting', 'up', 'slow', 'unreachable']).openapi({
      description:
        '`connecting`: has neither answered nor failed yet. `slow`: answers, but late. `unreachable`: does not answer and is shown as last seen',
    }),
    reason: z.string().optional().openapi({ description: 'Why it is not up' }),
    cordoned: z.string().optional().openapi({ description: 'Why it takes no new VMs. Absent: it does' }),
    lastSeenAt: time.optional(),
    pollMs: durationMs.optional().openapi({ description: 'How long the last reading that succeeded took' }),
    libvirtVersion: z.string().optional(),
    qemuVersion: z.string().optional(),
    accel: z.enum(['kvm', 'qemu']).optional(),
    accelReason: z.string().optional(),
    arch: z.string().optional(),
    cpuModel: z.string().optional(),
    labels: z.record(z.string(), z.string()),
    capacity: z
      .object({
        cpus: count,
        memoryMiB: z.number(),
        memoryFreeMiB: z.number(),
        diskGiB: z.number().openapi({ description: 'Of the storage pool that takes the disks' }),
        diskFreeGiB: z.number(),
        cpuPercent: percent.optional().openapi({ description: 'Of its CPUs in use, as last measured, 0–100' }),
      })
      .optional()
      .openapi({ description: 'As the machine tells. Absent until it has answered' }),
    reserved: amounts.openapi({ description: 'Kept back for the host itself' }),
    overcommit: z
      .object({ cpus: z.number(), memory: z.number(), disk: z.number() })
      .openapi({ description: 'How often each part may be promised; 1 is once' }),
    promisable: amounts.optional().openapi({ description: 'Capacity less what is reserved, times overcommit' }),
    promised: z
      .object({ vcpus: z.number(), memoryMiB: z.number() })
      .openapi({ description: 'To all domains that run there, whoever made them' }),
    free: z
      .object({ vcpus: z.number(), memoryMiB: z.number(), diskGiB: z.number() })
      .optional()
      .openapi({ description: 'What can still be promised; disk: what the pool has left' }),
    domainCount: count.openapi({ description: 'All domains on it, whoever made them' }),
    runningCount: count.openapi({ description: 'Those of them that run' }),
    vmCount: count.openapi({ description: 'The VMs virtscale is responsible for' }),
    otherCount: count.openapi({ description: 'Domains of others: counted, never touched' }),
  })
  .openapi('Host');

export const phaseSchema = z.enum(['launching', 'in-service', 'draining', 'removing']);
export const vmStateSchema = z.enum(['running', 'paused', 'stopped', 'unknown', 'absent']);

export const vmSchema = z
  .object({
    id: z.int().positive(),
    name: z.string(),
    uuid: z.string(),
    group: z.string().optional().openapi({ description: 'Absent: no policy touches it' }),
    host: z.string(),
    kind: z.enum(['clone', 'blank', 'existing', 'adopted']).openapi({
      description:
        '`clone`: made from an image and removed with its disk. `blank`: made with an empty disk, removed with it. `existing`: named by a policy, only started and shut down. `adopted`: somebody else made it; never removed',
    }),
    phase: phaseSchema,
    step: z.enum(['intended', 'image-there', 'disk-made', 'defined', 'started', 'stopping', 'stopped', 'undefined']),
    phaseAt: time,
    deadlineAt: time.optional().openapi({ description: 'When the patience with the present phase ends' }),
    desired: z.enum(['running', 'paused', 'stopped', 'absent']).openapi({ description: 'What it should be' }),
    state: vmStateSchema.openapi({
      description: 'What its host last said. `unknown`: the host cannot be asked; that is not `absent`',
    }),
    difference: z.string().optional().openapi({ description: 'Why `state` is not `desired`. Absent when it is' }),
    reason: z.string().optional().openapi({ description: 'Why it is draining or being removed' }),
    tries: count.openapi({ description: 'Failed tries of the present step' }),
    endpoint: endpointSchema.optional().openapi({ description: 'Where clients reach it' }),
    cpuPercent: percent.optional().openapi({ description: 'Of its vCPUs, as last measured, 0–100' }),
    vcpus: count.optional(),
    memoryMiB: z.number().optional(),
    image: z.string().optional(),
    flavor: flavorSchema.optional(),
    ready: readySchema.optional().openapi({ description: 'Absent: it is in service as soon as it runs' }),
    owner: z.string(),
    operation: z.string().openapi({ description: 'The operation or decision that brought it' }),
  })
  .openapi('Vm');

export const placementSchema = z
  .object({
    algorithm: z.string().optional(),
    host: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    apart: z.boolean().optional(),
    withVms: z.array(z.int()).optional(),
    withoutVms: z.array(z.int()).optional(),
  })
  .openapi('Placement');

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
    placement: placementSchema
      .optional()
      .openapi({ description: 'Where its VMs go. Absent: as the configuration says' }),
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
export const nextCursor = z.string().optional().openapi({
  description: 'Give it as `cursor` for the next page. Absent: this is the last one',
});
export const vmsSchema = z.object({ vms: z.array(vmSchema), nextCursor }).openapi('Vms');
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
    hosts: z
      .array(z.object({ name: z.string(), chosen: z.boolean(), text: z.string() }))
      .optional()
      .openapi({ description: 'no-capacity: every host with its reason' }),
  })
  .openapi('Problem', { description: 'RFC 9457' });

export type PublicHost = z.infer<typeof hostSchema>;
export type PublicVm = z.infer<typeof vmSchema>;
export type PublicGroup = z.infer<typeof groupSchema>;
export type PublicGroupDetail = z.infer<typeof groupDetailSchema>;
export type PublicDecision = z.infer<typeof decisionSchema>;
export type PublicEvent = z.infer<typeof eventSchema>;
