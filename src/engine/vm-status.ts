// One VM as the edges see it: what it should be, what it is, and why that differs. Pure.

import type { HostView, VmRecord, VmView } from '../core/model.ts';
import type { HostCondition, VmStatus } from './view.ts';

export interface VmStatusParts {
  readonly view: VmView;
  readonly host: HostView | undefined;
  readonly condition: HostCondition | undefined;
  readonly phaseAt: string;
  readonly cpuPercent?: number | undefined;
  readonly unhealthy?: string | undefined;
}

export function vmStatus({ view, host, condition, phaseAt, cpuPercent, unhealthy }: VmStatusParts): VmStatus {
  const { domain, record } = view;
  const state = stateOf(host, view);
  const desired = desiredOf(record);
  const difference = state === desired ? undefined : differenceOf(view, state, desired, host, condition);
  return {
    record,
    state,
    desired,
    phaseAt,
    ...(difference !== undefined && { difference }),
    ...(cpuPercent !== undefined && { cpuPercent }),
    ...(unhealthy !== undefined && { unhealthy }),
    ...(domain && { vcpus: domain.vcpus, memoryMiB: domain.memoryMiB }),
    ...(domain?.cpuTimeNs !== undefined && { cpuTimeNs: domain.cpuTimeNs }),
  };
}

function stateOf(host: HostView | undefined, { domain, fresh, record }: VmView): VmStatus['state'] {
  if (host?.state !== 'up') return 'unknown';
  // Started since its host was last asked.
  if (domain === undefined && !fresh && record.step === 'started') return 'running';
  if (domain === undefined) return 'absent';
  return domain.state === 'running' && domain.paused === true ? 'paused' : domain.state;
}

function desiredOf({ kind, phase, power = 'running' }: VmRecord): VmStatus['desired'] {
  if (phase !== 'removing') return phase === 'in-service' ? power : 'running';
  return kind === 'existing' || kind === 'adopted' ? 'stopped' : 'absent';
}

function differenceOf(
  { fresh, record }: VmView,
  state: VmStatus['state'],
  desired: VmStatus['desired'],
  host: HostView | undefined,
  condition: HostCondition | undefined,
): string {
  if (host === undefined) return `host ${record.host} is not in the configuration any more`;
  if (state === 'unknown') {
    if (host.state === 'up') return 'libvirt does not say what it does';
    return condition === 'connecting'
      ? `host ${record.host} has not answered yet`
      : `host ${record.host} does not answer: ${host.reason ?? 'no reason given'}`;
  }
  if (record.phase === 'launching') return `it is being launched (${record.step})`;
  if (record.phase === 'removing') return `it is being removed (${record.step})`;
  if (!fresh) return 'it was changed a moment ago; its host has not been asked since';
  if (state === 'absent')
    return `its domain is gone from host ${record.host}, not through virtscale; delete the VM to clean up`;
  if (state === 'stopped') return 'it stopped by itself, or somebody stopped it outside virtscale';
  return desired === 'stopped'
    ? 'somebody started it outside virtscale'
    : `somebody made it ${state} outside virtscale`;
}
