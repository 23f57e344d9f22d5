// What the edges see of the engine: pictures made on demand from records, memory and the hosts' last answers.
// Not here: changing anything (engine).

import type { Decision } from '../core/decision.ts';
import type { DomainObservation, GroupName, HostView, VmView } from '../core/model.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';
import type { HostWatch } from './host-watch.ts';
import type { Ledger } from './ledger.ts';
import { joinSnapshot } from './snapshot.ts';
import type {
  CommandResult,
  DomainStatus,
  EngineView,
  EventLog,
  GroupStatus,
  HostStatus,
  LoadedPolicy,
  VmStatus,
} from './view.ts';

export interface StatusParts {
  readonly ledger: Ledger;
  readonly store: Store;
  readonly clock: Clock;
  readonly hosts: readonly HostWatch[];
  readonly policies: Map<GroupName, LoadedPolicy>;
  readonly evaluations: ReadonlyMap<GroupName, { readonly decision: Decision; readonly at: string }>;
}

export abstract class EngineStatus implements EngineView {
  protected readonly ledger: Ledger;
  protected readonly hostWatches: readonly HostWatch[];
  protected readonly policies: Map<GroupName, LoadedPolicy>;
  readonly history: Pick<Store, 'decision' | 'decisions'>;
  readonly #clock: Clock;
  readonly #evaluations: StatusParts['evaluations'];

  protected constructor(parts: StatusParts) {
    this.ledger = parts.ledger;
    this.hostWatches = parts.hosts;
    this.policies = parts.policies;
    this.history = parts.store;
    this.#clock = parts.clock;
    this.#evaluations = parts.evaluations;
  }

  abstract setDesired(group: GroupName, desired: number): Promise<CommandResult<GroupStatus>>;
  abstract pause(group: GroupName): Promise<CommandResult<GroupStatus>>;
  abstract resume(group: GroupName): Promise<CommandResult<GroupStatus>>;

  get log(): EventLog {
    return this.ledger;
  }

  hosts(): readonly HostStatus[] {
    const records = [...this.ledger.state.vms.values()];
    return this.hostWatches.map((watch): HostStatus => {
      const view = watch.view();
      return {
        name: watch.name,
        uri: watch.uri,
        state: view.state,
        domains: view.last?.domains.length ?? 0,
        vms: records.filter((record) => record.host === watch.name).length,
        ...(view.reason !== undefined && { reason: view.reason }),
        ...(watch.lastSeenAt !== undefined && { lastSeenAt: watch.lastSeenAt }),
        ...(watch.info && { info: watch.info }),
        ...(view.last && { capacity: view.last.capacity }),
      };
    });
  }

  groups(): readonly GroupStatus[] {
    return [...this.policies.keys()].flatMap((name) => this.group(name) ?? []);
  }

  group(name: GroupName): GroupStatus | undefined {
    const loaded = this.policies.get(name);
    if (loaded === undefined) return undefined;
    const evaluation = this.#evaluations.get(name);
    return {
      policy: loaded.policy,
      file: loaded.file,
      memory: this.ledger.group(name).durable,
      vms: this.vms().filter((vm) => vm.record.group === name),
      ...(evaluation && { lastDecision: evaluation.decision, lastDecisionAt: evaluation.at }),
    };
  }

  vms(): readonly VmStatus[] {
    const views = this.hostWatches.map((watch) => watch.view());
    const picture = joinSnapshot(views, this.ledger.state.vms.values(), { has: () => false }, this.#clock.nowMs());
    const byName = new Map(views.map((view) => [view.name, view]));
    return picture.vms.map((vm) => this.#vmStatus(vm, byName.get(vm.record.host)));
  }

  #vmStatus({ record, domain }: VmView, host: HostView | undefined): VmStatus {
    const cpuPercent = this.ledger.group(record.group).transient.cpu[record.uuid]?.percent;
    return {
      record,
      state: stateOf(host, domain),
      phaseAt: this.#clock.wallOf(record.phaseAtMs),
      ...(cpuPercent !== undefined && { cpuPercent }),
      ...(domain && { vcpus: domain.vcpus, memoryMiB: domain.memoryMiB }),
      ...(domain?.cpuTimeNs !== undefined && { cpuTimeNs: domain.cpuTimeNs }),
    };
  }

  domains(): readonly DomainStatus[] {
    return this.hostWatches.flatMap((watch) =>
      (watch.view().last?.domains ?? []).map(
        (domain): DomainStatus => ({
          host: watch.name,
          name: domain.name,
          uuid: domain.uuid,
          vcpus: domain.vcpus,
          memoryMiB: domain.memoryMiB,
          running: domain.state === 'running',
          ...(domain.cpuTimeNs !== undefined && { cpuTimeNs: domain.cpuTimeNs }),
        }),
      ),
    );
  }

  readiness(): { readonly ready: boolean; readonly reason?: string } {
    const { failure } = this.ledger;
    if (failure !== undefined) return { ready: false, reason: `the store refuses changes: ${failure}` };
    const views = this.hostWatches.map((watch) => watch.view());
    if (views.some((view) => view.state === 'up')) return { ready: true };
    const why = views.map((view) => `${view.name}: ${view.reason ?? 'not asked yet'}`).join('; ');
    return { ready: false, reason: `no host answers (${why || 'none is configured'})` };
  }
}

function stateOf(host: HostView | undefined, domain: DomainObservation | undefined): VmStatus['state'] {
  if (host === undefined || host.state !== 'up') return 'unknown';
  return domain?.state ?? 'absent';
}
