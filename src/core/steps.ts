// What to do next about one VM: pure inference from its record and the picture, one step at a time, never a plan to the end.
// Not here: doing it (engine/executors). After any crash the next turn simply infers again.

import type { VmRecord, VmView } from './model.ts';

/** How long the phases of a group's VMs may last. A `Policy` is one. */
export interface StepTiming {
  readonly launchDeadlineMs: number;
  readonly drainGraceMs: number;
  readonly shutdownDeadlineMs: number;
}

/**
 * launching:  create-disk ▶ define ▶ start ▶ probe … ▶ (in service)          deadline over, or stopped: give-up
 * in-service: wait; gone or stopped: lost
 * draining:   wait … ▶ begin-removal                                          gone or stopped: lost
 * removing:   shutdown ▶ wait … ▶ mark-stopped │ destroy ▶ undefine ▶ delete-disk
 *             (`existing`:                                  ▶ forget)
 */
export type Step =
  | { readonly kind: 'create-disk' | 'define' | 'start' | 'probe' }
  | { readonly kind: 'give-up' | 'lost'; readonly reason: string }
  | { readonly kind: 'begin-removal' | 'shutdown' | 'mark-stopped' | 'destroy' | 'undefine' | 'delete-disk' | 'forget' }
  | { readonly kind: 'wait'; readonly untilMs?: number };

const WAIT: Step = { kind: 'wait' };

/** `hostUp`: the VM's host answers now. Nothing is taken away from a host that does not. */
export function nextStep(vm: VmView, timing: StepTiming, hostUp: boolean, nowMs: number): Step {
  switch (vm.record.phase) {
    case 'launching':
      return nextOfLaunch(vm, timing, nowMs);
    case 'in-service':
      return whenGone(vm) ?? WAIT;
    case 'draining': {
      const untilMs = vm.record.deadlineAtMs ?? vm.record.phaseAtMs + timing.drainGraceMs;
      return whenGone(vm) ?? (nowMs < untilMs ? { kind: 'wait', untilMs } : { kind: 'begin-removal' });
    }
    case 'removing':
      return hostUp ? nextOfRemoval(vm, timing, nowMs) : WAIT;
  }
}

function nextOfLaunch({ record, domain, fresh }: VmView, timing: StepTiming, nowMs: number): Step {
  const untilMs = record.deadlineAtMs ?? record.phaseAtMs + timing.launchDeadlineMs;
  if (nowMs >= untilMs) {
    const seconds = Math.round((nowMs - record.phaseAtMs) / 1000);
    return { kind: 'give-up', reason: `${notReady(record)} within ${seconds} s` };
  }
  if (record.step === 'intended') return { kind: 'create-disk' };
  if (record.step === 'disk-made') return { kind: 'define' };
  if (record.step === 'defined') return { kind: 'start' };
  if (fresh && domain?.state !== 'running' && domain?.state !== 'unknown') {
    return {
      kind: 'give-up',
      reason: domain ? 'it stopped before it was ready' : 'its domain vanished before it was ready',
    };
  }
  return { kind: 'probe' };
}

function notReady({ step, endpoint, ready }: VmRecord): string {
  if (step !== 'started') return 'it could not be started';
  if (endpoint === undefined) return 'no address of it became known';
  return `it did not answer http://${endpoint.address}:${endpoint.port}${ready.http.path}`;
}

/** Only a fresh picture can say that a VM is gone. */
function whenGone({ domain, fresh }: VmView): Step | undefined {
  if (!fresh) return undefined;
  if (domain === undefined) return { kind: 'lost', reason: 'its domain is no longer there; somebody removed it' };
  if (domain.state === 'stopped') return { kind: 'lost', reason: 'it stopped, and not because of us' };
  return undefined;
}

function nextOfRemoval({ record, domain, fresh }: VmView, timing: StepTiming, nowMs: number): Step {
  switch (record.step) {
    case 'stopping': {
      if (fresh && domain?.state !== 'running' && domain?.state !== 'unknown') return { kind: 'mark-stopped' };
      const untilMs = record.deadlineAtMs ?? record.changedAtMs + timing.shutdownDeadlineMs;
      return nowMs < untilMs ? { kind: 'wait', untilMs } : { kind: 'destroy' };
    }
    case 'stopped':
      return record.kind === 'existing' ? { kind: 'forget' } : { kind: 'undefine' };
    case 'undefined':
      return { kind: 'delete-disk' };
    default:
      return { kind: 'shutdown' };
  }
}
