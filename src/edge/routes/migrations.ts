// Where VMs are and go: moving one, draining hosts, evening out the load. Not here: cordoning (hosts), the VMs themselves (vms).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { publicOperation } from '../fabric-representation.ts';
import { callerOf } from '../guards.ts';
import { hostNameSchema, vmIdSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { publicHost } from '../representation.ts';
import { hostSchema } from '../schemas.ts';
import { withoutAbsent } from './present.ts';
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

const BANDWIDTH_MAX_MIB = 1_000_000;

const migrateSchema = z
  .strictObject({
    host: hostNameSchema.optional().openapi({ description: 'Where to. Absent: the best by the placement algorithm' }),
    bandwidthMiBps: z.int().min(1).max(BANDWIDTH_MAX_MIB).optional().openapi({
      description: 'MiB/s at most. Absent: as fast as it goes',
    }),
    timeoutSeconds: z.int().min(1).max(86_400).optional().openapi({
      description: 'When it has not moved after this, it is called off and runs on where it is. Default: 600',
    }),
    copyStorage: z.boolean().optional().openapi({
      description: 'Absent: its disks are copied unless the configuration says that both hosts share their storage',
    }),
  })
  .openapi('VmMigrate');

const moveSchema = z
  .object({
    vmId: z.int(),
    name: z.string(),
    from: z.string(),
    to: z.string(),
    reason: z.string(),
  })
  .openapi('PlannedMove');

const planSchema = z.object({ moves: z.array(moveSchema) }).openapi('RebalancePlan');
const begunSchema = z
  .object({
    moves: z.array(
      moveSchema.extend({
        operation: z.string().optional().openapi({ description: 'Absent: it was not begun' }),
        refused: z.string().optional().openapi({ description: 'Why it was not begun' }),
      }),
    ),
  })
  .openapi('RebalanceBegun');

const migrateVm = createRoute({
  method: 'post',
  path: '/v1/vms/{id}/migrate',
  tags: ['vms'],
  summary: 'Move a running VM to another host while it runs',
  request: {
    params: z.object({ id: vmIdSchema }),
    query: noQuery,
    headers: keyHeader,
    body: { required: false, content: { 'application/json': { schema: migrateSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const hostParams = z.object({ name: hostNameSchema });

const drainHost = createRoute({
  method: 'post',
  path: '/v1/hosts/{name}/drain',
  tags: ['hosts'],
  summary: 'Cordon a host and move its VMs away, for maintenance. What cannot be moved runs on, and it is said why',
  request: { params: hostParams, query: noQuery, headers: keyHeader },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const undrainHost = createRoute({
  method: 'post',
  path: '/v1/hosts/{name}/undrain',
  tags: ['hosts'],
  summary: 'Let a host take VMs again; a drain under way ends. What has moved stays where it is',
  request: { params: hostParams, query: noQuery, headers: keyHeader },
  responses: { 200: jsonResponse(hostSchema, 'The host as it is now'), ...writeProblems(404) },
});

const showPlan = createRoute({
  method: 'get',
  path: '/v1/rebalance',
  tags: ['hosts'],
  summary: 'What evening out the load of the hosts would move now. Moves nothing',
  request: { query: noQuery },
  responses: { 200: jsonResponse(planSchema, 'Best first'), ...problemResponses() },
});

const doRebalance = createRoute({
  method: 'post',
  path: '/v1/rebalance',
  tags: ['hosts'],
  summary: 'Begin with it: as many moves at a time as the configuration allows',
  request: { query: noQuery, headers: keyHeader },
  responses: {
    200: jsonResponse(begunSchema, 'The moves that were begun, each with its operation'),
    ...writeProblems(),
  },
});

export function addMigrationRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(migrateVm, async (c) => {
    const { id } = c.req.valid('param');
    // Without a body there is nothing to check.
    const { timeoutSeconds, ...rest } = c.req.valid('json') ?? {};
    const request = {
      ...withoutAbsent(rest),
      ...(timeoutSeconds !== undefined && { timeoutMs: timeoutSeconds * 1000 }),
    };
    const work = engine.migrations.migrate(id, request, callerOf(c));
    const status = accepted(await answered('moving the VM', work), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(drainHost, async (c) => {
    const { name } = c.req.valid('param');
    const status = accepted(await answered('draining the host', engine.migrations.drain(name, callerOf(c))), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(undrainHost, async (c) => {
    const { name } = c.req.valid('param');
    const host = accepted(await answered('undraining the host', engine.migrations.undrain(name, callerOf(c))), 'path');
    return c.json(publicHost(host, engine.vmIdsOn(host.name).length), 200);
  });

  app.openapi(showPlan, (c) => c.json({ moves: engine.migrations.plan().map((move) => ({ ...move })) }, 200));

  app.openapi(doRebalance, async (c) => {
    const begun = await answered('evening out the load', engine.migrations.rebalance(callerOf(c)));
    const moves = begun.map(({ move, ...rest }) => ({ ...move, ...withoutAbsent(rest) }));
    return c.json({ moves }, 200);
  });
}
