// Joins the records with what the hosts last said into the one immutable picture a turn works on.
// Not here: polling (host-watch) or judging (core).

import type { DomainObservation, HostObservation, HostView, Snapshot, VmRecord, VmView } from '../core/model.ts';

/**
 * A VM's part of the picture is fresh when its host is up, the poll began after the record last changed, and no step is
 * being carried out on it: only then does an absent domain mean that it is gone.
 */
export function joinSnapshot(
  hosts: readonly HostView[],
  records: Iterable<VmRecord>,
  inFlight: { has(vmId: number): boolean },
  atMs: number,
  unhealthy: (vmId: number) => string | undefined = () => undefined,
): Snapshot {
  const byHost = new Map(hosts.map((host) => [host.name, host]));
  const vms = Array.from(records, (record): VmView => {
    const view = joinVm(record, byHost.get(record.host), inFlight);
    const reason = unhealthy(record.id);
    return reason === undefined ? view : { ...view, unhealthy: reason };
  });
  return { atMs, hosts, vms };
}

/** One VM's part of the picture. */
export function joinVm(
  record: VmRecord,
  host: HostView | undefined,
  inFlight: { has(vmId: number): boolean } = NOTHING,
): VmView {
  const domain = host && domainsByUuid(host)?.get(record.uuid);
  const isLater = host?.state === 'up' && (host.last?.startedAtMs ?? 0) >= record.changedAtMs;
  // One that is being moved may be gone from its host because it has arrived at the other.
  const isWhole = record.moving === undefined || domain?.state === 'running';
  const fresh = isLater && isWhole && !inFlight.has(record.id);
  return { record, fresh, ...(domain && { domain }) };
}

const NOTHING = { has: () => false };

/** An observation is looked at by many, and never changes. */
const indexes = new WeakMap<HostObservation, ReadonlyMap<string, DomainObservation>>();

function domainsByUuid({ last }: HostView): ReadonlyMap<string, DomainObservation> | undefined {
  if (last === undefined) return undefined;
  const known = indexes.get(last);
  if (known !== undefined) return known;
  const index = new Map(last.domains.map((domain) => [domain.uuid, domain]));
  indexes.set(last, index);
  return index;
}
