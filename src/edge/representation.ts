// Hosts and VMs as the HTTP API shows them: RFC 3339 instead of engine time, public words instead of records.
// Not here: groups (group-representation), decisions (decision-representation), the shapes' declaration (schemas) or HTTP.

import type { Amounts, Flavor, HostCapacity, HostTraits, ReadyCheck } from '../core/model.ts';
import type { HostStatus, VmStatus } from '../engine/view.ts';
import type { PublicHost, PublicVm } from './schemas.ts';

/** A moment known both ways: engine time of the same process life becomes wall time by the distance from it. */
interface Anchor {
  readonly at: string;
  readonly atMs: number;
}

export function wallOf(ms: number, anchor: Anchor): string {
  return new Date(Date.parse(anchor.at) + (ms - anchor.atMs)).toISOString();
}

/** `ours`: how many of its domains are VMs that virtscale is responsible for. */
export function publicHost(host: HostStatus, ours: number): PublicHost {
  const { capacity, traits } = host;
  const promisable = capacity && promisableOf(capacity, traits);
  const left = (total: number, used: number): number => Math.max(0, total - used);
  return {
    name: host.name,
    id: host.id,
    uri: host.uri,
    state: host.condition,
    ...(host.reason !== undefined && { reason: host.reason }),
    ...(traits.cordoned !== undefined && { cordoned: traits.cordoned }),
    ...(host.lastSeenAt !== undefined && { lastSeenAt: host.lastSeenAt }),
    ...(host.pollMs !== undefined && { pollMs: host.pollMs }),
    ...(host.info && {
      libvirtVersion: host.info.libvirt,
      qemuVersion: host.info.qemu,
      accel: host.info.accel,
      accelReason: host.info.accelReason,
      ...(host.info.arch !== undefined && { arch: host.info.arch }),
      ...(host.info.cpuModel !== undefined && { cpuModel: host.info.cpuModel }),
    }),
    labels: { ...traits.labels },
    ...(capacity && {
      capacity: {
        cpus: capacity.cpus,
        memoryMiB: capacity.memoryMiB,
        memoryFreeMiB: capacity.memoryFreeMiB,
        diskGiB: capacity.diskGiB,
        diskFreeGiB: capacity.diskFreeGiB,
        ...(capacity.cpuRatio !== undefined && { cpuPercent: capacity.cpuRatio * 100 }),
      },
    }),
    reserved: { ...traits.reserved },
    overcommit: { ...traits.overcommit },
    ...(promisable && { promisable }),
    promised: { vcpus: host.runningVcpus, memoryMiB: host.runningMemoryMiB },
    ...(capacity &&
      promisable && {
        free: {
          vcpus: left(promisable.vcpus, host.runningVcpus),
          memoryMiB: left(promisable.memoryMiB, host.runningMemoryMiB),
          diskGiB: left(capacity.diskFreeGiB, traits.reserved.diskGiB),
        },
      }),
    domainCount: host.domains,
    runningCount: host.running,
    vmCount: host.vms,
    otherCount: left(host.domains, ours),
  };
}

function promisableOf(capacity: HostCapacity, { reserved, overcommit }: HostTraits): Amounts {
  const part = (whole: number, kept: number, times: number): number => Math.max(0, whole - kept) * times;
  return {
    vcpus: part(capacity.cpus, reserved.vcpus, overcommit.cpus),
    memoryMiB: part(capacity.memoryMiB, reserved.memoryMiB, overcommit.memory),
    diskGiB: part(capacity.diskGiB, reserved.diskGiB, overcommit.disk),
  };
}

export function publicVm(vm: VmStatus): PublicVm {
  const { record } = vm;
  const anchor = { at: vm.phaseAt, atMs: record.phaseAtMs };
  return {
    id: record.id,
    name: record.name,
    uuid: record.uuid,
    ...(record.group !== undefined && { group: record.group }),
    host: record.host,
    kind: record.kind,
    phase: record.phase,
    step: record.step,
    phaseAt: vm.phaseAt,
    ...(record.deadlineAtMs !== undefined && { deadlineAt: wallOf(record.deadlineAtMs, anchor) }),
    desired: vm.desired,
    state: vm.state,
    ...(vm.difference !== undefined && { difference: vm.difference }),
    ...(record.reason !== undefined && { reason: record.reason }),
    ...(record.leaving !== undefined && { leaving: record.leaving }),
    tries: record.tries,
    ...(record.way !== undefined && { way: record.way }),
    ...(record.standby !== undefined && { standby: record.standby }),
    ...(record.servedSinceMs !== undefined && { servedSinceAt: wallOf(record.servedSinceMs, anchor) }),
    ...(record.hook && { hook: { sinceAt: wallOf(record.hook.sinceMs, anchor), tries: record.hook.tries } }),
    protected: record.isProtected ?? false,
    labels: { ...record.labels },
    ...(record.endpoint && { endpoint: { ...record.endpoint } }),
    ...(vm.unhealthy !== undefined && { unhealthy: vm.unhealthy }),
    ...(vm.cpuPercent !== undefined && { cpuPercent: vm.cpuPercent }),
    ...(vm.vcpus !== undefined && { vcpus: vm.vcpus }),
    ...(vm.memoryMiB !== undefined && { memoryMiB: vm.memoryMiB }),
    ...(record.image && { image: record.image.name }),
    ...(record.flavor && { flavor: publicFlavor(record.flavor) }),
    ...(record.ready && { ready: publicReady(record.ready) }),
    owner: record.owner,
    operation: record.operation,
  };
}

export function publicFlavor(flavor: Flavor): PublicVm['flavor'] & object {
  const { name, vcpus, memoryMiB, diskGiB, maxVcpus, maxMemoryMiB, spareNics } = flavor;
  return {
    ...{ name, vcpus, memoryMiB },
    ...(diskGiB !== undefined && { diskGiB }),
    ...(maxVcpus !== undefined && { maxVcpus }),
    ...(maxMemoryMiB !== undefined && { maxMemoryMiB }),
    ...(spareNics !== undefined && { spareNics }),
  };
}

export function publicReady(check: ReadyCheck): PublicVm['ready'] & object {
  if ('http' in check) return { http: { ...check.http } };
  return 'tcp' in check ? { tcp: { ...check.tcp } } : { agent: true };
}

/** An address without what may be a secret in it: the user, the password, and arguments, which signed addresses carry theirs in. */
export function withoutSecrets(text: string): string {
  if (!URL.canParse(text)) return '(not a URL)';
  const url = new URL(text);
  url.username = '';
  url.password = '';
  url.search = '';
  url.hash = '';
  return url.href;
}
