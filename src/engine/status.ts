// What the edges see of the engine: pictures made on demand from records, memory and the hosts' last answers.
// Not here: changing anything (engine). Nothing here waits for a host, except what is asked of one guest (console, addresses).

import type { DatedDecision } from '../core/evaluation.ts';
import type { GroupName, HostName, HostView, VmRecord } from '../core/model.ts';
import { ENDED_STATES, type Operation, type Progress } from '../core/operation.ts';
import { whyText } from '../core/why-text.ts';
import { isFault } from '../ports/fault.ts';
import type { GuestAddress, Hypervisor } from '../ports/hypervisor.ts';
import type { Recorder } from '../ports/recorder.ts';
import { type FabricParts, noVm, refuse } from './fabric-parts.ts';
import { hostStatus } from './host-status.ts';
import type { HostWatch } from './host-watch.ts';
import type { Images } from './images.ts';
import type { Ledger } from './ledger.ts';
import { numberOf } from './numbers.ts';
import { joinVm } from './snapshot.ts';
import type { Surroundings } from './surroundings.ts';
import type { Turn } from './turn.ts';
import type { AuditLog, Users } from './user-view.ts';
import { UserList } from './users.ts';
import type {
  CommandResult,
  DomainStatus,
  EngineView,
  EventLog,
  FlavorStatus,
  GroupStatus,
  HostStatus,
  ImageStatus,
  LoadedPolicy,
  OperationQuery,
  OperationStatus,
  Tokens,
  VmQuery,
  VmStatus,
  WhyRecord,
} from './view.ts';
import { vmStatus } from './vm-status.ts';
import type { Worker } from './worker.ts';

export interface StatusParts {
  readonly parts: FabricParts;
  readonly hosts: readonly HostWatch[];
  readonly policies: Map<GroupName, LoadedPolicy>;
  readonly turn: Turn;
  readonly worker: Worker;
  readonly images: Images;
  readonly tokens: Tokens;
  /** What the hosts' numbers are bound to. */
  readonly keys: ReadonlyMap<HostName, string>;
  readonly surroundings: Surroundings;
  readonly recorder: Pick<Recorder, 'find'>;
}

const GUEST_MS = 15_000;

export abstract class EngineStatus implements Omit<EngineView, CommandName> {
  protected readonly ledger: Ledger;
  protected readonly hostWatches: readonly HostWatch[];
  protected readonly hostsByName: ReadonlyMap<HostName, HostWatch>;
  protected readonly policies: Map<GroupName, LoadedPolicy>;
  protected readonly catalog: Images;
  readonly history: EngineView['history'];
  readonly tokens: Tokens;
  readonly users: Users;
  readonly audit: AuditLog;
  readonly #parts: FabricParts;
  readonly #turn: Turn;
  readonly #worker: Worker;
  readonly #keys: ReadonlyMap<HostName, string>;
  protected readonly surroundings: Surroundings;
  readonly #recorder: Pick<Recorder, 'find'>;

  protected constructor(status: StatusParts) {
    const { parts, hosts, policies, turn, worker, images, tokens, keys } = status;
    this.surroundings = status.surroundings;
    this.#recorder = status.recorder;
    this.ledger = parts.ledger;
    this.hostWatches = hosts;
    this.hostsByName = parts.hosts;
    this.policies = policies;
    this.catalog = images;
    this.history = parts.store;
    this.tokens = tokens;
    this.users = new UserList(parts);
    this.audit = parts.store;
    this.#parts = parts;
    this.#turn = turn;
    this.#worker = worker;
    this.#keys = keys;
  }

  get log(): EventLog {
    return this.ledger;
  }

  // --- hosts --------------------------------------------------------------------------------------------------------

  hosts(): readonly HostStatus[] {
    return this.hostWatches.map((watch) => this.#hostStatus(watch));
  }

  host(name: HostName): HostStatus | undefined {
    const watch = this.hostsByName.get(name);
    return watch && this.#hostStatus(watch);
  }

  hostById(id: number): HostStatus | undefined {
    const { numbers } = this.ledger.state;
    const watch = this.hostWatches.find(({ name }) => numberOf(numbers, 'host', this.#keys.get(name) ?? name) === id);
    return watch && this.#hostStatus(watch);
  }

  #hostStatus(watch: HostWatch): HostStatus {
    const { numbers, vms } = this.ledger.state;
    const id = numberOf(numbers, 'host', this.#keys.get(watch.name) ?? watch.name);
    return hostStatus(watch, id, vms.values());
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

  // --- groups and VMs -----------------------------------------------------------------------------------------------

  groups(): readonly GroupStatus[] {
    return [...this.policies.keys()].flatMap((name) => this.group(name) ?? []);
  }

  group(name: GroupName): GroupStatus | undefined {
    const loaded = this.policies.get(name);
    if (loaded === undefined) return undefined;
    const evaluation = this.#turn.evaluations.get(name);
    return {
      policy: loaded.policy,
      file: loaded.file,
      memory: this.ledger.group(name).durable,
      vms: this.#statuses((record) => record.group === name),
      candidates: this.surroundings.candidates.statusOf(name),
      templates: this.surroundings.templates.statusOf(name),
      ...(evaluation && { lastDecision: evaluation.decision, lastDecisionAt: evaluation.at }),
    };
  }

  async why(name: GroupName, at?: string): Promise<CommandResult<WhyRecord>> {
    const evaluation = this.#turn.evaluations.get(name);
    if (!this.policies.has(name) && evaluation === undefined) return refuse('not-found', `there is no group ${name}`);
    if (at === undefined) {
      if (evaluation !== undefined) return { ok: true, value: whyOf(evaluation) };
      return refuse('not-found', `group ${name} has not been evaluated yet`);
    }
    const recorded = await this.#recorder.find(name, at);
    if (recorded !== undefined) return { ok: true, value: whyOf(recorded) };
    // Older than what is recorded: those that changed something are kept for longer.
    const [kept] = await this.history.decisions({ group: name, limit: 1, until: at });
    if (kept !== undefined) return { ok: true, value: whyOf({ at: kept.at, decision: kept }) };
    return refuse('not-found', `nothing is kept about group ${name} from ${at} or before`, 'at');
  }

  vms(): readonly VmStatus[] {
    return this.#statuses(() => true);
  }

  vm(id: number): VmStatus | undefined {
    const record = this.ledger.vm(id);
    return record && this.#vmStatus(record);
  }

  vmPage(query: VmQuery): { readonly vms: readonly VmStatus[]; readonly nextAfter?: number } {
    const { after = 0, group, host, limit, name, owner, phase, state } = query;
    const vms: VmStatus[] = [];
    for (const record of this.#records()) {
      if (record.id <= after) continue;
      if (group !== undefined && (record.group ?? null) !== group) continue;
      if (host !== undefined && record.host !== host) continue;
      if (phase !== undefined && record.phase !== phase) continue;
      if (name !== undefined && record.name !== name) continue;
      if (owner !== undefined && record.owner !== owner) continue;
      if (query.address !== undefined && record.endpoint?.address !== query.address) continue;
      const status = this.#vmStatus(record);
      if (state !== undefined && status.state !== state) continue;
      const last = vms.at(-1);
      if (vms.length >= limit && last !== undefined) return { vms, nextAfter: last.record.id };
      vms.push(status);
    }
    return { vms };
  }

  vmIdsOn(host: HostName): readonly number[] {
    const view = this.hostsByName.get(host)?.view();
    const here = [...this.#records()].filter((record) => record.host === host);
    return here.filter((record) => existsOn(view, record)).map(({ id }) => id);
  }

  /** By id. Records come in that order, except those that were found again after a loss. */
  #records(): Iterable<VmRecord> {
    const { vms } = this.ledger.state;
    let last = 0;
    for (const id of vms.keys()) {
      if (id < last) return [...vms.values()].sort((a, b) => a.id - b.id);
      last = id;
    }
    return vms.values();
  }

  #statuses(wanted: (record: VmRecord) => boolean): readonly VmStatus[] {
    return Array.from(this.#records())
      .filter(wanted)
      .map((record) => this.#vmStatus(record));
  }

  #vmStatus(record: VmRecord): VmStatus {
    const watch = this.hostsByName.get(record.host);
    const host = watch?.view();
    const { group, phaseAtMs, uuid } = record;
    const cpuPercent =
      group === undefined ? this.#turn.cpuPercentOf(uuid) : this.ledger.group(group).transient.cpu[uuid]?.percent;
    const unhealthy = this.surroundings.health.unhealthy(record.id);
    return vmStatus({
      view: joinVm(record, host),
      unhealthy,
      host,
      condition: watch?.condition,
      phaseAt: this.#parts.clock.wallOf(phaseAtMs),
      cpuPercent,
    });
  }

  console(id: number, maxBytes: number, signal: AbortSignal): Promise<CommandResult<Uint8Array>> {
    return this.#askGuest(id, signal, (hypervisor, uuid, inner) => hypervisor.console(uuid, maxBytes, inner));
  }

  addresses(id: number, signal: AbortSignal): Promise<CommandResult<readonly GuestAddress[]>> {
    return this.#askGuest(id, signal, (hypervisor, uuid, inner) => hypervisor.addresses(uuid, inner));
  }

  async #askGuest<T>(
    id: number,
    signal: AbortSignal,
    ask: (hypervisor: Hypervisor, uuid: string, signal: AbortSignal) => Promise<T>,
  ): Promise<CommandResult<T>> {
    const record = this.ledger.vm(id);
    if (record === undefined) return noVm(id);
    const hypervisor = this.hostsByName.get(record.host)?.hypervisor;
    if (hypervisor === undefined)
      return refuse('unreachable', `host ${record.host} is not in the configuration any more`);
    try {
      const value = await this.#parts.clock.deadline(GUEST_MS, (inner) => ask(hypervisor, record.uuid, inner), signal);
      return { ok: true, value };
    } catch (error) {
      if (!isFault(error)) throw error;
      return refuse(error.retryable || error.kind === 'aborted' ? 'unreachable' : 'conflict', error.message);
    }
  }

  // --- images, flavors, operations ----------------------------------------------------------------------------------

  images(): readonly ImageStatus[] {
    return [...this.ledger.state.images.keys()].flatMap((name) => this.image(name) ?? []);
  }

  image(name: string): ImageStatus | undefined {
    const { images, numbers, vms } = this.ledger.state;
    const known = images.get(name);
    if (known === undefined) return undefined;
    const content = known.image?.content;
    return {
      ...known,
      id: numberOf(numbers, 'image', name),
      hosts: content === undefined ? [] : this.catalog.hostsWith(content),
      vms: vms.values().reduce((count, vm) => count + (vm.image?.name === name ? 1 : 0), 0),
    };
  }

  flavors(): readonly FlavorStatus[] {
    const { numbers } = this.ledger.state;
    const listed = this.#parts.settings().flavors;
    return listed.map(({ flavor, key }) => ({ ...flavor, id: numberOf(numbers, 'flavor', key) }));
  }

  async operation(id: string): Promise<OperationStatus | undefined> {
    const found = this.ledger.state.operations.get(id) ?? (await this.#parts.store.operation(id));
    return found && this.statusOf(found);
  }

  async operations(query: OperationQuery): Promise<readonly OperationStatus[]> {
    const found = await this.#parts.store.operations(query);
    return found.map((operation) => this.statusOf(operation));
  }

  async ended(id: string, timeoutMs: number, signal?: AbortSignal): Promise<OperationStatus | undefined> {
    const { clock } = this.#parts;
    if (this.ledger.state.operations.has(id)) {
      const over = new AbortController();
      const unsubscribe = this.ledger.subscribe((event) => {
        if (event.type !== 'operation.changed' || event.operation.id !== id) return;
        if (ENDED_STATES.has(event.operation.state)) over.abort();
      });
      await clock.sleep(timeoutMs, signal ? AbortSignal.any([over.signal, signal]) : over.signal);
      unsubscribe();
    }
    return this.operation(id);
  }

  /** Of moves and drains: the engine knows. */
  protected abstract moveProgress(operationId: string): Progress | undefined;

  protected statusOf(operation: Operation): OperationStatus {
    const progress = ENDED_STATES.has(operation.state) ? undefined : this.#progressOf(operation);
    return { operation, ...(progress && { progress }) };
  }

  #progressOf({ create, id, kind, vms }: Operation): Progress | undefined {
    if (kind.startsWith('image.')) return this.catalog.progressOf(id);
    if (kind === 'vm.migrate' || kind === 'host.drain') return this.moveProgress(id);
    if (create === undefined) return undefined;
    const coming = vms.find((vm) => this.#worker.imageBytes.has(vm.id));
    const content = create.image?.content;
    if (coming !== undefined && content !== undefined) {
      const text = `image ${create.image?.name} to host ${coming.host}`;
      return { done: this.#worker.imageBytes.get(coming.id) ?? 0, total: content.fileBytes, unit: 'bytes', text };
    }
    const done = vms.filter(({ outcome }) => outcome !== undefined).length;
    return { done, total: create.names.length, unit: 'vms', text: 'VMs that run' };
  }
}

function whyOf({ at, decision }: DatedDecision): WhyRecord {
  return { at, decision, text: whyText(decision) };
}

/** What is not a picture but a command: the engine's own. */
type CommandName =
  | 'setDesired'
  | 'pause'
  | 'resume'
  | 'suspend'
  | 'refresh'
  | 'postMetric'
  | 'setVm'
  | 'cordon'
  | 'uncordon'
  | 'createVms'
  | 'power'
  | 'deleteVm'
  | 'adopt'
  | 'importImage'
  | 'uploadImage'
  | 'deleteImage'
  | 'cancel'
  | 'clusters'
  | 'migrations'
  | 'hardware'
  | 'snapshots';

/** As its host last said; what was done since then, the record knows. */
function existsOn(host: HostView | undefined, record: VmRecord): boolean {
  const { domain } = joinVm(record, host);
  const startedAtMs = host?.last?.startedAtMs ?? 0;
  if (startedAtMs >= record.changedAtMs) return domain !== undefined;
  return ['defined', 'started', 'stopping', 'stopped'].includes(record.step);
}
