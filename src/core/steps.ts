// What is to be done next about one VM: inferred from its record and the picture, never from what somebody remembers.
// Not here: doing it, retrying it, recording it (engine).

import type { VmRecord, VmStep, VmView } from './model.ts';

/** The part of a policy that steps need. */
export interface StepTiming {
  readonly launchDeadlineMs: number;
  readonly drainGraceMs: number;
  readonly shutdownDeadlineMs: number;
}

/**
 * One step. Each may be repeated: a crash after doing it and before recording it does it once more.
 *
 *   launching   clone:    create-disk ─▶ define ─▶ start ─▶ probe ─▶ (in service)
 *               existing:                          start ─▶ probe ─▶ (in service)
 *               past the deadline, gone, or stopped again: give-up ─▶ (removing)
 *   in-service  wait;  vanished or stopped by itself: lost ─▶ (removing)
 *   draining    wait for the grace to end;  then, or when it is down already: begin-removal ─▶ (removing)
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
  /** Find out where it answers, and whether it does. */
  | { readonly kind: 'probe' }
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
export function nextStep(view: VmView, timing: StepTiming, hostUp: boolean, nowMs: number): Step {
  switch (view.record.phase) {
    case 'launching':
      return nextLaunchStep(view, timing, hostUp, nowMs);
    case 'in-service': {
      // What people made by themselves they also stop and lose by themselves: it is shown, and stays theirs to delete.
      if (view.record.group === undefined) return WAIT;
      const reason = downReason(view);
      return reason === undefined ? WAIT : { kind: 'lost', reason };
    }
    case 'draining': {
      const untilMs = view.record.deadlineAtMs ?? view.record.phaseAtMs + timing.drainGraceMs;
      const over = nowMs >= untilMs || downReason(view) !== undefined;
      return over ? { kind: 'begin-removal' } : { kind: 'wait', untilMs };
    }
    case 'removing':
      return nextRemovalStep(view, timing, hostUp, nowMs);
  }
}

function nextLaunchStep(view: VmView, timing: StepTiming, hostUp: boolean, nowMs: number): Step {
  const { record, fresh, domain } = view;
  const step = reachedLaunchStep(view);
  const awaitsImage = step === 'intended' && record.image?.content !== undefined;
  const deadlineAtMs = awaitsImage
    ? record.phaseAtMs + IMAGE_PATIENCE_MS
    : (record.deadlineAtMs ?? record.phaseAtMs + timing.launchDeadlineMs);
  if (nowMs >= deadlineAtMs) return { kind: 'give-up', reason: notReadyReason(record, deadlineAtMs) };
  if (fresh && record.step === 'started' && domain?.state !== 'running' && domain?.state !== 'unknown') {
    const what = domain ? 'stopped' : 'vanished';
    return { kind: 'give-up', reason: `it ${what} before it was ready` };
  }
  if (fresh && domain === undefined && step === 'defined') {
    const what = record.kind === 'existing' ? 'there is no such domain' : 'its domain vanished';
    return { kind: 'give-up', reason: `${what} on host ${record.host}` };
  }
  // The guest may answer although its host's libvirt does not; everything before needs the host.
  if (step === 'started') return { kind: 'probe' };
  if (!hostUp) return { kind: 'wait', untilMs: deadlineAtMs };
  if (step === 'defined') return { kind: 'start' };
  if (step === 'disk-made') return { kind: 'define' };
  return awaitsImage ? { kind: 'place-image' } : { kind: 'create-disk' };
}

/**
 * How far a launch has really come. A domain with our uuid proves that it was defined (hence its disk made), and a fresh running
 * one that it was started, even if a crash came before that was recorded.
 */
function reachedLaunchStep({ record, fresh, domain }: VmView): VmStep {
  if (record.step === 'started' || (fresh && domain?.state === 'running')) return 'started';
  return domain !== undefined || record.kind === 'existing' ? 'defined' : record.step;
}

function nextRemovalStep(view: VmView, timing: StepTiming, hostUp: boolean, nowMs: number): Step {
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
      const untilMs = record.deadlineAtMs ?? record.changedAtMs + timing.shutdownDeadlineMs;
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
  const how = record.step === 'started' ? '' : ` (it came as far as: ${record.step})`;
  return `not ready within ${seconds} s${how}`;
}
