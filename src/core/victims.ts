// Whom to remove: VMs nobody uses yet, then the idlest by measurement. Not here: how many (decide), or removing (steps).

import type { Choice } from './decision.ts';
import type { VmView } from './model.ts';
import { percentText } from './wording.ts';

/** An active VM (launching or in service) that could be removed. */
export interface Candidate {
  readonly view: VmView;
  readonly hostUp: boolean;
  /** Fresh CPU usage; absent when not measured. */
  readonly percent?: number;
}

export interface Victims {
  /** At most as many as asked for; fewer when the others must not be touched now. */
  readonly chosen: readonly VmView[];
  /** Of those asked for, how many must go on serving for now. */
  readonly needed: number;
  readonly choices: readonly Choice[];
}

/**
 * Launching VMs first, then those in service from idle to busy, unmeasured ones last; among equals the newest first.
 * Never one whose host does not answer or whose picture is older than its record. Of those in service at most `servingMax`:
 * a VM that launches may yet fail, so it replaces none that serves before it does so itself.
 */
export function chooseVictims(
  candidates: readonly Candidate[],
  count: number,
  servingMax: number = Number.POSITIVE_INFINITY,
): Victims {
  const eligible = candidates.filter(({ view, hostUp }) => hostUp && view.fresh).sort(compare);
  const wanted = eligible.slice(0, Math.max(0, count));
  const launching = wanted.filter((candidate) => !isServing(candidate));
  const chosen = wanted.slice(0, launching.length + servingMax);
  const left = eligible.slice(chosen.length);
  const untouchable = candidates.filter(({ view, hostUp }) => !(hostUp && view.fresh));
  const choices = [
    ...chosen.map((candidate) => choice(candidate, true, whyChosen(candidate))),
    ...left.map((candidate) => choice(candidate, false, `stays: ${stateText(candidate)}`)),
    ...untouchable.map((candidate) => choice(candidate, false, whyUntouchable(candidate))),
  ];
  return { chosen: chosen.map(({ view }) => view), needed: wanted.length - chosen.length, choices };
}

function compare(a: Candidate, b: Candidate): number {
  return (
    Number(isServing(a)) - Number(isServing(b)) ||
    (a.percent ?? Number.MAX_VALUE) - (b.percent ?? Number.MAX_VALUE) ||
    b.view.record.id - a.view.record.id ||
    (a.view.record.name < b.view.record.name ? -1 : 1)
  );
}

function isServing({ view }: Candidate): boolean {
  return view.record.phase === 'in-service';
}

function choice({ view }: Candidate, chosen: boolean, text: string): Choice {
  return { name: view.record.name, chosen, text };
}

function whyChosen(candidate: Candidate): string {
  if (!isServing(candidate)) return 'still launching: nobody uses it yet';
  if (candidate.percent === undefined) return 'not measured, and no measured VM is left to take';
  return `idlest: ${percentText(candidate.percent)} CPU`;
}

function stateText(candidate: Candidate): string {
  if (!isServing(candidate)) return 'still launching';
  return candidate.percent === undefined ? 'CPU not measured' : `${percentText(candidate.percent)} CPU`;
}

function whyUntouchable({ view, hostUp }: Candidate): string {
  return hostUp
    ? 'stays: it changed since its host was last asked'
    : `stays: its host ${view.record.host} does not answer`;
}
