// What the routes have in common: what they need, how their problems are declared, how a path parameter looks.

import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { EngineView, OperationStatus } from '../../engine/view.ts';
import type { Clock } from '../../ports/clock.ts';
import { DeadlineError, withDeadline } from '../deadline.ts';
import { groupNameSchema } from '../event-query.ts';
import { operationSchema } from '../fabric-schemas.ts';
import { ProblemError } from '../problem.ts';
import { problemSchema } from '../schemas.ts';

export interface RouteContext {
  readonly engine: EngineView;
  readonly clock: Pick<Clock, 'wallOf'>;
}

const DESCRIPTIONS = {
  400: 'The request is not valid: `errors` says where and what',
  401: 'A token is needed, or the one shown is not known',
  403: 'The token has not the scope, the host name is not allowed, or a page of another origin asks',
  404: 'There is no such thing',
  409: 'Conflicts with the present state',
  410: 'The events asked for are no longer kept: start again from `oldestSeq`',
  412: 'It has changed since that ETag was given',
  413: 'The body is too large',
  415: 'The media type of the body is not the right one',
  422: 'The idempotency key came before with another request',
  429: 'Too much is waiting already: try again after `Retry-After`',
  503: 'No answer in time, or the host does not answer',
} as const;

type ProblemStatus = keyof typeof DESCRIPTIONS;

/** `{400: …, 404: …}` as OpenAPI wants it; 400, 401 and 403 are always possible. */
export function problemResponses(...statuses: readonly ProblemStatus[]) {
  const content = { 'application/problem+json': { schema: problemSchema } };
  const all = new Set<ProblemStatus>([400, 401, 403, ...statuses]);
  return Object.fromEntries([...all].sort().map((status) => [status, { description: DESCRIPTIONS[status], content }]));
}

/** Of whatever writes. */
export function writeProblems(...statuses: readonly ProblemStatus[]) {
  return problemResponses(409, 413, 415, 422, 429, 503, ...statuses);
}

export const noQuery = z.strictObject({});

export const keyHeader = z.object({
  'idempotency-key': z.string().optional().openapi({
    description: 'The same key with the same request gets the same answer for a day, without doing it again',
  }),
});

export const ifMatchHeader = keyHeader.extend({
  'if-match': z.string().optional().openapi({ description: 'Only if its ETag is (one of) this' }),
});

export const ifNoneMatchHeader = z.object({
  'if-none-match': z.string().optional().openapi({ description: '304 when its ETag is still (one of) this' }),
});

/** 202 with the operation. */
export const operationResponse = {
  description: 'It has begun: the operation, and its address in `Location`',
  headers: z.object({ location: z.string() }),
  content: { 'application/json': { schema: operationSchema } },
};

export function operationLocation({ operation }: OperationStatus): { location: string } {
  return { location: `/v1/operations/${encodeURIComponent(operation.id)}` };
}

/** Header `Link` (RFC 8288) of a page that is not the last one. */
export function nextLink(c: Context, cursor: string | undefined): { link?: string } {
  if (cursor === undefined) return {};
  const url = new URL(c.req.url);
  url.searchParams.set('cursor', cursor);
  return { link: `<${url.pathname}${url.search}>; rel="next"` };
}

export function notModified(etag: string): Response {
  return new Response(null, { status: 304, headers: { etag } });
}

export function jsonResponse<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

export const groupNameParams = z.object({
  name: groupNameSchema.openapi({ param: { name: 'name', in: 'path' }, example: 'web' }),
});

export const ANSWER_MS = 10_000;

/** Ends a request whose answer the store or the engine owes for too long. */
export async function answered<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await withDeadline(ANSWER_MS, what, work);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new ProblemError(
      'timed-out',
      `${error.message}; what was asked for may still take effect: look before you repeat it`,
    );
  }
}
