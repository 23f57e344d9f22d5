// How well supply followed demand: the elasticity metrics of the SPEC Research Group (SPEC-RG-2016-01, arXiv 1604.03470), in the form
// normalised by demand as in Chameleon (Bauer et al., TPDS 2019), and what operators ask for besides.

import type { SampledLoad } from './trace.ts';

/** All in percent but for the last. d: demand, s: VMs that serve. */
export interface Elasticity {
  /** θ_U, under-provisioning accuracy: mean of max(d − s, 0) ÷ d. */
  readonly thetaU: number;
  /** θ_O, over-provisioning accuracy: mean of max(s − d, 0) ÷ d. */
  readonly thetaO: number;
  /** τ_U, τ_O: share of the time with too few, with too many. */
  readonly tauU: number;
  readonly tauO: number;
  /** υ: share of the time in which supply and demand did not change in the same direction: |sgn Δs − sgn Δd|, at most 1, per step. */
  readonly instability: number;
  /** Share of the time in which the load was above what all serving VMs can carry. */
  readonly saturated: number;
  /** VM-hours (of serving and launching VMs) beyond those of a supply that always equals the demand. */
  readonly extraVmHours: number;
  /** Changes of the size, of one VM or more, per day. */
  readonly actionsPerDay: number;
}

const DAY_MS = 86_400_000;

/** Takes one stretch after the other. */
export class ElasticityMeter {
  readonly #load: SampledLoad;
  #under = 0;
  #over = 0;
  #underSteps = 0;
  #overSteps = 0;
  #unlike = 0;
  #saturated = 0;
  #ideal = 0;
  #existed = 0;
  #actions = 0;
  #steps = 0;
  #supplyBefore = 0;

  constructor(load: SampledLoad) {
    this.#load = load;
  }

  action(): void {
    this.#actions += 1;
  }

  /** From a step to before another, with the same VMs all the time. `existing`: serving and launching. */
  stretch(from: number, to: number, serving: number, existing: number): void {
    const { demand: demands, rps, sizing } = this.#load;
    const carried = serving * sizing.capacityRps * (1 + 1e-9);
    let [under, over, underSteps, overSteps, unlike, saturated, ideal] = [0, 0, 0, 0, 0, 0, 0];
    let before = from === 0 ? undefined : demands[from - 1];
    let grown = from === 0 ? 0 : Math.sign(serving - this.#supplyBefore);
    for (let i = from; i < to; i += 1) {
      const demand = demands[i] ?? 1;
      if (serving < demand) {
        under += (demand - serving) / demand;
        underSteps += 1;
      } else if (serving > demand) {
        over += (serving - demand) / demand;
        overSteps += 1;
      }
      if (before !== undefined && Math.sign(demand - before) !== grown) unlike += 1;
      before = demand;
      grown = 0;
      if ((rps[i] ?? 0) > carried) saturated += 1;
      ideal += demand;
    }
    this.#supplyBefore = serving;
    this.#under += under;
    this.#over += over;
    this.#underSteps += underSteps;
    this.#overSteps += overSteps;
    this.#unlike += unlike;
    this.#saturated += saturated;
    this.#ideal += ideal;
    this.#existed += existing * (to - from);
    this.#steps += to - from;
  }

  result(): Elasticity {
    const percent = (part: number, whole = this.#steps): number => (whole === 0 ? 0 : (100 * part) / whole);
    const days = (this.#steps * this.#load.stepMs) / DAY_MS;
    return {
      thetaU: percent(this.#under),
      thetaO: percent(this.#over),
      tauU: percent(this.#underSteps),
      tauO: percent(this.#overSteps),
      instability: percent(this.#unlike, this.#steps - 1),
      saturated: percent(this.#saturated),
      extraVmHours: percent(this.#existed - this.#ideal, this.#ideal),
      actionsPerDay: days === 0 ? 0 : this.#actions / days,
    };
  }
}
