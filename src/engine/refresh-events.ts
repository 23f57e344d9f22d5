// What is told of a rolling refresh: each time its state changes, and nothing in between. Pure. Not here: the refresh (core/refresh).

import type { Decision } from '../core/decision.ts';
import type { NewEvent } from '../core/events.ts';
import type { RefreshMemory } from '../core/memory.ts';

type RefreshEvent = Extract<NewEvent, { readonly type: 'refresh.changed' }>;

export function refreshEvents(
  { group, refresh }: Pick<Decision, 'group' | 'refresh'>,
  before: RefreshMemory | undefined,
  after: RefreshMemory | undefined,
): readonly RefreshEvent[] {
  if (before?.state === after?.state && before?.to === after?.to) return [];
  const { done = after?.total ?? before?.total ?? 0, total = done, text = '' } = refresh ?? {};
  return [{ type: 'refresh.changed', group, state: stateOf(before, after), done, total, text }];
}

function stateOf(before: RefreshMemory | undefined, after: RefreshMemory | undefined): RefreshEvent['state'] {
  if (after === undefined) return 'finished';
  if (after.state !== 'running') return after.state;
  return before?.to === after.to && before.state === 'paused' ? 'resumed' : 'started';
}
