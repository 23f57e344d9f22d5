// /v1/audit: every write that was asked for. Not here: how it gets into the record (edge/audit).

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { wholeNumber } from '../event-query.ts';
import { nameSchema } from '../query-values.ts';
import { auditSchema } from '../user-schemas.ts';
import { answered, jsonResponse, problemResponses, type RouteContext } from './route-parts.ts';

const DEFAULT_LIMIT = 100;

const listAudit = createRoute({
  method: 'get',
  path: '/v1/audit',
  tags: ['users'],
  summary: 'Every write that was asked for and every sign-in, newest first: who, what, from where, with which result',
  request: {
    query: z.strictObject({
      who: nameSchema.optional().openapi({ description: 'Only of this one' }),
      limit: wholeNumber(1, 1000).optional().openapi({ description: 'Default 100' }),
      before: wholeNumber(1, Number.MAX_SAFE_INTEGER)
        .optional()
        .openapi({ description: 'Only those older than this one (its `n`)' }),
    }),
  },
  responses: { 200: jsonResponse(auditSchema, 'One page'), ...problemResponses(503) },
});

export function addAuditRoutes(app: OpenAPIHono, { engine }: Pick<RouteContext, 'engine'>): void {
  app.openapi(listAudit, async (c) => {
    const { who, limit = DEFAULT_LIMIT, before } = c.req.valid('query');
    const query = { limit, ...(who !== undefined && { who }), ...(before !== undefined && { before }) };
    const found = await answered('reading the audit record', engine.audit.audit(query));
    const entries = found.map(({ target, ...entry }) => ({ ...entry, ...(target && { target: { ...target } }) }));
    const last = found.length === limit ? found.at(-1) : undefined;
    return c.json({ entries, ...(last && { nextBefore: last.n }) }, 200);
  });
}
