// /v1/vms: listing and asking for VMs, changing what is said of one, their power, deleting and adopting them.
// Not here: what a guest says and where it is reached (guests).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { PowerVerb } from '../../core/operation.ts';
import type { CreateRequest, VmQuery, VmStatus } from '../../engine/view.ts';
import { checkIfMatch, etagOf } from '../etag.ts';
import { groupNameSchema } from '../event-query.ts';
import { publicOperation } from '../fabric-representation.ts';
import { callerOf } from '../guards.ts';
import { ProblemError } from '../problem.ts';
import {
  badCursor,
  cursorOf,
  cursorSchema,
  DEFAULT_LIMIT,
  durationWithin,
  hostNameSchema,
  limitSchema,
  nameSchema,
  placeOf,
  vmIdSchema,
} from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { publicVm } from '../representation.ts';
import { phaseSchema, vmSchema, vmStateSchema, vmsSchema } from '../schemas.ts';
import { adoptSchema, createRequestSchema, shutdownSchema, vmPatchSchema } from '../vm-requests.ts';
import { known, withoutAbsent } from './present.ts';
import {
  answered,
  ifMatchHeader,
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

const params = z.object({ id: vmIdSchema });

const listVms = createRoute({
  method: 'get',
  path: '/v1/vms',
  tags: ['vms'],
  summary: 'VMs by id, in pages',
  request: {
    query: z.strictObject({
      group: groupNameSchema.optional().openapi({ description: '`none`: those that belong to no group' }),
      host: hostNameSchema.optional(),
      phase: phaseSchema.optional(),
      state: vmStateSchema.optional(),
      name: nameSchema.optional(),
      owner: nameSchema.optional(),
      address: z
        .string()
        .max(64)
        .regex(/^[\dA-Fa-f.:]+$/, 'must be an IP address')
        .optional()
        .openapi({ description: 'Where clients reach it', example: '127.0.1.1' }),
      limit: limitSchema,
      cursor: cursorSchema,
    }),
  },
  responses: {
    200: {
      ...jsonResponse(vmsSchema, 'One page; `Link: <…>; rel="next"` leads to the next one'),
      headers: z.object({ link: z.string().optional() }),
    },
    ...problemResponses(),
  },
});

const createVms = createRoute({
  method: 'post',
  path: '/v1/vms',
  tags: ['vms'],
  summary: 'Ask for VMs. Verified at once, then queued (first in, first out), placed and made',
  request: {
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: createRequestSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const adoptVm = createRoute({
  method: 'post',
  path: '/v1/vms/adopt',
  tags: ['vms'],
  summary: 'Take a domain that somebody else made under virtscale’s care',
  request: {
    query: noQuery,
    headers: keyHeader,
    body: { required: true, content: { 'application/json': { schema: adoptSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const getVm = createRoute({
  method: 'get',
  path: '/v1/vms/{id}',
  tags: ['vms'],
  summary: 'One VM: what it should be, what it is, and why they differ',
  request: { params, query: noQuery },
  responses: { 200: jsonResponse(vmSchema, 'The VM'), ...problemResponses(404) },
});

const patchVm = createRoute({
  method: 'patch',
  path: '/v1/vms/{id}',
  tags: ['vms'],
  summary: 'Protect a VM from removal by its policy, or label it. What is not said stays as it is',
  request: {
    params,
    query: noQuery,
    headers: ifMatchHeader,
    body: { required: true, content: { 'application/json': { schema: vmPatchSchema } } },
  },
  responses: { 200: jsonResponse(vmSchema, 'The VM as it is now'), ...writeProblems(404, 412) },
});

const deleteVm = createRoute({
  method: 'delete',
  path: '/v1/vms/{id}',
  tags: ['vms'],
  summary: 'Delete a VM with its disks. One of a group is drained and replaced; an adopted one is only let go',
  request: {
    params,
    query: z.strictObject({
      grace: durationWithin(0, '1d').optional().openapi({
        description: 'Shut down politely first, for at most this long. Absent: the plug is pulled',
        example: '30s',
      }),
    }),
    headers: keyHeader,
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

const power = <V extends Exclude<PowerVerb, 'shutdown'>>(verb: V, summary: string) =>
  createRoute({
    method: 'post',
    path: `/v1/vms/{id}/${verb}` as const,
    tags: ['vms'],
    summary,
    request: { params, query: noQuery, headers: keyHeader },
    responses: { 202: operationResponse, ...writeProblems(404) },
  });

const POWER_ROUTES = [
  ['start', power('start', 'Start a VM')],
  ['pause', power('pause', 'Stop its vCPUs; its memory stays')],
  ['resume', power('resume', 'Let its vCPUs go on')],
  ['reboot', power('reboot', 'Ask the guest to reboot')],
  ['reset', power('reset', 'Press the reset button')],
  ['stop', power('stop', 'Pull the plug')],
] as const;

const shutdownVm = createRoute({
  method: 'post',
  path: '/v1/vms/{id}/shutdown',
  tags: ['vms'],
  summary: 'Ask the guest to shut down: by its agent, then by ACPI; then, when a grace is given, the plug is pulled',
  request: {
    params,
    query: noQuery,
    headers: keyHeader,
    body: { required: false, content: { 'application/json': { schema: shutdownSchema } } },
  },
  responses: { 202: operationResponse, ...writeProblems(404) },
});

export function addVmRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  const found = (id: number): VmStatus => {
    const vm = engine.vm(id);
    if (vm === undefined)
      throw new ProblemError('not-found', `there is no VM ${id}; ids are not reused after a removal`);
    return vm;
  };

  app.openapi(listVms, (c) => {
    const { limit = DEFAULT_LIMIT, cursor, group, ...filters } = c.req.valid('query');
    const query: VmQuery = {
      limit,
      ...withoutAbsent(filters),
      ...(group !== undefined && { group: group === 'none' ? null : group }),
      ...(cursor !== undefined && { after: idOf(cursor) }),
    };
    const page = engine.vmPage(query);
    const next = page.nextAfter === undefined ? undefined : cursorOf('vm', page.nextAfter);
    const body = { vms: page.vms.map((vm) => publicVm(vm)), ...(next !== undefined && { nextCursor: next }) };
    return c.json(body, 200, nextLink(c, next));
  });

  app.openapi(createVms, async (c) => {
    const request: CreateRequest = known(c.req.valid('json'));
    const status = accepted(await answered('asking for VMs', engine.createVms(request, callerOf(c))));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(adoptVm, async (c) => {
    const { host, domain } = c.req.valid('json');
    const status = accepted(await answered('adopting', engine.adopt(host, domain, callerOf(c))));
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  app.openapi(getVm, (c) => {
    const { id } = c.req.valid('param');
    const vm = found(id);
    return c.json(publicVm(vm), 200, { etag: vmTag(vm) });
  });

  app.openapi(patchVm, async (c) => {
    const { id } = c.req.valid('param');
    const { protected: isProtected, labels } = c.req.valid('json');
    checkIfMatch(c.req.header('if-match'), vmTag(found(id)));
    const change = { ...(isProtected !== undefined && { isProtected }), ...(labels && { labels }) };
    const vm = accepted(await answered('changing the VM', engine.setVm(id, change, callerOf(c))));
    return c.json(publicVm(vm), 200, { etag: vmTag(vm) });
  });

  app.openapi(deleteVm, async (c) => {
    const { id } = c.req.valid('param');
    const { grace } = c.req.valid('query');
    const options = grace === undefined ? {} : { graceMs: grace };
    const status = accepted(await answered('deleting', engine.deleteVm(id, callerOf(c), options)), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });

  for (const [verb, route] of POWER_ROUTES) {
    app.openapi(route, async (c) => {
      const { id } = c.req.valid('param');
      const status = accepted(await answered(verb, engine.power(id, verb, callerOf(c))), 'path');
      return c.json(publicOperation(status), 202, operationLocation(status));
    });
  }

  app.openapi(shutdownVm, async (c) => {
    const { id } = c.req.valid('param');
    // Without a body there is nothing to check.
    const { grace } = c.req.valid('json') ?? {};
    const options = grace === undefined ? {} : { graceMs: grace };
    const status = accepted(await answered('shutdown', engine.power(id, 'shutdown', callerOf(c), options)), 'path');
    return c.json(publicOperation(status), 202, operationLocation(status));
  });
}

/** Of what may be edited. The order in which labels came does not matter. */
function vmTag({ record }: VmStatus): string {
  const labels = Object.entries(record.labels ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return etagOf([record.id, record.isProtected ?? false, labels]);
}

function idOf(cursor: string): number {
  const place = placeOf('vm', cursor);
  const id = /^\d{1,16}$/.test(place) ? Number(place) : Number.NaN;
  if (!Number.isSafeInteger(id)) throw badCursor();
  return id;
}
