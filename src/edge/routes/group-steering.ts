// What one tells a group beside its size: which parts of its work stop, how its refresh goes on, and numbers for its metrics.
// Not here: reading groups, their size, pausing them (groups).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { RefreshVerb } from '../../engine/view.ts';
import { checkIfMatch } from '../etag.ts';
import { publicGroupDetail } from '../group-representation.ts';
import { groupDetailSchema, postedSchema, suspendedSchema } from '../group-schemas.ts';
import { accepted } from '../refusals.ts';
import { groupTag } from './groups.ts';
import {
  answered,
  groupNameParams,
  ifMatchHeader,
  jsonResponse,
  keyHeader,
  noQuery,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const suspend = createRoute({
  method: 'put',
  path: '/v1/groups/{name}/suspended',
  tags: ['groups'],
  summary:
    'Stop parts of its work: launching, removing, replacing the unhealthy, schedules. What is under way is finished',
  request: {
    params: groupNameParams,
    query: noQuery,
    headers: ifMatchHeader,
    body: { required: true, content: { 'application/json': { schema: suspendedSchema } } },
  },
  responses: { 200: jsonResponse(groupDetailSchema, 'The group as it is now'), ...writeProblems(404, 412) },
});

const refresh = <V extends RefreshVerb>(verb: V, summary: string) =>
  createRoute({
    method: 'post',
    path: `/v1/groups/{name}/refresh/${verb}` as const,
    tags: ['groups'],
    summary,
    request: { params: groupNameParams, query: noQuery, headers: keyHeader },
    responses: { 200: jsonResponse(groupDetailSchema, 'The group as it is now'), ...writeProblems(404) },
  });

const REFRESH_ROUTES = [
  ['pause', refresh('pause', 'Let a rolling refresh wait; what is under way is finished')],
  ['resume', refresh('resume', 'Let it go on, also before the end of a pause at a checkpoint')],
  ['rollback', refresh('rollback', 'Replace the VMs of the new template by ones of the one before')],
  ['cancel', refresh('cancel', 'End it: VMs stay as they are, whichever template they are of')],
] as const;

const metricName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be 1 to 63 letters, digits and . _ -')
  .openapi({ param: { name: 'metric', in: 'path' }, example: 'jobs' });

const postMetric = createRoute({
  method: 'post',
  path: '/v1/groups/{name}/metrics/{metric}',
  tags: ['groups'],
  summary:
    'Post a number for a metric of its policy, of the whole group or of one VM. It replaces the one posted before',
  request: {
    params: groupNameParams.extend({ metric: metricName }),
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: postedSchema } } },
  },
  responses: { 204: { description: 'Taken: it counts from the next turn on' }, ...writeProblems(404) },
});

export function addGroupSteeringRoutes(app: OpenAPIHono, { engine, clock }: RouteContext): void {
  app.openapi(suspend, async (c) => {
    const { name } = c.req.valid('param');
    const { processes } = c.req.valid('json');
    const before = engine.group(name);
    if (before !== undefined) checkIfMatch(c.req.header('if-match'), groupTag(before));
    const group = accepted(await answered('suspending', engine.suspend(name, [...new Set(processes)])));
    return c.json(publicGroupDetail(group, clock), 200, { etag: groupTag(group) });
  });

  for (const [verb, route] of REFRESH_ROUTES) {
    app.openapi(route, async (c) => {
      const { name } = c.req.valid('param');
      const group = accepted(await answered('steering the refresh', engine.refresh(name, verb)), 'path');
      return c.json(publicGroupDetail(group, clock), 200);
    });
  }

  app.openapi(postMetric, async (c) => {
    const { name, metric } = c.req.valid('param');
    const { value, vm } = c.req.valid('json');
    const posted = { name: metric, value, ...(vm !== undefined && { vmId: vm }) };
    accepted(await answered('taking the number', engine.postMetric(name, posted)));
    return c.body(null, 204);
  });
}
