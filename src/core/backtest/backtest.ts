// A policy and those it is compared with, all on the same load, the same VMs and within the same bounds.
// Not here: one of them (play), where the load comes from.

import type { Bounds } from './controller.ts';
import { type Played, play } from './play.ts';
import { type PlayablePolicy, policyController } from './policy-controller.ts';
import { PRESETS } from './presets/registry.ts';
import { peakOf, type SampledLoad, type Sizing, sampleLoad, type Trace, type TraceShape } from './trace.ts';

export interface BacktestOptions {
  readonly trace: Trace;
  readonly shape: TraceShape;
  /** What the policy is called in the results. */
  readonly name: string;
  readonly policy: PlayablePolicy;
  readonly sizing: Sizing;
  readonly bootMs: number;
  readonly pollMs: number;
  /** Names of presets, each known to PRESETS. */
  readonly compare: readonly string[];
  /** Names whose supply is kept for a picture, the policy's included. */
  readonly keep?: readonly string[];
}

export interface Backtest {
  readonly load: SampledLoad;
  /** The policy first, then those compared in their order. */
  readonly played: readonly Played[];
}

/** Everybody begins with what the load needs at the beginning. Throws `RangeError` for a trace that is too long. */
export function backtest(options: BacktestOptions): Backtest {
  const { trace, shape, name, policy, sizing, bootMs, pollMs, compare, keep = [] } = options;
  const load = sampleLoad(trace, shape, pollMs, sizing);
  const { min, max } = policy;
  const initial = Math.min(max, Math.max(min, load.demand[0] ?? 1));
  const bounds: Bounds = { min, max, initial, targetPercent: sizing.targetPercent, bootMs };
  const controllers = [
    policyController(name, policy, pollMs, bounds),
    ...compare.flatMap((preset) => {
      const make = PRESETS.get(preset);
      return make === undefined ? [] : [make(bounds)];
    }),
  ];
  return {
    load,
    played: controllers.map((controller) => play(load, controller, bounds, { supply: keep.includes(controller.name) })),
  };
}

/** VMs that the peak of a trace needs, where nobody says what a VM carries. */
const USUAL_PEAK_VMS = 20;

/** Requests per second per VM, such that the peak needs 20 VMs at the target, or as many as the policy allows where those are fewer. */
export function usualCapacity(trace: Trace, targetPercent: number, maxVms: number): number {
  const vms = Math.max(1, Math.min(USUAL_PEAK_VMS, maxVms));
  const peak = peakOf(trace);
  return peak === 0 ? 1 : roundedTo4((peak * 100) / (vms * targetPercent));
}

/** Up, so that the peak still fits. */
function roundedTo4(value: number): number {
  const scale = 10 ** (3 - Math.floor(Math.log10(value)));
  return Math.ceil(value * scale - 1e-9) / scale;
}
