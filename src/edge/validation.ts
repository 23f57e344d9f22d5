// What a schema found wrong with a request, in the words of a problem document: where and what.

import type { z } from '@hono/zod-openapi';
import { ProblemError, type ProblemSpot } from './problem.ts';

const MAX_SPOTS = 20;

/** `part`: `body`, `query`, `path` or `header`. */
export function spotsOf(error: z.core.$ZodError, part: string): readonly ProblemSpot[] {
  return error.issues.slice(0, MAX_SPOTS).map((issue) => ({
    where: [part, ...issue.path.map(String)].join('.'),
    what: issue.message.slice(0, 1000),
  }));
}

export function invalidRequest(error: z.core.$ZodError, part: string): ProblemError {
  const errors = spotsOf(error, part);
  const first = errors[0];
  const detail = first === undefined ? 'the request is not valid' : `${first.where}: ${first.what}`;
  return new ProblemError('invalid-request', detail, { errors });
}
