// The form of operations as the store reads them back: those that have not ended are carried on from what stands here.
// Not here: VM records (model-schemas.ts), saying which row was bad (records.ts).

import { z } from 'zod';
import type { Choice } from '../../core/decision.ts';
import type { PlacementRules } from '../../core/model.ts';
import type {
  CreateVms,
  Operation,
  OperationFailure,
  OperationKind,
  OperationState,
  OperationVm,
} from '../../core/operation.ts';
import { cloudInitShape, flavor, image, oneOf, ready, type Shape } from './model-schemas.ts';

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

const placement: z.ZodType<PlacementRules> = z.object({
  algorithm: z.string().exactOptional(),
  host: z.string().exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  apart: z.boolean().exactOptional(),
  withVms: z.array(vmId).exactOptional(),
  withoutVms: z.array(vmId).exactOptional(),
} satisfies Shape<PlacementRules>);

const create: z.ZodType<CreateVms> = z.object({
  names: z.array(z.string()).min(1),
  flavor,
  image: image.exactOptional(),
  awaitsImage: z.string().exactOptional(),
  ready: ready.exactOptional(),
  cloudInit: z.object(cloudInitShape).exactOptional(),
  placement,
  allOrNothing: z.boolean(),
  launchDeadlineMs: z.number().nonnegative(),
} satisfies Shape<CreateVms>);

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
  cancelling: z.boolean().exactOptional(),
  failure: failure.exactOptional(),
  history: z.array(z.object({ at: z.string(), text: z.string() })),
} satisfies Shape<Operation>);
