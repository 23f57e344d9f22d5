// The form of operations as the store reads them back: those that have not ended are carried on from what stands here.
// Not here: VM records (model-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type { Choice } from '../../core/decision.ts';
import type { HardwareChange, HardwareWish, Sizes } from '../../core/hardware.ts';
import type { DiskWay, Migration, MigrationStage } from '../../core/migration.ts';
import type { PlacementRules } from '../../core/model.ts';
import type {
  CreateVms,
  Operation,
  OperationFailure,
  OperationKind,
  OperationState,
  OperationVm,
} from '../../core/operation.ts';
import type { Consistency, KeepRule, SnapshotKind, SnapshotWork, TakenSnapshot } from '../../core/snapshot.ts';
import {
  cloudInitShape,
  clusterNetwork,
  endpoint,
  flavor,
  image,
  nodeOf,
  oneOf,
  ready,
  type Shape,
} from './model-schemas.ts';

const vmId = z.int().positive();

const operationVm: z.ZodType<OperationVm> = z.object({
  id: vmId,
  name: z.string(),
  host: z.string(),
  outcome: z.exactOptional(oneOf<NonNullable<OperationVm['outcome']>>({ done: true, failed: true, cancelled: true })),
  reason: z.string().exactOptional(),
} satisfies Shape<OperationVm>);

const choice: z.ZodType<Choice> = z.object({
  name: z.string(),
  chosen: z.boolean(),
  text: z.string(),
} satisfies Shape<Choice>);

const failure: z.ZodType<OperationFailure> = z.object({
  type: oneOf<OperationFailure['type']>({ 'no-capacity': true, failed: true, 'timed-out': true, interrupted: true }),
  detail: z.string(),
  hosts: z.array(choice).exactOptional(),
} satisfies Shape<OperationFailure>);

export const placement: z.ZodType<PlacementRules> = z.object({
  algorithm: z.string().exactOptional(),
  host: z.string().exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  apart: z.boolean().exactOptional(),
  withVms: z.array(vmId).exactOptional(),
  withoutVms: z.array(vmId).exactOptional(),
} satisfies Shape<PlacementRules>);

const create: z.ZodType<CreateVms> = z.object({
  names: z.array(z.string()).min(1),
  nodes: nodeOf.exactOptional(),
  networks: z.array(clusterNetwork).exactOptional(),
  flavor,
  image: image.exactOptional(),
  awaitsImage: z.string().exactOptional(),
  ready: ready.exactOptional(),
  cloudInit: z.object(cloudInitShape).exactOptional(),
  placement,
  allOrNothing: z.boolean(),
  launchDeadlineMs: z.number().nonnegative(),
} satisfies Shape<CreateVms>);

const sizes: z.ZodType<Sizes> = z.object({
  vcpus: z.int().positive(),
  maxVcpus: z.int().positive(),
  memoryMiB: z.number().positive(),
  maxMemoryMiB: z.number().positive(),
} satisfies Shape<Sizes>);

const hardware: z.ZodType<HardwareChange> = z.object({
  wish: z.object({
    vcpus: z.int().positive().exactOptional(),
    memoryMiB: z.int().positive().exactOptional(),
    diskGiB: z.int().positive().exactOptional(),
    addNic: z.string().exactOptional(),
    removeNic: z.string().exactOptional(),
  } satisfies Shape<HardwareWish>),
  restart: z.boolean(),
  force: z.boolean(),
  before: sizes,
  flavor: flavor.exactOptional(),
  restarting: z.boolean().exactOptional(),
  undoing: z.string().exactOptional(),
  fileSystem: z.string().exactOptional(),
} satisfies Shape<HardwareChange>);

const snapshotKind = oneOf<SnapshotKind>({ internal: true, external: true });
const snapshot: z.ZodType<SnapshotWork> = z.object({
  name: z.string().min(1),
  kind: snapshotKind.exactOptional(),
  memory: z.boolean().exactOptional(),
  quiesce: z.boolean().exactOptional(),
  description: z.string().exactOptional(),
  keep: z
    .object({
      count: z.int().positive().exactOptional(),
      hours: z.int().positive().exactOptional(),
    } satisfies Shape<KeepRule>)
    .exactOptional(),
  power: oneOf<NonNullable<SnapshotWork['power']>>({ running: true, stopped: true }).exactOptional(),
  taken: z
    .array(
      z.object({
        vmId,
        kind: snapshotKind,
        memory: z.boolean(),
        consistency: oneOf<Consistency>({ application: true, filesystem: true, crash: true }),
        removed: z.array(z.string()),
      } satisfies Shape<TakenSnapshot>),
    )
    .exactOptional(),
} satisfies Shape<SnapshotWork>);

const migration: z.ZodType<Migration> = z.object({
  vmId,
  from: z.string(),
  to: z.string(),
  stage: oneOf<MigrationStage>({ preparing: true, moving: true, arrived: true, undoing: true }),
  disks: oneOf<DiskWay>({ shared: true, changes: true, whole: true }),
  bandwidthMiBps: z.int().positive().exactOptional(),
  timeoutMs: z.number().positive(),
  movingSinceMs: z.number().exactOptional(),
  endpoint: endpoint.exactOptional(),
  reason: z.string().exactOptional(),
  timedOut: z.boolean().exactOptional(),
  parent: z.string().exactOptional(),
} satisfies Shape<Migration>);

export const operation: z.ZodType<Operation> = z.object({
  id: z.string().min(1),
  kind: oneOf<OperationKind>({
    'vm.create': true,
    'vm.start': true,
    'vm.pause': true,
    'vm.resume': true,
    'vm.shutdown': true,
    'vm.reboot': true,
    'vm.reset': true,
    'vm.stop': true,
    'vm.delete': true,
    'vm.adopt': true,
    'vm.migrate': true,
    'host.drain': true,
    'vm.resize': true,
    'vm.attach-nic': true,
    'vm.detach-nic': true,
    'cluster.create': true,
    'cluster.add': true,
    'cluster.remove': true,
    'cluster.delete': true,
    'snapshot.create': true,
    'snapshot.revert': true,
    'snapshot.delete': true,
    'image.import': true,
    'image.upload': true,
  }),
  state: oneOf<OperationState>({
    queued: true,
    placed: true,
    running: true,
    succeeded: true,
    failed: true,
    cancelled: true,
  }),
  owner: z.string(),
  createdAt: z.string(),
  changedAt: z.string(),
  endedAt: z.string().exactOptional(),
  key: z.string().exactOptional(),
  fingerprint: z.string().exactOptional(),
  vms: z.array(operationVm),
  image: z.string().exactOptional(),
  create: create.exactOptional(),
  hardware: hardware.exactOptional(),
  snapshot: snapshot.exactOptional(),
  migration: migration.exactOptional(),
  drain: z.string().exactOptional(),
  cancelling: z.boolean().exactOptional(),
  failure: failure.exactOptional(),
  history: z.array(z.object({ at: z.string(), text: z.string() })),
} satisfies Shape<Operation>);
