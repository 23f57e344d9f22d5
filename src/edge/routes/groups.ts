// /v1/groups: reading them with the latest evaluation, and the three things one may tell them.

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { CommandResult, GroupStatus } from '../../engine/view.ts';
import { idempotent } from '../idempotency.ts';
import { ProblemError } from '../problem.ts';
import { publicGroup, publicGroupDetail } from '../representation.ts';
import { groupDetailSchema, groupsSchema } from '../schemas.ts';
import { answered, groupNameParams, jsonResponse, problemResponses, type RouteContext } from './route-parts.ts';

const headers = z.object({
  'idempotency-key': z.string().optional().openapi({
    description: 'The same key with the same request gets the same answer for an hour, without doing it again',
  }),
});
const noQuery = z.strictObject({});

const listGroups = createRoute({
  method: 'get',
  path: '/v1/groups',
  tags: ['groups'],
  summary: 'All groups',
  request: { query: noQuery },
  responses: { 200: jsonResponse(groupsSchema, 'The groups'), ...problemResponses(400) },
});

const getGroup = createRoute({
  method: 'get',
  path: '/v1/groups/{name}',
  tags: ['groups'],
  summary: 'One group with its VMs and its latest evaluation: the answer to "why"',
  request: { params: groupNameParams, query: noQuery },
  responses: { 200: jsonResponse(groupDetailSchema, 'The group'), ...problemResponses(400, 404) },
});

const patchGroup = createRoute({
  method: 'patch',
  path: '/v1/groups/{name}',
  tags: ['groups'],
  summary: 'Set how many VMs the group shall have, within min and max of its policy. Rules move it on from there',
  request: {
    params: groupNameParams,
    query: noQuery,
    headers,
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z.strictObject({ desired: z.int().min(0).max(1_000_000) }).openapi('GroupPatch'),
        },
      },
    },
  },
  responses: {
    200: jsonResponse(groupDetailSchema, 'The group as it is now; the next turn begins at once'),
    ...problemResponses(400, 403, 404, 409, 413, 415, 422, 503),
  },
});

function command(verb: 'pause' | 'resume', summary: string) {
  return createRoute({
    method: 'post',
    path: `/v1/groups/{name}/${verb}` as const,
    tags: ['groups'],
    summary,
    request: { params: groupNameParams, query: noQuery, headers },
    responses: {
      200: jsonResponse(groupDetailSchema, 'The group as it is now'),
      ...problemResponses(400, 403, 404, 409, 413, 415, 422, 503),
    },
  });
}

const pauseGroup = command('pause', 'Launch and remove nothing any more; what is under way is finished');
const resumeGroup = command('resume', 'End a pause');

export function addGroupRoutes(app: OpenAPIHono, { engine, clock }: RouteContext): void {
  app.openapi(listGroups, (c) => c.json({ groups: engine.groups().map((group) => publicGroup(group, clock)) }, 200));

  app.openapi(getGroup, (c) => {
    const { name } = c.req.valid('param');
    const group = engine.group(name);
    if (group === undefined) throw new ProblemError('not-found', `there is no group ${JSON.stringify(name)}`);
    return c.json(publicGroupDetail(group, clock), 200);
  });

  // One cache for all writes: a key names one request, wherever it goes.
  const once = idempotent();
  app.on('PATCH', '/v1/groups/:name', once);
  app.on('POST', ['/v1/groups/:name/pause', '/v1/groups/:name/resume'], once);

  app.openapi(patchGroup, async (c) => {
    const { name } = c.req.valid('param');
    const { desired } = c.req.valid('json');
    const group = accepted(await answered('setting the desired size', engine.setDesired(name, desired)));
    return c.json(publicGroupDetail(group, clock), 200);
  });

  app.openapi(pauseGroup, async (c) => {
    const group = accepted(await answered('pausing the group', engine.pause(c.req.valid('param').name)));
    return c.json(publicGroupDetail(group, clock), 200);
  });

  app.openapi(resumeGroup, async (c) => {
    const group = accepted(await answered('resuming the group', engine.resume(c.req.valid('param').name)));
    return c.json(publicGroupDetail(group, clock), 200);
  });
}

function accepted(result: CommandResult<GroupStatus>): GroupStatus {
  if (result.ok) return result.value;
  throw new ProblemError(result.refused === 'not-found' ? 'not-found' : 'conflict', result.reason);
}
