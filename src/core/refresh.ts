// Rolling refresh: VMs of another template than the policy's are replaced, a few at a time. Not here: the launches and drains
// themselves (grow, victims), the verbs for people (refresh-verbs).
//
//   (none) ──outdated VMs──▶ running ◀──pause over, resumed──▶ paused (at a checkpoint, or by people)
//                              │  └──all replaced──▶ (none)
//        too many failed       ├──────▶ rolling-back ──all are as before──▶ stopped (rolled back)
//        launches              └──────▶ stopped
//   Another template in the policy begins anew from every state.

import type { Decision } from './decision.ts';
import type { Member } from './membership.ts';
import type { DurableMemory, RefreshMemory } from './memory.ts';
import type { VmRecord } from './model.ts';
import type { Policy, Refresh, Template } from './policy.ts';
import { madeFrom, templateBehind, templateKey, templateOf } from './template-match.ts';
import { vmsText } from './wording.ts';

export interface RefreshInput {
  readonly policy: Pick<Policy, 'refresh' | 'source'>;
  readonly memory: RefreshMemory | undefined;
  /** Launching or in service. */
  readonly active: readonly Member[];
  /** All of the group. */
  readonly members: readonly Member[];
  readonly desired: number;
  /** Nothing may be launched or removed now: it waits. */
  readonly isHeld: boolean;
  readonly nowMs: number;
}

export interface RefreshPlan {
  /** To be remembered; absent: no refresh is under way. */
  readonly memory?: RefreshMemory;
  /** What VMs shall be made from now; absent for listed domains. */
  readonly target?: Template;
  /** `target` is the template before the refresh. */
  readonly isPrevious: boolean;
  /** Replacing goes on now (or is paused on the way): only VMs made from `target` are taken into service. */
  readonly isUnderWay: boolean;
  /** VMs there shall be, launching or in service: `desired` and the surge. */
  readonly size: number;
  /** How many may exist beyond the policy's max. */
  readonly beyondMax: number;
  /** How many launches there is room for beside those that it is taking away. */
  readonly launchMax: number;
  /** VMs in service to be replaced. */
  readonly outdated: readonly Member[];
  /** How many of them may go now, and how many of those that are well. */
  readonly drains: { readonly all: number; readonly serving: number };
  /** It has just turned back: failures of the new template say nothing about the one before. */
  readonly turnedBack: boolean;
  readonly progress?: NonNullable<Decision['refresh']>;
}

export function planRefresh(input: RefreshInput): RefreshPlan {
  const { policy, desired, active } = input;
  const template = templateOf(policy);
  const memory = template && policy.refresh && nextMemory(input, template, policy.refresh);
  const goesBack = memory !== undefined && (memory.state === 'rolling-back' || memory.rolledBack === true);
  const target = goesBack ? memory.from : template;
  const still = {
    ...(memory !== undefined && { memory }),
    ...(target !== undefined && { target }),
    isPrevious: goesBack,
    isUnderWay: false,
    size: desired,
    beyondMax: 0,
    launchMax: Number.POSITIVE_INFINITY,
    outdated: [],
    drains: { all: 0, serving: 0 },
    turnedBack: memory?.state === 'rolling-back' && input.memory?.state !== 'rolling-back',
  };
  if (memory === undefined || target === undefined || policy.refresh === undefined) return still;
  const outdated = outdatedOf(active, target);
  const progress = progressOf(memory, input, target);
  if (memory.state === 'stopped') return { ...still, progress };
  const { surge, unavailable } = policy.refresh;
  const plan = {
    ...still,
    progress,
    isUnderWay: true,
    beyondMax: surge,
    launchMax: Math.max(0, desired + surge - active.length - leavingNow(input.members)),
  };
  // What the surge has brought stays until it goes on.
  const waits = memory.state === 'paused' || input.isHeld;
  if (waits) return { ...plan, outdated: [], size: Math.max(desired, Math.min(active.length, desired + surge)) };
  return {
    ...plan,
    outdated: outdated.filter(({ view }) => view.record.phase === 'in-service'),
    size: desired + Math.min(surge, outdated.length),
    drains: drainsNow(active, new Set(outdated), Math.max(0, desired - unavailable)),
  };
}

/** Those that do not serve may go as long as enough others do or are about to; the idea is that of Kubernetes' deployments. */
function drainsNow(active: readonly Member[], outdated: ReadonlySet<Member>, least: number): RefreshPlan['drains'] {
  const serving = Math.max(0, active.filter(isServing).length - least);
  const notYet = active.filter((member) => !outdated.has(member) && !isServing(member)).length;
  return { all: Math.max(serving, active.length - least - notYet), serving };
}

/** A launch has failed, or a VM was replaced as unhealthy. Only those of the template that the refresh leads to count against it. */
export function noteRefreshFailure(durable: DurableMemory, record: VmRecord): DurableMemory {
  const { refresh } = durable;
  if (refresh === undefined || (refresh.state !== 'running' && refresh.state !== 'paused')) return durable;
  const made = templateBehind(record);
  if (made === undefined || templateKey(made) !== refresh.to) return durable;
  return { ...durable, refresh: { ...refresh, failures: refresh.failures + 1 } };
}

/** Where the refresh stands from now on; undefined: none is needed (any more). */
function nextMemory(input: RefreshInput, template: Template, refresh: Refresh): RefreshMemory | undefined {
  const { memory: before, active, nowMs } = input;
  const to = templateKey(template);
  if (before === undefined || before.to !== to) {
    const outdated = outdatedOf(active, template);
    if (outdated.length === 0) return undefined;
    const from = templateBefore(before, to, outdated);
    const begun = { to, startedAtMs: nowMs, state: 'running', failures: 0, passed: 0, total: outdated.length } as const;
    return { ...begun, ...(from !== undefined && { from }) };
  }
  switch (before.state) {
    case 'stopped':
      return before;
    case 'rolling-back': {
      const { from } = before;
      if (from === undefined) return { ...before, state: 'stopped' };
      const total = Math.max(before.total, outdatedOf(active, from).length);
      return isDone(input, from) ? { ...before, total, state: 'stopped', rolledBack: true } : { ...before, total };
    }
    case 'paused':
    case 'running':
      return forward(before, input, template, refresh);
  }
}

function forward(
  before: RefreshMemory,
  input: RefreshInput,
  template: Template,
  refresh: Refresh,
): RefreshMemory | undefined {
  const { failures } = before;
  if (failures >= refresh.failures) {
    const reason = `${vmsText(failures)} of the new template failed`;
    const kept = withoutPause(before);
    if (refresh.onFailure === 'stop' || before.from === undefined) return { ...kept, state: 'stopped', reason };
    return { ...kept, state: 'rolling-back', reason, total: outdatedOf(input.active, before.from).length };
  }
  if (isDone(input, template)) return undefined;
  const outdated = outdatedOf(input.active, template).length;
  const counted = { ...before, total: Math.max(before.total, outdated) };
  if (before.state === 'paused') {
    if (before.resumeAtMs === undefined || input.nowMs < before.resumeAtMs) return counted;
    const { reason: _reason, ...going } = withoutPause(counted);
    return { ...going, state: 'running' };
  }
  const share = doneOf(counted, input, template) / Math.max(1, counted.total);
  const passed = refresh.checkpoints.filter((checkpoint) => share >= checkpoint).length;
  if (passed <= counted.passed) return counted;
  if (refresh.pauseMs <= 0) return { ...counted, passed };
  return { ...counted, passed, state: 'paused', pausedAtMs: input.nowMs, resumeAtMs: input.nowMs + refresh.pauseMs };
}

export function withoutPause({ pausedAtMs: _began, resumeAtMs: _ends, ...kept }: RefreshMemory): RefreshMemory {
  return kept;
}

/** The last template that the whole group was made from, as far as anybody knows. */
function templateBefore(
  before: RefreshMemory | undefined,
  to: string,
  outdated: readonly Member[],
): Template | undefined {
  if (before?.from !== undefined) return templateKey(before.from) === to ? undefined : before.from;
  const counts = new Map<string, { readonly template: Template; count: number }>();
  for (const { view } of outdated.toSorted((a, b) => a.view.record.id - b.view.record.id)) {
    const template = templateBehind(view.record);
    if (template === undefined) continue;
    const key = templateKey(template);
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { template, count: 1 });
    else known.count += 1;
  }
  let most: { readonly template: Template; count: number } | undefined;
  for (const one of counts.values()) if (most === undefined || one.count > most.count) most = one;
  return most?.template;
}

/** Protected VMs stay as they are. */
function outdatedOf(active: readonly Member[], template: Template): readonly Member[] {
  return active.filter(({ view: { record } }) => record.isProtected !== true && !madeFrom(record, template));
}

function isDone({ active, desired }: RefreshInput, template: Template): boolean {
  const settled = active.length >= desired && active.every(({ view }) => view.record.phase === 'in-service');
  return settled && outdatedOf(active, template).length === 0;
}

/** Those replaced whose successors serve. */
function doneOf({ total }: RefreshMemory, { active, desired }: RefreshInput, template: Template): number {
  const inService = active.filter(({ view }) => view.record.phase === 'in-service').length;
  return Math.max(0, total - outdatedOf(active, template).length - Math.max(0, desired - inService));
}

/** A VM that certainly serves: what a silent host's VMs do, nobody knows. */
function isServing({ view, hostUp }: Member): boolean {
  return view.record.phase === 'in-service' && view.unhealthy === undefined && hostUp;
}

/** VMs that the refresh is taking away; not those that cannot be finished because their host is silent. */
function leavingNow(members: readonly Member[]): number {
  return members.filter(({ view: { record }, hostUp }) => {
    return hostUp && record.leaving === 'refresh' && (record.phase === 'draining' || record.phase === 'removing');
  }).length;
}

function progressOf(memory: RefreshMemory, input: RefreshInput, target: Template): NonNullable<Decision['refresh']> {
  const done = doneOf(memory, input, target);
  const { reason, resumeAtMs, rolledBack, state, total } = memory;
  const shielded = input.active.filter(
    ({ view: { record } }) => record.isProtected && !madeFrom(record, target),
  ).length;
  const stays = shielded > 0 ? ` ${vmsText(shielded)} protected: left as they are.` : '';
  const because = reason === undefined ? '' : ` (${reason})`;
  const count = `${done} of ${vmsText(total)}`;
  switch (state) {
    case 'running':
      return { done, total, text: `Refresh: ${count} replaced.${stays}` };
    case 'paused': {
      const pause = resumeAtMs === undefined ? 'paused' : 'paused at a checkpoint';
      return { done, total, text: `Refresh ${pause}${because}: ${count} replaced.${stays}` };
    }
    case 'rolling-back':
      return { done, total, text: `Refresh going back${because}: ${count} replaced.${stays}` };
    case 'stopped':
      return { done, total, text: rolledBack ? `Refresh went back${because}.` : `Refresh stopped${because}.` };
  }
}
