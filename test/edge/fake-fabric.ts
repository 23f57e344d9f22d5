// Hosts, VMs, images and tokens in memory behind the engine's contract: commands verify, begin operations and carry them out.
// Not here: groups and history (fake-engine), how operations go on (fake-operations), real placement.

import { createHash } from 'node:crypto';
import type { Token } from '../../src/core/catalog.ts';
import type { Choice } from '../../src/core/decision.ts';
import type { Flavor, VmRecord } from '../../src/core/model.ts';
import type { OperationVm, PowerVerb } from '../../src/core/operation.ts';
import type {
  Caller,
  CommandResult,
  CreateRequest,
  Fabric,
  FlavorStatus,
  HostStatus,
  ImageStatus,
  OperationQuery,
  OperationStatus,
  Tokens,
  VmQuery,
  VmStatus,
} from '../../src/engine/view.ts';
import type { GuestAddress } from '../../src/ports/hypervisor.ts';
import { FakeOperations, type Step } from './fake-operations.ts';
import type { MemoryEventLog } from './memory-event-log.ts';
import { aHost, anImage, clock, FLAVORS, NOW_MS, uuidOf, vmOf } from './pictures.ts';

export type Refusal = Extract<CommandResult<never>, { ok: false }>;

export interface FakeFabricParts {
  readonly hosts?: readonly HostStatus[];
  /** VMs without a group. */
  readonly vms?: readonly VmStatus[];
  readonly images?: readonly ImageStatus[];
  readonly flavors?: readonly FlavorStatus[];
  readonly tokens?: readonly Token[];
}

const POWER: Readonly<Record<PowerVerb, VmStatus['desired']>> = {
  start: 'running',
  pause: 'paused',
  resume: 'running',
  shutdown: 'stopped',
  reboot: 'running',
  reset: 'running',
  stop: 'stopped',
};

export class FakeFabric implements Fabric {
  readonly work: FakeOperations;
  readonly commands: string[] = [];
  /** Called by every command before it takes effect. */
  beforeCommand: () => Promise<void> = () => Promise.resolve();
  /** What every command answers as long as it is set. */
  refusal: Refusal | undefined;
  consoleText: Uint8Array = new TextEncoder().encode('Linux version 6.1.0\nlogin: ');
  guestAddresses: readonly GuestAddress[] = [
    { address: '127.0.1.20', source: 'forward' },
    { address: '10.0.2.15', source: 'agent', interface: 'eth0', mac: '52:54:00:00:00:14' },
  ];
  /** Domains that nobody looks after yet, by name, for `adopt`. */
  readonly strangers = new Map<string, { readonly host: string; readonly uuid: string }>([
    ['stranger', { host: 'local', uuid: uuidOf(9000) }],
  ]);
  protected readonly events: MemoryEventLog;
  readonly #hosts: Map<string, HostStatus>;
  readonly #vms: Map<number, VmStatus>;
  readonly #images: Map<string, ImageStatus>;
  readonly #flavors: readonly FlavorStatus[];
  readonly #tokens: Map<string, Token>;
  #nextVmId: number;
  #nextImageId: number;
  #lastHost = -1;
  #sorted: readonly VmStatus[] | undefined;

  constructor(parts: FakeFabricParts, grouped: readonly VmStatus[], events: MemoryEventLog) {
    const { hosts = [aHost()], vms = [], images = [anImage()], flavors = FLAVORS, tokens = [] } = parts;
    this.events = events;
    this.work = new FakeOperations(events);
    this.#hosts = new Map(hosts.map((host) => [host.name, host]));
    this.#vms = new Map([...grouped, ...vms].map((vm) => [vm.record.id, vm]));
    this.#images = new Map(images.map((image) => [image.name, image]));
    this.#flavors = flavors;
    this.#tokens = new Map(tokens.map((token) => [token.name, token]));
    this.#nextVmId = Math.max(0, ...this.#vms.keys()) + 1;
    this.#nextImageId = Math.max(0, ...images.map(({ id }) => id)) + 1;
  }

  hosts(): readonly HostStatus[] {
    return [...this.#hosts.values()];
  }

  host(name: string): HostStatus | undefined {
    return this.#hosts.get(name);
  }

  hostById(id: number): HostStatus | undefined {
    return this.hosts().find((host) => host.id === id);
  }

  cordon(name: string, reason: string, { owner }: Caller): Promise<CommandResult<HostStatus>> {
    return this.command(`cordon ${name}: ${reason}`, () => {
      const host = this.host(name);
      if (host === undefined) return notFound(`there is no host ${name}`);
      this.events.append({ type: 'host.cordoned', host: name, reason, by: owner });
      return { ok: true, value: this.#putHost({ ...host, traits: { ...host.traits, cordoned: reason } }) };
    });
  }

  uncordon(name: string, { owner }: Caller): Promise<CommandResult<HostStatus>> {
    return this.command(`uncordon ${name}`, () => {
      const host = this.host(name);
      if (host === undefined) return notFound(`there is no host ${name}`);
      const { cordoned: _, ...traits } = host.traits;
      this.events.append({ type: 'host.uncordoned', host: name, by: owner });
      return { ok: true, value: this.#putHost({ ...host, traits }) };
    });
  }

  /** Puts a host into another condition, as its answers would. */
  setHost(name: string, change: Partial<HostStatus>): void {
    const host = this.host(name);
    if (host !== undefined) this.#putHost({ ...host, ...change });
  }

  vms(): readonly VmStatus[] {
    this.#sorted ??= [...this.#vms.values()].sort((a, b) => a.record.id - b.record.id);
    return this.#sorted;
  }

  vmPage(query: VmQuery): { readonly vms: readonly VmStatus[]; readonly nextAfter?: number } {
    const all = this.vms();
    const found: VmStatus[] = [];
    for (let at = firstAbove(all, query.after ?? 0); at < all.length; at++) {
      const vm = all[at];
      if (vm === undefined || !isWanted(vm, query)) continue;
      if (found.length === query.limit) return { vms: found, nextAfter: found.at(-1)?.record.id ?? 0 };
      found.push(vm);
    }
    return { vms: found };
  }

  vm(id: number): VmStatus | undefined {
    return this.#vms.get(id);
  }

  vmIdsOn(host: string): readonly number[] {
    return this.vms()
      .filter(({ record, state }) => record.host === host && state !== 'absent')
      .map(({ record }) => record.id);
  }

  /** Puts a VM into another state behind the API's back, as a crash or `virsh` would. */
  setVm(id: number, change: Partial<VmStatus>): void {
    const vm = this.#vms.get(id);
    if (vm !== undefined) this.#putVm({ ...vm, ...change });
  }

  createVms(request: CreateRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.command(`create ${request.name} ${request.flavor} ${request.image ?? '(blank)'}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      const count = request.count ?? 1;
      const names = Array.from({ length: count }, (_, at) =>
        count === 1 ? request.name : `${request.name}-${at + 1}`,
      );
      const refused = this.#verify(request, names);
      if (refused !== undefined) return refused;
      const flavor = this.#flavors.find(({ name }) => name === request.flavor);
      const image = request.image === undefined ? undefined : this.image(request.image)?.image;
      if (flavor === undefined) throw new Error('verified before');
      const made: number[] = [];
      const undo = (): void => {
        for (const id of made) this.#dropVm(id);
      };
      const place: Step = () => {
        const vms: OperationVm[] = [];
        for (const name of names) {
          const { host, choices } = this.#place(flavor, request);
          if (host === undefined) {
            undo();
            const failure = { type: 'no-capacity' as const, detail: 'no host has room now', hosts: choices };
            return { state: 'failed', failure };
          }
          const id = this.#nextVmId++;
          made.push(id);
          vms.push({ id, name, host });
          this.#putVm(
            vmOf(
              {
                id,
                name,
                uuid: uuidOf(id),
                host,
                kind: image === undefined ? 'blank' : 'clone',
                owner: caller.owner,
                operation: 'op',
                ...(image !== undefined && { image }),
                flavor,
                ...(request.ready !== undefined && { ready: request.ready }),
                phase: 'launching',
                step: 'intended',
                phaseAtMs: NOW_MS,
                changedAtMs: NOW_MS,
                tries: 0,
              },
              { state: 'absent', difference: 'it is being launched' },
            ),
          );
        }
        return { state: 'placed', vms };
      };
      const run: Step = () => ({ state: 'running', progress: { done: 0, total: count, unit: 'vms', text: 'cloning' } });
      const finish: Step = ({ vms }) => {
        for (const { id } of vms) this.#launched(id);
        return {
          state: 'succeeded',
          vms: vms.map((vm) => ({ ...vm, outcome: 'done' as const })),
          progress: { done: count, total: count, unit: 'vms', text: 'all there' },
        };
      };
      const create = {
        names,
        flavor,
        ...(image !== undefined && { image }),
        placement: request.placement ?? {},
        allOrNothing: request.allOrNothing ?? false,
        launchDeadlineMs: 60_000,
      };
      const operation = { kind: 'vm.create' as const, state: 'queued' as const, create };
      return { ok: true, value: this.work.begin(operation, caller, [place, run, finish], undo) };
    });
  }

  power(
    id: number,
    verb: PowerVerb,
    caller: Caller,
    options: { readonly graceMs?: number } = {},
  ): Promise<CommandResult<OperationStatus>> {
    const grace = options.graceMs === undefined ? '' : ` grace ${options.graceMs}`;
    return this.command(`${verb} ${id}${grace}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      const vm = this.vm(id);
      if (vm === undefined) return notFound(`there is no VM ${id}`);
      if (vm.record.group !== undefined) {
        return conflict(`VM ${id} belongs to the group ${vm.record.group} and follows its policy`);
      }
      if (verb !== 'start' && vm.state === 'stopped') return conflict(`VM ${id} does not run`);
      const state = POWER[verb];
      const finish: Step = ({ vms }) => {
        const now = this.vm(id);
        if (now === undefined) {
          return { state: 'failed', failure: { type: 'failed', detail: `VM ${id} is gone` } };
        }
        this.#putVm({ ...now, state: state === 'absent' ? 'stopped' : state, desired: state });
        return { state: 'succeeded', vms: vms.map((one) => ({ ...one, outcome: 'done' as const })) };
      };
      const vms = [{ id, name: vm.record.name, host: vm.record.host }];
      return { ok: true, value: this.work.begin({ kind: `vm.${verb}`, state: 'running', vms }, caller, [finish]) };
    });
  }

  deleteVm(
    id: number,
    caller: Caller,
    options: { readonly graceMs?: number } = {},
  ): Promise<CommandResult<OperationStatus>> {
    const grace = options.graceMs === undefined ? '' : ` grace ${options.graceMs}`;
    return this.command(`delete ${id}${grace}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      const vm = this.vm(id);
      if (vm === undefined) return notFound(`there is no VM ${id}`);
      this.#putVm({ ...vm, desired: 'absent', record: { ...vm.record, phase: 'removing', reason: 'deleted' } });
      const finish: Step = ({ vms }) => {
        this.#dropVm(id);
        return { state: 'succeeded', vms: vms.map((one) => ({ ...one, outcome: 'done' as const })) };
      };
      const vms = [{ id, name: vm.record.name, host: vm.record.host }];
      return { ok: true, value: this.work.begin({ kind: 'vm.delete', state: 'running', vms }, caller, [finish]) };
    });
  }

  adopt(host: string, domain: string, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.command(`adopt ${host} ${domain}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      if (this.host(host) === undefined) return { ...notFound(`there is no host ${host}`), where: 'host' };
      const stranger = this.strangers.get(domain);
      if (stranger === undefined || stranger.host !== host) {
        return { ...notFound(`there is no domain ${domain} on ${host}`), where: 'domain' };
      }
      const id = this.#nextVmId++;
      const record: VmRecord = {
        id,
        name: domain,
        uuid: stranger.uuid,
        host,
        kind: 'adopted',
        owner: caller.owner,
        operation: 'op',
        phase: 'in-service',
        step: 'started',
        phaseAtMs: NOW_MS,
        changedAtMs: NOW_MS,
        tries: 0,
      };
      const finish: Step = ({ vms }) => {
        this.strangers.delete(domain);
        this.#putVm(vmOf(record));
        return { state: 'succeeded', vms: vms.map((one) => ({ ...one, outcome: 'done' as const })) };
      };
      const vms = [{ id, name: domain, host }];
      return { ok: true, value: this.work.begin({ kind: 'vm.adopt', state: 'running', vms }, caller, [finish]) };
    });
  }

  async console(id: number, maxBytes: number, signal: AbortSignal): Promise<CommandResult<Uint8Array>> {
    signal.throwIfAborted();
    if (this.refusal !== undefined) return this.refusal;
    if (this.vm(id) === undefined) return notFound(`there is no VM ${id}`);
    return { ok: true, value: this.consoleText.subarray(Math.max(0, this.consoleText.length - maxBytes)) };
  }

  async addresses(id: number, signal: AbortSignal): Promise<CommandResult<readonly GuestAddress[]>> {
    signal.throwIfAborted();
    if (this.refusal !== undefined) return this.refusal;
    if (this.vm(id) === undefined) return notFound(`there is no VM ${id}`);
    return { ok: true, value: this.guestAddresses };
  }

  images(): readonly ImageStatus[] {
    return [...this.#images.values()];
  }

  image(name: string): ImageStatus | undefined {
    return this.#images.get(name);
  }

  importImage(
    name: string,
    source: Parameters<Fabric['importImage']>[1],
    options: Parameters<Fabric['importImage']>[2],
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    return this.command(`import ${name} ${JSON.stringify(source)}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      if (this.image(name) !== undefined) return { ...conflict(`there is an image ${name}`), where: 'name' };
      const format = options.format ?? 'qcow2';
      const begun: ImageStatus = {
        id: this.#nextImageId++,
        name,
        source,
        state: 'importing',
        addedAt: clock.wallOf(NOW_MS),
        configured: false,
        hosts: [],
        vms: 0,
      };
      this.#images.set(name, begun);
      const fetching: Step = () => ({ progress: { done: 512, total: 1024, unit: 'bytes', text: 'fetching' } });
      const finish: Step = () => {
        const content = { sha256: options.sha256 ?? '0'.repeat(64), fileBytes: 1024, virtualBytes: 4096 };
        this.#images.set(name, { ...begun, state: 'ready', image: { name, format, content } });
        return { state: 'succeeded', progress: { done: 1024, total: 1024, unit: 'bytes', text: 'checked' } };
      };
      const operation = { kind: 'image.import' as const, state: 'running' as const, image: name };
      const undo = (): void => void this.#images.delete(name);
      return { ok: true, value: this.work.begin(operation, caller, [fetching, finish], undo) };
    });
  }

  async uploadImage(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly format?: 'qcow2' | 'raw'; readonly sha256?: string; readonly signal: AbortSignal },
    _caller: Caller,
  ): Promise<CommandResult<ImageStatus>> {
    const begun = await this.command(`upload ${name}`, (): CommandResult<undefined> => {
      if (this.image(name) !== undefined) return conflict(`there is an image ${name}`);
      return { ok: true, value: undefined };
    });
    if (!begun.ok) return begun;
    const id = this.#nextImageId++;
    const base = { id, name, source: { kind: 'upload' as const }, addedAt: clock.wallOf(NOW_MS), configured: false };
    this.#images.set(name, { ...base, state: 'importing', hosts: [], vms: 0 });
    const hash = createHash('sha256');
    let fileBytes = 0;
    try {
      for await (const chunk of bytes) {
        options.signal.throwIfAborted();
        hash.update(chunk);
        fileBytes += chunk.byteLength;
        await this.onUpload(fileBytes);
      }
      options.signal.throwIfAborted();
    } catch (error) {
      this.#images.delete(name);
      throw error;
    }
    const sha256 = hash.digest('hex');
    if (options.sha256 !== undefined && options.sha256 !== sha256) {
      this.#images.delete(name);
      return {
        ok: false,
        refused: 'invalid',
        reason: `the checksum is ${sha256}, not ${options.sha256}`,
        where: 'sha256',
      };
    }
    const content = { sha256, fileBytes, virtualBytes: fileBytes };
    const image = { name, format: options.format ?? 'raw', content };
    const ready: ImageStatus = { ...base, state: 'ready', image, hosts: [], vms: 0 };
    this.#images.set(name, ready);
    this.events.append({ type: 'image.added', image: name, sha256, fileBytes });
    return { ok: true, value: ready };
  }

  /** After each piece of an upload: a test holds it here to be a slow disk. */
  onUpload: (bytes: number) => Promise<void> = () => Promise.resolve();

  deleteImage(name: string, _caller: Caller): Promise<CommandResult<undefined>> {
    return this.command(`delete image ${name}`, () => {
      const image = this.image(name);
      if (image === undefined) return notFound(`there is no image ${name}`);
      if (image.configured) return conflict(`the image ${name} stands in the configuration`);
      if (this.vms().some(({ record }) => record.image?.name === name)) return conflict(`VMs use the image ${name}`);
      this.#images.delete(name);
      this.events.append({ type: 'image.removed', image: name });
      return { ok: true, value: undefined };
    });
  }

  flavors(): readonly FlavorStatus[] {
    return this.#flavors;
  }

  async operation(id: string): Promise<OperationStatus | undefined> {
    return this.work.get(id);
  }

  async operations(query: OperationQuery): Promise<readonly OperationStatus[]> {
    return this.work.list(query);
  }

  cancel(id: string, _caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.command(`cancel ${id}`, () => this.work.cancel(id));
  }

  ended(id: string, timeoutMs: number, signal?: AbortSignal): Promise<OperationStatus | undefined> {
    return this.work.ended(id, timeoutMs, signal);
  }

  get tokens(): Tokens {
    const all = this.#tokens;
    return {
      all: [...all.values()],
      find: (sha256) =>
        [...all.values()].find(
          (token) =>
            token.sha256 === sha256 && !(token.expiresAt !== undefined && Date.parse(token.expiresAt) <= Date.now()),
        ),
      add: (token) =>
        this.command(`add token ${token.name} ${token.scope}`, () => {
          if (all.has(token.name)) return { ...conflict(`there is a token ${token.name}`), where: 'name' };
          const whole = { ...token, createdAt: clock.wallOf(NOW_MS) };
          all.set(token.name, whole);
          return { ok: true, value: whole };
        }),
      remove: (name) =>
        this.command(`remove token ${name}`, () =>
          all.delete(name) ? { ok: true, value: undefined } : notFound(`there is no token ${name}`),
        ),
    };
  }

  protected async command<T>(text: string, work: () => CommandResult<T>): Promise<CommandResult<T>> {
    await this.beforeCommand();
    this.commands.push(text);
    return this.refusal ?? work();
  }

  #verify(request: CreateRequest, names: readonly string[]): Refusal | undefined {
    const invalid = (where: string, reason: string): Refusal => ({ ok: false, refused: 'invalid', where, reason });
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/.test(request.name)) return invalid('name', 'this is no name for a VM');
    const flavor = this.#flavors.find(({ name }) => name === request.flavor);
    if (flavor === undefined) return invalid('flavor', `there is no flavor ${request.flavor}`);
    if (request.image !== undefined && this.image(request.image)?.image === undefined) {
      return invalid('image', `there is no image ${request.image} that is ready`);
    }
    const taken = names.find((name) => this.vms().some(({ record }) => record.name === name));
    if (taken !== undefined) return { ...conflict(`there is a VM ${taken}`), where: 'name' };
    const hosts = this.hosts().map((host): Choice => {
      const fits = (host.capacity?.memoryMiB ?? 0) >= flavor.memoryMiB;
      return { name: host.name, chosen: false, text: fits ? 'fits' : `has less than ${flavor.memoryMiB} MiB` };
    });
    if (hosts.some(({ text }) => text === 'fits')) return undefined;
    return { ok: false, refused: 'no-capacity', reason: 'no host could ever hold it', where: 'flavor', hosts };
  }

  /** Goes on from the host used last; takes the first with room. */
  #place(
    flavor: Flavor,
    { placement }: CreateRequest,
  ): { readonly host?: string; readonly choices: readonly Choice[] } {
    const hosts = this.hosts();
    const choices: Choice[] = [];
    for (let step = 1; step <= hosts.length; step++) {
      const at = (this.#lastHost + step) % hosts.length;
      const host = hosts[at];
      if (host === undefined) continue;
      const why = this.#unfit(host, flavor, placement?.host);
      choices.push({ name: host.name, chosen: why === undefined, text: why ?? 'has room' });
      if (why !== undefined) continue;
      this.#lastHost = at;
      return { host: host.name, choices };
    }
    return { choices };
  }

  #unfit(host: HostStatus, flavor: Flavor, wanted: string | undefined): string | undefined {
    if (wanted !== undefined && wanted !== host.name) return 'another host was asked for';
    if (host.traits.cordoned !== undefined) return `cordoned: ${host.traits.cordoned}`;
    if (host.condition === 'unreachable' || host.condition === 'connecting') return `is ${host.condition}`;
    const free = (host.capacity?.memoryMiB ?? 0) - host.runningMemoryMiB;
    return free < flavor.memoryMiB ? `${free} MiB free, ${flavor.memoryMiB} MiB needed` : undefined;
  }

  #launched(id: number): void {
    const vm = this.#vms.get(id);
    if (vm === undefined) return;
    const { difference: _, ...rest } = vm;
    const { host, flavor } = vm.record;
    const now = this.host(host);
    if (now !== undefined) {
      this.#putHost({
        ...now,
        domains: now.domains + 1,
        running: now.running + 1,
        runningVcpus: now.runningVcpus + (flavor?.vcpus ?? 0),
        runningMemoryMiB: now.runningMemoryMiB + (flavor?.memoryMiB ?? 0),
        vms: now.vms + 1,
      });
    }
    const endpoint = { address: `127.0.1.${id % 250}`, port: vm.record.ready?.http.port ?? 80 };
    this.#putVm({
      ...rest,
      state: 'running',
      record: { ...vm.record, phase: 'in-service', step: 'started', endpoint },
    });
    const event = { id, name: vm.record.name, uuid: vm.record.uuid, host, endpoint };
    this.events.append({ type: 'vm.launched', vm: event, endpoint, launchMs: 100 });
  }

  #dropVm(id: number): void {
    const vm = this.#vms.get(id);
    if (vm === undefined) return;
    this.#vms.delete(id);
    this.#sorted = undefined;
    const { name, uuid, host, flavor } = vm.record;
    const now = this.host(host);
    if (now !== undefined && vm.record.phase !== 'launching') {
      this.#putHost({
        ...now,
        domains: Math.max(0, now.domains - 1),
        running: Math.max(0, now.running - 1),
        runningVcpus: Math.max(0, now.runningVcpus - (flavor?.vcpus ?? 0)),
        runningMemoryMiB: Math.max(0, now.runningMemoryMiB - (flavor?.memoryMiB ?? 0)),
        vms: Math.max(0, now.vms - 1),
      });
    }
    const group = vm.record.group;
    this.events.append({
      type: 'vm.removed',
      ...(group !== undefined && { group }),
      vm: { id, name, uuid, host },
      reason: 'deleted',
    });
  }

  #putVm(vm: VmStatus): void {
    this.#vms.set(vm.record.id, vm);
    this.#sorted = undefined;
  }

  #putHost(host: HostStatus): HostStatus {
    this.#hosts.set(host.name, host);
    return host;
  }
}

function isWanted({ record, state }: VmStatus, query: VmQuery): boolean {
  const { group, host, phase, name, owner } = query;
  if (group === null ? record.group !== undefined : group !== undefined && record.group !== group) return false;
  if (host !== undefined && record.host !== host) return false;
  if (phase !== undefined && record.phase !== phase) return false;
  if (query.state !== undefined && state !== query.state) return false;
  if (name !== undefined && record.name !== name) return false;
  return owner === undefined || record.owner === owner;
}

/** Of VMs in order of their ids: the index of the first with a greater one. */
function firstAbove(vms: readonly VmStatus[], id: number): number {
  let low = 0;
  let high = vms.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((vms[middle]?.record.id ?? 0) > id) high = middle;
    else low = middle + 1;
  }
  return low;
}

function notFound(reason: string): Refusal {
  return { ok: false, refused: 'not-found', reason };
}

function conflict(reason: string): Refusal {
  return { ok: false, refused: 'conflict', reason };
}
