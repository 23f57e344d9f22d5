// A decision and its trail as the HTTP API shows them: wall time instead of engine time.
// Not here: the shapes' declaration (decision-schemas), the sentences (core).

import type { Decision, LoggedDecision } from '../core/decision.ts';
import type { WhyRecord } from '../engine/view.ts';
import type { PublicDecision, PublicWhy } from './decision-schemas.ts';
import { wallOf } from './representation.ts';

/** `at` is the wall time of `decision.atMs`. */
export function publicDecision(decision: Decision | LoggedDecision, at: string): PublicDecision {
  const anchor = { at, atMs: decision.atMs };
  return {
    ...('id' in decision && { id: decision.id }),
    at,
    group: decision.group,
    desiredBefore: decision.desiredBefore,
    desired: decision.desired,
    cause: decision.cause,
    ...(decision.rule !== undefined && { rule: decision.rule }),
    counts: { ...decision.counts },
    ...(decision.cpuPercent !== undefined && { cpuPercent: decision.cpuPercent }),
    cpuPercentByVm: { ...decision.cpuByVm },
    verdicts: decision.verdicts.map(({ crossedAtMs, ...verdict }) => ({
      ...verdict,
      ...(crossedAtMs !== undefined && { crossedAt: wallOf(crossedAtMs, anchor) }),
    })),
    steps: decision.steps.map((step) => ({ ...step })),
    limits: decision.limits.map((limit) => ({ ...limit })),
    ...(decision.refresh && { refresh: { ...decision.refresh } }),
    ...(decision.observed && { observed: true }),
    hosts: decision.hosts.map((choice) => ({ ...choice })),
    victims: decision.victims.map((choice) => ({ ...choice })),
    actions: decision.actions.map((action) => ({ ...action })),
    text: decision.text,
  };
}

export function publicWhy({ at, text, decision }: WhyRecord): PublicWhy {
  return { at, text, decision: publicDecision(decision, at) };
}
