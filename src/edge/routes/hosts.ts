// /v1/hosts: what each host is, has and carries; and cordoning one.

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { HostStatus } from '../../engine/view.ts';
import { checkIfMatch, etagOf } from '../etag.ts';
import { callerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import { hostNameSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { publicHost } from '../representation.ts';
import { hostSchema, hostsSchema } from '../schemas.ts';
import {
  answered,
  ifMatchHeader,
  jsonResponse,
  noQuery,
  problemResponses,
  type RouteContext,
  writeProblems,
} from './route-parts.ts';

const params = z.object({ name: hostNameSchema });

const listHosts = createRoute({
  method: 'get',
  path: '/v1/hosts',
  tags: ['hosts'],
  summary: 'All hosts',
  request: { query: noQuery },
  responses: { 200: jsonResponse(hostsSchema, 'In the order of the configuration'), ...problemResponses() },
});

const getHost = createRoute({
  method: 'get',
  path: '/v1/hosts/{name}',
  tags: ['hosts'],
  summary: 'One host',
  request: { params, query: noQuery },
  responses: { 200: jsonResponse(hostSchema, 'The host'), ...problemResponses(404) },
});

const patchHost = createRoute({
  method: 'patch',
  path: '/v1/hosts/{name}',
  tags: ['hosts'],
  summary: 'Cordon a host (it takes no new VMs, those on it stay), or end that with null',
  request: {
    params,
    query: noQuery,
    headers: ifMatchHeader,
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z
            .strictObject({
              cordoned: z
                .string()
                .min(1)
                .max(500)
                .regex(/^[^\p{Cc}]+$/u, 'must be one line')
                .nullable()
                .openapi({ description: 'Why, in words for people; null: no longer', example: 'new disks' }),
            })
            .openapi('HostPatch'),
        },
      },
    },
  },
  responses: { 200: jsonResponse(hostSchema, 'The host as it is now'), ...writeProblems(404, 412) },
});

export function addHostRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  const shown = (host: HostStatus) => publicHost(host, engine.vmIdsOn(host.name).length);

  app.openapi(listHosts, (c) => c.json({ hosts: engine.hosts().map(shown) }, 200));

  const found = (name: string): HostStatus => {
    const host = engine.host(name);
    if (host === undefined) throw new ProblemError('not-found', `there is no host ${JSON.stringify(name)}`);
    return host;
  };

  app.openapi(getHost, (c) => {
    const host = found(c.req.valid('param').name);
    return c.json(shown(host), 200, { etag: hostTag(host) });
  });

  app.openapi(patchHost, async (c) => {
    const { name } = c.req.valid('param');
    const { cordoned } = c.req.valid('json');
    checkIfMatch(c.req.header('if-match'), hostTag(found(name)));
    const caller = callerOf(c);
    const work = cordoned === null ? engine.uncordon(name, caller) : engine.cordon(name, cordoned, caller);
    const host = accepted(await answered('cordoning the host', work));
    return c.json(shown(host), 200, { etag: hostTag(host) });
  });
}

/** Of what may be edited. */
function hostTag({ name, traits }: HostStatus): string {
  return etagOf([name, traits.cordoned]);
}
