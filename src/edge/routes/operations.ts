// /v1/operations: what was asked for, how far it has come, waiting for its end, cancelling it.

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { OperationStatus } from '../../engine/view.ts';
import { publicOperation } from '../fabric-representation.ts';
import { operationKindSchema, operationSchema, operationStateSchema, operationsSchema } from '../fabric-schemas.ts';
import { callerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import {
  cursorOf,
  cursorSchema,
  DEFAULT_LIMIT,
  durationWithin,
  limitSchema,
  operationIdSchema,
  placeOf,
  vmIdSchema,
} from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { withoutAbsent } from './present.ts';
import {
  answered,
  jsonResponse,
  keyHeader,
  nextLink,
  noQuery,
  operationLocation,
  operationResponse,
  problemResponses,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const DEFAULT_WAIT_MS = 30_000;

const params = z.object({ id: operationIdSchema });

const listOperations = createRoute({
  method: 'get',
  path: '/v1/operations',
  tags: ['operations'],
  summary: 'Operations, newest first, in pages',
  request: {
    query: z.strictObject({
      state: operationStateSchema.optional(),
      kind: operationKindSchema.optional(),
      vm: vmIdSchema.optional().openapi({ description: 'Only those about this VM (its id)' }),
      limit: limitSchema,
      cursor: cursorSchema,
    }),
  },
  responses: {
    200: {
      ...jsonResponse(operationsSchema, 'One page; `Link: <…>; rel="next"` leads to the next one'),
      headers: z.object({ link: z.string().optional() }),
    },
    ...problemResponses(503),
  },
});

const getOperation = createRoute({
  method: 'get',
  path: '/v1/operations/{id}',
  tags: ['operations'],
  summary: 'One operation with its progress and history',
  request: { params, query: noQuery },
  responses: { 200: jsonResponse(operationSchema, 'The operation'), ...problemResponses(404, 503) },
});

const waitOperation = createRoute({
  method: 'get',
  path: '/v1/operations/{id}/wait',
  tags: ['operations'],
  summary: 'Answers when the operation has ended, or when the time is over: `state` tells',
  request: {
    params,
    query: z.strictObject({
      timeout: durationWithin(0, '5m').optional().openapi({ description: 'Default 30s', example: '30s' }),
    }),
  },
  responses: { 200: jsonResponse(operationSchema, 'The operation as it is now'), ...problemResponses(404, 503) },
});

const cancelOperation = createRoute({
  method: 'post',
  path: '/v1/operations/{id}/cancel',
  tags: ['operations'],
  summary: 'Cancel an operation: what it has begun is undone',
  request: { params, query: noQuery, headers: keyHeader },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

export function addOperationRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(listOperations, async (c) => {
    const { limit = DEFAULT_LIMIT, cursor, vm, ...filters } = c.req.valid('query');
    const query = {
      limit: limit + 1,
      ...withoutAbsent(filters),
      ...(vm !== undefined && { vmId: vm }),
      ...(cursor !== undefined && { before: placeOf('operation', cursor) }),
    };
    const found = await answered('reading the operations', engine.operations(query));
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const next = last && cursorOf('operation', last.operation.id);
    const body = { operations: page.map(publicOperation), ...(next !== undefined && { nextCursor: next }) };
    return c.json(body, 200, nextLink(c, next));
  });

  app.openapi(getOperation, async (c) => {
    const { id } = c.req.valid('param');
    const status = there(id, await answered('reading the operation', engine.operation(id)));
    return c.json(publicOperation(status), 200);
  });

  app.openapi(waitOperation, async (c) => {
    const { id } = c.req.valid('param');
    const { timeout = DEFAULT_WAIT_MS } = c.req.valid('query');
    const status = there(id, await engine.ended(id, timeout, c.req.raw.signal));
    return c.json(publicOperation(status), 200);
  });

  app.openapi(cancelOperation, async (c) => {
    const { id } = c.req.valid('param');
    const status = accepted(await answered('cancelling', engine.cancel(id, callerOf(c))), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });
}

function there(id: string, status: OperationStatus | undefined): OperationStatus {
  if (status !== undefined) return status;
  throw new ProblemError('not-found', `there is no operation ${JSON.stringify(id)}; ended ones are kept for a while`);
}
