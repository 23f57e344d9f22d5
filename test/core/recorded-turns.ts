// Evaluations as a daemon makes them, for tests of recordings: VMs come and go, counters run, hosts fall silent, people change things.
// Not here: the real decision function. Another one stands in, so that these tests do not change whenever rules do.

import type { Decided } from '../../src/core/decide.ts';
import type { Decision } from '../../src/core/decision.ts';
import type { Evaluation } from '../../src/core/evaluation.ts';
import type { CpuSample, GroupMemory, Memory } from '../../src/core/memory.ts';
import type { DomainObservation, HostView, Snapshot, VmRecord, VmView } from '../../src/core/model.ts';
import { POLICY_DEFAULTS, type Policy } from '../../src/core/policy.ts';

/** Of the first turn. */
export const START_MS = Date.UTC(2026, 2, 1);
const IMAGE = { name: 'backend', format: 'qcow2', path: '/images/backend.qcow2' } as const;
const SMALL = { name: 'small', vcpus: 1, memoryMiB: 128 };
const READY = { http: { port: 80, path: '/' } };

export interface TurnsOptions {
  readonly vms: number;
  readonly groups: number;
  readonly hosts: number;
  readonly turns: number;
  /** Of VMs that are replaced in each turn, 0–1. */
  readonly churn?: number;
  readonly seed?: number;
}

/** Fractions of 0–1, always the same ones for a seed. */
export function fractions(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export function policiesOf(groups: number): readonly Policy[] {
  return Array.from(
    { length: groups },
    (_, index): Policy => ({
      ...POLICY_DEFAULTS,
      group: `group-${index}`,
      min: 1,
      max: 1000,
      source: { kind: 'template', template: { image: IMAGE, flavor: SMALL, ready: READY } },
      rules: [],
    }),
  );
}

/** Stands in for `decide`: reads all it is given, and remembers what was read. */
export function standIn(snapshot: Snapshot, policies: readonly Policy[], memory: Memory, nowMs: number): Decided {
  const after: Record<string, GroupMemory> = { ...memory };
  const decisions = policies.map(({ group }): Decision => {
    const before = memory[group];
    const cpu: Record<string, CpuSample> = {};
    const cpuByVm: Record<string, number> = {};
    const vms = snapshot.vms.filter(({ record }) => record.group === group);
    for (const { record, domain } of vms) {
      if (domain?.cpuTimeNs === undefined) continue;
      const { readAtMs, cpuTimeNs, vcpus } = domain;
      const last = before?.transient.cpu[record.uuid];
      const intervalMs = readAtMs - (last?.readAtMs ?? readAtMs);
      if (last === undefined || intervalMs <= 0) {
        cpu[record.uuid] = last ?? { readAtMs, cpuTimeNs, vcpus };
        continue;
      }
      const percent = ((cpuTimeNs - last.cpuTimeNs) / (intervalMs * 1e6)) * 100;
      cpu[record.uuid] = { readAtMs, cpuTimeNs, vcpus, percent, percentFromMs: last.readAtMs, percentAtMs: readAtMs };
      cpuByVm[record.name] = percent;
    }
    after[group] = {
      durable: { ...(before?.durable ?? { paused: false, breaker: { failures: 0 } }), desired: vms.length },
      transient: { cpu, rules: before?.transient.rules ?? {} },
    };
    const counts = {
      desired: vms.length,
      inService: vms.length,
      launching: 0,
      standby: 0,
      draining: 0,
      removing: 0,
      existing: vms.length,
    };
    const text = `${vms.length} VMs.`;
    const desiredBefore = before?.durable.desired ?? vms.length;
    const trail = { verdicts: [], steps: [], limits: [], hosts: [], victims: [], actions: [] };
    return { group, atMs: nowMs, desiredBefore, desired: vms.length, cause: 'none', counts, cpuByVm, text, ...trail };
  });
  return { decisions, memory: after };
}

/** One evaluation per turn of a second. */
export function* turnsOf({ vms, groups, hosts, turns, churn = 0.001, seed = 1 }: TurnsOptions): Generator<Evaluation> {
  const random = fractions(seed);
  const policies = policiesOf(groups);
  let nextId = 1;
  const recordOf = (changedAtMs: number): VmRecord => {
    const id = nextId++;
    const group = `group-${Math.floor(random() * groups)}`;
    return {
      id,
      name: `${group}-${id}`,
      uuid: `00000000-0000-4000-8000-${id.toString(16).padStart(12, '0')}`,
      group,
      host: `host-${Math.floor(random() * hosts)}`,
      kind: 'clone',
      owner: 'policy',
      operation: `op-${id}`,
      image: IMAGE,
      flavor: SMALL,
      ready: READY,
      phase: 'in-service',
      step: 'ready',
      phaseAtMs: changedAtMs,
      changedAtMs,
      endpoint: { address: `10.0.${id >> 8}.${id & 255}`, port: 80 },
      tries: 0,
    };
  };
  let records = Array.from({ length: vms }, () => recordOf(START_MS));
  const cpuTimes = new Map<string, number>();
  const last = new Map<string, HostView>();
  let memory: Memory = {};
  for (let turn = 0; turn < turns; turn += 1) {
    const nowMs = START_MS + turn * 1000;
    records = records.map((record) => (random() < churn ? recordOf(nowMs) : record));
    const byHost = Map.groupBy(records, (record) => record.host);
    const seen = new Map<string, DomainObservation>();
    const views = Array.from({ length: hosts }, (_, index): HostView => {
      const name = `host-${index}`;
      const before = last.get(name);
      if (before?.last !== undefined && random() < 0.02) {
        for (const domain of before.last.domains) seen.set(domain.uuid, domain);
        return { ...before, state: 'stale', reason: 'no answer' };
      }
      const readAtMs = nowMs - Math.floor(random() * 200);
      const domains = (byHost.get(name) ?? []).map(({ uuid, name: called, id, group, host }): DomainObservation => {
        const cpuTimeNs = (cpuTimes.get(uuid) ?? 0) + Math.floor(random() * 1e9);
        cpuTimes.set(uuid, cpuTimeNs);
        const metadata = {
          id,
          group: group ?? '',
          owner: host,
          operation: `op-${id}`,
          image: 'backend',
          flavor: 'small',
        };
        return { uuid, name: called, state: 'running', vcpus: 1, memoryMiB: 128, cpuTimeNs, readAtMs, metadata };
      });
      for (const domain of domains) seen.set(domain.uuid, domain);
      const capacity = {
        cpus: 64,
        memoryMiB: 1e6,
        memoryFreeMiB: 1e5 + Math.floor(random() * 99),
        diskGiB: 1e3,
        diskFreeGiB: 500,
      };
      const view: HostView = {
        name,
        state: 'up',
        last: { host: name, startedAtMs: readAtMs - 5, endedAtMs: readAtMs, capacity, domains },
      };
      last.set(name, view);
      return view;
    });
    const all = records.map((record): VmView => {
      const domain = seen.get(record.uuid);
      return { record, fresh: random() > 0.01, ...(domain && { domain }) };
    });
    const snapshot: Snapshot = { atMs: nowMs, hosts: views, vms: all };
    // Now and then somebody pauses a group between two turns.
    const [first] = policies;
    const own = first && memory[first.group];
    if (first && own && random() < 0.1) {
      memory = { ...memory, [first.group]: { ...own, durable: { ...own.durable, paused: !own.durable.paused } } };
    }
    const decided = standIn(snapshot, policies, memory, nowMs);
    const at = new Date(nowMs).toISOString();
    yield { at, nowMs, snapshot, policies, memory, decisions: decided.decisions, memoryAfter: decided.memory };
    memory = decided.memory;
  }
}
