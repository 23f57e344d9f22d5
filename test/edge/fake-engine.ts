// An engine for the edges: pictures as the tests set them, commands that change them, over a real event log in memory.

import type { Decision, LoggedDecision } from '../../src/core/decision.ts';
import type { VmRecord } from '../../src/core/model.ts';
import type { Policy } from '../../src/core/policy.ts';
import type {
  CommandResult,
  DomainStatus,
  EngineView,
  GroupStatus,
  HostStatus,
  VmStatus,
} from '../../src/engine/view.ts';
import { MemoryEventLog } from './memory-event-log.ts';

/** The engine time of the tests and the wall time it stands for. */
export const NOW_MS = 1_800_000_000_000;
export const clock = { wallOf: (ms: number): string => new Date(ms).toISOString() };

export function aHost(host: Partial<HostStatus> = {}): HostStatus {
  return {
    name: 'local',
    uri: 'qemu:///session',
    state: 'up',
    lastSeenAt: clock.wallOf(NOW_MS),
    info: { libvirt: '9.0.0', qemu: '7.2.22', accel: 'qemu', accelReason: 'no /dev/kvm' },
    capacity: { cpus: 2, memoryMiB: 4096, memoryFreeMiB: 1024, diskGiB: 40, diskFreeGiB: 20 },
    domains: 3,
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
    image: { name: 'backend', path: '/secret/path/backend.qcow2', format: 'qcow2' },
    flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
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
  const full = aRecord(record);
  return {
    record: full,
    state: 'running',
    cpuPercent: 42.5,
    vcpus: 1,
    memoryMiB: 128,
    cpuTimeNs: 5e9,
    phaseAt: clock.wallOf(full.phaseAtMs),
    ...vm,
  };
}

export function aPolicy(policy: Partial<Policy> = {}): Policy {
  return {
    group: 'web',
    min: 1,
    max: 4,
    source: {
      kind: 'template',
      template: {
        image: { name: 'backend', path: '/secret/path/backend.qcow2', format: 'qcow2' },
        flavor: { name: 'small', vcpus: 1, memoryMiB: 128 },
        ready: { http: { port: 80, path: '/' } },
      },
    },
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
    ],
    launchDeadlineMs: 60_000,
    drainGraceMs: 5000,
    shutdownDeadlineMs: 30_000,
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
    counts: { desired: 1, inService: 1, launching: 0, draining: 0, removing: 0, existing: 1 },
    cpuPercent: 91.2,
    cpuByVm: { 'web-7': 91.2 },
    verdicts: [
      {
        rule: 'hot',
        direction: 'out',
        verdict: 'fires',
        metric: 'cpu',
        valuePercent: 91.2,
        thresholdPercent: 75,
        crossedAtMs: NOW_MS - 3000,
        recommends: 1,
        text: 'CPU 91 % has been above 75 % for 3 s',
      },
    ],
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
    ...group,
  };
}

export interface FakeEngineParts {
  readonly hosts?: readonly HostStatus[];
  readonly groups?: readonly GroupStatus[];
  readonly domains?: readonly DomainStatus[];
  readonly decisions?: readonly LoggedDecision[];
}

export class FakeEngine implements EngineView {
  readonly log = new MemoryEventLog();
  readonly commands: string[] = [];
  ready: { readonly ready: boolean; readonly reason?: string } = { ready: true };
  /** Called by every command before it takes effect. */
  beforeCommand: () => Promise<void> = () => Promise.resolve();
  readonly #hosts: readonly HostStatus[];
  readonly #groups: Map<string, GroupStatus>;
  readonly #domains: readonly DomainStatus[];
  /** Newest first. */
  readonly #decisions: readonly LoggedDecision[];

  constructor({ hosts = [aHost()], groups = [aGroup()], domains = [], decisions = [] }: FakeEngineParts = {}) {
    this.#hosts = hosts;
    this.#groups = new Map(groups.map((group) => [group.policy.group, group]));
    this.#domains = domains;
    this.#decisions = decisions;
  }

  readonly history: EngineView['history'] = {
    decision: async (id) => this.#decisions.find((decision) => decision.id === id),
    decisions: async ({ group, limit, before }) => {
      const from = before === undefined ? 0 : this.#decisions.findIndex(({ id }) => id === before) + 1;
      return this.#decisions
        .slice(from)
        .filter((decision) => group === undefined || decision.group === group)
        .slice(0, limit);
    },
  };

  hosts(): readonly HostStatus[] {
    return this.#hosts;
  }

  groups(): readonly GroupStatus[] {
    return [...this.#groups.values()];
  }

  group(name: string): GroupStatus | undefined {
    return this.#groups.get(name);
  }

  vms(): readonly VmStatus[] {
    return this.groups().flatMap(({ vms }) => vms);
  }

  domains(): readonly DomainStatus[] {
    return this.#domains;
  }

  readiness(): { readonly ready: boolean; readonly reason?: string } {
    return this.ready;
  }

  async setDesired(name: string, desired: number): Promise<CommandResult<GroupStatus>> {
    await this.beforeCommand();
    this.commands.push(`desired ${name} ${desired}`);
    const group = this.group(name);
    if (group !== undefined && (desired < group.policy.min || desired > group.policy.max)) {
      return {
        ok: false,
        refused: 'invalid',
        reason: `${desired} is not within ${group.policy.min} to ${group.policy.max}`,
      };
    }
    return this.#change(name, { desired });
  }

  async pause(name: string): Promise<CommandResult<GroupStatus>> {
    await this.beforeCommand();
    this.commands.push(`pause ${name}`);
    return this.#change(name, { paused: true });
  }

  async resume(name: string): Promise<CommandResult<GroupStatus>> {
    await this.beforeCommand();
    this.commands.push(`resume ${name}`);
    return this.#change(name, { paused: false });
  }

  #change(name: string, memory: Partial<GroupStatus['memory']>): CommandResult<GroupStatus> {
    const group = this.group(name);
    if (group === undefined) return { ok: false, refused: 'not-found', reason: `there is no group ${name}` };
    const value = { ...group, memory: { ...group.memory, ...memory } };
    this.#groups.set(name, value);
    return { ok: true, value };
  }
}
