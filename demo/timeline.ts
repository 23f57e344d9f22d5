// The story read from the event log: which moment was which. Pure.
// Not here: judging it (summary), drawing it (plots/).

import type { EventVm, LoggedEvent } from '../src/core/events.ts';
import type { EventOf } from './journal.ts';

/** Moments as the events give them, RFC 3339. What has not happened is absent. */
export interface Timeline {
  readonly firstVm?: EventVm;
  readonly firstLaunchedAt?: string;
  readonly out?: {
    readonly crossedAt?: string;
    readonly decidedAt: string;
    readonly launchingAt?: string;
    readonly launchedAt?: string;
    /** The VM that the decision brought. */
    readonly vm?: EventVm;
  };
  readonly in?: {
    readonly decidedAt: string;
    readonly drainingAt?: string;
    readonly removedAt?: string;
    /** The VM that went. */
    readonly vm?: EventVm;
  };
}

/** Reads the first scale-out by a rule, and the first scale-in by a rule after its VM was launched. */
export function timelineOf(events: readonly LoggedEvent[]): Timeline {
  const first = find(events, 'vm.launched');
  const out = find(
    events,
    'decision.made',
    (e) => e.decision.cause === 'rule' && e.decision.desired > e.decision.desiredBefore,
  );
  const launching = out && find(events, 'vm.launching', (e) => e.seq > out.seq && e.group === out.group);
  const launched = launching && find(events, 'vm.launched', (e) => e.vm.id === launching.vm.id);
  const back =
    launched &&
    find(
      events,
      'decision.made',
      (e) => e.seq > launched.seq && e.decision.cause === 'rule' && e.decision.desired < e.decision.desiredBefore,
    );
  const draining = back && find(events, 'vm.draining', (e) => e.seq > back.seq);
  const removed = draining && find(events, 'vm.removed', (e) => e.seq > draining.seq && e.vm.id === draining.vm.id);
  return {
    ...(first && { firstVm: first.vm, firstLaunchedAt: first.at }),
    ...(out && {
      out: {
        ...(out.decision.crossedAt !== undefined && { crossedAt: out.decision.crossedAt }),
        decidedAt: out.at,
        ...(launching && { launchingAt: launching.at, vm: launching.vm }),
        ...(launched && { launchedAt: launched.at, vm: launched.vm }),
      },
    }),
    ...(back && {
      in: {
        decidedAt: back.at,
        ...(draining && { drainingAt: draining.at, vm: draining.vm }),
        ...(removed && { removedAt: removed.at }),
      },
    }),
  };
}

/** What became of a VM that was killed: word of its loss, and the next one that came. */
export function afterKill(
  events: readonly LoggedEvent[],
  vmId: number,
): { readonly lost?: EventOf<'vm.lost'>; readonly next?: EventOf<'vm.launched'> } {
  const lost = find(events, 'vm.lost', (e) => e.vm.id === vmId);
  const next = lost && find(events, 'vm.launched', (e) => e.seq > lost.seq && e.group === lost.group);
  return { ...(lost && { lost }), ...(next && { next }) };
}

function find<T extends LoggedEvent['type']>(
  events: readonly LoggedEvent[],
  type: T,
  also: (event: EventOf<T>) => boolean = () => true,
): EventOf<T> | undefined {
  return events.find((event): event is EventOf<T> => event.type === type && also(event as EventOf<T>));
}

/** How many times the log did not go on with the next number: 0 means every event came, once, in order. The first must be 1. */
export function countGaps(events: readonly { readonly seq: number }[]): number {
  let gaps = 0;
  let expected = 1;
  for (const { seq } of events) {
    if (seq !== expected) gaps += 1;
    expected = seq + 1;
  }
  return gaps;
}
