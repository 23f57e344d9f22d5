// What must become true once the faults have ended: every group as desired, and nothing left over anywhere.
// Not here: what must hold all the time (invariants.ts).

import type { Engine } from '../../src/engine/engine.ts';
import type { Invariants } from './invariants.ts';
import { OWN_PREFIX } from './requests.ts';
import type { World } from './world.ts';

/** Why the system has not converged, one sentence each; empty when it has. */
export function leftToDo(
  engine: Engine | undefined,
  invariants: Invariants,
  world: World,
  nowMs: number,
): readonly string[] {
  if (engine === undefined) return ['no daemon runs'];
  const left: string[] = [];
  for (const host of engine.hosts()) if (host.condition !== 'up') left.push(`host ${host.name} is ${host.condition}`);
  for (const { policy, memory, vms, lastDecision } of engine.groups()) {
    // People's VMs may have filled the hosts: a group that says so has done what it can.
    if (lastDecision?.limits.some(({ limit }) => limit === 'no-host') && peopleHaveVms(invariants)) continue;
    const inService = vms.filter((vm) => vm.record.phase === 'in-service').length;
    if (memory.desired !== inService) left.push(`${policy.group}: desired ${memory.desired}, in service ${inService}`);
    const standby = vms.filter((vm) => vm.record.phase === 'standby').length;
    if (inService + standby > policy.max)
      left.push(`${policy.group}: ${inService} serve and ${standby} wait, max is ${policy.max}`);
    if (memory.refresh !== undefined && memory.refresh.state !== 'stopped')
      left.push(`${policy.group}: its refresh is ${memory.refresh.state}`);
    if (inService < policy.min || inService > policy.max)
      left.push(`${policy.group}: ${inService} is beyond its limits`);
  }
  for (const { id, kind, state } of engine.openOperations) left.push(`operation ${id} (${kind}) is ${state}`);
  for (const { record } of engine.vms()) {
    if (record.phase !== 'in-service' && record.phase !== 'standby')
      left.push(`${record.name} is ${record.phase} (${record.step})`);
  }
  return [...left, ...leftOnHosts(invariants, world, nowMs)];
}

function peopleHaveVms(invariants: Invariants): boolean {
  return invariants.records.values().some(({ group }) => group === undefined);
}

function leftOnHosts(invariants: Invariants, world: World, nowMs: number): readonly string[] {
  const left: string[] = [];
  const records = [...invariants.records.values()];
  for (const host of world.hosts) {
    const here = records.filter((record) => record.host === host.name);
    const domains = host.domains(nowMs);
    for (const record of here) {
      // People's own VMs are as people leave them.
      if (record.group === undefined) continue;
      const domain = domains.find((candidate) => candidate.uuid === record.uuid);
      const sleeps = record.standby === 'saved' || record.standby === 'stopped';
      if (domain === undefined || domain.running === sleeps) {
        const what = sleeps ? 'waits in standby, but is not stopped' : 'has a record, but does not run';
        left.push(`${record.name} ${what} on ${host.name}`);
      }
      if (
        record.phase === 'in-service' &&
        domain !== undefined &&
        domain.hostname !== record.name &&
        domain.metadata !== undefined
      )
        left.push(`${record.name} believes to be ${domain.hostname}`);
    }
    for (const domain of domains) {
      const known = here.some((record) => record.uuid === domain.uuid);
      if (domain.metadata !== undefined && !known) left.push(`the domain ${domain.name} on ${host.name} has no record`);
    }
    for (const disk of host.diskNames()) {
      // By name, wherever: hosts may share their storage, so a disk whose name is in use on any host is left alone.
      // A lost database can leave the disk of a VM that people asked for: nothing in its name says that it was ours alone.
      // Nor does anything say so where a stranger's domain has that name.
      const peoples =
        invariants.wasDatabaseLost && (disk.startsWith(OWN_PREFIX) || domains.some(({ name }) => name === disk));
      if (!peoples && !invariants.isForgotten(disk) && !records.some((record) => record.name === disk))
        left.push(`the disk ${disk} on ${host.name} has no record`);
    }
  }
  return left;
}
