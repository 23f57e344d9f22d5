// Finds domains that are ours by what is written in them, but of which no record is left, and takes them back in.
// A lost database loses no VM. Not here: deciding whether they are too many (decide does, next).

import type { NewEvent } from '../core/events.ts';
import type { DomainObservation, Flavor, HostView, VmMetadata, VmRecord } from '../core/model.ts';
import type { Policy } from '../core/policy.ts';
import { portOf } from '../core/ready-check.ts';
import type { Change, LedgerState } from './ledger.ts';
import { aboutVm } from './records.ts';

/** Uuids of VMs that were forgotten, with the engine time of it: an older picture may still show their domains. */
export type Forgotten = ReadonlyMap<string, number>;

export function adoptStrays(
  state: LedgerState,
  hosts: readonly HostView[],
  policies: ReadonlyMap<string, Policy>,
  forgotten: Forgotten,
  flavors: readonly Flavor[],
  nowMs: number,
): Change | undefined {
  /** Of those taken in just now. */
  const uuids = new Set<string>();
  const ids = new Set<number>();
  const listed = listedDomains(policies);
  const putVms: VmRecord[] = [];
  const events: NewEvent[] = [];
  let nextVmId = state.nextVmId;

  for (const host of hosts) {
    const { last } = host;
    if (host.state !== 'up' || last === undefined) continue;
    for (const domain of last.domains) {
      if (
        isLesserCopy(domain, host.name, hosts) ||
        state.uuids.has(domain.uuid) ||
        uuids.has(domain.uuid) ||
        (forgotten.get(domain.uuid) ?? -1) >= last.startedAtMs
      )
        continue;
      const { metadata } = domain;
      const group = metadata?.group;
      const alone = metadata !== undefined && group === undefined;
      const running = metadata === undefined && domain.state === 'running';
      const policy = group !== undefined ? policies.get(group) : running ? listed.get(domain.name) : undefined;
      if (policy === undefined && !alone) continue;
      const wanted = metadata?.id;
      const free = wanted !== undefined && !state.vms.has(wanted) && !ids.has(wanted);
      const id = free ? wanted : nextVmId;
      nextVmId = Math.max(nextVmId, id + 1);
      ids.add(id);
      uuids.add(domain.uuid);
      const at = { id, host: host.name, nowMs };
      const record = policy
        ? recordOf(domain, policy, at)
        : metadata && recordAlone(domain, metadata, state, flavors, at);
      if (record === undefined) continue;
      putVms.push(record);
      events.push({
        type: 'vm.adopted',
        ...aboutVm(record),
        reason: metadata
          ? 'its domain carries our metadata, and no record of it was left'
          : 'it is listed in the policy and runs already',
      });
    }
  }
  if (putVms.length === 0) return undefined;
  return { putVms, events, ...(nextVmId !== state.nextVmId && { nextVmId }) };
}

/** The database was lost while a VM moved: of its two copies the one that runs is the VM; while a host is silent nobody can say. */
function isLesserCopy(domain: DomainObservation, host: string, hosts: readonly HostView[]): boolean {
  if (domain.metadata === undefined || (domain.state === 'running' && domain.paused !== true)) return false;
  return hosts.some(
    ({ last, name }) =>
      name !== host &&
      last?.domains.some(({ paused, state, uuid }) => uuid === domain.uuid && state === 'running' && !paused),
  );
}

function listedDomains(policies: ReadonlyMap<string, Policy>): ReadonlyMap<string, Policy> {
  const listed = new Map<string, Policy>();
  for (const policy of policies.values()) {
    if (policy.source.kind !== 'domains') continue;
    for (const domain of policy.source.domains) listed.set(domain.name, policy);
  }
  return listed;
}

interface At {
  readonly id: number;
  readonly host: string;
  readonly nowMs: number;
}

/** A VM without a group: as it is found, so it stays. */
function recordAlone(
  domain: DomainObservation,
  metadata: VmMetadata,
  state: LedgerState,
  flavors: readonly Flavor[],
  { id, host, nowMs }: At,
): VmRecord {
  const image = state.images.get(metadata.image)?.image;
  const flavor = flavors.find(({ name }) => name === metadata.flavor);
  return {
    id,
    name: domain.name,
    uuid: domain.uuid,
    host,
    kind: metadata.adopted ? 'adopted' : metadata.image === '' ? 'blank' : 'clone',
    owner: metadata.owner,
    operation: metadata.operation,
    ...(image && { image }),
    // It may have been given more or less since it was made.
    ...(flavor && { flavor: { ...flavor, vcpus: domain.vcpus, memoryMiB: domain.memoryMiB } }),
    power: domain.paused ? 'paused' : domain.state === 'running' ? 'running' : 'stopped',
    phase: 'in-service',
    step: 'started',
    phaseAtMs: nowMs,
    changedAtMs: nowMs,
    tries: 0,
    ...(metadata.endpoint && { endpoint: metadata.endpoint }),
  };
}

function recordOf(domain: DomainObservation, policy: Policy, { id, host, nowMs }: At): VmRecord {
  const { metadata } = domain;
  const { source } = policy;
  const ready = source.kind === 'template' ? source.template.ready : source.ready;
  const address = source.kind === 'domains' ? source.domains.find((d) => d.name === domain.name)?.address : undefined;
  const port = portOf(ready);
  const known = address === undefined || port === undefined ? undefined : { address, port };
  const endpoint = metadata?.endpoint ?? known;
  // A VM of ours whose vCPUs stand still waited in standby.
  const waits = metadata !== undefined && domain.paused === true;
  const runs = domain.state === 'running';
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
    phase: waits ? 'standby' : 'launching',
    step: waits ? 'parked' : runs ? 'started' : 'defined',
    // Nobody knows any more whether it was made its own: to do so again changes nothing.
    ...(runs && metadata?.template !== undefined && { way: 'fork' as const }),
    ...(waits && { standby: 'paused' as const }),
    phaseAtMs: nowMs,
    changedAtMs: nowMs,
    deadlineAtMs: nowMs + policy.launchDeadlineMs,
    tries: 0,
    ...(endpoint && { endpoint }),
  };
}
