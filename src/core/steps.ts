// What is to be done next about one VM: inferred from its record and the picture, never from what somebody remembers.
// Not here: doing it, retrying it, recording it (engine).

import type { VmRecord, VmStep, VmView } from './model.ts';
import type { Policy } from './policy.ts';

/** The part of a policy that steps need. */
export type Conduct = Pick<Policy, 'balancer' | 'drainGraceMs' | 'hooks' | 'launchDeadlineMs' | 'shutdownDeadlineMs'>;

/**
 * One step. Each may be repeated: a crash after doing it and before recording it does it once more.
 *
 *   launching   clone:    create-disk ─▶ define ─▶ start (fork: from the template's memory) ─▶ probe ─▶ enter
 *               existing:                          start ─▶ probe ─▶ enter
 *               standby:  wake ─▶ probe ─▶ enter;   to become one: … ─▶ probe ─▶ park ─▶ (standby)
 *               a fork, or one that was paused or saved, is made its own before it is probed: personalise
 *               with a hook: enter only after ask-hook; with a balancer: enter means to join it first
 *               past the deadline, gone, or stopped again: give-up ─▶ (removing)
 *   standby     wait;  vanished: lost ─▶ (removing)
 *   in-service  wait;  vanished or stopped by itself: lost ─▶ (removing)
 *   draining    wait for the grace to end, or with a balancer for the last session (await-sessions);  ask-hook where there is one;
 *               then, or when it is down already: begin-removal ─▶ (removing)
 *   removing    intended: shutdown ─▶ stopping: wait ─▶ mark-stopped, or past the deadline: destroy (existing: shutdown) ─▶ stopped
 *               clone:    stopped: undefine ─▶ undefined: delete-disk ─▶ (gone)
 *               existing: stopped: forget ─▶ (gone)
 *
 * Whatever takes something away (shutdown, destroy, undefine, delete-disk) waits for a host that is up, and nothing is taken
 * for gone or stopped that a fresh picture does not show so.
 */
export type Step =
  /** Bring the image to the host, which can take as long as the image is large. */
  | { readonly kind: 'place-image' }
  | { readonly kind: 'create-disk' }
  | { readonly kind: 'define' }
  | { readonly kind: 'start' }
  /** As `start`, from the template's memory; what cannot be forked is booted. */
  | { readonly kind: 'fork' }
  | { readonly kind: 'wake' }
  /** Make a guest that has slept or is a copy its own. */
  | { readonly kind: 'personalise' }
  /** Find out where it answers, and whether it does. */
  | { readonly kind: 'probe' }
  /** Ask outside whether it may go into service, or be removed. */
  | { readonly kind: 'ask-hook'; readonly hook: 'launch' | 'remove' }
  /** Into service, by way of the balancer where there is one. */
  | { readonly kind: 'enter' }
  /** Send it to standby. `settled`: it has stopped as it was asked to. */
  | { readonly kind: 'park'; readonly settled: boolean }
  | { readonly kind: 'await-sessions'; readonly untilMs: number }
  | { readonly kind: 'give-up'; readonly reason: string }
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'begin-removal' }
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'destroy' }
  | { readonly kind: 'mark-stopped' }
  | { readonly kind: 'undefine' }
  /** The last step of a clone: when it is done the record can go. */
  | { readonly kind: 'delete-disk' }
  | { readonly kind: 'forget' }
  /** An adopted domain is let go: our metadata is taken out of it, everything else stays. */
  | { readonly kind: 'release' }
  /** Nothing to do; `untilMs` says when time alone will change that. */
  | { readonly kind: 'wait'; readonly untilMs?: number };

const WAIT: Step = { kind: 'wait' };
/** A large image over a slow line takes its time; the launch's own deadline begins when the image is there. */
const IMAGE_PATIENCE_MS = 6 * 3_600_000;

/** The next step for a VM. `hostUp`: its host answers now. */
export function nextStep(view: VmView, conduct: Conduct, hostUp: boolean, nowMs: number): Step {
  // Whatever takes it away waits until it is certain where it is.
  if (view.record.moving !== undefined && view.record.phase === 'removing') return WAIT;
  switch (view.record.phase) {
    case 'launching':
      return nextLaunchStep(view, conduct, hostUp, nowMs);
    case 'in-service': {
      // What people made by themselves they also stop and lose by themselves: it is shown, and stays theirs to delete.
      if (view.record.group === undefined) return WAIT;
      const reason = downReason(view);
      return reason === undefined ? WAIT : { kind: 'lost', reason };
    }
    case 'standby':
      return nextStandbyStep(view);
    case 'draining':
      return nextDrainStep(view, conduct, nowMs);
    case 'removing':
      return nextRemovalStep(view, conduct, hostUp, nowMs);
  }
}

function nextStandbyStep(view: VmView): Step {
  const { record, domain, fresh } = view;
  const mayStop = record.standby !== 'paused';
  if (!fresh || (domain !== undefined && (mayStop || domain.state !== 'stopped'))) return WAIT;
  return { kind: 'lost', reason: downReason(view) ?? 'it is no standby any more' };
}

function nextDrainStep(view: VmView, conduct: Conduct, nowMs: number): Step {
  const { record } = view;
  if (downReason(view) !== undefined || record.step === 'approved') return { kind: 'begin-removal' };
  const untilMs = record.deadlineAtMs ?? record.phaseAtMs + conduct.drainGraceMs;
  if (nowMs < untilMs)
    return conduct.balancer === undefined ? { kind: 'wait', untilMs } : { kind: 'await-sessions', untilMs };
  return conduct.hooks.remove === undefined ? { kind: 'begin-removal' } : { kind: 'ask-hook', hook: 'remove' };
}

function nextLaunchStep(view: VmView, conduct: Conduct, hostUp: boolean, nowMs: number): Step {
  const { record, fresh, domain } = view;
  const step = reachedLaunchStep(view);
  const awaitsImage = step === 'intended' && record.image?.content !== undefined;
  const deadlineAtMs = awaitsImage
    ? record.phaseAtMs + IMAGE_PATIENCE_MS
    : (record.deadlineAtMs ?? record.phaseAtMs + conduct.launchDeadlineMs);
  if (nowMs >= deadlineAtMs) return { kind: 'give-up', reason: notReadyReason(record, deadlineAtMs) };
  const stops = record.step === 'ready' && (record.standby === 'stopped' || record.standby === 'saved');
  if (stops && fresh && domain?.state === 'stopped') {
    // One that is to be saved may be that already, or have stopped by itself: saving it once more tells.
    return hostUp ? { kind: 'park', settled: record.standby === 'stopped' } : WAIT;
  }
  if (fresh && HAS_RUN.has(record.step) && domain?.state !== 'running' && domain?.state !== 'unknown') {
    const what = domain ? 'stopped' : 'vanished';
    return { kind: 'give-up', reason: `it ${what} before it was ready` };
  }
  if (fresh && domain === undefined && (step === 'defined' || step === 'parked')) {
    const what = record.kind === 'existing' ? 'there is no such domain' : 'its domain vanished';
    return { kind: 'give-up', reason: `${what} on host ${record.host}` };
  }
  switch (step) {
    case 'approved':
      return { kind: 'enter' };
    case 'ready':
      if (record.standby !== undefined) return hostUp ? { kind: 'park', settled: false } : WAIT;
      return conduct.hooks.launch === undefined ? { kind: 'enter' } : { kind: 'ask-hook', hook: 'launch' };
    // The guest may answer although its host's libvirt does not; what comes before needs the host.
    case 'personalised':
      return { kind: 'probe' };
    case 'started':
      if (!mustBePersonalised(record)) return { kind: 'probe' };
      break;
  }
  if (!hostUp) return { kind: 'wait', untilMs: deadlineAtMs };
  switch (step) {
    case 'started':
      return { kind: 'personalise' };
    case 'parked':
      return { kind: 'wake' };
    case 'defined':
      return { kind: record.way === 'fork' ? 'fork' : 'start' };
    case 'disk-made':
      return { kind: 'define' };
    default:
      return awaitsImage && record.way !== 'fork' ? { kind: 'place-image' } : { kind: 'create-disk' };
  }
}

/** Steps after which a launch's domain runs, unless something ended it. */
const HAS_RUN: ReadonlySet<VmStep> = new Set(['started', 'personalised', 'ready', 'approved']);

/** It was copied, or its clock stood still. */
function mustBePersonalised({ way }: VmRecord): boolean {
  return way === 'fork' || way === 'paused' || way === 'saved';
}

/**
 * How far a launch has really come. A domain with our uuid proves that it was defined (hence its disk made), and a fresh running
 * one that it was started, even if a crash came before that was recorded.
 */
function reachedLaunchStep({ record, fresh, domain }: VmView): VmStep {
  if (HAS_RUN.has(record.step)) return record.step;
  if (fresh && domain?.state === 'running' && domain.paused !== true) return 'started';
  if (record.step === 'parked') return 'parked';
  // What an old picture shows may be the try before: a fork that was not possible, and is booted now.
  const isThere = domain !== undefined && fresh;
  return isThere || record.kind === 'existing' ? 'defined' : record.step;
}

function nextRemovalStep(view: VmView, conduct: Conduct, hostUp: boolean, nowMs: number): Step {
  const { record, fresh, domain } = view;
  const existing = record.kind === 'existing';
  if (record.kind === 'adopted') return hostUp ? { kind: 'release' } : WAIT;
  switch (record.step) {
    case 'stopped':
      if (existing) return { kind: 'forget' };
      if (!hostUp) return WAIT;
      // Somebody started it again: a domain that runs can be neither undefined nor robbed of its disk.
      return fresh && domain?.state === 'running' ? { kind: 'destroy' } : { kind: 'undefine' };
    case 'undefined':
      return hostUp ? { kind: 'delete-disk' } : WAIT;
    case 'stopping': {
      if (downReason(view) !== undefined) return { kind: 'mark-stopped' };
      const untilMs = record.deadlineAtMs ?? record.changedAtMs + conduct.shutdownDeadlineMs;
      if (nowMs < untilMs) return { kind: 'wait', untilMs };
      if (!hostUp) return WAIT;
      // A domain that is not ours to make is not ours to pull the plug on: it is asked again.
      return { kind: existing ? 'shutdown' : 'destroy' };
    }
    default:
      if (downReason(view) !== undefined) return { kind: 'mark-stopped' };
      return hostUp ? { kind: 'shutdown' } : WAIT;
  }
}

/** Why the VM is certainly not running; undefined when it runs or nobody can say. */
function downReason({ record, domain, fresh }: VmView): string | undefined {
  if (!fresh) return undefined;
  if (domain === undefined) return `its domain is gone from host ${record.host}`;
  return domain.state === 'stopped' ? 'it stopped by itself' : undefined;
}

function notReadyReason(record: VmRecord, deadlineAtMs: number): string {
  const seconds = Math.round((deadlineAtMs - record.phaseAtMs) / 1000);
  if (record.step === 'ready' || record.step === 'approved')
    return `it answered, but did not get into service within ${seconds} s`;
  const how = record.step === 'started' ? '' : ` (it came as far as: ${record.step})`;
  return `not ready within ${seconds} s${how}`;
}
