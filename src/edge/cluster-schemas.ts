// Virtual clusters as the API takes and shows them. Not here: what can be done with them (engine).

import { z } from '@hono/zod-openapi';
import type { ClusterStatus } from '../engine/cluster-view.ts';
import { operationKindSchema, operationStateSchema } from './fabric-schemas.ts';
import { publicVm } from './representation.ts';
import { vmSchema } from './schemas.ts';
import { createRequestSchema } from './vm-requests.ts';

/** Its nodes' names are host names. */
export const clusterNameSchema = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,48}[a-z0-9])?$/,
    'must be 1 to 50 letters a–z, digits and hyphens, begin with a letter and not end with a hyphen',
  )
  .openapi({ example: 'lab' });
export const nodeNameSchema = z
  .string()
  .regex(/^node[1-9]\d{0,8}$/, 'must be node1, node2, …')
  .openapi({ example: 'node2' });
const nodeCount = z.int().min(1).max(256);

const amountsSchema = z
  .strictObject({
    vcpus: z.int().min(1).max(4096),
    memoryMiB: z.int().min(1).max(67_108_864),
    diskGiB: z.number().positive().max(1_048_576).optional().openapi({ description: 'Absent: as large as the image' }),
  })
  .openapi('NodeSize');

export const clusterRequestSchema = createRequestSchema
  .pick({ image: true, ready: true, sshKeys: true, userData: true, placement: true })
  .extend({
    name: clusterNameSchema,
    nodes: nodeCount.openapi({ description: 'How many at first: all of them are made, or none', example: 4 }),
    flavor: createRequestSchema.shape.flavor.optional(),
    size: amountsSchema.optional().openapi({ description: 'In place of a flavor' }),
  })
  .strict()
  .refine(({ flavor, size }) => (flavor === undefined) !== (size === undefined), {
    error: 'must have either flavor or size',
  })
  .openapi('ClusterCreate');

export const nodesRequestSchema = z.strictObject({ count: nodeCount.default(1) }).openapi('ClusterNodesAdd');

export const clusterSchema = z
  .object({
    name: z.string(),
    owner: z.string(),
    createdAt: z.iso.datetime(),
    publicKey: z.string().openapi({ description: 'Of the key with which its nodes let each other in' }),
    node: z
      .object({
        flavor: z.string().optional(),
        size: amountsSchema.optional(),
        image: z.string().optional().openapi({ description: 'Absent: an empty disk' }),
      })
      .openapi({ description: 'What its nodes are made from, those that are added later too' }),
    nodes: z.array(
      z.object({
        name: nodeNameSchema,
        address: z.string().optional().openapi({ description: 'On the network of the cluster', example: '10.64.0.1' }),
        missing: z.string().optional().openapi({ description: 'Why it does not know the others yet; absent: it does' }),
        vm: vmSchema,
      }),
    ),
    operations: z
      .array(z.object({ id: z.string(), kind: operationKindSchema, state: operationStateSchema }))
      .openapi({ description: 'Under way' }),
  })
  .openapi('Cluster');
export const clustersSchema = z.object({ clusters: z.array(clusterSchema) }).openapi('Clusters');

const nodeExitSchema = z
  .object({
    node: nodeNameSchema,
    exitCode: z.int().optional(),
    signal: z.int().optional().openapi({ description: 'It was ended by this signal' }),
    problem: z.string().optional().openapi({ description: 'It could not be run there, or nobody knows how it ended' }),
  })
  .openapi('NodeExit');
export const nodeExitsSchema = z.object({ nodes: z.array(nodeExitSchema) }).openapi('NodeExits');

/** A line of the answer to exec: a piece of output, how it ended on one node, or why nothing was run. */
export const execLineSchema = z.union([
  z.object({ node: nodeNameSchema, stream: z.enum(['stdout', 'stderr']), data: z.base64() }),
  nodeExitSchema,
  z.object({ problem: z.string() }),
]);

export type NodeExitLine = z.infer<typeof nodeExitSchema>;
export type ExecLine = z.infer<typeof execLineSchema>;

export type ClusterRequestBody = z.infer<typeof clusterRequestSchema>;
export type PublicCluster = z.infer<typeof clusterSchema>;

export function publicCluster({ cluster, nodes, operations }: ClusterStatus): PublicCluster {
  const { flavor, image } = cluster.node;
  return {
    name: cluster.name,
    owner: cluster.owner,
    createdAt: cluster.createdAt,
    publicKey: cluster.sshKey.publicKey,
    node: {
      ...(typeof flavor === 'string' ? { flavor } : { size: sizeOf(flavor) }),
      ...(image !== undefined && { image }),
    },
    nodes: nodes.map(({ name, vm, address, missing }) => ({
      name,
      ...(address !== undefined && { address }),
      ...(missing !== undefined && { missing }),
      vm: publicVm(vm),
    })),
    operations: operations.map(({ id, kind, state }) => ({ id, kind, state })),
  };
}

function sizeOf({ vcpus, memoryMiB, diskGiB }: z.infer<typeof amountsSchema>): z.infer<typeof amountsSchema> {
  return { vcpus, memoryMiB, ...(diskGiB !== undefined && { diskGiB }) };
}
