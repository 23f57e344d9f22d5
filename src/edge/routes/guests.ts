// What a guest says and where it is reached: /v1/vms/{id}/console and /addresses, and Prometheus' discovery of those that serve.

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { VmStatus } from '../../engine/view.ts';
import { groupNameSchema, wholeNumber } from '../event-query.ts';
import { publicTargets } from '../fabric-representation.ts';
import { addressesSchema, targetsSchema } from '../fabric-schemas.ts';
import { hostNameSchema, vmIdSchema } from '../query-values.ts';
import { accepted } from '../refusals.ts';
import { withoutAbsent } from './present.ts';
import { ANSWER_MS, answered, jsonResponse, noQuery, problemResponses, type RouteContext } from './route-parts.ts';

const MAX_TAIL_BYTES = 1024 * 1024;
const DEFAULT_TAIL_BYTES = 64 * 1024;
/** Of one page while all VMs are walked through. */
const PAGE = 1000;

const params = z.object({ id: vmIdSchema });

const getConsole = createRoute({
  method: 'get',
  path: '/v1/vms/{id}/console',
  tags: ['vms'],
  summary: 'The end of what the guest wrote to its serial console',
  request: {
    params,
    query: z.strictObject({
      tail: wholeNumber(1, MAX_TAIL_BYTES).optional().openapi({ description: 'Bytes, default 65536' }),
    }),
  },
  responses: {
    200: {
      description: 'As the guest wrote it, control characters included; empty when it wrote nothing',
      content: { 'text/plain': { schema: z.string() } },
    },
    ...problemResponses(404, 409, 503),
  },
});

const getAddresses = createRoute({
  method: 'get',
  path: '/v1/vms/{id}/addresses',
  tags: ['vms'],
  summary: 'Every address anybody knows: the agent, DHCP leases, ARP, forwarded ports',
  request: { params, query: noQuery },
  responses: {
    200: jsonResponse(addressesSchema, 'Empty while nobody knows any'),
    ...problemResponses(404, 409, 503),
  },
});

const discover = createRoute({
  method: 'get',
  path: '/v1/sd/prometheus',
  tags: ['vms'],
  summary: 'VMs that serve, for Prometheus (http_sd_config)',
  request: { query: z.strictObject({ group: groupNameSchema.optional(), host: hostNameSchema.optional() }) },
  responses: { 200: jsonResponse(targetsSchema, 'One entry per VM'), ...problemResponses() },
});

export function addGuestRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(getConsole, async (c) => {
    const { id } = c.req.valid('param');
    const { tail = DEFAULT_TAIL_BYTES } = c.req.valid('query');
    const text = accepted(await answered('reading the console', engine.console(id, tail, patience(c))), 'path');
    const body = new Uint8Array(text.subarray(Math.max(0, text.length - tail)));
    // The types know text only as a string; what guests print need not be any text's bytes.
    return c.body(body, 200, { 'content-type': 'text/plain; charset=utf-8' }) as never;
  });

  app.openapi(getAddresses, async (c) => {
    const { id } = c.req.valid('param');
    const found = accepted(await answered('asking for addresses', engine.addresses(id, patience(c))), 'path');
    const addresses = found.map(({ address, source, interface: device, mac }) => ({
      address,
      source,
      ...(device !== undefined && { interface: device }),
      ...(mac !== undefined && { mac }),
    }));
    return c.json({ addresses }, 200);
  });

  app.openapi(discover, (c) => {
    const filters = withoutAbsent(c.req.valid('query'));
    const vms: VmStatus[] = [];
    let after: number | undefined = 0;
    while (after !== undefined) {
      const page: ReturnType<typeof engine.vmPage> = engine.vmPage({ ...filters, limit: PAGE, after });
      vms.push(...page.vms);
      after = page.nextAfter;
    }
    return c.json(publicTargets(vms), 200);
  });
}

/** Until the client goes away, and not longer than an answer may take. */
function patience(c: Context): AbortSignal {
  return AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(ANSWER_MS)]);
}
