// What a backtest plays: something that looks at a fleet from time to time and says how many VMs there shall be.
// Not here: the policy (policy-controller) and the others' documented rules (presets/).

/** What a controller may see of its fleet. One object, changed from look to look: nothing of it may be kept. */
export interface Sight {
  /** Since the beginning of the trace. */
  readonly nowMs: number;
  /** VMs that answer. */
  readonly serving: number;
  /** VMs on their way to that. */
  readonly launching: number;
  /** Mean utilisation of the serving VMs over the last `ms` (less at the beginning), percent; absent while there were none. */
  cpuPercent(ms: number): number | undefined;
  /** Those of the serving VMs that have served throughout the last `ms`, at least the last step: one that has just come has no value yet. */
  measured(ms: number): number;
}

export interface Controller {
  readonly name: string;
  /** It looks so often, for the first time after one such interval. */
  readonly everyMs: number;
  /** VMs there shall be: serving and launching. */
  desired(sight: Sight): number;
}

/** What a controller is told before it begins. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
  /** VMs that serve when the trace begins. */
  readonly initial: number;
  readonly targetPercent: number;
  readonly bootMs: number;
}

export function within(size: number, { min, max }: Pick<Bounds, 'min' | 'max'>): number {
  return Math.min(max, Math.max(min, size));
}
