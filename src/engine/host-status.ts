// One host as the edges see it: what it answered last, what is said about it, what runs there. Not here: polling (host-watch).

import type { VmRecord } from '../core/model.ts';
import type { HostWatch } from './host-watch.ts';
import type { HostStatus } from './view.ts';

export function hostStatus(watch: HostWatch, id: number, records: Iterable<VmRecord>): HostStatus {
  const { condition, info, lastPollMs, lastSeenAt, name, traits, trouble, uri } = watch;
  const { last } = watch.view();
  const domains = last?.domains ?? [];
  let [running, runningVcpus, runningMemoryMiB, vms] = [0, 0, 0, 0];
  for (const { memoryMiB, state, vcpus } of domains) {
    if (state !== 'running') continue;
    running += 1;
    runningVcpus += vcpus;
    runningMemoryMiB += memoryMiB;
  }
  for (const record of records) if (record.host === name) vms += 1;
  return {
    name,
    id,
    uri,
    condition,
    traits,
    domains: domains.length,
    running,
    runningVcpus,
    runningMemoryMiB,
    vms,
    ...(trouble !== undefined && { reason: trouble }),
    ...(lastSeenAt !== undefined && { lastSeenAt }),
    ...(lastPollMs !== undefined && { pollMs: lastPollMs }),
    ...(info && { info }),
    ...(last && { capacity: last.capacity }),
  };
}
