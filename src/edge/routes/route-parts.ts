// What the routes have in common: what they need, how their problems are declared, how a path parameter looks.

import { z } from '@hono/zod-openapi';
import type { EngineView } from '../../engine/view.ts';
import type { Clock } from '../../ports/clock.ts';
import { DeadlineError, withDeadline } from '../deadline.ts';
import { groupNameSchema } from '../event-query.ts';
import { ProblemError } from '../problem.ts';
import { problemSchema } from '../schemas.ts';

export interface RouteContext {
  readonly engine: EngineView;
  readonly clock: Pick<Clock, 'wallOf'>;
}

const DESCRIPTIONS = {
  400: 'The request is not valid: `errors` says where and what',
  403: 'Host name not allowed, or a page of another origin',
  404: 'There is no such thing',
  409: 'Conflicts with the present state',
  410: 'The events asked for are no longer kept: start again from `oldestSeq`',
  413: 'The body is too large',
  415: 'The body is not JSON',
  422: 'The idempotency key came before with another request',
  503: 'No answer in time',
} as const;

type ProblemStatus = keyof typeof DESCRIPTIONS;

/** `{400: …, 404: …}` as OpenAPI wants it. */
export function problemResponses(...statuses: readonly ProblemStatus[]) {
  const content = { 'application/problem+json': { schema: problemSchema } };
  return Object.fromEntries(statuses.map((status) => [status, { description: DESCRIPTIONS[status], content }]));
}

export function jsonResponse<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

export const groupNameParams = z.object({
  name: groupNameSchema.openapi({ param: { name: 'name', in: 'path' }, example: 'web' }),
});

const ANSWER_MS = 10_000;

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
