// Asks a placement algorithm and believes nothing: a user's own may throw, answer nonsense, or try to change what it is given.
// Not here: what follows from its answer (place). An algorithm that never returns cannot be helped: it runs in this thread.

import type { HostName } from '../model.ts';
import type { Candidate, Placement, PlacementContext } from './placement.ts';

export type Answer =
  | { readonly host: HostName }
  | { readonly refused: ReadonlyMap<HostName, string> }
  /** What it did instead of answering, as the end of a sentence. */
  | { readonly failed: string };

const TEXT_MAX = 200;

/** `foreign`: not one of ours; then what it is given is frozen, so that changing it throws. */
export function ask(
  placement: Placement,
  candidates: readonly Candidate[],
  context: PlacementContext,
  foreign: boolean,
): Answer {
  try {
    const chosen: unknown = foreign
      ? placement.choose(frozen(candidates), frozenContext(context))
      : placement.choose(candidates, context);
    return checked(chosen, candidates);
  } catch (error) {
    return { failed: `threw: ${clipped(error instanceof Error ? error.message : String(error))}` };
  }
}

function checked(chosen: unknown, candidates: readonly Candidate[]): Answer {
  if (typeof chosen === 'object' && chosen !== null) {
    if ('host' in chosen) {
      const { host } = chosen;
      if (typeof host === 'string' && candidates.some((candidate) => candidate.host === host)) return { host };
      return { failed: `named ${clipped(String(host))}, which is none of the hosts it was given` };
    }
    if ('refused' in chosen && chosen.refused instanceof Map) return { refused: reasons(chosen.refused, candidates) };
  }
  return { failed: 'answered neither a host nor a Map of reasons' };
}

function reasons(
  refused: ReadonlyMap<unknown, unknown>,
  candidates: readonly Candidate[],
): ReadonlyMap<HostName, string> {
  const texts = candidates.map(({ host }) => [host, refused.get(host)] as const);
  return new Map(texts.flatMap(([host, text]) => (typeof text === 'string' ? [[host, clipped(text)]] : [])));
}

function frozen(candidates: readonly Candidate[]): readonly Candidate[] {
  for (const candidate of candidates) {
    Object.freeze(candidate);
    Object.freeze(candidate.total);
    Object.freeze(candidate.free);
  }
  return Object.freeze([...candidates]);
}

function frozenContext(context: PlacementContext): PlacementContext {
  const { vcpus, memoryMiB, diskGiB } = context.need;
  return Object.freeze({ ...context, need: Object.freeze({ vcpus, memoryMiB, diskGiB }) });
}

/** One line of bounded length: it goes into the trail. */
function clipped(text: string): string {
  const line = text
    .slice(0, TEXT_MAX + 1)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > TEXT_MAX ? `${line.slice(0, TEXT_MAX)}…` : line;
}
