// The backtest itself: one controller and one fleet against sampled load, on a virtual clock that goes in steps.
//
// The model of a VM: it serves `bootMs` (rounded up to whole steps) after it was asked for, and then takes its equal share of the load
// up to its capacity; what is beyond it is lost and does not queue up. A VM that is removed leaves at once, those launching first.
// A look at the fleet sees whole steps that are over, never the one that begins.
// Not here: what the figures mean (elasticity), what is decided (controllers).

import { type Bounds, type Controller, type Sight, within } from './controller.ts';
import { type Elasticity, ElasticityMeter } from './elasticity.ts';
import type { SampledLoad } from './trace.ts';

export interface Played {
  readonly name: string;
  readonly elasticity: Elasticity;
  /** VMs that served in each step; only when asked for. */
  readonly supply?: Int32Array;
}

export function play(
  load: SampledLoad,
  controller: Controller,
  bounds: Bounds,
  keep: { readonly supply?: boolean } = {},
): Played {
  const { rps, stepMs } = load;
  const steps = rps.length;
  const fleet = new Fleet(load, bounds);
  const meter = new ElasticityMeter(load);
  const supply = keep.supply === true ? new Int32Array(steps) : undefined;
  const every = Math.max(1, Math.ceil(controller.everyMs / stepMs));
  let next = every;
  for (let i = 0; i < steps; ) {
    fleet.begin(i);
    if (i === next) {
      next += every;
      const existed = fleet.existing;
      fleet.resize(within(controller.desired(fleet), bounds), i);
      if (fleet.existing !== existed) meter.action();
    }
    // Until the next look nothing changes but what is being launched.
    const until = fleet.launching > 0 ? i + 1 : Math.min(next, steps);
    fleet.serve(i, until);
    meter.stretch(i, until, fleet.serving, fleet.existing);
    supply?.fill(fleet.serving, i, until);
    i = until;
  }
  return { name: controller.name, elasticity: meter.result(), ...(supply && { supply }) };
}

/** VMs by the step in which they become ready, and how busy they have been. */
class Fleet implements Sight {
  serving: number;
  launching = 0;
  nowMs = 0;
  readonly #load: SampledLoad;
  readonly #bootSteps: number;
  /** How many become ready in step i, at i modulo the boot time. */
  readonly #ready: Int32Array;
  /** Sum of the utilisations (0–1) of the steps before i. */
  readonly #busy: Float64Array;
  /** VMs that served in step i, and how many of the steps before i had any. */
  readonly #supply: Int32Array;
  readonly #served: Int32Array;
  #step = 0;

  constructor(load: SampledLoad, { initial, bootMs }: Bounds) {
    this.#load = load;
    this.serving = initial;
    this.#bootSteps = Math.ceil(bootMs / load.stepMs - 1e-9);
    this.#ready = new Int32Array(this.#bootSteps + 1);
    this.#busy = new Float64Array(load.rps.length + 1);
    this.#supply = new Int32Array(load.rps.length);
    this.#served = new Int32Array(load.rps.length + 1);
  }

  get existing(): number {
    return this.serving + this.launching;
  }

  begin(step: number): void {
    this.#step = step;
    this.nowMs = step * this.#load.stepMs;
    const slot = step % this.#ready.length;
    const ready = this.#ready[slot] ?? 0;
    if (ready === 0) return;
    this.#ready[slot] = 0;
    this.launching -= ready;
    this.serving += ready;
  }

  resize(wanted: number, step: number): void {
    const more = wanted - this.existing;
    if (more > 0) this.#launch(more, step);
    else if (more < 0) this.#remove(-more, step);
  }

  #launch(count: number, step: number): void {
    if (this.#bootSteps === 0) {
      this.serving += count;
      return;
    }
    const slot = (step + this.#bootSteps) % this.#ready.length;
    this.#ready[slot] = (this.#ready[slot] ?? 0) + count;
    this.launching += count;
  }

  /** Those that would be ready last go first. */
  #remove(count: number, step: number): void {
    let left = count;
    for (let ahead = this.#bootSteps; ahead > 0 && left > 0 && this.launching > 0; ahead -= 1) {
      const slot = (step + ahead) % this.#ready.length;
      const there = this.#ready[slot] ?? 0;
      const taken = Math.min(left, there);
      this.#ready[slot] = there - taken;
      this.launching -= taken;
      left -= taken;
    }
    this.serving -= left;
  }

  /** From a step to before another. */
  serve(from: number, to: number): void {
    const [busy, served, supply, rps] = [this.#busy, this.#served, this.#supply, this.#load.rps];
    const { serving } = this;
    const capacity = serving * this.#load.sizing.capacityRps;
    let sum = busy[from] ?? 0;
    let count = served[from] ?? 0;
    for (let i = from; i < to; i += 1) {
      supply[i] = serving;
      if (serving > 0) {
        sum += Math.min(1, (rps[i] ?? 0) / capacity);
        count += 1;
      }
      busy[i + 1] = sum;
      served[i + 1] = count;
    }
  }

  #utilisation(step: number, supply: number): number {
    return Math.min(1, (this.#load.rps[step] ?? 0) / (supply * this.#load.sizing.capacityRps));
  }

  measured(ms: number): number {
    let least = this.serving;
    for (let i = this.#back(ms); i < this.#step; i += 1) least = Math.min(least, this.#supply[i] ?? 0);
    return least;
  }

  #back(ms: number): number {
    return Math.max(0, this.#step - Math.max(1, Math.round(ms / this.#load.stepMs)));
  }

  cpuPercent(ms: number): number | undefined {
    const to = this.#step;
    const from = this.#back(ms);
    if (to - from === 1) {
      // Not the difference of two long sums: a load that fits exactly must not seem to be a bit more.
      const supply = this.#supply[from] ?? 0;
      return supply === 0 ? undefined : 100 * this.#utilisation(from, supply);
    }
    const served = (this.#served[to] ?? 0) - (this.#served[from] ?? 0);
    if (served === 0) return undefined;
    return (100 * ((this.#busy[to] ?? 0) - (this.#busy[from] ?? 0))) / served;
  }
}
