// GET /v1/hosts and /v1/vms: what there is.

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { groupNameSchema, wholeNumber } from '../event-query.ts';
import { ProblemError } from '../problem.ts';
import { publicHost, publicVm } from '../representation.ts';
import { hostSchema, hostsSchema, phaseSchema, vmSchema, vmsSchema } from '../schemas.ts';
import { jsonResponse, problemResponses, type RouteContext } from './route-parts.ts';

const listHosts = createRoute({
  method: 'get',
  path: '/v1/hosts',
  tags: ['hosts'],
  summary: 'All hosts',
  request: { query: z.strictObject({}) },
  responses: { 200: jsonResponse(hostsSchema, 'In the order of the configuration'), ...problemResponses(400) },
});

const getHost = createRoute({
  method: 'get',
  path: '/v1/hosts/{name}',
  tags: ['hosts'],
  summary: 'One host',
  request: { params: z.object({ name: z.string().min(1).max(253) }), query: z.strictObject({}) },
  responses: { 200: jsonResponse(hostSchema, 'The host'), ...problemResponses(400, 404) },
});

const listVms = createRoute({
  method: 'get',
  path: '/v1/vms',
  tags: ['vms'],
  summary: 'VMs of all groups',
  request: {
    query: z.strictObject({
      group: groupNameSchema.optional(),
      host: z.string().min(1).max(253).optional(),
      phase: phaseSchema.optional(),
    }),
  },
  responses: { 200: jsonResponse(vmsSchema, 'By id'), ...problemResponses(400) },
});

const getVm = createRoute({
  method: 'get',
  path: '/v1/vms/{id}',
  tags: ['vms'],
  summary: 'One VM',
  request: { params: z.object({ id: wholeNumber(1, Number.MAX_SAFE_INTEGER) }), query: z.strictObject({}) },
  responses: { 200: jsonResponse(vmSchema, 'The VM'), ...problemResponses(400, 404) },
});

export function addInventoryRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(listHosts, (c) => c.json({ hosts: engine.hosts().map(publicHost) }, 200));

  app.openapi(getHost, (c) => {
    const { name } = c.req.valid('param');
    const host = engine.hosts().find((one) => one.name === name);
    if (host === undefined) throw new ProblemError('not-found', `there is no host ${JSON.stringify(name)}`);
    return c.json(publicHost(host), 200);
  });

  app.openapi(listVms, (c) => {
    const { group, host, phase } = c.req.valid('query');
    const vms = engine
      .vms()
      .filter(({ record }) => group === undefined || record.group === group)
      .filter(({ record }) => host === undefined || record.host === host)
      .filter(({ record }) => phase === undefined || record.phase === phase);
    return c.json({ vms: vms.map(publicVm).sort((a, b) => a.id - b.id) }, 200);
  });

  app.openapi(getVm, (c) => {
    const { id } = c.req.valid('param');
    const vm = engine.vms().find(({ record }) => record.id === id);
    if (vm === undefined)
      throw new ProblemError('not-found', `there is no VM ${id}; ids are not reused after a removal`);
    return c.json(publicVm(vm), 200);
  });
}
