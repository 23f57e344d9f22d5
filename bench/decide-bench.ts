// decide-100-vms: the decision function alone, for one group of 100 VMs on 4 hosts with the rules of a usual policy.

import { decide } from '../src/core/decide.ts';
import { EMPTY_GROUP_MEMORY, type Memory } from '../src/core/memory.ts';
import type { DomainObservation, HostView, Snapshot, VmView } from '../src/core/model.ts';
import { domainOf, policyOf, recordOf } from '../test/core/builders.ts';
import { type Row, rowOf } from './row.ts';

const VMS = 100;
const HOSTS = 4;
const WARM_UP = 300;
const ROUNDS = 2000;
const START_MS = Date.UTC(2026, 0, 1);
const GROUP = 'web';

const policy = policyOf({ group: GROUP, max: 200, placement: { algorithm: 'least-loaded' } });

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
  const busySeconds = round / 2 + 4.5 * (1 - Math.cos(round / 10));
  const longAgoMs = START_MS - 3_600_000;
  return {
    fresh: true,
    domain: domainOf(id, { cpuTimeNs: Math.round(busySeconds * 1e9), readAtMs: nowMs - 15 }),
    record: recordOf(id, { group: GROUP, host, phaseAtMs: longAgoMs, changedAtMs: longAgoMs }),
  };
}
