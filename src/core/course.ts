// A size on its way from what it was to what it shall be, with each step noted. Not here: why it takes them (size).

import type { AppliedLimit, SizeStep } from './decision.ts';
import type { Bounds } from './schedules.ts';
import { vmsText } from './wording.ts';

export class Course {
  size: number;
  readonly steps: SizeStep[] = [];
  readonly limits: AppliedLimit[] = [];
  readonly #wording: boolean;

  /** `wording` false: texts stay empty and are not made. */
  constructor(size: number, wording: boolean) {
    this.size = size;
    this.#wording = wording;
  }

  /** Nothing is noted when it is there already. `limit`: that is what makes it go there. */
  move(step: SizeStep['step'], to: number, say: () => string, limit?: AppliedLimit['limit']): void {
    const from = this.size;
    if (to === from) return;
    const text = this.#wording ? say() : '';
    this.steps.push({ step, from, to, text });
    if (limit !== undefined) this.limits.push({ limit, from, to, text });
    this.size = to;
  }

  within({ min, max, minBy, maxBy }: Bounds, step: 'bounds' | 'limits'): void {
    if (this.size < min) this.move(step, min, () => `${whose(minBy)} wants at least ${vmsText(min)}.`, 'min');
    else if (this.size > max) this.move(step, max, () => `${whose(maxBy)} allows at most ${vmsText(max)}.`, 'max');
  }
}

function whose(schedule: string | undefined): string {
  return schedule === undefined ? 'The policy' : `Schedule ${schedule}`;
}
