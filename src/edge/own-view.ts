// The engine as one user may see it: his VMs, operations, images, tokens and clusters, and what is shared. What is another's is answered
// as what does not exist. The compiler holds it to the whole of `EngineView`: nothing that is added there can be forgotten here.
// Not here: who is given this view (visibility), which calls a user reaches at all (reach), groups (no-groups).

import { ownerOfEvent } from '../core/events.ts';
import { noVm, type Refused, refuse } from '../engine/fabric-parts.ts';
import type {
  Caller,
  CommandResult,
  CreateRequest,
  EngineView,
  EventLog,
  HostStatus,
  ImageStatus,
  OperationQuery,
  OperationStatus,
  VmQuery,
  VmStatus,
} from '../engine/view.ts';
import { NoGroups } from './no-groups.ts';
import { ownClusters } from './own-clusters.ts';
import { ownHost } from './own-hosts.ts';
import { shownOperation, shownResult, withoutHosts } from './own-operations.ts';
import { ownTokens, ownUsers } from './own-people.ts';

type Grace = { readonly graceMs?: number };

/** Of one page while all his VMs are walked through. */
const PAGE = 1000;

export class OwnView extends NoGroups implements EngineView {
  readonly #engine: EngineView;
  readonly #owner: string;

  constructor(engine: EngineView, owner: string) {
    super();
    this.#engine = engine;
    this.#owner = owner;
  }

  // --- VMs ----------------------------------------------------------------------------------------------------------

  #isHis({ record }: VmStatus): boolean {
    return record.owner === this.#owner && record.group === undefined;
  }

  vms(): readonly VmStatus[] {
    const vms: VmStatus[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page: ReturnType<EngineView['vmPage']> = this.vmPage({ limit: PAGE, after });
      vms.push(...page.vms);
      after = page.nextAfter;
    }
    return vms;
  }

  vmPage(query: VmQuery): { readonly vms: readonly VmStatus[]; readonly nextAfter?: number } {
    const { group = null, owner = this.#owner } = query;
    if (group !== null || owner !== this.#owner) return { vms: [] };
    return this.#engine.vmPage({ ...query, group, owner });
  }

  vm(id: number): VmStatus | undefined {
    const vm = this.#engine.vm(id);
    return vm && this.#isHis(vm) ? vm : undefined;
  }

  vmIdsOn(host: string): readonly number[] {
    return this.#engine.vmIdsOn(host).filter((id) => this.vm(id) !== undefined);
  }

  async #onVm<T>(id: number, work: () => Promise<CommandResult<T>>): Promise<CommandResult<T>> {
    return this.vm(id) === undefined ? noVm(id) : withoutHosts(await work());
  }

  async #onVms<T>(ids: readonly number[], work: () => Promise<CommandResult<T>>): Promise<CommandResult<T>> {
    const hidden = ids.find((id) => this.vm(id) === undefined);
    return hidden === undefined ? withoutHosts(await work()) : noVm(hidden);
  }

  /**
   * The refusal of a request that names what he does not see: an image, or VMs to be beside, which would tell where those are. Also of
   * what does not exist, so that both are answered alike.
   */
  #unseen({ image, placement }: Pick<CreateRequest, 'image' | 'placement'>): Refused | undefined {
    for (const part of ['withVms', 'withoutVms'] as const) {
      const unknown = placement?.[part]?.find((id) => this.vm(id) === undefined);
      if (unknown !== undefined) return refuse('invalid', `there is no VM ${unknown}`, `placement.${part}`);
    }
    if (image === undefined || this.image(image) !== undefined) return undefined;
    return refuse('invalid', `there is no image ${image}`, 'image');
  }

  async createVms(request: CreateRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#unseen(request) ?? shownResult(await this.#engine.createVms(request, caller));
  }

  setVm(...given: Parameters<EngineView['setVm']>): Promise<CommandResult<VmStatus>> {
    return this.#onVm(given[0], () => this.#engine.setVm(...given));
  }

  power(...given: Parameters<EngineView['power']>): Promise<CommandResult<OperationStatus>> {
    return this.#onVm(given[0], () => this.#engine.power(...given));
  }

  deleteVm(id: number, caller: Caller, options?: Grace): Promise<CommandResult<OperationStatus>> {
    return this.#onVm(id, () => this.#engine.deleteVm(id, caller, options));
  }

  console(...given: Parameters<EngineView['console']>): ReturnType<EngineView['console']> {
    return this.#onVm(given[0], () => this.#engine.console(...given));
  }

  addresses(...given: Parameters<EngineView['addresses']>): ReturnType<EngineView['addresses']> {
    return this.#onVm(given[0], () => this.#engine.addresses(...given));
  }

  get hardware(): EngineView['hardware'] {
    const { hardware } = this.#engine;
    return {
      look: (id, signal) => this.#onVm(id, () => hardware.look(id, signal)),
      resize: (id, ...given) => this.#onVm(id, () => hardware.resize(id, ...given)),
      attachNic: (id, ...given) => this.#onVm(id, () => hardware.attachNic(id, ...given)),
      detachNic: (id, ...given) => this.#onVm(id, () => hardware.detachNic(id, ...given)),
    };
  }

  get snapshots(): EngineView['snapshots'] {
    const { snapshots } = this.#engine;
    return {
      list: (id, signal) => this.#onVm(id, () => snapshots.list(id, signal)),
      take: (ids, ...given) => this.#onVms(ids, () => snapshots.take(ids, ...given)),
      revert: (ids, ...given) => this.#onVms(ids, () => snapshots.revert(ids, ...given)),
      remove: (ids, ...given) => this.#onVms(ids, () => snapshots.remove(ids, ...given)),
    };
  }

  /** His VMs he may move; hosts are the operator's. */
  get migrations(): EngineView['migrations'] {
    const { migrations } = this.#engine;
    return {
      migrate: (id, ...given) => this.#onVm(id, () => migrations.migrate(id, ...given)),
      drain: async () => refuse('conflict', 'hosts are the operator’s'),
      undrain: async () => refuse('conflict', 'hosts are the operator’s'),
      plan: () => [],
      rebalance: async () => [],
    };
  }

  /** Of domains that somebody else made none is his. */
  async adopt(host: string, domain: string, _caller: Caller): Promise<CommandResult<OperationStatus>> {
    return refuse('not-found', `there is no domain ${domain} on host ${host}`, 'domain');
  }

  get clusters(): EngineView['clusters'] {
    return ownClusters(this.#engine.clusters, this.#owner, (request) => this.#unseen(request));
  }

  // --- hosts: as if nobody else were on them ------------------------------------------------------------------------

  hosts(): readonly HostStatus[] {
    const vms = this.vms();
    return this.#engine.hosts().map((host) => ownHost(host, vms, this.vmIdsOn(host.name).length));
  }

  host(name: string): HostStatus | undefined {
    const host = this.#engine.host(name);
    return host && ownHost(host, this.vms(), this.vmIdsOn(name).length);
  }

  hostById(id: number): HostStatus | undefined {
    const host = this.#engine.hostById(id);
    return host && ownHost(host, this.vms(), this.vmIdsOn(host.name).length);
  }

  async cordon(): Promise<CommandResult<HostStatus>> {
    return refuse('conflict', 'hosts are the operator’s');
  }

  async uncordon(): Promise<CommandResult<HostStatus>> {
    return refuse('conflict', 'hosts are the operator’s');
  }

  domains(): ReturnType<EngineView['domains']> {
    return [];
  }

  readiness(): ReturnType<EngineView['readiness']> {
    return this.#engine.readiness();
  }

  // --- images: the operator's for everybody, his own ----------------------------------------------------------------

  images(): readonly ImageStatus[] {
    return this.#engine.images().flatMap((image) => this.#shownImage(image) ?? []);
  }

  image(name: string): ImageStatus | undefined {
    const image = this.#engine.image(name);
    return image && this.#shownImage(image);
  }

  #shownImage(image: ImageStatus): ImageStatus | undefined {
    if (image.owner !== undefined && image.owner !== this.#owner) return undefined;
    const vms = this.vms().filter(({ record }) => record.image?.name === image.name).length;
    // Where it came from may be an address or a file of the operator's.
    return image.owner === undefined ? { ...image, source: { kind: 'upload' }, vms } : { ...image, vms };
  }

  async importImage(name: string): Promise<CommandResult<OperationStatus>> {
    return refuse('conflict', `image ${name} cannot be fetched: only the operator has images fetched; send it instead`);
  }

  uploadImage(...given: Parameters<EngineView['uploadImage']>): Promise<CommandResult<ImageStatus>> {
    return this.#engine.uploadImage(...given);
  }

  async deleteImage(name: string, caller: Caller): Promise<CommandResult<undefined>> {
    const image = this.image(name);
    if (image === undefined) return refuse('not-found', `there is no image ${name}`);
    if (image.owner === undefined) return refuse('conflict', `image ${name} stays: it is the operator's`);
    return this.#engine.deleteImage(name, caller);
  }

  flavors(): ReturnType<EngineView['flavors']> {
    return this.#engine.flavors();
  }

  // --- operations and events ----------------------------------------------------------------------------------------

  async operation(id: string): Promise<OperationStatus | undefined> {
    const found = await this.#engine.operation(id);
    return found?.operation.owner === this.#owner ? shownOperation(found) : undefined;
  }

  async operations(query: OperationQuery): Promise<readonly OperationStatus[]> {
    const { before, owner = this.#owner } = query;
    if (owner !== this.#owner) return [];
    // Another's operation is no place in his list.
    if (before !== undefined && (await this.operation(before)) === undefined) return [];
    return (await this.#engine.operations({ ...query, owner })).map(shownOperation);
  }

  async cancel(id: string, caller: Caller): Promise<CommandResult<OperationStatus>> {
    if ((await this.operation(id)) === undefined) return refuse('not-found', `there is no operation ${id}`);
    return shownResult(await this.#engine.cancel(id, caller));
  }

  async ended(id: string, timeoutMs: number, signal?: AbortSignal): Promise<OperationStatus | undefined> {
    if ((await this.operation(id)) === undefined) return undefined;
    const found = await this.#engine.ended(id, timeoutMs, signal);
    return found && shownOperation(found);
  }

  /** Numbers are those of the one log: between his events there are gaps. */
  get log(): EventLog {
    const { log } = this.#engine;
    const owner = this.#owner;
    return {
      get lastSeq() {
        return log.lastSeq;
      },
      page: (query) => log.page({ ...query, owner }),
      subscribe: (listener) => log.subscribe((event) => void (ownerOfEvent(event) === owner && listener(event))),
    };
  }

  // --- people -------------------------------------------------------------------------------------------------------

  get tokens(): EngineView['tokens'] {
    return ownTokens(this.#engine.tokens, this.#owner);
  }

  get users(): EngineView['users'] {
    return ownUsers(this.#engine.users, this.#owner);
  }

  get audit(): EngineView['audit'] {
    return { audit: async () => [], keepAudit: (entries) => this.#engine.audit.keepAudit(entries) };
  }

  /** Of decisions, which are groups', there are none. */
  get history(): EngineView['history'] {
    const { history } = this.#engine;
    return {
      decision: async () => undefined,
      decisions: async () => [],
      answer: (key) => history.answer(key),
      keepAnswer: (answer) => history.keepAnswer(answer),
    };
  }
}
