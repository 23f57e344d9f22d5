// /v1/clusters: making, enlarging, showing and removing virtual clusters. Not here: their nodes one by one, which are VMs (vms).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { NodeTemplate } from '../../core/cluster.ts';
import {
  type ClusterRequestBody,
  clusterNameSchema,
  clusterRequestSchema,
  clusterSchema,
  clustersSchema,
  nodeNameSchema,
  nodesRequestSchema,
  publicCluster,
} from '../cluster-schemas.ts';
import { publicOperation } from '../fabric-representation.ts';
import { callerOf } from '../guards.ts';
import { durationWithin } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { clusterMeant, whose } from './cluster-meant.ts';
import { known, type Present } from './present.ts';
import {
  answered,
  jsonResponse,
  keyHeader,
  noQuery,
  operationLocation,
  operationResponse,
  problemResponses,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const params = z.object({ name: clusterNameSchema });
const goingQuery = whose.extend({
  grace: durationWithin(0, '1d').optional().openapi({
    description: 'Nodes are asked to shut down and have so long for it. Absent: their plugs are pulled',
    example: '30s',
  }),
});

const listClusters = createRoute({
  method: 'get',
  path: '/v1/clusters',
  tags: ['clusters'],
  summary: 'All clusters with their nodes',
  request: { query: whose },
  responses: { 200: jsonResponse(clustersSchema, 'By owner and name'), ...problemResponses() },
});

const createCluster = createRoute({
  method: 'post',
  path: '/v1/clusters',
  tags: ['clusters'],
  summary: 'Make a cluster: as many nodes as asked for, or none',
  request: {
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: clusterRequestSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const getCluster = createRoute({
  method: 'get',
  path: '/v1/clusters/{name}',
  tags: ['clusters'],
  summary: 'One cluster with its nodes',
  request: { params, query: whose },
  responses: { 200: jsonResponse(clusterSchema, 'The cluster'), ...problemResponses(404) },
});

const addNodes = createRoute({
  method: 'post',
  path: '/v1/clusters/{name}/nodes',
  tags: ['clusters'],
  summary: 'Add nodes like those that are there: all of them or none',
  request: {
    params,
    query: whose,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: nodesRequestSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const removeNode = createRoute({
  method: 'delete',
  path: '/v1/clusters/{name}/nodes/{node}',
  tags: ['clusters'],
  summary: 'Remove a node with its disk. The last one goes with its cluster only',
  request: { params: params.extend({ node: nodeNameSchema }), query: goingQuery, headers: keyHeader },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const deleteCluster = createRoute({
  method: 'delete',
  path: '/v1/clusters/{name}',
  tags: ['clusters'],
  summary: 'Delete a cluster: all of its nodes with their disks',
  request: { params, query: goingQuery, headers: keyHeader },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

export function addClusterRoutes(app: OpenAPIHono, { engine }: Pick<RouteContext, 'engine'>): void {
  const { clusters } = engine;
  const meant = clusterMeant(clusters);

  app.openapi(listClusters, (c) => {
    const { owner } = c.req.valid('query');
    return c.json({ clusters: clusters.all(owner).map(publicCluster) }, 200);
  });

  app.openapi(createCluster, async (c) => {
    const { name, nodes, ...rest } = known(c.req.valid('json'));
    const work = clusters.create({ name, nodes, node: nodeOf(rest) }, callerOf(c));
    const status = accepted(await answered('asking for the cluster', work));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(getCluster, (c) => {
    const { name } = c.req.valid('param');
    return c.json(publicCluster(meant(c, name, c.req.valid('query').owner)), 200);
  });

  app.openapi(addNodes, async (c) => {
    const { name } = c.req.valid('param');
    const { owner } = meant(c, name, c.req.valid('query').owner).cluster;
    const work = clusters.add(name, owner, c.req.valid('json').count, callerOf(c));
    const status = accepted(await answered('asking for nodes', work));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(removeNode, async (c) => {
    const { name, node } = c.req.valid('param');
    const { grace, owner: asked } = c.req.valid('query');
    const { owner } = meant(c, name, asked).cluster;
    const work = clusters.remove(name, owner, [node], callerOf(c), grace);
    const status = accepted(await answered('removing the node', work), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(deleteCluster, async (c) => {
    const { name } = c.req.valid('param');
    const { grace, owner: asked } = c.req.valid('query');
    const { owner } = meant(c, name, asked).cluster;
    const work = clusters.delete(name, owner, callerOf(c), grace);
    const status = accepted(await answered('deleting the cluster', work), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });
}

function nodeOf({ flavor, size, ...rest }: Present<Omit<ClusterRequestBody, 'name' | 'nodes'>>): NodeTemplate {
  const made = flavor ?? size;
  // The schema has seen to it that one of the two is there.
  if (made === undefined) throw new TypeError('a cluster of nothing');
  return { ...rest, flavor: made };
}
