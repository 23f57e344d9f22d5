// Hosts as one user sees them: as if only his VMs were on them. Pure. Not here: which VMs are his (own-view).

import type { HostStatus, VmStatus } from '../engine/view.ts';

/** `vms`: his, on any host. `exist`: how many of them are there on this one. */
export function ownHost(host: HostStatus, vms: readonly VmStatus[], exist: number): HostStatus {
  const here = vms.filter(({ record }) => record.host === host.name);
  const running = here.filter(({ state }) => state === 'running' || state === 'paused');
  const sum = (of: (vm: VmStatus) => number): number => running.reduce((total, vm) => total + of(vm), 0);
  const memoryMiB = sum(({ memoryMiB: has, record }) => has ?? record.flavor?.memoryMiB ?? 0);
  const vcpus = sum(({ vcpus: has, record }) => has ?? record.flavor?.vcpus ?? 0);
  const diskGiB = here.reduce((total, { record }) => total + (record.flavor?.diskGiB ?? 0), 0);
  // How the host is reached, how fast it answers and how busy it is, are the operator's and the others' business.
  const { capacity, pollMs: _pollMs, reason: _reason, ...rest } = host;
  const { cpuRatio: _cpuRatio, ...whole } = capacity ?? {};
  return {
    ...rest,
    uri: '',
    ...(capacity && {
      capacity: {
        ...capacityWithout(capacity),
        ...whole,
        memoryFreeMiB: Math.max(0, capacity.memoryMiB - memoryMiB),
        diskFreeGiB: Math.max(0, capacity.diskGiB - diskGiB),
      },
    }),
    domains: exist,
    running: running.length,
    runningVcpus: vcpus,
    runningMemoryMiB: memoryMiB,
    vms: here.length,
  };
}

function capacityWithout({ cpus, memoryMiB, diskGiB }: NonNullable<HostStatus['capacity']>) {
  return { cpus, memoryMiB, diskGiB };
}
