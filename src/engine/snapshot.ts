// Joins the records with what the hosts last said into the one immutable picture a turn works on.
// Not here: polling (host-watch) or judging (core).

import type { DomainObservation, HostView, Snapshot, VmRecord, VmView } from '../core/model.ts';

/**
 * A VM's part of the picture is fresh when its host is up, the poll began after the record last changed, and no step is
 * being carried out on it: only then does an absent domain mean that it is gone.
 */
export function joinSnapshot(
  hosts: readonly HostView[],
  records: Iterable<VmRecord>,
  inFlight: { has(vmId: number): boolean },
  atMs: number,
): Snapshot {
  const byHost = new Map(hosts.map((host) => [host.name, { host, domains: domainsByUuid(host) }]));
  const vms = [...records].map((record): VmView => {
    const on = byHost.get(record.host);
    const domain = on?.domains.get(record.uuid);
    const fresh =
      on !== undefined &&
      on.host.state === 'up' &&
      (on.host.last?.startedAtMs ?? 0) >= record.changedAtMs &&
      !inFlight.has(record.id);
    return { record, fresh, ...(domain && { domain }) };
  });
  return { atMs, hosts, vms };
}

function domainsByUuid(host: HostView): ReadonlyMap<string, DomainObservation> {
  return new Map((host.last?.domains ?? []).map((domain) => [domain.uuid, domain]));
}
