// What people and guests say about VMs and groups: labels, protection, numbers. Not here: what rules make of it (core).

import type { GroupName, VmRecord } from '../core/model.ts';
import { noVm, type Refused, refuse } from './fabric-parts.ts';
import type { Ledger } from './ledger.ts';
import { type Outside, POSTED_NAMES_MAX } from './outside.ts';
import type { LoadedPolicy, PostedMetric, VmChange } from './view.ts';

/** The record with what was said about its VM. Nothing is looked at anew because of it. */
export function saidOf(record: VmRecord, { isProtected, labels }: VmChange): VmRecord {
  const { isProtected: before, labels: labelsBefore, ...kept } = record;
  const wanted = labels ?? labelsBefore ?? {};
  return {
    ...kept,
    ...((isProtected ?? before) === true && { isProtected: true }),
    ...(Object.keys(wanted).length > 0 && { labels: wanted }),
  };
}

export function takePosted(
  outside: Outside,
  ledger: Ledger,
  policies: ReadonlyMap<GroupName, LoadedPolicy>,
  group: GroupName,
  { name, value, vmId }: PostedMetric,
): Refused | undefined {
  if (!policies.has(group)) return refuse('not-found', `there is no group ${group}`);
  if (!Number.isFinite(value)) return refuse('invalid', `the value must be a finite number, not ${value}`, 'value');
  const vm = vmId === undefined ? undefined : ledger.vm(vmId);
  if (vmId !== undefined && vm === undefined) return noVm(vmId);
  if (vm !== undefined && vm.group !== group) return refuse('invalid', `VM ${vmId} is not in group ${group}`, 'vm');
  outside.forget((known) => policies.has(known), ledger.state.uuids);
  if (outside.post(group, name, value, vm)) return undefined;
  return refuse('too-many', `group ${group} has ${POSTED_NAMES_MAX} different numbers already; use one of their names`);
}
