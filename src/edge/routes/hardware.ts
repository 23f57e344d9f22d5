// /v1/vms/{id}/hardware and /interfaces: what a VM is made of, looked at and changed. Not here: its power (vms), its shapes (hardware-schemas).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { publicOperation } from '../fabric-representation.ts';
import { callerOf } from '../guards.ts';
import { hardwareSchema, macSchema, nicRequestSchema, publicHardware, resizeSchema } from '../hardware-schemas.ts';
import { vmIdSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { withoutAbsent } from './present.ts';
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
const nicParams = z.object({ id: vmIdSchema, mac: macSchema });

const getHardware = createRoute({
  method: 'get',
  path: '/v1/vms/{id}/hardware',
  tags: ['vms'],
  summary: 'What a VM is made of: what it has now, what its next start gives it, its network cards',
  request: { params, query: noQuery },
  responses: { 200: jsonResponse(hardwareSchema, 'As its host says now'), ...problemResponses(404, 409, 503) },
});

const resize = createRoute({
  method: 'patch',
  path: '/v1/vms/{id}/hardware',
  tags: ['vms'],
  summary:
    'Change vCPUs, memory, disk. At once where that is possible; what needs a restart is refused unless one is allowed',
  request: {
    params,
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: resizeSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const attach = createRoute({
  method: 'post',
  path: '/v1/vms/{id}/interfaces',
  tags: ['vms'],
  summary: 'Add a network card, on the network that its host’s configuration names',
  request: {
    params,
    query: noQuery,
    headers: keyHeader,
    body: { required: false, content: { 'application/json': { schema: nicRequestSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const flag = z.enum(['true', 'false']).optional();
const detach = createRoute({
  method: 'delete',
  path: '/v1/vms/{id}/interfaces/{mac}',
  tags: ['vms'],
  summary: 'Take a network card away. The one that the VM is reached by stays',
  request: { params: nicParams, query: z.strictObject({ restart: flag, force: flag }), headers: keyHeader },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

export function addHardwareRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(getHardware, async (c) => {
    const patience = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(ANSWER_MS)]);
    const { id } = c.req.valid('param');
    const seen = accepted(await answered('asking for the hardware', engine.hardware.look(id, patience)), 'path');
    return c.json(publicHardware(seen), 200);
  });

  app.openapi(resize, async (c) => {
    const { id } = c.req.valid('param');
    const request = withoutAbsent(c.req.valid('json'));
    const status = accepted(await answered('resizing', engine.hardware.resize(id, request, callerOf(c))));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(attach, async (c) => {
    const { id } = c.req.valid('param');
    // Without a body there is nothing to check.
    const options = withoutAbsent(c.req.valid('json') ?? {});
    const status = accepted(await answered('adding a card', engine.hardware.attachNic(id, options, callerOf(c))));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(detach, async (c) => {
    const { id, mac } = c.req.valid('param');
    const { restart, force } = c.req.valid('query');
    const options = { restart: restart === 'true', force: force === 'true' };
    const work = engine.hardware.detachNic(id, mac, options, callerOf(c));
    const status = accepted(await answered('taking a card away', work), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });
}
