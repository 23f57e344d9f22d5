// The form of virtual clusters as the store reads them back. Not here: their nodes, which are VM records (model-schemas.ts).

import { z } from 'zod';
import type { Cluster, NodeTemplate } from '../../core/cluster.ts';
import { flavorShape, ready, type Shape } from './model-schemas.ts';
import { placement } from './operation-schemas.ts';

const { name: _, ...amounts } = flavorShape;

const node: z.ZodType<NodeTemplate> = z.object({
  flavor: z.union([z.string(), z.object(amounts)]),
  image: z.string().exactOptional(),
  ready: ready.exactOptional(),
  sshKeys: z.array(z.string()).exactOptional(),
  userData: z.string().exactOptional(),
  placement: placement.exactOptional(),
} satisfies Shape<NodeTemplate>);

export const cluster: z.ZodType<Cluster> = z.object({
  id: z.string().min(1),
  name: z.string(),
  owner: z.string(),
  createdAt: z.string(),
  node,
  subnet: z.int().nonnegative(),
  sshKey: z.object({ publicKey: z.string(), privateKey: z.string() }),
  nextNode: z.int().positive(),
} satisfies Shape<Cluster>);
