// Finds domains that are ours by what is written in them, but of which no record is left, and takes them back in.
// A lost database loses no VM. Not here: deciding whether they are too many (decide does, next).

import type { NewEvent } from '../core/events.ts';
import type { DomainObservation, HostView, VmRecord } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';
import type { Change, LedgerState } from './ledger.ts';
import { eventVm } from './records.ts';

/** Uuids of VMs that were forgotten, with the engine time of it: an older picture may still show their domains. */
export type Forgotten = ReadonlyMap<string, number>;

export function adoptStrays(
  state: LedgerState,
  hosts: readonly HostView[],
  policies: ReadonlyMap<string, Policy>,
  forgotten: Forgotten,
  nowMs: number,
): Change | undefined {
  const known = new Set([...state.vms.values()].map((vm) => vm.uuid));
  const taken = new Set(state.vms.keys());
  const listed = listedDomains(policies);
  const putVms: VmRecord[] = [];
  const events: NewEvent[] = [];
  let nextVmId = state.nextVmId;

  for (const host of hosts) {
    const { last } = host;
    if (host.state !== 'up' || last === undefined) continue;
    for (const domain of last.domains) {
      if (known.has(domain.uuid) || (forgotten.get(domain.uuid) ?? -1) >= last.startedAtMs) continue;
      const policy = domain.metadata
        ? policies.get(domain.metadata.group)
        : domain.state === 'running'
          ? listed.get(domain.name)
          : undefined;
      if (policy === undefined) continue;
      const wanted = domain.metadata?.id;
      const id = wanted !== undefined && !taken.has(wanted) ? wanted : nextVmId;
      nextVmId = Math.max(nextVmId, id + 1);
      taken.add(id);
      known.add(domain.uuid);
      const record = recordOf(domain, host.name, policy, id, nowMs);
      putVms.push(record);
      events.push({
        type: 'vm.adopted',
        group: policy.group,
        vm: eventVm(record),
        reason: domain.metadata
          ? 'its domain carries our metadata, and no record of it was left'
          : 'it is listed in the policy and runs already',
      });
    }
  }
  if (putVms.length === 0) return undefined;
  return { putVms, events, ...(nextVmId !== state.nextVmId && { nextVmId }) };
}

function listedDomains(policies: ReadonlyMap<string, Policy>): ReadonlyMap<string, Policy> {
  const listed = new Map<string, Policy>();
  for (const policy of policies.values()) {
    if (policy.source.kind !== 'domains') continue;
    for (const domain of policy.source.domains) listed.set(domain.name, policy);
  }
  return listed;
}

function recordOf(domain: DomainObservation, host: string, policy: Policy, id: number, nowMs: number): VmRecord {
  const { metadata } = domain;
  const { source } = policy;
  const ready = source.kind === 'template' ? source.template.ready : source.ready;
  const address = source.kind === 'domains' ? source.domains.find((d) => d.name === domain.name)?.address : undefined;
  const endpoint = metadata?.endpoint ?? (address === undefined ? undefined : { address, port: ready.http.port });
  return {
    id,
    name: domain.name,
    uuid: domain.uuid,
    group: policy.group,
    host,
    kind: metadata ? 'clone' : 'existing',
    owner: metadata?.owner ?? '',
    operation: metadata?.operation ?? 'adopted',
    ready,
    phase: 'launching',
    step: domain.state === 'running' ? 'started' : 'defined',
    phaseAtMs: nowMs,
    changedAtMs: nowMs,
    deadlineAtMs: nowMs + policy.launchDeadlineMs,
    tries: 0,
    ...(endpoint && { endpoint }),
  };
}
