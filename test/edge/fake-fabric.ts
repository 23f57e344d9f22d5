// Hosts and VMs in memory behind the engine's contract: commands verify, begin operations and carry them out.
// Not here: images, operations, tokens (fake-catalog), groups and history (fake-engine), how operations go on (fake-operations).

import type { VmRecord } from '../../src/core/model.ts';
import type { OperationVm, PowerVerb } from '../../src/core/operation.ts';
import { portOf } from '../../src/core/ready-check.ts';
import type {
  Caller,
  CommandResult,
  CreateRequest,
  EngineView,
  Fabric,
  HostStatus,
  OperationStatus,
  VmQuery,
  VmStatus,
} from '../../src/engine/view.ts';
import type { GuestAddress } from '../../src/ports/hypervisor.ts';
import { conflict, FakeCatalog, type FakeCatalogParts, notFound } from './fake-catalog.ts';
import { FakeClusters } from './fake-clusters.ts';
import { FakeHardware } from './fake-hardware.ts';
import { FakeMigrations } from './fake-migrations.ts';
import type { Step } from './fake-operations.ts';
import { FakePlacement, refusalOf } from './fake-placement.ts';
import { FakeSnapshots } from './fake-snapshots.ts';
import type { MemoryEventLog } from './memory-event-log.ts';
import { aHost, NOW_MS, uuidOf, vmOf } from './pictures.ts';

export interface FakeFabricParts extends FakeCatalogParts {
  readonly hosts?: readonly HostStatus[];
  /** VMs without a group. */
  readonly vms?: readonly VmStatus[];
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

export class FakeFabric extends FakeCatalog implements Fabric {
  consoleText: Uint8Array = new TextEncoder().encode('Linux version 6.1.0\nlogin: ');
  guestAddresses: readonly GuestAddress[] = [
    { address: '127.0.1.20', source: 'forward' },
    { address: '10.0.2.15', source: 'agent', interface: 'eth0', mac: '52:54:00:00:00:14' },
  ];
  /** Domains that nobody looks after yet, by name, for `adopt`. */
  readonly strangers = new Map<string, { readonly host: string; readonly uuid: string }>([
    ['stranger', { host: 'local', uuid: uuidOf(9000) }],
  ]);
  readonly #hosts: Map<string, HostStatus>;
  readonly #vms: Map<number, VmStatus>;
  readonly clusters: FakeClusters;
  readonly hardware: FakeHardware;
  readonly migrations: FakeMigrations;
  readonly snapshots: FakeSnapshots;
  readonly #placement = new FakePlacement(this);
  #nextVmId: number;
  #sorted: readonly VmStatus[] | undefined;

  constructor(parts: FakeFabricParts, grouped: readonly VmStatus[], events: MemoryEventLog) {
    super(parts, events);
    this.clusters = new FakeClusters(this.work, (text, work) => this.command(text, work));
    const run: typeof this.command = (text, work) => this.command(text, work);
    this.snapshots = new FakeSnapshots(this.work, run, (id) => this.vm(id));
    this.hardware = new FakeHardware(this.work, run, (id) => this.vm(id));
    this.migrations = new FakeMigrations({
      work: this.work,
      run,
      vmOf: (id) => this.vm(id),
      hostOf: (name) => this.host(name),
      moved: (id, host) => {
        const vm = this.vm(id);
        if (vm !== undefined) this.#vms.set(id, { ...vm, record: { ...vm.record, host } });
        this.#sorted = undefined;
      },
    });
    const { hosts = [aHost()], vms = [] } = parts;
    this.#hosts = new Map(hosts.map((host) => [host.name, host]));
    this.#vms = new Map([...grouped, ...vms].map((vm) => [vm.record.id, vm]));
    this.#nextVmId = Math.max(0, ...this.#vms.keys()) + 1;
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
  becomes(id: number, change: Partial<VmStatus>): void {
    const vm = this.#vms.get(id);
    if (vm !== undefined) this.#putVm({ ...vm, ...change });
  }

  setVm(
    id: number,
    { isProtected, labels }: Parameters<EngineView['setVm']>[1],
    _caller: Caller,
  ): Promise<CommandResult<VmStatus>> {
    return this.command(`change ${id} ${JSON.stringify({ isProtected, labels })}`, () => {
      const vm = this.vm(id);
      if (vm === undefined) return notFound(`there is no VM ${id}`);
      const changes = { ...(isProtected !== undefined && { isProtected }), ...(labels && { labels }) };
      const value = { ...vm, record: { ...vm.record, ...changes } };
      this.#putVm(value);
      return { ok: true, value };
    });
  }

  createVms(request: CreateRequest, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.command(`create ${request.name} ${request.flavor} ${request.image ?? '(blank)'}`, () => {
      const repeated = this.work.repeated(caller);
      if (repeated !== undefined) return repeated;
      const count = request.count ?? 1;
      const names = Array.from({ length: count }, (_, at) =>
        count === 1 ? request.name : `${request.name}-${at + 1}`,
      );
      const refused = refusalOf(this, request, names);
      if (refused !== undefined) return refused;
      const flavor = this.flavors().find(({ name }) => name === request.flavor);
      const image = request.image === undefined ? undefined : this.image(request.image)?.image;
      if (flavor === undefined) throw new Error('verified before');
      const made: number[] = [];
      const undo = (): void => {
        for (const id of made) this.#dropVm(id);
      };
      const place: Step = () => {
        const vms: OperationVm[] = [];
        for (const name of names) {
          const { host, choices } = this.#placement.place(flavor, request.placement?.host);
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
    const endpoint = { address: `127.0.1.${id % 250}`, port: (vm.record.ready && portOf(vm.record.ready)) ?? 80 };
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
  if (query.address !== undefined && record.endpoint?.address !== query.address) return false;
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
