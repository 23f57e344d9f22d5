// Looks now and then whether VMs should move between hosts, and has them moved where the configuration wants that.
// Not here: which should (core/rebalance), moving them (migrations).

import type { HostName, PlacementRules, VmRecord } from '../core/model.ts';
import { obstacleOf, wantedOf } from '../core/placement/obstacles.ts';
import { needOf, roomsOf } from '../core/placement/place.ts';
import {
  DEFAULT_REBALANCE,
  EMPTY_REBALANCE,
  type LoadedHost,
  type LoadedVm,
  type PlannedMove,
  type RebalanceInput,
  type RebalanceMemory,
  type RebalanceSettings,
  rebalance,
} from '../core/rebalance.ts';
import { isFault } from '../ports/fault.ts';
import { type FabricParts, viewsOf } from './fabric-parts.ts';
import { unmovable } from './migration-request.ts';
import type { Migrations } from './migrations.ts';
import { joinSnapshot } from './snapshot.ts';
import type { Caller } from './view.ts';

export interface RebalancingParts {
  readonly parts: FabricParts;
  readonly migrations: Migrations;
  readonly rulesOf: (group: string) => PlacementRules | undefined;
  /** Percent of its vCPUs that a VM uses; undefined while nobody knows. */
  readonly cpuPercentOf: (vm: VmRecord) => number | undefined;
}

const LOOK_MS = 5_000;
/** Listed at most, when somebody only wants to know. */
const PLAN_MAX = 100;
const PARENT = 'rebalance';

export class Rebalancing {
  readonly #own: RebalancingParts;
  #memory: RebalanceMemory = EMPTY_REBALANCE;

  constructor(own: RebalancingParts) {
    this.#own = own;
  }

  /** Until `signal` aborts. Does nothing while the configuration does not want it. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, settings } = this.#own.parts;
    while (!signal.aborted) {
      await clock.sleep(LOOK_MS, signal);
      const wanted = settings().rebalance;
      if (wanted === undefined) this.#memory = { ...this.#memory, aboveSinceMs: {} };
      else if (!signal.aborted) {
        await this.#send(wanted, { owner: PARENT }).catch((error: unknown) => {
          if (!isFault(error)) throw error;
          log.warn({ err: error }, 'moving a VM to a less busy host could not begin; it is tried again later');
        });
      }
    }
  }

  /** What would move now, if every host that is too full had been so for long enough, all of it at once. */
  plan(): readonly PlannedMove[] {
    const input = { ...this.#input(), underWay: 0 };
    const settings = { ...this.#settings, forMs: 0, atATime: PLAN_MAX };
    return rebalance(input, this.#memory, settings, this.#own.parts.clock.nowMs()).moves;
  }

  /** Somebody wants it now: the hold time counts as over, everything else holds. */
  now(caller: Caller) {
    return this.#send({ ...this.#settings, forMs: 0 }, caller);
  }

  get #settings(): RebalanceSettings {
    return this.#own.parts.settings().rebalance ?? DEFAULT_REBALANCE;
  }

  async #send(settings: RebalanceSettings, { owner }: Caller) {
    const { migrations, parts } = this.#own;
    const { memory, moves } = rebalance(this.#input(), this.#memory, settings, parts.clock.nowMs());
    this.#memory = memory;
    const begun: { readonly move: PlannedMove; readonly operation?: string; readonly refused?: string }[] = [];
    for (const move of moves) {
      const asked = await migrations.submit(move.vmId, { host: move.to }, { owner }, PARENT);
      begun.push(asked.ok ? { move, operation: asked.value.id } : { move, refused: asked.reason });
    }
    return begun;
  }

  #input(): RebalanceInput {
    const { parts } = this.#own;
    const { ledger } = parts;
    const views = viewsOf(parts);
    const joined = joinSnapshot(views, ledger.state.vms.values(), { has: () => false }, parts.clock.nowMs());
    const rooms = roomsOf(joined);
    const hosts = views.map(
      ({ last, name, state, traits }): LoadedHost => ({
        name,
        cpus: last?.capacity.cpus ?? 0,
        ...(state === 'up' && last?.capacity.cpuRatio !== undefined && { cpuRatio: last.capacity.cpuRatio }),
        takesNone: state !== 'up' || traits?.cordoned !== undefined,
      }),
    );
    const busy = new Set(hosts.filter(({ cpuRatio = 0 }) => cpuRatio > this.#settings.above).map(({ name }) => name));
    const vms = [...ledger.state.vms.values()].filter((vm) => busy.has(vm.host)).map((vm) => this.#loaded(vm, rooms));
    const underWay = [...ledger.state.operations.values()].filter(({ migration }) => migration !== undefined).length;
    return { hosts, vms, underWay };
  }

  #loaded(vm: VmRecord, rooms: ReturnType<typeof roomsOf>): LoadedVm {
    const { cpuPercentOf, parts, rulesOf } = this.#own;
    const percent = cpuPercentOf(vm);
    const fixed = unmovable(parts, vm)?.reason;
    const cpus = percent === undefined || vm.flavor === undefined ? undefined : (percent / 100) * vm.flavor.vcpus;
    return {
      id: vm.id,
      name: vm.name,
      host: vm.host,
      ...(cpus !== undefined && { cpus }),
      ...(fixed !== undefined && { fixed }),
      fits: this.#fits(vm, rooms, (vm.group === undefined ? undefined : rulesOf(vm.group)) ?? {}),
    };
  }

  #fits(vm: VmRecord, rooms: ReturnType<typeof roomsOf>, rules: PlacementRules): readonly HostName[] {
    if (vm.flavor === undefined) return [];
    const wanted = wantedOf(rooms, needOf(vm.flavor, vm.image), vm.group ?? vm.operation, rules);
    return rooms.all
      .filter((room) => room.host !== vm.host && obstacleOf(room, wanted) === undefined)
      .map(({ host }) => host);
  }
}
