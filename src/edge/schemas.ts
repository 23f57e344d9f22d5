// The public shapes of the HTTP API, once: they check requests, type responses, make the OpenAPI document and check what the
// command line is told. Here: hosts, VMs, events, problems. Not here: groups (group-schemas), decisions (decision-schemas), what else
// there is (fabric-schemas), how engine pictures become these (representation).

import { z } from '@hono/zod-openapi';
import type { Leaving, VmPhase, VmStep } from '../core/model.ts';
import { EVENT_TYPES } from './event-text.ts';

export const count = z.int().min(0);
export const percent = z.number().openapi({ description: 'Percent' });
export const time = z.string().openapi({ format: 'date-time', description: 'RFC 3339, UTC' });
export const durationMs = z.number().min(0).openapi({ description: 'Milliseconds' });

export const endpointSchema = z.object({ address: z.string(), port: z.int() }).openapi('Endpoint');

export const flavorSchema = z
  .object({
    name: z.string(),
    vcpus: count,
    memoryMiB: z.number(),
    diskGiB: z.number().optional().openapi({ description: 'Absent: as large as the image' }),
    maxVcpus: count.optional().openapi({ description: 'What it can be given while it runs. Absent: what it has' }),
    maxMemoryMiB: z.number().optional(),
    spareNics: count.optional().openapi({ description: 'Network cards that can be added while it runs' }),
  })
  .openapi('Flavor');

export const readySchema = z
  .union([
    z.object({ http: z.object({ port: z.int(), path: z.string() }) }),
    z.object({ tcp: z.object({ port: z.int() }) }),
    z.object({ agent: z.literal(true) }),
  ])
  .openapi('ReadyCheck', {
    description:
      'Ready means: `http`: an answer with status 200–399. `tcp`: a connection that stays. `agent`: its guest agent answers. Absent: ready as soon as it runs',
  });

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

const PHASES = ['launching', 'standby', 'in-service', 'draining', 'removing'] as const satisfies readonly VmPhase[];
const STEPS = [
  'intended',
  'image-there',
  'disk-made',
  'defined',
  'started',
  'personalised',
  'ready',
  'approved',
  'parked',
  'draining',
  'stopping',
  'stopped',
  'undefined',
] as const satisfies readonly VmStep[];
const LEAVING = ['size', 'asked', 'unhealthy', 'refresh'] as const satisfies readonly Leaving[];
export const phaseSchema = z.enum(PHASES);
export const standbySchema = z.enum(['paused', 'saved', 'stopped']).openapi({
  description: 'How it waits: its vCPUs stopped, its memory on disk, or shut down',
});
export const waySchema = z.enum(['cold', 'fork', 'paused', 'saved', 'stopped']).openapi({
  description: 'How it came into being: booted, restored from a template’s memory, or woken from that kind of standby',
});
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
    step: z.enum(STEPS),
    phaseAt: time,
    deadlineAt: time.optional().openapi({ description: 'When the patience with the present phase ends' }),
    desired: z.enum(['running', 'paused', 'stopped', 'absent']).openapi({ description: 'What it should be' }),
    state: vmStateSchema.openapi({
      description: 'What its host last said. `unknown`: the host cannot be asked; that is not `absent`',
    }),
    difference: z.string().optional().openapi({ description: 'Why `state` is not `desired`. Absent when it is' }),
    reason: z.string().optional().openapi({ description: 'Why it is draining or being removed' }),
    leaving: z.enum(LEAVING).optional().openapi({
      description:
        'The same as a kind. `size`: the group was too large. `asked`: a person deleted it. `refresh`: it is of another template',
    }),
    tries: count.openapi({ description: 'Failed tries of the present step' }),
    way: waySchema.optional(),
    standby: standbySchema
      .optional()
      .openapi({ description: 'It waits so, or is launched to. Absent: it is to serve' }),
    servedSinceAt: time.optional().openapi({ description: 'When it was first in service. Absent: never yet' }),
    hook: z
      .object({ sinceAt: time, tries: count })
      .optional()
      .openapi({ description: 'A hook is asked about it: since when, and how often so far' }),
    protected: z.boolean().openapi({ description: 'Never chosen for removal by a policy' }),
    labels: z.record(z.string(), z.string()),
    endpoint: endpointSchema.optional().openapi({ description: 'Where clients reach it' }),
    unhealthy: z
      .string()
      .optional()
      .openapi({ description: 'Why its health check counts it as unhealthy; absent when it does not' }),
    cpuPercent: percent.optional().openapi({ description: 'Of its vCPUs, as last measured, 0–100' }),
    vcpus: count.optional(),
    memoryMiB: z.number().optional(),
    image: z.string().optional(),
    flavor: flavorSchema.optional(),
    ready: readySchema.optional(),
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
export type PublicEvent = z.infer<typeof eventSchema>;
