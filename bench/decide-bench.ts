// decide-100-vms: the decision function alone, for one group of 100 VMs on 4 hosts with the rules of a usual policy.

import { decide } from '../src/core/decide.ts';
import { EMPTY_GROUP_MEMORY, type Memory } from '../src/core/memory.ts';
import type { DomainObservation, HostView, Snapshot, VmView } from '../src/core/model.ts';
import type { Policy } from '../src/core/policy.ts';
import { type Row, rowOf } from './row.ts';

const VMS = 100;
const HOSTS = 4;
const WARM_UP = 300;
const ROUNDS = 2000;
const START_MS = Date.UTC(2026, 0, 1);
const GROUP = 'web';

const template: Extract<Policy['source'], { kind: 'template' }>['template'] = {
  image: { name: 'backend', path: '/images/backend.qcow2', format: 'qcow2' },
  flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
  ready: { http: { port: 80, path: '/' } },
};

const policy: Policy = {
  group: GROUP,
  min: 1,
  max: 200,
  source: { kind: 'template', template },
  placement: 'least-loaded',
  rules: [
    {
      name: 'hot',
      type: 'threshold',
      metric: 'cpu',
      direction: 'out',
      thresholdPercent: 75,
      forMs: 3000,
      by: 1,
      cooldownMs: 20_000,
    },
    {
      name: 'idle',
      type: 'threshold',
      metric: 'cpu',
      direction: 'in',
      thresholdPercent: 20,
      forMs: 60_000,
      by: 1,
      cooldownMs: 120_000,
    },
  ],
  launchDeadlineMs: 60_000,
  drainGraceMs: 5000,
  shutdownDeadlineMs: 30_000,
};

export function decideBench(): Row {
  let memory: Memory = {
    [GROUP]: { ...EMPTY_GROUP_MEMORY, durable: { ...EMPTY_GROUP_MEMORY.durable, desired: VMS } },
  };
  const times: number[] = [];
  for (let round = 0; round < WARM_UP + ROUNDS; round += 1) {
    const nowMs = START_MS + round * 1000;
    const snapshot = pictureAt(nowMs, round);
    const startedMs = performance.now();
    const decided = decide(snapshot, [policy], memory, nowMs);
    const tookMs = performance.now() - startedMs;
    // The group stays at 100 VMs: what the decision asks for is not carried out.
    memory = decided.memory;
    if (round >= WARM_UP) times.push(tookMs);
  }
  return rowOf({
    name: 'decide-100-vms',
    unit: 'ms',
    values: times,
    goal: { of: 'p50', atMost: 1 },
    note: `decide() for one group of ${VMS} VMs on ${HOSTS} hosts, CPU moving between 5 and 95 percent`,
  });
}

/** All VMs as busy as each other, more and less busy in turn: the rules count, fire and cool down. */
function pictureAt(nowMs: number, round: number): Snapshot {
  const hosts: HostView[] = [];
  const vms: VmView[] = [];
  for (let h = 0; h < HOSTS; h += 1) {
    const domains: DomainObservation[] = [];
    for (let id = h + 1; id <= VMS; id += HOSTS) {
      const view = vmAt(id, `host-${h}`, nowMs, round);
      vms.push(view);
      if (view.domain) domains.push(view.domain);
    }
    const capacity = { cpus: 64, memoryMiB: 262_144, memoryFreeMiB: 200_000, diskGiB: 2000, diskFreeGiB: 1500 };
    const last = { host: `host-${h}`, startedAtMs: nowMs - 20, endedAtMs: nowMs - 10, capacity, domains };
    hosts.push({ name: `host-${h}`, state: 'up', last });
  }
  return { atMs: nowMs, hosts, vms };
}

function vmAt(id: number, host: string, nowMs: number, round: number): VmView {
  const uuid = `00000000-0000-4000-8000-${String(id).padStart(12, '0')}`;
  const name = `${GROUP}-${id}`;
  const busySeconds = round / 2 + 4.5 * (1 - Math.cos(round / 10));
  return {
    fresh: true,
    domain: {
      uuid,
      name,
      state: 'running',
      vcpus: 1,
      memoryMiB: 128,
      cpuTimeNs: Math.round(busySeconds * 1e9),
      readAtMs: nowMs - 15,
    },
    record: {
      id,
      name,
      uuid,
      group: GROUP,
      host,
      kind: 'clone',
      owner: 'policy',
      operation: 'bench',
      image: template.image,
      flavor: template.flavor,
      ready: template.ready,
      phase: 'in-service',
      step: 'started',
      phaseAtMs: START_MS - 3_600_000,
      changedAtMs: START_MS - 3_600_000,
      endpoint: { address: '10.0.0.1', port: 80 },
      tries: 0,
    },
  };
}
