// What arguments of several calls are made of: durations, cursors, host and VM names as they stand in addresses.
// Not here: whole numbers and group names (event-query).

import { z } from '@hono/zod-openapi';
import { readDuration } from '../config/duration.ts';
import { wholeNumber } from './event-query.ts';
import { ProblemError } from './problem.ts';

/** Milliseconds of a duration such as "30s", from `minMs` up to `max`. */
export function durationWithin(minMs: number, max: string) {
  const most = readDuration(max);
  if (!most.ok) throw new Error(most.reason);
  return z
    .string()
    .max(40)
    .transform((text, context): number => {
      const read = readDuration(text);
      const inside = read.ok && read.value >= minMs && read.value <= most.value;
      if (inside) return read.value;
      const message = read.ok ? `must be from ${minMs / 1000}s to ${max}` : read.reason;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .openapi({ type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h|d)$', example: '30s' });
}

/** A moment as RFC 3339, at any offset; becomes UTC. */
export const momentSchema = z
  .string()
  .max(40)
  .transform((text, context): string => {
    const ms = MOMENT.test(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(ms)) return new Date(ms).toISOString();
    context.addIssue({
      code: 'custom',
      message: 'must be an RFC 3339 time such as 2026-11-21T06:12:05Z (a + in an address is written %2B)',
    });
    return z.NEVER;
  })
  .openapi({ type: 'string', format: 'date-time' });
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

export const vmIdSchema = wholeNumber(1, Number.MAX_SAFE_INTEGER);
export const hostNameSchema = z.string().min(1).max(253);
export const nameSchema = z.string().min(1).max(253);
export const operationIdSchema = z.string().min(1).max(200);
export const cursorSchema = z
  .string()
  .max(500)
  .optional()
  .openapi({ description: 'The `nextCursor` of the page before, with the same filters' });
export const limitSchema = wholeNumber(1, 1000).optional().openapi({ description: 'Default 100' });
export const DEFAULT_LIMIT = 100;

/** A place in a list, opaque to clients. `kind` keeps the cursor of one list out of another. */
export function cursorOf(kind: string, place: string | number): string {
  return Buffer.from(`${kind}:${place}`).toString('base64url');
}

/** Throws `ProblemError` for one that this daemon never gave out. */
export function placeOf(kind: string, cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (text.startsWith(`${kind}:`) && Buffer.from(text).toString('base64url') === cursor) {
    return text.slice(kind.length + 1);
  }
  throw badCursor();
}

export function badCursor(): ProblemError {
  const what = 'is not one this list has given out';
  return new ProblemError('invalid-request', `query.cursor: ${what}`, { errors: [{ where: 'query.cursor', what }] });
}
