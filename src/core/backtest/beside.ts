// A recorded run laid beside the model's on the same load: how far the model's VMs are from the real ones. Not here: recording.

import { play } from './play.ts';
import { type PlayablePolicy, policyController } from './policy-controller.ts';
import { type Sizing, sampleLoad, type Trace } from './trace.ts';

/** What really happened, from the same zero of time as the trace. */
export interface RecordedRun {
  /** Requests per second over time, at rows as fine as the polls. */
  readonly trace: Trace;
  /** VMs in service: each row holds from its time (seconds) to the next one's. The first is at the trace's beginning. */
  readonly serving: readonly { readonly t: number; readonly vms: number }[];
}

export interface Beside {
  /** In each step of the polls. */
  readonly real: Int32Array;
  readonly modelled: Int32Array;
  /** Share of the time (0–1) in which they differ, and by how many VMs at the most. */
  readonly apart: number;
  readonly farthest: number;
  /** VM-seconds. */
  readonly realVmSeconds: number;
  readonly modelledVmSeconds: number;
  /** Times (s) at which the number of VMs rose (fell) for the first time; absent: it never did. */
  readonly realFirstRise?: number;
  readonly modelledFirstRise?: number;
  readonly realFirstFall?: number;
  readonly modelledFirstFall?: number;
}

export function besideModel(
  run: RecordedRun,
  policy: PlayablePolicy,
  model: { readonly sizing: Sizing; readonly bootMs: number; readonly pollMs: number },
): Beside {
  const { sizing, bootMs, pollMs } = model;
  const load = sampleLoad(run.trace, 'steps', pollMs, sizing);
  const initial = run.serving[0]?.vms ?? policy.min;
  const bounds = { min: policy.min, max: policy.max, initial, targetPercent: sizing.targetPercent, bootMs };
  const { supply = new Int32Array(0) } = play(load, policyController('model', policy, pollMs, bounds), bounds, {
    supply: true,
  });
  const real = servingBySteps(run, supply.length, pollMs / 1000);
  let [apart, farthest, realSum, modelledSum] = [0, 0, 0, 0];
  for (let i = 0; i < supply.length; i += 1) {
    const [ours, theirs] = [supply[i] ?? 0, real[i] ?? 0];
    if (ours !== theirs) apart += 1;
    farthest = Math.max(farthest, Math.abs(ours - theirs));
    realSum += theirs;
    modelledSum += ours;
  }
  const stepS = pollMs / 1000;
  const [realFirstRise, realFirstFall] = [1, -1].map((way) => firstMove(real, way, stepS));
  const [modelledFirstRise, modelledFirstFall] = [1, -1].map((way) => firstMove(supply, way, stepS));
  return {
    real,
    modelled: supply,
    apart: supply.length === 0 ? 0 : apart / supply.length,
    farthest,
    realVmSeconds: realSum * stepS,
    modelledVmSeconds: modelledSum * stepS,
    ...(realFirstRise !== undefined && { realFirstRise }),
    ...(modelledFirstRise !== undefined && { modelledFirstRise }),
    ...(realFirstFall !== undefined && { realFirstFall }),
    ...(modelledFirstFall !== undefined && { modelledFirstFall }),
  };
}

/** What held at the middle of each step. */
function servingBySteps({ trace, serving }: RecordedRun, steps: number, stepS: number): Int32Array {
  const begin = trace.t[0] ?? 0;
  const vms = new Int32Array(steps);
  let at = 0;
  for (let i = 0; i < steps; i += 1) {
    const middle = begin + (i + 0.5) * stepS;
    while (at + 1 < serving.length && (serving[at + 1]?.t ?? 0) <= middle) at += 1;
    vms[i] = serving[at]?.vms ?? 0;
  }
  return vms;
}

/** `way`: 1 up, -1 down. */
function firstMove(vms: Int32Array, way: number, stepS: number): number | undefined {
  const at = vms.findIndex((count, i) => i > 0 && (count - (vms[i - 1] ?? 0)) * way > 0);
  return at === -1 ? undefined : at * stepS;
}
