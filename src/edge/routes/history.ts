// /v1/decisions and the paged face of /v1/events: what was decided and what happened.

import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { publicDecision } from '../decision-representation.ts';
import { decisionSchema, decisionsSchema } from '../decision-schemas.ts';
import { eventFilterShape, groupNameSchema, oldestSince, wholeNumber } from '../event-query.ts';
import { ProblemError } from '../problem.ts';
import { eventsSchema, type PublicEvent } from '../schemas.ts';
import { answered, jsonResponse, problemResponses, type RouteContext } from './route-parts.ts';

const idSchema = z.string().min(1).max(200);

const listDecisions = createRoute({
  method: 'get',
  path: '/v1/decisions',
  tags: ['decisions'],
  summary: 'Decisions, newest first',
  request: {
    query: z.strictObject({
      group: groupNameSchema.optional(),
      limit: wholeNumber(1, 200).optional().openapi({ description: 'Default 50' }),
      before: idSchema.optional().openapi({ description: 'Only those older than this decision (its id)' }),
    }),
  },
  responses: { 200: jsonResponse(decisionsSchema, 'One page'), ...problemResponses(503) },
});

const getDecision = createRoute({
  method: 'get',
  path: '/v1/decisions/{id}',
  tags: ['decisions'],
  summary: 'One decision with its trail: what each rule said, what limited it, which host and VM were taken and why',
  request: { params: z.object({ id: idSchema }), query: z.strictObject({}) },
  responses: { 200: jsonResponse(decisionSchema, 'The decision'), ...problemResponses(404, 503) },
});

const listEvents = createRoute({
  method: 'get',
  path: '/v1/events',
  tags: ['events'],
  summary: 'Events in order, paged. As a WebSocket the same path streams them: see docs/EVENTS.md',
  request: {
    query: z.strictObject({
      ...eventFilterShape,
      limit: wholeNumber(1, 1000).optional().openapi({ description: 'Default 100' }),
    }),
  },
  responses: {
    200: jsonResponse(eventsSchema, 'One page. Without `since` from the oldest event kept'),
    ...problemResponses(409, 410, 503),
  },
});

export function addHistoryRoutes(app: OpenAPIHono, { engine }: RouteContext): void {
  app.openapi(listDecisions, async (c) => {
    const { group, limit = 50, before } = c.req.valid('query');
    const query = { limit, ...(group !== undefined && { group }), ...(before !== undefined && { before }) };
    const decisions = await answered('reading the decisions', engine.history.decisions(query));
    const last = decisions.length === limit ? decisions.at(-1) : undefined;
    const page = decisions.map((decision) => publicDecision(decision, decision.at));
    return c.json({ decisions: page, ...(last && { nextBefore: last.id }) }, 200);
  });

  app.openapi(getDecision, async (c) => {
    const { id } = c.req.valid('param');
    const decision = await answered('reading the decision', engine.history.decision(id));
    if (decision === undefined) throw new ProblemError('not-found', `there is no decision ${JSON.stringify(id)}`);
    return c.json(publicDecision(decision, decision.at), 200);
  });

  app.openapi(listEvents, async (c) => {
    const { since, limit = 100, group, types } = c.req.valid('query');
    // Read before the page is: all of these were in the log when it was made, so an unfilled page has seen them.
    const seenTo = engine.log.lastSeq;
    if (since !== undefined && since > seenTo) throw aheadOf(since, seenTo);
    const query = { since: since ?? 0, limit, ...(group !== undefined && { group }), ...(types && { types }) };
    const page = await answered('reading the events', engine.log.page(query));
    if (since !== undefined && since < oldestSince(page)) throw expired(since, page.oldestSeq);
    const events: PublicEvent[] = page.events.map((event) => ({ ...event }));
    const lastHere = events.at(-1)?.seq ?? since ?? 0;
    const nextSince = events.length === limit ? lastHere : Math.max(lastHere, seenTo);
    return c.json({ events, oldestSeq: page.oldestSeq, lastSeq: Math.max(page.lastSeq, lastHere), nextSince }, 200);
  });
}

function aheadOf(since: number, lastSeq: number): ProblemError {
  const detail = `the newest event is ${lastSeq}, but since=${since}: was that number from another log, or has the state been reset?`;
  return new ProblemError('ahead', detail, { lastSeq });
}

function expired(since: number, oldestSeq: number): ProblemError {
  return new ProblemError('expired', `events after ${since} are no longer all kept: the oldest is ${oldestSeq}`, {
    oldestSeq,
  });
}
