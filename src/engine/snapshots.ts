// Snapshots of one VM or of several together: listed, and taking, going back to and deleting them accepted, or refused with the reason.
// Not here: carrying it out (snapshot-run), which are too many (core/snapshot). The hosts are the truth about what snapshots there are.

import type { VmRecord } from '../core/model.ts';
import type { Operation, OperationKind } from '../core/operation.ts';
import { nameByTime, SNAPSHOT_NAME, type Snapshot, type SnapshotRequest, type SnapshotWork } from '../core/snapshot.ts';
import { overQuota } from '../core/user.ts';
import { isFault } from '../ports/fault.ts';
import {
  earlier,
  type FabricParts,
  noVm,
  openByKey,
  operationOn,
  type Refused,
  refuse,
  stampOf,
} from './fabric-parts.ts';
import type { LedgerState } from './ledger.ts';
import { begin } from './operations.ts';
import { SnapshotRuns } from './snapshot-run.ts';
import { quotaFor, usedBy } from './usage.ts';
import type { Caller, CommandResult, OperationStatus, SnapshotCommands } from './view.ts';

const LOOK_MS = 8_000;
/** Taken together they stand still together: until the last one is done. */
const TOGETHER_MAX = 64;
const KEEP_MAX = 1000;
const KEEP_HOURS_MAX = 87_600;
const DESCRIPTION_MAX = 500;
const ONE_LINE = /^[^\p{Cc}\u2028\u2029]*$/u;

type SnapshotKindOfOperation = Extract<OperationKind, `snapshot.${string}`>;

const BEGUN = {
  'snapshot.create': 'snapshot',
  'snapshot.revert': 'going back to snapshot',
  'snapshot.delete': 'deleting snapshot',
} as const;

export class VmSnapshots implements SnapshotCommands {
  readonly #parts: FabricParts;
  readonly #statusOf: (operation: Operation) => OperationStatus;
  readonly #runs: SnapshotRuns;
  /** How many of ours each VM had when it was last looked at: hosts that do not answer count by it. */
  readonly #counts = new Map<number, number>();

  constructor(parts: FabricParts, statusOf: (operation: Operation) => OperationStatus) {
    this.#parts = parts;
    this.#statusOf = statusOf;
    this.#runs = new SnapshotRuns(parts);
  }

  async list(id: number, signal: AbortSignal): Promise<CommandResult<readonly Snapshot[]>> {
    const record = this.#parts.ledger.vm(id);
    return record === undefined ? noVm(id) : this.#look(record, signal);
  }

  async take(
    ids: readonly number[],
    request: SnapshotRequest,
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    const { name = nameByTime(this.#parts.clock.wall()), ...rest } = request;
    const work: SnapshotWork = { name, ...rest };
    const problem = problemOf(work);
    if (problem !== undefined) return problem;
    return this.#accept('snapshot.create', ids, work, caller, async (records) => {
      const there = await this.#lookAtAll(records);
      if ('refused' in there) return there;
      const has = records.find((_, index) => there[index]?.some((snapshot) => snapshot.name === name));
      if (has !== undefined)
        return refuse('conflict', `VM ${has.name} has a snapshot ${name} already; choose another name`, 'name');
      await this.#countFor(caller.owner);
      return undefined;
    });
  }

  revert(
    ids: readonly number[],
    name: string,
    options: { readonly power?: 'running' | 'stopped' },
    caller: Caller,
  ): Promise<CommandResult<OperationStatus>> {
    return this.#accept('snapshot.revert', ids, { name, ...options }, caller, async (records) => {
      const there = await this.#lookAtAll(records);
      if ('refused' in there) return there;
      const missing = this.#missing(records, there, name);
      if (missing !== undefined || options.power !== 'stopped') return missing;
      const runsOn = records.find((_, index) => there[index]?.find((one) => one.name === name)?.hasMemory);
      return (
        runsOn &&
        refuse('conflict', `snapshot ${name} of VM ${runsOn.name} has its memory, so it runs on; stop it then`, 'power')
      );
    });
  }

  remove(ids: readonly number[], name: string, caller: Caller): Promise<CommandResult<OperationStatus>> {
    return this.#accept('snapshot.delete', ids, { name }, caller, async (records) => {
      const there = await this.#lookAtAll(records);
      return 'refused' in there ? there : this.#missing(records, there, name);
    });
  }

  /** Goes on with what an earlier daemon left: guests are let go first, then what is there is looked at. */
  recover(): void {
    for (const operation of this.#parts.ledger.state.operations.values()) {
      if (operation.snapshot !== undefined && operation.state === 'running') void this.#runs.run(operation, true);
    }
  }

  /** What is held still is let go before the daemon ends, as far as hosts answer. */
  async stop(): Promise<void> {
    await this.#runs.letGoEnded();
  }

  // --- accepting ------------------------------------------------------------------------------------------------------------------

  async #accept(
    kind: SnapshotKindOfOperation,
    ids: readonly number[],
    work: SnapshotWork,
    caller: Caller,
    look: (records: readonly VmRecord[]) => Promise<Refused | undefined>,
  ): Promise<CommandResult<OperationStatus>> {
    const { clock, ids: idSource, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: this.#statusOf(before) };
    const chosen = this.#choose(ledger.state, ids, kind);
    if ('refused' in chosen) return chosen;
    const refused = await look(chosen);
    if (refused !== undefined) return refused;
    let result: CommandResult<Operation> = refuse('conflict', 'nothing was decided');
    let isNew = false;
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      if (same !== undefined) {
        result = { ok: true, value: same };
        return undefined;
      }
      // What was looked at may have changed while the hosts were asked.
      const records = this.#choose(state, ids, kind);
      const over =
        'refused' in records || kind !== 'snapshot.create' ? undefined : this.#overQuota(state, records, caller);
      if ('refused' in records || over !== undefined) {
        result = over ?? (records as Refused);
        return undefined;
      }
      const vms = records.map(({ host, id, name }) => ({ id, name, host }));
      const names = records.map((vm) => vm.name).join(', ');
      const { event, operation } = begin(
        { id: idSource.uuid(), kind, state: 'running', vms, snapshot: work },
        caller,
        stampOf(clock),
        `${BEGUN[kind]} ${work.name} of ${names}`,
      );
      result = { ok: true, value: operation };
      isNew = true;
      return { putOperations: [operation], events: [event] };
    });
    const accepted = result as CommandResult<Operation>;
    if (!accepted.ok) return accepted;
    if (isNew) void this.#runs.run(accepted.value, false);
    return { ok: true, value: this.#statusOf(accepted.value) };
  }

  #choose(state: LedgerState, ids: readonly number[], kind: SnapshotKindOfOperation): readonly VmRecord[] | Refused {
    if (ids.length === 0 || ids.length > TOGETHER_MAX) return refuse('invalid', `name 1 to ${TOGETHER_MAX} VMs`, 'vms');
    if (new Set(ids).size < ids.length) return refuse('invalid', 'a VM is named twice', 'vms');
    const records: VmRecord[] = [];
    for (const id of ids) {
      const vm = state.vms.get(id);
      if (vm === undefined) return noVm(id);
      const refused = this.#refusal(vm, kind);
      if (refused !== undefined) return refused;
      records.push(vm);
    }
    return records;
  }

  #refusal(vm: VmRecord, kind: SnapshotKindOfOperation): Refused | undefined {
    if (kind === 'snapshot.revert' && vm.group !== undefined) {
      return refuse('conflict', `VM ${vm.name} belongs to group ${vm.group}, whose policy decides what it serves`);
    }
    if (vm.phase !== 'in-service')
      return refuse('conflict', `VM ${vm.name} is ${vm.phase}; wait until it is in service`);
    const other = operationOn(this.#parts, vm);
    if (other === undefined) return undefined;
    return refuse(
      'conflict',
      `operation ${other.id} (${other.kind}) is under way on VM ${vm.name}; wait for it or cancel it`,
    );
  }

  // --- looking ------------------------------------------------------------------------------------------------------------------

  async #look(record: VmRecord, signal: AbortSignal): Promise<CommandResult<readonly Snapshot[]>> {
    const { clock, hosts } = this.#parts;
    const host = hosts.get(record.host);
    if (host === undefined) return refuse('unreachable', `host ${record.host} is not in the configuration any more`);
    try {
      const list = (inner: AbortSignal) => host.hypervisor.snapshots.list(record.uuid, inner);
      const value = await clock.deadline(LOOK_MS, list, signal);
      this.#counts.set(record.id, value.filter(({ operation }) => operation !== undefined).length);
      return { ok: true, value };
    } catch (error) {
      if (!isFault(error)) throw error;
      const reason =
        error.kind === 'timed-out' ? `host ${record.host} does not answer: ${error.message}` : error.message;
      return refuse(error.retryable || error.kind === 'aborted' ? 'unreachable' : 'conflict', reason);
    }
  }

  async #lookAtAll(records: readonly VmRecord[]): Promise<readonly (readonly Snapshot[])[] | Refused> {
    const looks = await Promise.all(records.map((record) => this.#look(record, this.#parts.signal)));
    const found: (readonly Snapshot[])[] = [];
    for (const look of looks) {
      if (!look.ok) return look;
      found.push(look.value);
    }
    return found;
  }

  #missing(records: readonly VmRecord[], there: readonly (readonly Snapshot[])[], name: string): Refused | undefined {
    const without = records.find((_, index) => !there[index]?.some((snapshot) => snapshot.name === name));
    return without && refuse('not-found', `VM ${without.name} has no snapshot ${JSON.stringify(name)}`);
  }

  // --- quota --------------------------------------------------------------------------------------------------------------------

  /** What hosts that answer say now; of the others what they said last. Only where there is a quota. */
  async #countFor(owner: string): Promise<void> {
    const { ledger, settings } = this.#parts;
    if (quotaFor(ledger.state, owner, settings().quota).snapshots === undefined) return;
    const his = [...ledger.state.vms.values()].filter((vm) => vm.group === undefined && vm.owner === owner);
    await Promise.all(his.map((vm) => this.#look(vm, this.#parts.signal)));
  }

  /** What is on its way counts as there: two requests at once do not both pass. */
  #overQuota(state: LedgerState, records: readonly VmRecord[], { owner }: Caller): Refused | undefined {
    const quota = quotaFor(state, owner, this.#parts.settings().quota);
    let snapshots = 0;
    for (const vm of state.vms.values()) {
      if (vm.group === undefined && vm.owner === owner) snapshots += this.#counts.get(vm.id) ?? 0;
    }
    for (const { kind, owner: whose, vms } of state.operations.values()) {
      if (kind === 'snapshot.create' && whose === owner) snapshots += vms.length;
    }
    const asked = { snapshots: records.filter((vm) => vm.group === undefined).length };
    const over = overQuota({ quota }, { ...usedBy(state, owner), snapshots }, asked);
    return over && refuse('conflict', over.reason);
  }
}

function problemOf({ description, keep, name }: SnapshotWork): Refused | undefined {
  if (!SNAPSHOT_NAME.test(name)) {
    return refuse('invalid', 'a name has 1 to 63 letters, digits and . _ -, and begins with a letter or digit', 'name');
  }
  if (description !== undefined && (description.length > DESCRIPTION_MAX || !ONE_LINE.test(description))) {
    return refuse('invalid', `one line of at most ${DESCRIPTION_MAX} characters`, 'description');
  }
  for (const [part, most] of [['count', KEEP_MAX] as const, ['hours', KEEP_HOURS_MAX] as const]) {
    const value = keep?.[part];
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most)) {
      return refuse('invalid', `must be a whole number from 1 to ${most}`, `keep.${part}`);
    }
  }
  return undefined;
}
