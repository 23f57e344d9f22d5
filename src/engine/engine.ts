// The engine: turns at a steady beat, earlier when something happens, and the commands people may give.
// Not here: what a turn does (turn), what the edges see (status), how VMs are carried along (worker), what commands do (their files).

import type { ImageSource } from '../core/catalog.ts';
import type { NewEvent } from '../core/events.ts';
import type { Suspendable } from '../core/memory.ts';
import type { GroupName, HostName, Image } from '../core/model.ts';
import type { CreateRequest, Operation, PowerVerb, Progress } from '../core/operation.ts';
import { setCordon, TokenList } from './access.ts';
import { assemble } from './assembly.ts';
import { Beat } from './beat.ts';
import { Clusters } from './clusters.ts';
import { Creations } from './creations.ts';
import { type EngineOptions, keysOf, POLL_MS } from './engine-options.ts';
import { noVm, refuse } from './fabric-parts.ts';
import { Groups } from './groups.ts';
import { Hardware } from './hardware.ts';
import type { TakeIn } from './image-intake.ts';
import type { ConfiguredImage } from './images.ts';
import { Ledger } from './ledger.ts';
import { Mobility } from './mobility.ts';
import { missingNumbers } from './numbers.ts';
import { Power } from './power.ts';
import { Removals } from './removals.ts';
import { saidOf, takePosted } from './said.ts';
import type { FabricSettings } from './settings.ts';
import { VmSnapshots } from './snapshots.ts';
import { EngineStatus } from './status.ts';
import { Sweep } from './sweep.ts';
import type { Turn } from './turn.ts';
import type {
  Caller,
  CommandResult,
  EngineView,
  GroupStatus,
  HostStatus,
  ImageStatus,
  LoadedPolicy,
  OperationStatus,
  PostedMetric,
  RefreshVerb,
  VmChange,
  VmStatus,
} from './view.ts';
import type { Worker } from './worker.ts';

export class Engine extends EngineStatus implements EngineView {
  readonly #options: EngineOptions;
  readonly #worker: Worker;
  readonly #turn: Turn;
  readonly #sweep: Sweep;
  readonly #groups: Groups;
  readonly #creations: Creations;
  readonly #power: Power;
  readonly #removals: Removals;
  readonly clusters: Clusters;
  readonly migrations: Mobility;
  readonly hardware: Hardware;
  readonly snapshots: VmSnapshots;
  readonly #stop: AbortController;
  readonly #settings: { now: FabricSettings };
  readonly #beat: Beat;
  #loops: Promise<unknown> | undefined;

  private constructor(options: EngineOptions, ledger: Ledger) {
    const assembly = assemble(options, ledger, {
      wake: () => this.wake(),
      onImages: () => {
        options.onImages?.();
        void this.#creations.pass();
      },
    });
    const { parts, hosts, policies, images, surroundings, worker, turn } = assembly;
    const { clock, log, recorder, telemetry, pollMs = POLL_MS } = options;
    const keys = keysOf(options.hosts);
    const tokens = new TokenList(parts);
    super({ parts, hosts, policies, turn, worker, images, tokens, keys, surroundings, recorder });
    this.#options = options;
    this.#settings = assembly.settings;
    this.#stop = assembly.stop;
    this.#worker = worker;
    this.#turn = turn;
    this.#beat = new Beat({ clock, log, telemetry, hosts, pollMs, turn: () => this.#takeTurn() });
    this.#groups = new Groups(ledger, policies, surroundings.candidates);
    this.#creations = new Creations(parts);
    this.#power = new Power(parts);
    this.snapshots = new VmSnapshots(parts, (operation) => this.statusOf(operation));
    this.hardware = new Hardware(parts, (operation) => this.statusOf(operation));
    this.#removals = new Removals(
      parts,
      { interrupt: (vmId, why) => this.#interrupt(vmId, why) },
      this.#creations,
      (group) => surroundings.conductOf(group).drainGraceMs,
    );
    this.clusters = new Clusters({
      parts,
      creations: this.#creations,
      removals: this.#removals,
      vm: (id) => this.vm(id),
      statusOf: (operation) => this.statusOf(operation),
    });
    this.migrations = new Mobility({
      parts,
      images,
      rulesOf: (group) => policies.get(group)?.policy.placement,
      cpuPercentOf: ({ id }) => this.vm(id)?.cpuPercent,
      statusOf: (operation) => this.statusOf(operation),
      hostStatus: (host) => this.host(host),
    });
    const groups = () => [...policies.keys()];
    this.#sweep = new Sweep({ ledger, clock, hosts, log, groups, images: () => images.sweep() });
  }

  /** Reads the store. Rejects with its fault when it cannot be read. */
  static async open(options: EngineOptions): Promise<Engine> {
    return new Engine(options, await Ledger.open(options.store, options.clock, options.log));
  }

  /** Begins to take turns. What an earlier daemon left half done is taken up in the first. */
  async start(): Promise<void> {
    const { version, hosts } = this.#options;
    await this.#giveNumbers();
    await this.ledger.tell({ type: 'daemon.started', version, hosts: hosts.map(({ hypervisor }) => hypervisor.host) });
    const { signal } = this.#stop;
    this.#loops = Promise.all([
      this.#beat.run(signal),
      this.#sweep.run(signal),
      this.surroundings.run(signal),
      this.migrations.run(signal),
    ]);
    this.#removals.recover();
    this.migrations.recover();
    await this.#power.recover();
    this.hardware.recover();
    this.snapshots.recover();
  }

  /** Takes no further turn, lets go of steps under way, says so. VMs keep running. Bounded by `deadlineMs`. */
  async stop(reason: string, deadlineMs = 3000): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#beat.wake();
    await this.#worker.stop(deadlineMs);
    await Promise.race([this.snapshots.stop(), this.#options.clock.sleep(deadlineMs)]);
    await Promise.race([this.#loops, this.#options.clock.sleep(deadlineMs)]);
    await this.ledger.tell({ type: 'daemon.stopping', reason }).catch(() => undefined);
  }

  /** New settings take effect with the next decision, whoever makes it. */
  async configure(settings: FabricSettings): Promise<void> {
    this.#settings.now = settings;
    await this.#giveNumbers();
    this.wake();
  }

  /** Tells the log about the configuration: a reload, or why it was refused. */
  async tell(event: Extract<NewEvent, { type: 'config.loaded' | 'config.rejected' }>): Promise<void> {
    await this.ledger.tell(event);
  }

  /** See `Images.configure`. */
  configureImages(images: readonly ConfiguredImage[]): Promise<void> {
    return this.catalog.configure(images);
  }

  /** What policies may name now. */
  get readyImages(): readonly Image[] {
    return this.catalog.ready;
  }

  /** Those that have not ended, oldest first. */
  get openOperations(): readonly Operation[] {
    return [...this.ledger.state.operations.values()];
  }

  /** An image that virtscale has built itself is there now. */
  provideImage(image: Image): Promise<void> {
    return this.catalog.provide(image);
  }

  // --- policies and groups ------------------------------------------------------------------------------------------

  /** Puts a policy in force, in place of an older one of the same group. */
  async setPolicy(loaded: LoadedPolicy): Promise<void> {
    await this.#groups.setPolicy(loaded);
    this.wake();
  }

  /** The group is left as it is: its VMs run on, nothing is launched or removed any more. */
  removePolicy(group: GroupName, candidate?: string): Promise<void> {
    return this.#groups.removePolicy(group, candidate);
  }

  rejectPolicy(file: string, reason: string, line?: number): Promise<void> {
    return this.#groups.rejectPolicy(file, reason, line);
  }

  async setDesired(name: GroupName, desired: number): Promise<CommandResult<GroupStatus>> {
    return this.#groupAfter(await this.#groups.setDesired(name, desired));
  }

  async pause(name: GroupName): Promise<CommandResult<GroupStatus>> {
    return this.#groupAfter(await this.#groups.pause(name));
  }

  async resume(name: GroupName): Promise<CommandResult<GroupStatus>> {
    return this.#groupAfter(await this.#groups.resume(name));
  }

  async suspend(name: GroupName, processes: readonly Suspendable[]): Promise<CommandResult<GroupStatus>> {
    return this.#groupAfter(await this.#groups.suspend(name, processes));
  }

  async refresh(name: GroupName, verb: RefreshVerb): Promise<CommandResult<GroupStatus>> {
    return this.#groupAfter(await this.#groups.refresh(name, verb));
  }

  async postMetric(group: GroupName, posted: PostedMetric): Promise<CommandResult<undefined>> {
    const refused = takePosted(this.surroundings.outside, this.ledger, this.policies, group, posted);
    return refused ?? { ok: true, value: undefined };
  }

  async setVm(id: number, change: VmChange, _caller: Caller): Promise<CommandResult<VmStatus>> {
    await this.ledger.change((state) => {
      const record = state.vms.get(id);
      return record && { putVms: [saidOf(record, change)] };
    });
    const value = this.vm(id);
    return value ? { ok: true, value } : noVm(id);
  }

  #groupAfter(done: CommandResult<GroupName>): CommandResult<GroupStatus> {
    if (!done.ok) return done;
    this.wake();
    const value = this.group(done.value);
    return value ? { ok: true, value } : refuse('not-found', `group ${done.value} was removed meanwhile`);
  }

  // --- the fabric ---------------------------------------------------------------------------------------------------

  cordon(host: HostName, reason: string, caller: Caller): Promise<CommandResult<HostStatus>> {
    return this.#cordon(host, reason, caller);
  }

  uncordon(host: HostName, caller: Caller): Promise<CommandResult<HostStatus>> {
    return this.#cordon(host, null, caller);
  }

  async #cordon(name: HostName, reason: string | null, caller: Caller): Promise<CommandResult<HostStatus>> {
    const refused = await setCordon({ hosts: this.hostsByName, ledger: this.ledger }, name, reason, caller);
    if (refused !== undefined) return refused;
    this.wake();
    const value = this.host(name);
    return value ? { ok: true, value } : refuse('not-found', `there is no host ${name}`);
  }

  async createVms(request: CreateRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#withProgress(await this.#creations.submit(request, caller));
  }

  async power(
    id: number,
    verb: PowerVerb,
    caller: Caller,
    { graceMs }: { readonly graceMs?: number } = {},
  ): Promise<CommandResult<OperationStatus>> {
    return this.#withProgress(await this.#power.submit(id, verb, caller, graceMs));
  }

  async deleteVm(
    id: number,
    caller: Caller,
    { graceMs }: { readonly graceMs?: number } = {},
  ): Promise<CommandResult<OperationStatus>> {
    return this.#withProgress(await this.#removals.remove(id, caller, graceMs));
  }

  async adopt(host: HostName, domain: string, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#withProgress(await this.#removals.adopt(host, domain, caller));
  }

  async importImage(
    name: string,
    source: Exclude<ImageSource, { kind: 'upload' | 'built' }>,
    options: TakeIn,
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#withProgress(await this.catalog.import(name, source, options, caller));
  }

  async uploadImage(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    options: TakeIn & { readonly signal: AbortSignal },
    caller: Caller,
  ): Promise<CommandResult<ImageStatus>> {
    const result = await this.catalog.upload(name, bytes, options, caller);
    if (!result.ok) return result;
    const value = this.image(name);
    return value ? { ok: true, value } : refuse('not-found', `image ${name} was removed again`);
  }

  deleteImage(name: string): Promise<CommandResult<undefined>> {
    return this.catalog.remove(name);
  }

  async cancel(id: string): Promise<CommandResult<OperationStatus>> {
    const operation = this.ledger.state.operations.get(id);
    if (operation === undefined) {
      const ended = await this.operation(id);
      if (ended === undefined) return refuse('not-found', `there is no operation ${id}`);
      return refuse('conflict', `operation ${id} has ended already: ${ended.operation.state}`);
    }
    if (operation.create !== undefined) await this.#creations.cancel(id);
    else if (!this.catalog.cancel(id) && !(await this.migrations.cancel(id))) {
      return refuse('conflict', `an operation of kind ${operation.kind} cannot be cancelled`);
    }
    const value = await this.operation(id);
    return value ? { ok: true, value } : refuse('not-found', `there is no operation ${id}`);
  }

  /** Whatever is under way on a VM that goes. */
  async #interrupt(vmId: number, why: string): Promise<void> {
    await this.#power.interrupt(vmId, why);
    await this.hardware.interrupt(vmId, why);
  }

  protected moveProgress(operationId: string): Progress | undefined {
    return this.migrations.progressOf(operationId);
  }

  #withProgress(result: CommandResult<Operation>): CommandResult<OperationStatus> {
    return result.ok ? { ok: true, value: this.statusOf(result.value) } : result;
  }

  /** The next turn begins at once (or as soon as turns may follow each other). */
  wake(): void {
    this.#beat.wake();
  }

  /** Whatever is called by a number and has none yet gets one, in the order of the configuration. */
  async #giveNumbers(): Promise<void> {
    const hosts = this.#options.hosts.map(({ hypervisor, key = hypervisor.host }) => ({ key }));
    const flavors = this.#settings.now.flavors.map(({ key, tid }) => ({
      key,
      ...(tid !== undefined && { wanted: tid }),
    }));
    await this.ledger.change(({ numbers }) => {
      const missing = [...missingNumbers(numbers, 'host', hosts), ...missingNumbers(numbers, 'flavor', flavors)];
      return missing.length === 0 ? undefined : { putNumbers: missing };
    });
  }

  async #takeTurn(): Promise<void> {
    const policies = new Map([...this.policies].map(([group, { policy }]) => [group, policy]));
    await this.#turn.run(policies, this.#stop.signal);
    await this.#creations.pass();
    await this.clusters.pass();
  }
}
