// Whom to remove, and why. Not here: the order (removal-order), how many (shrink, refresh), or removing (steps).

import type { Choice } from './decision.ts';
import type { VmView } from './model.ts';
import type { Rooms } from './placement/rooms.ts';
import type { RemovalOrder } from './policy.ts';
import { byNewest, type Candidate, isLaunching, isServing, labelOf, ranked, servedSinceMs } from './removal-order.ts';
import { durationText, percentText } from './wording.ts';

export interface VictimOptions {
  readonly order: RemovalOrder;
  readonly count: number;
  /** Of those in service, and of those in service and well, how many may go at the most. Absent: all. */
  readonly inServiceMax?: number;
  readonly servingMax?: number;
  readonly nowMs: number;
  /** Needed for the order `fullest-host` alone. */
  readonly rooms?: () => Rooms;
}

export interface Victims {
  /** At most as many as asked for; fewer when the others must not be touched now. */
  readonly chosen: readonly VmView[];
  /** Of those asked for, how many must go on serving for now. */
  readonly needed: number;
  /** Of those asked for, how many stay because nobody knows what they do now. */
  readonly unknown: number;
  /** Of those asked for, how many stay because people protect them. */
  readonly shielded: number;
  readonly choices: readonly Choice[];
}

/**
 * Launching VMs first, then unhealthy ones, then outdated ones, then the others by the policy's order; ties by id, newest first.
 * Never a protected one, nor one whose host does not answer or whose picture is older than its record. Of those that serve at most
 * `servingMax`: a VM that launches may yet fail, so it replaces none that serves before it does so itself; nor, by `inServiceMax`, one
 * that is unhealthy, when it is among the last: a check may be wrong.
 */
export function chooseVictims(candidates: readonly Candidate[], options: VictimOptions): Victims {
  const count = Math.max(0, options.count);
  const { inServiceMax = Number.POSITIVE_INFINITY, servingMax = Number.POSITIVE_INFINITY } = options;
  const eligible = ranked(candidates.filter(isEligible), options.order, count, options.rooms);
  const wanted = eligible.slice(0, count);
  let [inService, serving] = [0, 0];
  const chosen = wanted.filter((candidate) => {
    if (isLaunching(candidate)) return true;
    const serves = isServing(candidate);
    if (inService >= inServiceMax || (serves && serving >= servingMax)) return false;
    inService += 1;
    if (serves) serving += 1;
    return true;
  });
  const taken = new Set(chosen);
  const short = count - wanted.length;
  const unknown = Math.min(short, candidates.filter((one) => !isKnown(one) && !isProtected(one)).length);
  const shielded = Math.min(short - unknown, candidates.filter(isProtected).length);
  const choices = [
    ...chosen.map((candidate) => choice(candidate, true, whyChosen(candidate, options))),
    ...eligible.filter((one) => !taken.has(one)).map((one) => choice(one, false, `stays: ${stateText(one, options)}`)),
    ...candidates
      .filter((one) => !isEligible(one))
      .sort((a, b) => byNewest(b, a))
      .map((one) => choice(one, false, whyUntouchable(one))),
  ];
  return {
    chosen: chosen.map(({ view }) => view),
    needed: wanted.length - chosen.length,
    unknown,
    shielded,
    choices,
  };
}

function isKnown({ view, hostUp }: Candidate): boolean {
  return hostUp && view.fresh;
}

function isProtected({ view }: Candidate): boolean {
  return view.record.isProtected === true;
}

function isEligible(candidate: Candidate): boolean {
  return isKnown(candidate) && !isProtected(candidate);
}

function choice({ view }: Candidate, chosen: boolean, text: string): Choice {
  return { name: view.record.name, chosen, text };
}

function whyChosen(candidate: Candidate, options: VictimOptions): string {
  if (isLaunching(candidate)) return 'still launching: nobody uses it yet';
  const { unhealthy } = candidate.view;
  if (unhealthy !== undefined) return `unhealthy: ${unhealthy}`;
  const first = candidate.outdated === true ? 'outdated, ' : '';
  const { order } = options;
  switch (order.kind) {
    case 'oldest':
    case 'newest':
      return `${first}${order.kind}: ${ageText(candidate, options.nowMs)}`;
    case 'label':
      return `${first}first by ${stateText(candidate, options)}`;
    case 'fullest-host':
      return `${first}on the fullest host, ${candidate.view.record.host}: ${cpuText(candidate)}`;
    case 'idlest':
      if (candidate.percent === undefined) return `${first}not measured, and no measured VM is left to take`;
      return `${first}idlest: ${cpuText(candidate)}`;
  }
}

/** What the order looks at, of one that is left. */
function stateText(candidate: Candidate, { order, nowMs }: VictimOptions): string {
  if (isLaunching(candidate)) return 'still launching';
  switch (order.kind) {
    case 'oldest':
    case 'newest':
      return ageText(candidate, nowMs);
    case 'label': {
      const value = labelOf(candidate, order.label);
      return value === undefined ? `no label ${order.label}` : `label ${order.label} ${value}`;
    }
    case 'fullest-host':
      return `on host ${candidate.view.record.host}, ${cpuText(candidate)}`;
    case 'idlest':
      return cpuText(candidate);
  }
}

function cpuText({ percent }: Candidate): string {
  return percent === undefined ? 'CPU not measured' : `${percentText(percent)} CPU`;
}

function ageText(candidate: Candidate, nowMs: number): string {
  return `in service for ${durationText(nowMs - servedSinceMs(candidate))}`;
}

function whyUntouchable(candidate: Candidate): string {
  const { view, hostUp } = candidate;
  if (isProtected(candidate)) return 'stays: protected';
  return hostUp
    ? 'stays: it changed since its host was last asked'
    : `stays: its host ${view.record.host} does not answer`;
}
