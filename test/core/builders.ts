// Small builders of pictures, policies and memories for tests: say what matters, the rest is an ordinary value.
// Not here: expectations.

import type { BreakerMemory, DurableMemory, GroupMemory, TransientMemory } from '../../src/core/memory.ts';
import { CPU } from '../../src/core/metric.ts';
import type {
  DomainObservation,
  Flavor,
  HostCapacity,
  HostTraits,
  HostView,
  Image,
  ReadyCheck,
  Snapshot,
  VmPhase,
  VmRecord,
  VmStep,
  VmView,
} from '../../src/core/model.ts';
import { DEFAULT_TRAITS } from '../../src/core/placement/rooms.ts';
import {
  type ListedDomain,
  POLICY_DEFAULTS,
  type Policy,
  type TargetRule,
  type ThresholdRule,
} from '../../src/core/policy.ts';

/** The engine time at which most tests play: large, as real ones are. */
export const NOW_MS = 1_700_000_000_000;

export const IMAGE: Image = { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' };
export const SMALL: Flavor = { name: 'small', vcpus: 1, memoryMiB: 128 };
export const READY: ReadyCheck = { http: { port: 80, path: '/' } };

export function uuidOf(id: number): string {
  return `00000000-0000-4000-8000-${id.toString(16).padStart(12, '0')}`;
}

export function outRule(over: Partial<ThresholdRule> = {}): ThresholdRule {
  return {
    name: 'hot',
    type: 'threshold',
    metric: CPU,
    direction: 'out',
    threshold: 75,
    forMs: 3000,
    by: { vms: 1 },
    cooldownMs: 20_000,
    ...over,
  };
}

export function inRule(over: Partial<ThresholdRule> = {}): ThresholdRule {
  return outRule({ name: 'idle', direction: 'in', threshold: 20, forMs: 60_000, cooldownMs: 120_000, ...over });
}

/** Keeps the CPU at 60 %, at once and without waiting. */
export function targetRule(over: Partial<TargetRule> = {}): TargetRule {
  return {
    name: 'keep',
    type: 'target',
    metric: CPU,
    target: 60,
    tolerance: { up: 0.1, down: 0.1 },
    forMs: 0,
    cooldownMs: { out: 0, in: 0 },
    ...over,
  };
}

export function policyOf(over: Partial<Policy> = {}): Policy {
  return {
    ...POLICY_DEFAULTS,
    group: 'web',
    min: 1,
    max: 4,
    source: { kind: 'template', template: { image: IMAGE, flavor: SMALL, ready: READY } },
    rules: [outRule(), inRule()],
    ...over,
  };
}

export function listPolicyOf(domains: readonly ListedDomain[], over: Partial<Policy> = {}): Policy {
  return policyOf({ source: { kind: 'domains', domains, ready: READY }, ...over });
}

export function capacityOf(over: Partial<HostCapacity> = {}): HostCapacity {
  return { cpus: 8, memoryMiB: 16_384, memoryFreeMiB: 8192, diskGiB: 100, diskFreeGiB: 50, ...over };
}

export function hostOf(
  name: string,
  over: {
    readonly state?: HostView['state'];
    readonly memoryFreeMiB?: number;
    readonly capacity?: Partial<HostCapacity>;
    readonly traits?: Partial<HostTraits>;
    readonly domains?: readonly DomainObservation[];
    readonly atMs?: number;
  } = {},
): HostView {
  const { state = 'up', memoryFreeMiB = 8192, capacity = {}, domains = [], atMs = NOW_MS } = over;
  const reason = state === 'up' ? {} : { reason: 'no answer' };
  const traits = over.traits === undefined ? {} : { traits: { ...DEFAULT_TRAITS, ...over.traits } };
  if (state === 'down') return { name, state, ...reason, ...traits };
  const seen = capacityOf({ memoryFreeMiB, ...capacity });
  return {
    name,
    state,
    ...reason,
    ...traits,
    last: { host: name, startedAtMs: atMs - 20, endedAtMs: atMs, capacity: seen, domains },
  };
}

export function domainOf(id: number, over: Partial<DomainObservation> = {}): DomainObservation {
  return {
    uuid: uuidOf(id),
    name: `web-${id}`,
    state: 'running',
    vcpus: 1,
    memoryMiB: 128,
    readAtMs: NOW_MS,
    ...over,
  };
}

export function recordOf(id: number, over: Partial<VmRecord> = {}): VmRecord {
  const phase: VmPhase = over.phase ?? 'in-service';
  const step: VmStep = phase === 'in-service' || phase === 'draining' ? 'started' : 'intended';
  return {
    id,
    name: `web-${id}`,
    uuid: uuidOf(id),
    group: 'web',
    host: 'h1',
    kind: 'clone',
    owner: 'policy',
    operation: 'op',
    image: IMAGE,
    flavor: SMALL,
    ready: READY,
    phase,
    step,
    phaseAtMs: NOW_MS - 600_000,
    changedAtMs: NOW_MS - 600_000,
    tries: 0,
    ...over,
  };
}

/** A VM whose domain is seen running; `domain: null` for one that has none. */
export function viewOf(
  id: number,
  over: {
    readonly record?: Partial<VmRecord>;
    readonly domain?: Partial<DomainObservation> | null;
    readonly fresh?: boolean;
  } = {},
): VmView {
  const record = recordOf(id, over.record);
  const seen = over.domain === null ? {} : { domain: domainOf(id, { name: record.name, ...over.domain }) };
  return { record, fresh: over.fresh ?? true, ...seen };
}

export function snapshotOf(over: Partial<Snapshot> = {}): Snapshot {
  return { atMs: NOW_MS, hosts: [hostOf('h1')], vms: [], ...over };
}

export function memoryOf(
  over: Partial<DurableMemory> & { readonly transient?: Partial<TransientMemory> } = {},
): GroupMemory {
  const { transient, ...durable } = over;
  const breaker: BreakerMemory = { failures: 0 };
  return { durable: { paused: false, breaker, ...durable }, transient: { cpu: {}, rules: {}, ...transient } };
}

/** Samples as if each VM (by id) had been measured at `atMs`. The domains' next reading must not be newer, or it counts. */
export function measured(percents: Readonly<Record<number, number>>, atMs = NOW_MS): TransientMemory['cpu'] {
  return Object.fromEntries(
    Object.entries(percents).map(([id, percent]) => [
      uuidOf(Number(id)),
      { readAtMs: atMs, cpuTimeNs: 0, vcpus: 1, percent, percentFromMs: atMs - 1000, percentAtMs: atMs },
    ]),
  );
}
