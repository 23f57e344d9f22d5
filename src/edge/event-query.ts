// The question both faces of /v1/events are asked: since, group, types; and where in the log that stands.
// Not here: paging (routes/events) or streaming (event-stream).

import { z } from '@hono/zod-openapi';
import { type EventType, type LoggedEvent, ownerOfEvent } from '../core/events.ts';
import { EVENT_TYPES, eventGroup, isEventType } from './event-text.ts';

const MAX_SEQ = Number.MAX_SAFE_INTEGER;

export const groupNameSchema = z.string().min(1).max(253);

/** A query argument that is a whole number: digits only, as `Number('')`, `1e3` and `0x10` are nobody's intent. */
export function wholeNumber(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,16}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .openapi({ type: 'integer', minimum: min, maximum: max });
}

const typesSchema = z
  .string()
  .max(1000)
  .transform((text, context): EventType[] => {
    const types = text.split(',').map((part) => part.trim());
    return types.flatMap((type) => {
      if (isEventType(type)) return [type];
      context.addIssue({
        code: 'custom',
        message: `${JSON.stringify(type)} is no event type; there are ${EVENT_TYPES.join(', ')}`,
      });
      return [];
    });
  })
  .openapi({ type: 'string', description: 'Event types, separated by commas', example: 'vm.launched,vm.draining' });

export const eventFilterShape = {
  since: wholeNumber(0, MAX_SEQ).optional().openapi({ description: 'Only events with a greater `seq`' }),
  group: groupNameSchema.optional().openapi({ description: 'Only events about this group' }),
  types: typesSchema.optional(),
};

export const eventStreamQuerySchema = z.strictObject(eventFilterShape);

export interface EventFilter {
  readonly group?: string | undefined;
  readonly types?: readonly EventType[] | undefined;
  /** Only this user's. Never the client's word: who asks says it. */
  readonly owner?: string | undefined;
}

export function matches(filter: EventFilter, event: LoggedEvent): boolean {
  if (filter.owner !== undefined && ownerOfEvent(event) !== filter.owner) return false;
  if (filter.group !== undefined && eventGroup(event) !== filter.group) return false;
  return filter.types === undefined || filter.types.includes(event.type);
}

/** The smallest `since` that loses nothing to retention. */
export function oldestSince(log: { readonly oldestSeq: number; readonly lastSeq: number }): number {
  return log.oldestSeq === 0 ? log.lastSeq : log.oldestSeq - 1;
}
