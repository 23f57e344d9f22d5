// Load over time from the recorded decisions of one group: percent of a VM's CPU, summed over the VMs in service.
// Not here: reading a recording (core/recording), other load (config/trace-file).

import type { Decision } from '../decision.ts';
import type { Evaluation } from '../evaluation.ts';
import type { GroupName } from '../model.ts';
import type { Trace } from './trace.ts';

/** What one VM carries in the unit of such a trace, when nobody says otherwise. */
export const RECORDED_CAPACITY = 100;

/** As many as two weeks of evaluations half a second apart, with room to spare. */
const ROWS_MAX = 4_000_000;

/** What VMs that were all busy turned away is in no recording: there the load is what they served. */
export class RecordedLoad {
  readonly #group: GroupName;
  readonly #others = new Set<GroupName>();
  readonly #t: number[] = [];
  readonly #load: number[] = [];

  constructor(group: GroupName) {
    this.#group = group;
  }

  /** Groups that were decided upon, but are not this one. */
  get others(): readonly GroupName[] {
    return [...this.#others];
  }

  get rows(): number {
    return this.#t.length;
  }

  /** Oldest first. Evaluations without data, or not later than the one before, say nothing. Throws `RangeError` when there are too many. */
  add({ decisions, nowMs }: Evaluation): void {
    for (const decision of decisions) {
      if (decision.group === this.#group) this.#addRow(nowMs / 1000, percentOf(decision));
      else this.#others.add(decision.group);
    }
  }

  /** `capacityRps`: of one VM that is busy all the time; the trace is in its unit. */
  trace(name: string, capacityRps = RECORDED_CAPACITY): Trace {
    return { name, t: Float64Array.from(this.#t), rps: Float64Array.from(this.#load, (vms) => vms * capacityRps) };
  }

  #addRow(second: number, percent: number | undefined): void {
    if (percent === undefined || second <= (this.#t.at(-1) ?? Number.NEGATIVE_INFINITY)) return;
    if (this.#t.length >= ROWS_MAX) throw new RangeError(`more than ${ROWS_MAX} evaluations`);
    this.#t.push(second);
    this.#load.push(percent / 100);
  }
}

function percentOf({ counts, cpuPercent }: Decision): number | undefined {
  return counts.inService === 0 ? 0 : cpuPercent === undefined ? undefined : cpuPercent * counts.inService;
}
