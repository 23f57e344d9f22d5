// /v1/vms/{id}/snapshots and /v1/snapshots: listing, taking, going back to and deleting snapshots of one VM, and taking those of several.
// Not here: their shapes (snapshot-schemas).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { SnapshotRequest } from '../../core/snapshot.ts';
import { publicOperation } from '../fabric-representation.ts';
import { callerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { vmIdSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import {
  anySnapshotNameSchema,
  publicSnapshot,
  revertSchema,
  snapshotCreateSchema,
  snapshotSchema,
  snapshotsCreateSchema,
  snapshotsSchema,
} from '../snapshot-schemas.ts';
import { known } from './present.ts';
import {
  ANSWER_MS,
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

const params = z.object({ id: vmIdSchema });
const namedParams = z.object({ id: vmIdSchema, name: anySnapshotNameSchema });
const reads = problemResponses(404, 409, 503);

const listSnapshots = createRoute({
  method: 'get',
  path: '/v1/vms/{id}/snapshots',
  tags: ['snapshots'],
  summary: 'The snapshots of a VM, as its host says now, whoever made them',
  request: { params, query: noQuery },
  responses: { 200: jsonResponse(snapshotsSchema, 'Each with its parent'), ...reads },
});

const takeSnapshot = createRoute({
  method: 'post',
  path: '/v1/vms/{id}/snapshots',
  tags: ['snapshots'],
  summary: 'Take a snapshot of a VM',
  request: {
    params,
    query: noQuery,
    headers: keyHeader,
    body: { required: false, content: { 'application/json': { schema: snapshotCreateSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const takeSnapshots = createRoute({
  method: 'post',
  path: '/v1/snapshots',
  tags: ['snapshots'],
  summary: 'Take a snapshot of several VMs at one moment: of all of them or of none',
  request: {
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: snapshotsCreateSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const getSnapshot = createRoute({
  method: 'get',
  path: '/v1/vms/{id}/snapshots/{name}',
  tags: ['snapshots'],
  summary: 'One snapshot of a VM',
  request: { params: namedParams, query: noQuery },
  responses: { 200: jsonResponse(snapshotSchema, 'The snapshot'), ...reads },
});

const deleteSnapshot = createRoute({
  method: 'delete',
  path: '/v1/vms/{id}/snapshots/{name}',
  tags: ['snapshots'],
  summary: 'Delete a snapshot. Others stay; its children become its parent’s',
  request: { params: namedParams, query: noQuery, headers: keyHeader },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const revertSnapshot = createRoute({
  method: 'post',
  path: '/v1/vms/{id}/snapshots/{name}/revert',
  tags: ['snapshots'],
  summary: 'Make a VM what it was. What happened since is lost, other snapshots are not. Not for VMs of groups',
  request: {
    params: namedParams,
    query: noQuery,
    headers: keyHeader,
    body: { required: false, content: { 'application/json': { schema: revertSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

export function addSnapshotRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  const listOf = async (id: number, gone: AbortSignal) => {
    const signal = AbortSignal.any([gone, AbortSignal.timeout(ANSWER_MS)]);
    return accepted(await answered('asking for snapshots', engine.snapshots.list(id, signal)), 'path');
  };

  app.openapi(listSnapshots, async (c) => {
    const { id } = c.req.valid('param');
    return c.json({ snapshots: (await listOf(id, c.req.raw.signal)).map(publicSnapshot) }, 200);
  });

  app.openapi(getSnapshot, async (c) => {
    const { id, name } = c.req.valid('param');
    const found = (await listOf(id, c.req.raw.signal)).find((snapshot) => snapshot.name === name);
    if (found !== undefined) return c.json(publicSnapshot(found), 200);
    throw new ProblemError('not-found', `VM ${id} has no snapshot ${JSON.stringify(name)}`);
  });

  app.openapi(takeSnapshot, async (c) => {
    const { id } = c.req.valid('param');
    // Without a body there is nothing to check.
    const request: SnapshotRequest = known(c.req.valid('json') ?? {});
    const taking = engine.snapshots.take([id], request, callerOf(c));
    const status = accepted(await answered('taking a snapshot', taking));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(takeSnapshots, async (c) => {
    const { vms, ...rest } = c.req.valid('json');
    const request: SnapshotRequest = known(rest);
    const status = accepted(await answered('taking snapshots', engine.snapshots.take(vms, request, callerOf(c))));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(deleteSnapshot, async (c) => {
    const { id, name } = c.req.valid('param');
    const status = accepted(
      await answered('deleting a snapshot', engine.snapshots.remove([id], name, callerOf(c))),
      'path',
    );
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(revertSnapshot, async (c) => {
    const { id, name } = c.req.valid('param');
    const { power } = c.req.valid('json') ?? {};
    const options = power === undefined ? {} : { power };
    const reverting = engine.snapshots.revert([id], name, options, callerOf(c));
    const status = accepted(await answered('going back to a snapshot', reverting));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });
}
