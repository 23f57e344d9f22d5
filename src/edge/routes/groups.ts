// /v1/groups: reading them, why they are as they are, their size and pausing them.
// Not here: stopping parts of them, steering a refresh, posting metrics (group-steering).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { CommandResult, GroupStatus } from '../../engine/view.ts';
import { publicWhy } from '../decision-representation.ts';
import { whySchema } from '../decision-schemas.ts';
import { checkIfMatch, etagOf } from '../etag.ts';
import { publicGroup, publicGroupDetail } from '../group-representation.ts';
import { groupDetailSchema, groupPatchSchema, groupsSchema } from '../group-schemas.ts';
import { ProblemError } from '../problem.ts';
import { momentSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import {
  answered,
  groupNameParams,
  ifMatchHeader,
  jsonResponse,
  keyHeader,
  noQuery,
  problemResponses,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const listGroups = createRoute({
  method: 'get',
  path: '/v1/groups',
  tags: ['groups'],
  summary: 'All groups',
  request: { query: noQuery },
  responses: { 200: jsonResponse(groupsSchema, 'The groups'), ...problemResponses() },
});

const getGroup = createRoute({
  method: 'get',
  path: '/v1/groups/{name}',
  tags: ['groups'],
  summary: 'One group with its VMs and its latest evaluation: the answer to "why"',
  request: { params: groupNameParams, query: noQuery },
  responses: { 200: jsonResponse(groupDetailSchema, 'The group'), ...problemResponses(404) },
});

const whyGroup = createRoute({
  method: 'get',
  path: '/v1/groups/{name}/why',
  tags: ['groups'],
  summary: 'Why it has the VMs it has: one paragraph and the whole record, of the latest evaluation or of a past one',
  request: {
    params: groupNameParams,
    query: z.strictObject({
      at: momentSchema.optional().openapi({
        description: 'The evaluation that held at this moment. Absent: the latest',
        example: '2026-11-21T06:12:05Z',
      }),
    }),
  },
  responses: { 200: jsonResponse(whySchema, 'The answer'), ...problemResponses(404, 503) },
});

const patchGroup = createRoute({
  method: 'patch',
  path: '/v1/groups/{name}',
  tags: ['groups'],
  summary: 'Set how many VMs the group shall have, within min and max of its policy. Rules move it on from there',
  request: {
    params: groupNameParams,
    query: noQuery,
    headers: ifMatchHeader,
    body: {
      required: true,
      content: {
        'application/json': { schema: groupPatchSchema },
      },
    },
  },
  responses: {
    200: jsonResponse(groupDetailSchema, 'The group as it is now; the next turn begins at once'),
    ...writeProblems(404, 412),
  },
});

function command(verb: 'pause' | 'resume', summary: string) {
  return createRoute({
    method: 'post',
    path: `/v1/groups/{name}/${verb}` as const,
    tags: ['groups'],
    summary,
    request: { params: groupNameParams, query: noQuery, headers: keyHeader },
    responses: {
      200: jsonResponse(groupDetailSchema, 'The group as it is now'),
      ...writeProblems(404),
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
    return c.json(publicGroupDetail(group, clock), 200, { etag: groupTag(group) });
  });

  app.openapi(whyGroup, async (c) => {
    const { name } = c.req.valid('param');
    const { at } = c.req.valid('query');
    const why = accepted(await answered('looking for the evaluation', engine.why(name, at)), 'query');
    return c.json(publicWhy(why), 200);
  });

  app.openapi(patchGroup, async (c) => {
    const { name } = c.req.valid('param');
    const { desired } = c.req.valid('json');
    const before = engine.group(name);
    if (before !== undefined) checkIfMatch(c.req.header('if-match'), groupTag(before));
    const group = changed(await answered('setting the desired size', engine.setDesired(name, desired)));
    return c.json(publicGroupDetail(group, clock), 200, { etag: groupTag(group) });
  });

  app.openapi(pauseGroup, async (c) => {
    const group = changed(await answered('pausing the group', engine.pause(c.req.valid('param').name)));
    return c.json(publicGroupDetail(group, clock), 200);
  });

  app.openapi(resumeGroup, async (c) => {
    const group = changed(await answered('resuming the group', engine.resume(c.req.valid('param').name)));
    return c.json(publicGroupDetail(group, clock), 200);
  });
}

/** A size outside the policy's range conflicts with the policy; the request is not wrong in itself. */
function changed(result: CommandResult<GroupStatus>): GroupStatus {
  return accepted(!result.ok && result.refused === 'invalid' ? { ...result, refused: 'conflict' } : result);
}

/** Of what may be edited, and what limits it. */
export function groupTag({ policy, memory }: GroupStatus): string {
  const suspended = (memory.suspended ?? []).toSorted();
  return etagOf([policy.group, policy.min, policy.max, memory.desired, memory.paused, suspended]);
}
