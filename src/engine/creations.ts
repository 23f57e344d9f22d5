// Requests for VMs: verified, queued first in first out, placed, carried out (by the worker), reported.
// Not here: what is verified (core/verify-create), which host takes a VM (core/placement), how operations end (operations).

import { guestSetup } from '../core/guest-setup.ts';
import type { ClusterNetwork, HostView, NodeOf, VmRecord } from '../core/model.ts';
import {
  type CreateRequest,
  type CreateVms,
  ENDED_STATES,
  type Operation,
  type OperationVm,
} from '../core/operation.ts';
import { explain, needOf, type Placed, place } from '../core/placement/place.ts';
import { type Rooms, roomsOf } from '../core/placement/rooms.ts';
import { tooSmall, verifyCreate } from '../core/verify-create.ts';
import { vmsText } from '../core/wording.ts';
import { earlier, type FabricParts, openByKey, type Refused, refuse, stampOf, viewsOf } from './fabric-parts.ts';
import type { Change, LedgerState } from './ledger.ts';
import { begin, moved, moveTo, type Stamp, together, undo } from './operations.ts';
import { aboutVm } from './records.ts';
import { joinSnapshot } from './snapshot.ts';
import { quotaFor, usedBy } from './usage.ts';
import { imagesFor, shutOut } from './users.ts';
import type { Caller, CommandResult } from './view.ts';

/** VMs that wait at most: beyond, whoever asks is told to come back. */
const QUEUED_VMS_MAX = 5_000;
/** Requests placed in one change; the next follow at once. */
const PASS_MAX = 100;
/** Hosts with their reasons in a refusal; the rest is summed up. */
const HOSTS_EXPLAINED = 50;

/** A creation, and what else becomes true when it is queued. */
export interface PlannedCreation {
  readonly kind: 'vm.create' | 'cluster.create' | 'cluster.add';
  readonly request: CreateRequest;
  readonly nodes?: NodeOf;
  readonly networks?: readonly ClusterNetwork[];
  readonly change?: Pick<Change, 'putClusters'>;
}

export class Creations {
  readonly #parts: FabricParts;
  #passing: Promise<void> | undefined;

  constructor(parts: FabricParts) {
    this.#parts = parts;
  }

  submit(request: CreateRequest, caller: Caller): Promise<CommandResult<Operation>> {
    return this.submitPlanned(caller, () => ({ kind: 'vm.create', request }));
  }

  /** As `submit`, of a request that follows from what there is when it is queued, or with which something else becomes true. */
  async submitPlanned(
    caller: Caller,
    plan: (state: LedgerState) => PlannedCreation | Refused,
  ): Promise<CommandResult<Operation>> {
    const { clock, ids, ledger } = this.#parts;
    const before = await earlier(this.#parts, caller);
    if (before !== undefined) return 'ok' in before ? before : { ok: true, value: before };
    let result: CommandResult<Operation> = refuse('invalid', 'nothing was decided');
    await ledger.change((state) => {
      const same = openByKey(this.#parts, caller);
      if (same !== undefined) {
        result = { ok: true, value: same };
        return undefined;
      }
      const planned = plan(state);
      if ('refused' in planned) {
        result = planned;
        return undefined;
      }
      const { change, kind, networks, nodes, request } = planned;
      const out = shutOut(state, caller.owner);
      if (out !== undefined) {
        result = out;
        return undefined;
      }
      const waiting = queued(state).reduce((sum, { create }) => sum + (create?.names.length ?? 0), 0);
      if (waiting + (request.names?.length ?? request.count ?? 1) > QUEUED_VMS_MAX) {
        result = refuse('too-many', `${vmsText(waiting)} are waiting to be placed; come back when there are fewer`);
        return undefined;
      }
      const verdict = verifyCreate(request, this.#contextFor(state, caller.owner));
      if (!verdict.ok) {
        result = verdict;
        return undefined;
      }
      const create = { ...verdict.create, ...(nodes && { nodes }), ...(networks && { networks }) };
      const fields = { id: ids.uuid(), kind, state: 'queued', vms: [], create } as const;
      const { operation, event } = begin(fields, caller, stampOf(clock), 'verified', 'queued');
      result = { ok: true, value: operation };
      return { ...change, putOperations: [operation], events: [event] };
    });
    void this.pass();
    return result;
  }

  #contextFor(state: LedgerState, owner: string) {
    const { flavors, placements, quota } = this.#parts.settings();
    const hosts = viewsOf(this.#parts);
    const taken = new Set([...state.vms.values()].map(({ name }) => name));
    for (const { create } of queued(state)) for (const name of create?.names ?? []) taken.add(name);
    for (const { last } of hosts) for (const { name } of last?.domains ?? []) taken.add(name);
    return {
      flavors: flavors.map(({ flavor }) => flavor),
      images: imagesFor(state, owner),
      taken,
      hosts,
      algorithms: [...placements.keys()],
      quota: quotaFor(state, owner, quota),
      used: usedBy(state, owner),
    };
  }

  /** Places what is queued. One pass at a time; each sees what the one before has claimed. */
  pass(): Promise<void> {
    this.#passing ??= this.#pass()
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error }, 'placing what is queued failed; it is tried again next turn');
      })
      .finally(() => {
        this.#passing = undefined;
      });
    return this.#passing;
  }

  async #pass(): Promise<void> {
    const { ledger, kick, signal } = this.#parts;
    for (let more = true; more && !signal.aborted; ) {
      more = false;
      if (queued(ledger.state).length === 0) return;
      const views = viewsOf(this.#parts);
      // A host that has neither answered nor failed yet may be the very one, and may hold VMs of ours nobody has counted.
      if (!views.every((view) => view.state !== 'down' || view.reason !== undefined)) return;
      await ledger.change((state) => {
        const change = this.#placeAll(state, views);
        more = change !== undefined;
        return change;
      });
      kick();
    }
  }

  #placeAll(state: LedgerState, views: readonly HostView[]): Change | undefined {
    const { clock } = this.#parts;
    const stamp = stampOf(clock);
    const { placement } = this.#parts.settings();
    const joined = joinSnapshot(views, state.vms.values(), { has: () => false }, stamp.nowMs);
    const { lastHost } = state;
    let rooms: Rooms = roomsOf({
      ...joined,
      ...(placement !== undefined && { placement }),
      ...(lastHost !== undefined && { lastHost }),
    });
    const changes: Change[] = [];
    let nextVmId = state.nextVmId;
    for (const operation of queued(state)) {
      if (changes.length >= PASS_MAX) break;
      const { create, failed } = imageReady(operation, state, stamp);
      if (failed !== undefined) changes.push(failed);
      if (create === undefined) continue;
      const placed = this.#place(operation, create, rooms, nextVmId, stamp);
      changes.push(placed.change);
      rooms = placed.rooms;
      nextVmId += placed.vms;
    }
    if (changes.length === 0) return undefined;
    const last = changes.findLast((change) => change.lastHost !== undefined)?.lastHost;
    return {
      ...together(...changes),
      ...(nextVmId !== state.nextVmId && { nextVmId }),
      ...(last !== undefined && { lastHost: last }),
    };
  }

  #place(
    operation: Operation,
    create: CreateVms,
    rooms: Rooms,
    firstId: number,
    stamp: Stamp,
  ): { readonly change: Change; readonly rooms: Rooms; readonly vms: number } {
    const { ids } = this.#parts;
    const { placements } = this.#parts.settings();
    const count = create.names.length;
    const request = {
      need: needOf(create.flavor, create.image),
      count,
      set: operation.id,
      rules: create.placement,
      allOrNothing: create.allOrNothing,
    };
    const placed: Placed = place(rooms, request, placements);
    const missing = count - placed.hosts.length;
    const failure =
      missing === 0
        ? undefined
        : ({
            type: 'no-capacity',
            detail: `${missing === count ? 'no host can take' : `${missing} of ${count} found no host:`} ${vmsText(missing)} of flavor ${create.flavor.name} now`,
            hosts: explain(rooms, request, placed, HOSTS_EXPLAINED),
          } as const);
    if (failure !== undefined && placed.hosts.length === 0) {
      const change = moveTo(operation, 'failed', stamp, `not placed: ${failure.detail}`, { failure });
      return { change, rooms, vms: 0 };
    }
    const records = placed.hosts.map((host, index) =>
      recordOf(operation, create, { id: firstId + index, host, index, uuid: ids.uuid() }, stamp),
    );
    const where = records.map(({ name, host }) => `${name} on host ${host}`).join(', ');
    const by = placed.fallback === undefined ? placed.algorithm : `${placed.algorithm} (${placed.fallback})`;
    const text = `placed by ${by}: ${where}${failure === undefined ? '' : `; ${failure.detail}`}`;
    const vms = records.map(({ id, name, host }) => ({ id, name, host }));
    const noted = moved(operation, stamp, text, { state: 'placed' });
    const running = moveTo(noted, 'running', stamp, 'being carried out', { vms, create, ...(failure && { failure }) });
    const lastHost = placed.hosts.at(-1);
    const change: Change = {
      ...running,
      putVms: records,
      events: [
        ...running.events,
        ...records.map((record) => ({ type: 'vm.launching', ...aboutVm(record), operation: operation.id }) as const),
      ],
      ...(lastHost !== undefined && { lastHost }),
    };
    return { change, rooms: placed.rooms, vms: records.length };
  }

  /**
   * Takes a creation back: what waits is forgotten, what is half made is removed, and it ends when nothing of that is left. VMs that
   * run already stay, unless it was to be all or none.
   */
  async cancel(id: string): Promise<void> {
    const { clock, kick, ledger } = this.#parts;
    await ledger.change((state) => {
      const operation = state.operations.get(id);
      if (operation === undefined || ENDED_STATES.has(operation.state) || operation.cancelling) return undefined;
      const stamp = stampOf(clock);
      if (operation.state === 'queued') return moveTo(operation, 'cancelled', stamp, 'cancelled while it was queued');
      const reason = 'its creation was cancelled';
      const stays = ({ outcome }: OperationVm) => outcome !== undefined && operation.create?.allOrNothing !== true;
      const vms = operation.vms.map((vm) => (stays(vm) ? vm : { id: vm.id, name: vm.name, host: vm.host }));
      const open = vms.filter((vm) => !stays(vm)).flatMap((vm) => state.vms.get(vm.id) ?? []);
      const undone = undo(
        open.filter(({ phase }) => phase !== 'removing'),
        stamp,
        reason,
      );
      const next = moved(operation, stamp, 'cancelling', { cancelling: true, vms });
      if (open.length === 0) return moveTo(next, 'cancelled', stamp, 'cancelled; nothing of it is left');
      return { putOperations: [next], ...undone };
    });
    kick();
  }
}

function queued(state: Pick<LedgerState, 'operations'>): readonly Operation[] {
  return [...state.operations.values()].filter((operation) => operation.state === 'queued');
}

/** What is to be made, the image resolved; or the change when that has failed; neither while the image is still coming. */
function imageReady(
  operation: Operation,
  state: LedgerState,
  stamp: Stamp,
): { readonly create?: CreateVms; readonly failed?: Change } {
  const { create } = operation;
  if (create === undefined) throw new Error(`operation ${operation.id} is queued and says not what is to be made`);
  const { awaitsImage, ...rest } = create;
  if (awaitsImage === undefined) return { create };
  const known = state.images.get(awaitsImage);
  if (known?.state === 'importing') return {};
  const fail = (detail: string) => ({
    failed: moveTo(operation, 'failed', stamp, `failed: ${detail}`, { failure: { type: 'failed', detail } }),
  });
  if (known?.image === undefined) {
    return fail(`image ${awaitsImage} could not be had: ${known?.reason ?? 'it was removed'}`);
  }
  const small = tooSmall(create.flavor, known.image);
  return small === undefined ? { create: { ...rest, image: known.image } } : fail(small);
}

function recordOf(
  operation: Operation,
  create: CreateVms,
  at: { readonly id: number; readonly host: string; readonly index: number; readonly uuid: string },
  { nowMs }: Stamp,
): VmRecord {
  const { cloudInit, flavor, image, launchDeadlineMs, names, networks, nodes, ready } = create;
  const card = networks?.[at.index];
  const name = names[at.index];
  if (name === undefined) throw new Error(`operation ${operation.id} has more VMs than names`);
  const setup = guestSetup(name, image, cloudInit);
  return {
    id: at.id,
    name,
    uuid: at.uuid,
    host: at.host,
    kind: image === undefined ? 'blank' : 'clone',
    owner: operation.owner,
    operation: operation.id,
    flavor,
    ...(image && { image }),
    ...(ready && { ready }),
    ...(setup && { cloudInit: setup }),
    ...(nodes && { node: { cluster: nodes.cluster, number: nodes.number + at.index } }),
    ...(card && { networks: [card] }),
    phase: 'launching',
    step: 'intended',
    phaseAtMs: nowMs,
    changedAtMs: nowMs,
    deadlineAtMs: nowMs + launchDeadlineMs,
    tries: 0,
  };
}
