// What the engine shows, as the edge tests build it: hosts, VMs, policies, decisions, groups, images.
// Not here: an engine that shows them (fake-engine).

import type { Decision } from '../../src/core/decision.ts';
import { CPU } from '../../src/core/metric.ts';
import type { Flavor, HostTraits, Image, VmRecord } from '../../src/core/model.ts';
import { POLICY_DEFAULTS, type Policy } from '../../src/core/policy.ts';
import type { FlavorStatus, GroupStatus, HostStatus, ImageStatus, VmStatus } from '../../src/engine/view.ts';

/** The engine time of the tests and the wall time it stands for. */
export const NOW_MS = 1_800_000_000_000;
export const clock = { wallOf: (ms: number): string => new Date(ms).toISOString() };

export const SMALL: Flavor = { name: 'small', vcpus: 1, memoryMiB: 128 };
export const MEDIUM: Flavor = { name: 'medium', vcpus: 2, memoryMiB: 512, diskGiB: 10 };

export const BACKEND: Image = { name: 'backend', path: '/secret/path/backend.qcow2', format: 'qcow2' };

export const TRAITS: HostTraits = {
  index: 0,
  labels: {},
  overcommit: { cpus: 4, memory: 1, disk: 1 },
  reserved: { vcpus: 0, memoryMiB: 0, diskGiB: 0 },
};

export function aHost(host: Partial<HostStatus> = {}): HostStatus {
  return {
    name: 'local',
    id: 1,
    uri: 'qemu:///session',
    condition: 'up',
    lastSeenAt: clock.wallOf(NOW_MS),
    pollMs: 12,
    info: {
      libvirt: '9.0.0',
      qemu: '7.2.22',
      accel: 'qemu',
      accelReason: 'no /dev/kvm',
      arch: 'x86_64',
      cpuModel: 'Skylake-Server-IBRS',
    },
    capacity: { cpus: 2, memoryMiB: 4096, memoryFreeMiB: 1024, diskGiB: 40, diskFreeGiB: 20 },
    traits: TRAITS,
    domains: 3,
    running: 2,
    runningVcpus: 2,
    runningMemoryMiB: 256,
    vms: 1,
    ...host,
  };
}

export function aRecord(record: Partial<VmRecord> = {}): VmRecord {
  return {
    id: 7,
    name: 'web-7',
    uuid: '11111111-2222-4333-8444-555555555555',
    group: 'web',
    host: 'local',
    kind: 'clone',
    owner: 'admin',
    operation: 'd-1',
    image: BACKEND,
    flavor: SMALL,
    ready: { http: { port: 80, path: '/' } },
    phase: 'in-service',
    step: 'started',
    phaseAtMs: NOW_MS - 60_000,
    changedAtMs: NOW_MS - 60_000,
    deadlineAtMs: NOW_MS + 30_000,
    endpoint: { address: '127.0.1.7', port: 80 },
    tries: 0,
    ...record,
  };
}

export function aVm(record: Partial<VmRecord> = {}, vm: Partial<VmStatus> = {}): VmStatus {
  return vmOf(aRecord(record), vm);
}

/** A VM that belongs to no group, as an operation brought it. */
export function aLoneVm(record: Partial<VmRecord> = {}, vm: Partial<VmStatus> = {}): VmStatus {
  const { group: _, ...lone } = aRecord({ id: 20, name: 'lone', operation: 'op-0', uuid: uuidOf(20), ...record });
  return vmOf(lone, vm);
}

export function vmOf(record: VmRecord, vm: Partial<VmStatus> = {}): VmStatus {
  return {
    record,
    state: 'running',
    desired: 'running',
    cpuPercent: 42.5,
    vcpus: record.flavor?.vcpus ?? 1,
    memoryMiB: record.flavor?.memoryMiB ?? 128,
    cpuTimeNs: 5e9,
    phaseAt: clock.wallOf(record.phaseAtMs),
    ...vm,
  };
}

export function uuidOf(id: number): string {
  return `00000000-0000-4000-8000-${String(id).padStart(12, '0')}`;
}

export function aPolicy(policy: Partial<Policy> = {}): Policy {
  return {
    ...POLICY_DEFAULTS,
    group: 'web',
    min: 1,
    max: 4,
    source: {
      kind: 'template',
      template: { image: BACKEND, flavor: SMALL, ready: { http: { port: 80, path: '/' } } },
    },
    rules: [
      {
        name: 'hot',
        type: 'threshold',
        metric: CPU,
        direction: 'out',
        threshold: 75,
        forMs: 3000,
        by: { vms: 1 },
        cooldownMs: 20_000,
      },
    ],
    ...policy,
  };
}

export function aDecision(decision: Partial<Decision> = {}): Decision {
  return {
    group: 'web',
    atMs: NOW_MS,
    desiredBefore: 1,
    desired: 2,
    cause: 'rule',
    rule: 'hot',
    counts: { desired: 1, inService: 1, launching: 0, standby: 0, draining: 0, removing: 0, existing: 1 },
    cpuPercent: 91.2,
    cpuByVm: { 'web-7': 91.2 },
    verdicts: [
      {
        rule: 'hot',
        type: 'threshold',
        direction: 'out',
        verdict: 'fires',
        metric: 'cpu',
        unit: '%',
        value: 91.2,
        threshold: 75,
        measured: 1,
        expected: 1,
        crossedAtMs: NOW_MS - 3000,
        recommends: 1,
        text: 'CPU 91 % has been above 75 % for 3 s',
      },
    ],
    steps: [{ step: 'rules', from: 1, to: 2, text: 'hot adds 1 VM' }],
    limits: [],
    hosts: [{ name: 'local', chosen: true, text: 'the only host' }],
    victims: [],
    actions: [{ kind: 'launch', group: 'web', host: 'local' }],
    text: 'hot: CPU 91 % above 75 % for 3 s, so 1 → 2',
    ...decision,
  };
}

export function aGroup(group: Partial<GroupStatus> = {}): GroupStatus {
  return {
    policy: aPolicy(),
    file: 'policies/web.yaml',
    memory: { desired: 1, paused: false, lastOutAtMs: NOW_MS - 10_000, breaker: { failures: 0 } },
    lastDecision: aDecision(),
    lastDecisionAt: clock.wallOf(NOW_MS),
    vms: [aVm()],
    candidates: [],
    templates: [],
    ...group,
  };
}

export function anImage(image: Partial<ImageStatus> = {}): ImageStatus {
  return {
    id: 1,
    name: 'backend',
    source: { kind: 'host', path: '/secret/path/backend.qcow2' },
    state: 'ready',
    image: BACKEND,
    addedAt: clock.wallOf(NOW_MS),
    configured: true,
    hosts: ['local'],
    vms: 1,
    ...image,
  };
}

export const FLAVORS: readonly FlavorStatus[] = [
  { id: 1, ...SMALL },
  { id: 2, ...MEDIUM },
];
