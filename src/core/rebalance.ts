// Which VMs should move so that no host is much fuller than others: by threshold, with hysteresis. Pure.
// Not here: measuring (host-watch, turn), moving (engine/migrations), whether a VM may move at all (who calls).

import type { HostName } from './model.ts';

/**
 * Hysteresis in four places, so that a load that swings moves nothing to and fro: a host must be above its threshold for `forMs` without a
 * break; a move must bring the pair of hosts nearer together by `gain`; a VM that has moved rests for `cooldownMs`; and only so many move at
 * a time.
 */
export interface RebalanceSettings {
  /** Of a host's CPUs in use, 0–1: above it a host gives VMs away. */
  readonly above: number;
  readonly forMs: number;
  /** By how much (0–1) the fuller of the two hosts must be emptier afterwards. */
  readonly gain: number;
  readonly cooldownMs: number;
  readonly atATime: number;
}

export const DEFAULT_REBALANCE: RebalanceSettings = {
  above: 0.8,
  forMs: 5 * 60_000,
  gain: 0.1,
  cooldownMs: 30 * 60_000,
  atATime: 1,
};

export interface LoadedHost {
  readonly name: HostName;
  readonly cpus: number;
  /** Of its CPUs in use, 0–1; absent: nobody knows, and it neither gives nor takes. */
  readonly cpuRatio?: number;
  /** It takes no VMs (not up, cordoned); it may still give some. */
  readonly takesNone: boolean;
}

export interface LoadedVm {
  readonly id: number;
  readonly name: string;
  readonly host: HostName;
  /** CPUs it uses now; absent: nobody knows, and it stays. */
  readonly cpus?: number;
  /** Why it cannot move; absent: it can. */
  readonly fixed?: string;
  /** Hosts that have room for it. */
  readonly fits: readonly HostName[];
}

export interface RebalanceMemory {
  /** Since when a host is above the threshold without a break. */
  readonly aboveSinceMs: Readonly<Record<HostName, number>>;
  /** When a VM was last sent, by id. */
  readonly movedAtMs: Readonly<Record<number, number>>;
}

export const EMPTY_REBALANCE: RebalanceMemory = { aboveSinceMs: {}, movedAtMs: {} };

export interface PlannedMove {
  readonly vmId: number;
  readonly name: string;
  readonly from: HostName;
  readonly to: HostName;
  /** In words for people. */
  readonly reason: string;
}

export interface RebalanceInput {
  readonly hosts: readonly LoadedHost[];
  readonly vms: readonly LoadedVm[];
  /** Moves under way, whoever wants them: they count against the budget. */
  readonly underWay: number;
}

/** Moves to begin now, best first, and the new memory, in which they count as begun. */
export function rebalance(
  input: RebalanceInput,
  memory: RebalanceMemory,
  settings: RebalanceSettings,
  nowMs: number,
): { readonly moves: readonly PlannedMove[]; readonly memory: RebalanceMemory } {
  const aboveSinceMs = stillAbove(input.hosts, memory, settings, nowMs);
  const resting = Object.entries(memory.movedAtMs).filter(([, atMs]) => nowMs - atMs < settings.cooldownMs);
  const movedAtMs: Record<number, number> = Object.fromEntries(resting);
  const loads = new Map(
    input.hosts.flatMap(({ cpuRatio, cpus, name }) => (cpuRatio === undefined ? [] : [[name, cpuRatio * cpus]])),
  );
  const moves: PlannedMove[] = [];
  while (moves.length + input.underWay < settings.atATime) {
    const best = bestMove(input, { aboveSinceMs, loads, movedAtMs, nowMs, settings });
    if (best === undefined) break;
    moves.push(best.move);
    movedAtMs[best.move.vmId] = nowMs;
    loads.set(best.move.from, (loads.get(best.move.from) ?? 0) - best.cpus);
    loads.set(best.move.to, (loads.get(best.move.to) ?? 0) + best.cpus);
  }
  return { moves, memory: { aboveSinceMs, movedAtMs } };
}

function stillAbove(
  hosts: readonly LoadedHost[],
  memory: RebalanceMemory,
  { above }: RebalanceSettings,
  nowMs: number,
): Readonly<Record<HostName, number>> {
  const since: Record<HostName, number> = {};
  for (const { cpuRatio, name } of hosts) {
    if (cpuRatio === undefined || cpuRatio <= above) continue;
    since[name] = Object.hasOwn(memory.aboveSinceMs, name) ? (memory.aboveSinceMs[name] ?? nowMs) : nowMs;
  }
  return since;
}

interface Look {
  readonly aboveSinceMs: Readonly<Record<HostName, number>>;
  /** CPUs in use, as they will be after the moves planned so far. */
  readonly loads: ReadonlyMap<HostName, number>;
  readonly movedAtMs: Readonly<Record<number, number>>;
  readonly nowMs: number;
  readonly settings: RebalanceSettings;
}

/** The move that leaves the fuller of its two hosts emptiest; among equals the first VM, then the first host. */
function bestMove({ hosts, vms }: RebalanceInput, look: Look) {
  const { aboveSinceMs, loads, movedAtMs, nowMs, settings } = look;
  const byName = new Map(hosts.map((host) => [host.name, host]));
  const ratioOf = (name: HostName, change: number): number =>
    ((loads.get(name) ?? 0) + change) / Math.max(1, byName.get(name)?.cpus ?? 1);
  let best: { readonly move: PlannedMove; readonly cpus: number; readonly gain: number } | undefined;
  for (const { cpus, fits, fixed, host: from, id, name } of vms) {
    const sinceMs = Object.hasOwn(aboveSinceMs, from) ? aboveSinceMs[from] : undefined;
    if (cpus === undefined || cpus <= 0 || fixed !== undefined || Object.hasOwn(movedAtMs, id)) continue;
    if (sinceMs === undefined || nowMs - sinceMs < settings.forMs || ratioOf(from, 0) <= settings.above) continue;
    for (const to of fits) {
      const target = byName.get(to);
      if (to === from || target === undefined || target.takesNone || target.cpuRatio === undefined) continue;
      const [before, after] = [ratioOf(from, 0), Math.max(ratioOf(from, -cpus), ratioOf(to, cpus))];
      const gain = before - after;
      // A host that would be too full itself is no place to go.
      if (gain < settings.gain || ratioOf(to, cpus) > settings.above || (best !== undefined && gain <= best.gain))
        continue;
      const reason = `host ${from} has ${percent(before)} of its CPUs in use; with ${name} on host ${to} the fuller of the two has ${percent(after)}`;
      best = { move: { vmId: id, name, from, to, reason }, cpus, gain };
    }
  }
  return best;
}

function percent(ratio: number): string {
  return `${Math.round(ratio * 100)} %`;
}
