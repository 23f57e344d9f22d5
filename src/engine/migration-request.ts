// Whether a VM may move, and where to: what is asked before there is an operation. Not here: moving it (migrations).

import type { DiskWay } from '../core/migration.ts';
import type { HostName, HostView, PlacementRules, VmRecord } from '../core/model.ts';
import { explain, needOf, place, roomsOf } from '../core/placement/place.ts';
import { DEFAULT_TRAITS } from '../core/placement/rooms.ts';
import type { MigrationOffer, MigrationSource } from '../ports/migration.ts';
import { type FabricParts, operationOn, type Refused, refuse, viewsOf } from './fabric-parts.ts';
import type { LedgerState } from './ledger.ts';
import { joinSnapshot, joinVm } from './snapshot.ts';

/** What may be asked of a move. */
export interface MigrateRequest {
  /** Absent: the best by the placement algorithm. */
  readonly host?: HostName;
  /** Absent: as fast as it goes. */
  readonly bandwidthMiBps?: number;
  /** Of the moving itself. Absent: ten minutes. */
  readonly timeoutMs?: number;
  /** Absent: copied where the two hosts are not known to share their storage. */
  readonly copyStorage?: boolean;
}

const HOSTS_EXPLAINED = 50;

/** Why this VM cannot move now, whoever asks and wherever to; undefined: it can, as far as is known here. */
export function unmovable(parts: Pick<FabricParts, 'ledger' | 'hosts'>, vm: VmRecord): Refused | undefined {
  const say = (reason: string): Refused => refuse('conflict', `VM ${vm.name} ${reason}`);
  if (vm.kind === 'adopted' || vm.kind === 'existing') {
    return say('was not made by virtscale, which knows not what belongs to it; move it by hand (virsh migrate)');
  }
  if (vm.moving !== undefined) return say(`is being moved to host ${vm.moving.to} already`);
  if (vm.phase === 'standby') return say('waits in standby; it is cheaper to make another one there');
  if (vm.phase !== 'in-service') return say(`is ${vm.phase}; only what is in service is moved`);
  const other = operationOn(parts, vm);
  if (other !== undefined) return say(`has operation ${other.id} (${other.kind}) under way; wait for it or cancel it`);
  const host = parts.hosts.get(vm.host)?.view();
  if (host?.state !== 'up') return say(`is on host ${vm.host}, which does not answer`);
  const { domain } = joinVm(vm, host);
  if (domain === undefined) return say(`has no domain on host ${vm.host}`);
  if (domain.state !== 'running') return say('does not run, and only what runs is moved; start it first, or delete it');
  return domain.paused === true ? say('is paused, and only what runs is moved; resume it first') : undefined;
}

/** A host that can take it; or why none can, each with its reason. */
export function targetFor(
  parts: Pick<FabricParts, 'clock' | 'hosts' | 'settings'>,
  state: LedgerState,
  vm: VmRecord,
  rules: PlacementRules,
): { readonly host: HostName } | Refused {
  if (rules.host !== undefined && !parts.hosts.has(rules.host)) {
    return refuse('not-found', `there is no host ${rules.host}`, 'host');
  }
  if (rules.host === vm.host) return refuse('conflict', `VM ${vm.name} is on host ${vm.host} already`, 'host');
  const { placement, placements } = parts.settings();
  const nowMs = parts.clock.nowMs();
  const views = viewsOf(parts).map((view) => (view.name === vm.host ? left(view) : view));
  const joined = joinSnapshot(views, state.vms.values(), { has: () => false }, nowMs);
  const { lastHost } = state;
  const rooms = roomsOf({
    ...joined,
    ...(placement !== undefined && { placement }),
    ...(lastHost !== undefined && { lastHost }),
  });
  const need = vm.flavor === undefined ? { vcpus: 1, memoryMiB: 0, diskGiB: 0 } : needOf(vm.flavor, vm.image);
  const request = { need, count: 1, set: vm.group ?? vm.operation, rules, allOrNothing: true };
  const placed = place(rooms, request, placements);
  const [host] = placed.hosts;
  if (host !== undefined) return { host };
  const hosts = explain(rooms, request, placed, HOSTS_EXPLAINED);
  const one = rules.host === undefined ? undefined : hosts.find(({ name }) => name === rules.host);
  const reason =
    one === undefined
      ? `no other host can take VM ${vm.name} now`
      : `host ${rules.host} cannot take VM ${vm.name}: ${one.text}`;
  return { ...refuse('no-capacity', reason), hosts };
}

/** The host it is on takes it no second time. */
function left(view: HostView): HostView {
  return { ...view, traits: { ...(view.traits ?? DEFAULT_TRAITS), cordoned: 'the VM is on it now' } };
}

/** How its disks come over; or why that contradicts what is asked for. */
export function diskWay(
  vm: VmRecord,
  source: MigrationSource,
  offers: { readonly from: MigrationOffer; readonly to: MigrationOffer },
  copyStorage: boolean | undefined,
): { readonly disks: DiskWay } | Refused {
  const isShared = offers.from.storage !== undefined && offers.from.storage === offers.to.storage;
  if (isShared && copyStorage === true) {
    const reason = `both hosts have the storage ${offers.from.storage}: copied onto itself a disk would be destroyed`;
    return refuse('invalid', reason, 'copyStorage');
  }
  if (isShared) return { disks: 'shared' };
  if (copyStorage === false) {
    const reason =
      'the two hosts are not known to share their storage; name it in the configuration (pool: { shared: NAME })';
    return refuse('invalid', reason, 'copyStorage');
  }
  const sha256 = vm.image?.content?.sha256;
  const [disk, ...more] = source.disks;
  const isOverlay = disk?.below !== undefined && sha256?.startsWith(disk.below) === true;
  return { disks: isOverlay && more.length === 0 ? 'changes' : 'whole' };
}
