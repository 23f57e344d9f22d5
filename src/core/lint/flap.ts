// Whether a rule that removes VMs and one that adds them could undo each other for ever, for any size between min and max.
// Not here: the same care at run time, with the load that there is then (strategies/load).
//
// Removing VMs raises a mean: of n at v, m are left at v·n/m. Where that sets off a scale-out rule, a load that does not change at all is
// scaled in and out for ever. A second rule that may remove must agree before anything goes, so a target never does harm to another rule.

import { vmsOf } from '../change.ts';
import type { LintedPolicy, Tell } from '../lint-policy.ts';
import { metricKey, metricUnit } from '../metric.ts';
import type { Change, StepRule, TargetRule, ThresholdRule } from '../policy.ts';
import { amountText, vmsText } from '../wording.ts';

/** A band with the names its parts have in the file. */
export interface BandField {
  readonly bound: number;
  readonly by: Change;
  readonly boundField: string;
  readonly byField: string;
}

export function bandFields(rule: ThresholdRule | StepRule): readonly BandField[] {
  const [boundField, byField] = rule.direction === 'out' ? ['above', 'add'] : ['below', 'remove'];
  if (rule.type === 'threshold') return [{ bound: rule.threshold, by: rule.by, boundField, byField }];
  return rule.bands.map((band, index) => ({
    ...band,
    boundField: `steps[${index}].${boundField}`,
    byField: `steps[${index}].${byField}`,
  }));
}

/** Sizes tried. Beyond that many it gets no worse: what a VM more or less changes is ever less. */
const SIZES_MAX = 5000;
/** Between what adds a VM and what removes it again, load that wavers by so much must fit. */
const DEAD_ZONE_MIN = 0.05;
/** Where VMs are forked, one more or less for a moment costs next to nothing. */
const DEAD_ZONE_FORKED = 0.01;

export function lintFlap(rule: ThresholdRule | StepRule | TargetRule, policy: LintedPolicy, tell: Tell): void {
  const out = lowestOut(rule, policy);
  if (rule.type === 'target') {
    const against = out === undefined ? undefined : targetAgainst(rule, out, policy);
    if (against !== undefined) tell('error', 'target', against);
    lintDeadZone(rule, policy, tell);
    return;
  }
  if (out === undefined) return;
  for (const band of bandFields(rule)) {
    const flapping = bandAgainst(rule, band, out, policy);
    if (flapping !== undefined) tell('error', band.boundField, flapping);
  }
}

interface Out {
  readonly rule: ThresholdRule | StepRule;
  readonly above: number;
}

/** The scale-out rule on the same metric that is set off first. Means over other times and sums are other metrics of the same thing. */
function lowestOut({ metric }: ThresholdRule | StepRule | TargetRule, { rules }: LintedPolicy): Out | undefined {
  const key = metricKey({ ...metric, overMs: 0 });
  let lowest: Out | undefined;
  for (const rule of rules) {
    if ((rule.type !== 'threshold' && rule.type !== 'step') || rule.direction !== 'out') continue;
    if (metricKey({ ...rule.metric, overMs: 0 }) !== key) continue;
    const above = bandFields(rule)[0]?.bound;
    if (above !== undefined && (lowest === undefined || above < lowest.above)) lowest = { rule, above };
  }
  return lowest;
}

function bandAgainst(
  { metric }: ThresholdRule | StepRule,
  { bound: below, by }: BandField,
  { rule: out, above }: Out,
  { min, max }: LintedPolicy,
): string | undefined {
  const say = (value: number) => amountText(value, metricUnit(metric));
  if (below >= above) {
    return `below ${say(below)} must be less than the ${say(above)} of rule ${out.name}: between them the group would scale both ways`;
  }
  if (metric.scope === 'total') return undefined;
  const least = Math.max(min, 1);
  let worst: { readonly from: number; readonly gone: number; readonly projected: number } | undefined;
  for (let from = least + 1; from <= Math.min(max, least + SIZES_MAX); from += 1) {
    // Where fewer are left than a whole step, those go.
    const gone = vmsOf(by, from);
    if (!(gone >= 1) || from - gone < least) continue;
    const projected = (below * from) / (from - gone);
    if (projected >= above && projected > (worst?.projected ?? 0)) worst = { from, gone, projected };
  }
  if (worst === undefined) return undefined;
  const { from, gone, projected } = worst;
  const left = from - gone;
  return (
    `the group must flap: ${vmsText(from)} at ${say(below)} are ${say(projected)} on the ${vmsText(left)} left when ${gone} ${gone === 1 ? 'goes' : 'go'}, ` +
    `which sets off rule ${out.name} (above ${say(above)}); use a threshold below ${say(Math.floor(((above * left) / from) * 10) / 10)}` +
    (gone > 1 ? ' or remove fewer at once' : '')
  );
}

/** A target that may go down leaves up to `target` on each of those left. */
function targetAgainst(
  { metric, target, tolerance }: TargetRule,
  { rule: out, above }: Out,
  { min, max }: LintedPolicy,
): string | undefined {
  if (metric.scope === 'total' || target <= above) return undefined;
  if (Math.max(min, 1) >= (1 - tolerance.down) * max) return undefined;
  const unit = metricUnit(metric);
  return (
    `the group must flap: it is brought to ${amountText(target, unit)}, and above ${amountText(above, unit)} rule ${out.name} adds VMs; ` +
    `use a target of ${amountText(above, unit)} at the most`
  );
}

/** Between adding the VM after k and removing it again there must be room: the load at which it goes is less than that at which it comes. */
function lintDeadZone({ tolerance: { up, down } }: TargetRule, { min, max, capacity }: LintedPolicy, tell: Tell): void {
  let [narrowest, at] = [Number.POSITIVE_INFINITY, 0];
  for (let k = Math.max(min, 1); k < Math.min(max, min + SIZES_MAX); k += 1) {
    const comes = k * (1 + up);
    const goes = Math.min(k, (1 - down) * (k + 1));
    const room = comes / goes - 1;
    if (room < narrowest - 1e-9) [narrowest, at] = [room, k];
  }
  if (narrowest >= (capacity?.fork === true ? DEAD_ZONE_FORKED : DEAD_ZONE_MIN) - 1e-9) return;
  const sizes = `between ${vmsText(at)} and ${at + 1}`;
  if (narrowest <= 1e-9) {
    tell(
      'error',
      'tolerance',
      `${sizes} the group must flap: the load that adds a VM is the load that removes it; use tolerance: 10%`,
    );
  } else {
    const percent = amountText(narrowest * 100, '%');
    tell('warning', 'tolerance', `${sizes} a load that wavers by ${percent} makes the group flap; use tolerance: 10%`);
  }
}
