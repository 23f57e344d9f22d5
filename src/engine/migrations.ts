// Takes requests to move VMs between hosts: each becomes an operation that is stored before anything is done, and may be cancelled.
// Not here: whether and where to a VM may move (migration-request), carrying it out (migration-run), draining hosts (drains).

import type { Migration } from '../core/migration.ts';
import type { HostName, PlacementRules, VmRecord } from '../core/model.ts';
import type { Operation, Progress } from '../core/operation.ts';
import { isFault } from '../ports/fault.ts';
import type { ImageStore } from '../ports/image-store.ts';
import { earlier, type FabricParts, noVm, openByKey, refuse, stampOf } from './fabric-parts.ts';
import { textOf } from './migration-parts.ts';
import { diskWay, type MigrateRequest, targetFor, unmovable } from './migration-request.ts';
import { MigrationRuns } from './migration-run.ts';
import { begin, moved } from './operations.ts';
import type { Caller, CommandResult } from './view.ts';

const TIMEOUT_MS = 600_000;
/** Whoever asks for a move waits for this. */
const CHECK_MS = 5_000;

export class Migrations {
  readonly #parts: FabricParts;
  readonly #runs: MigrationRuns;
  readonly #rulesOf: (group: string) => PlacementRules;

  constructor(
    parts: FabricParts,
    images: Pick<ImageStore, 'read'>,
    rulesOf: (group: string) => PlacementRules | undefined,
  ) {
    this.#parts = parts;
    this.#runs = new MigrationRuns(parts, images);
    this.#rulesOf = (group) => rulesOf(group) ?? {};
  }

  /** `parent`: who else wants it than a person. */
  async submit(
    id: number,
    request: MigrateRequest,
    caller: Caller,
    parent?: string,
  ): Promise<CommandResult<Operation>> {
    const { ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    const vm = ledger.state.vms.get(id);
    if (vm === undefined) return noVm(id);
    const refused = unmovable(this.#parts, vm);
    if (refused !== undefined) return refused;
    const target = targetFor(this.#parts, ledger.state, vm, this.#rules(vm, request.host));
    if ('refused' in target) return target;
    const way = await this.#checked(vm, target.host, request);
    if ('refused' in way) return way;
    return this.#begin(
      vm.id,
      target.host,
      { request, disks: way.disks, ...(parent !== undefined && { parent }) },
      caller,
    );
  }

  #rules(vm: VmRecord, host: HostName | undefined): PlacementRules {
    const { host: _only, ...rules } = vm.group === undefined ? {} : this.#rulesOf(vm.group);
    const only = host ?? _only;
    return { ...rules, ...(only !== undefined && { host: only }) };
  }

  /** Both hosts are asked whether it can be, before it is promised. */
  async #checked(vm: VmRecord, to: HostName, { copyStorage }: MigrateRequest) {
    const { clock, hosts, signal } = this.#parts;
    const [from, target] = [hosts.get(vm.host)?.hypervisor, hosts.get(to)?.hypervisor];
    if (from === undefined || target === undefined)
      return refuse('conflict', 'a host is not in the configuration any more');
    try {
      const [source, mine, theirs] = await clock.deadline(
        CHECK_MS,
        (inner) =>
          Promise.all([
            from.migration.describe(vm.uuid, inner),
            from.migration.offer(inner),
            target.migration.offer(inner),
          ]),
        signal,
      );
      if (theirs.uri === undefined) {
        const how = 'give it a migrationUri in the configuration, such as qemu+tls://HOST/system';
        return refuse('conflict', `nobody has said how other hosts' libvirt reaches host ${to}: ${how}`);
      }
      return diskWay(vm, source, { from: mine, to: theirs }, copyStorage);
    } catch (error) {
      if (!isFault(error)) throw error;
      return refuse(error.retryable ? 'unreachable' : 'conflict', textOf(error));
    }
  }

  async #begin(
    vmId: number,
    to: HostName,
    asked: { readonly request: MigrateRequest; readonly disks: Migration['disks']; readonly parent?: string },
    caller: Caller,
  ): Promise<CommandResult<Operation>> {
    const { clock, ids, ledger } = this.#parts;
    let result: CommandResult<Operation> = noVm(vmId);
    let isNew = false;
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      const vm = state.vms.get(vmId);
      if (same !== undefined) result = { ok: true, value: same };
      if (same !== undefined || vm === undefined) return undefined;
      // Something may have happened while the hosts were asked.
      const refused = unmovable(this.#parts, vm) ?? targetFor(this.#parts, state, vm, this.#rules(vm, to));
      if ('refused' in refused) {
        result = refused;
        return undefined;
      }
      const stamp = stampOf(clock);
      const { bandwidthMiBps, timeoutMs = TIMEOUT_MS } = asked.request;
      const { disks, parent } = asked;
      const migration: Migration = {
        vmId,
        from: vm.host,
        to,
        stage: 'preparing',
        disks,
        timeoutMs,
        ...(bandwidthMiBps !== undefined && { bandwidthMiBps }),
        ...(parent !== undefined && { parent }),
      };
      const vms = [{ id: vmId, name: vm.name, host: vm.host }];
      const fields = { id: ids.uuid(), kind: 'vm.migrate', state: 'running', vms, migration } as const;
      const { operation, event } = begin(fields, caller, stamp, `moving ${vm.name} from host ${vm.host} to host ${to}`);
      result = { ok: true, value: operation };
      isNew = true;
      const moving = { ...vm, moving: { to, operation: operation.id }, changedAtMs: stamp.nowMs };
      return { putOperations: [operation], events: [event], putVms: [moving] };
    });
    const accepted = result as CommandResult<Operation>;
    if (isNew && accepted.ok) this.#runs.start(accepted.value);
    return accepted;
  }

  /** Takes up what an earlier daemon left: what it had begun is looked at, what not, begins anew. */
  recover(): void {
    for (const operation of [...this.#parts.ledger.state.operations.values()]) {
      if (operation.migration !== undefined) this.#runs.start(operation);
    }
  }

  /** False: there is no such move under way. It ends as cancelled, or as succeeded when it was too late. */
  async cancel(id: string): Promise<boolean> {
    const { clock, ledger } = this.#parts;
    if (ledger.state.operations.get(id)?.migration === undefined) return false;
    await ledger.change((state) => {
      const operation = state.operations.get(id);
      if (operation === undefined || operation.cancelling) return undefined;
      return { putOperations: [moved(operation, stampOf(clock), 'cancelling', { cancelling: true })] };
    });
    return true;
  }

  progressOf(id: string): Progress | undefined {
    return this.#runs.progressOf(id);
  }
}
