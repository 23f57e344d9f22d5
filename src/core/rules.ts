// What all rules of a group say together: out if any says so, in only if all agree. Not here: one rule (strategies/), limits (decide).

import type { RuleVerdict } from './decision.ts';
import type { ScaleRule } from './policy.ts';
import { judgeRule } from './strategies/registry.ts';
import type { Situation } from './strategies/strategy.ts';

export interface Advice {
  readonly verdicts: readonly RuleVerdict[];
  /** By rule name; what is to be remembered. */
  readonly crossedAtMs: Readonly<Record<string, number>>;
  /** The verdict that is followed, before limits; absent when the size is to stay. */
  readonly followed?: RuleVerdict;
  /** Why rules that fire are not followed, in words for people. */
  readonly heldBack?: string;
}

export function consultRules(
  rules: readonly ScaleRule[],
  situation: Situation,
  crossedBeforeMs: Readonly<Record<string, number>>,
): Advice {
  const crossed: [string, number][] = [];
  const verdicts = rules.map((rule) => {
    // A rule may be called `constructor`.
    const before = Object.hasOwn(crossedBeforeMs, rule.name) ? crossedBeforeMs[rule.name] : undefined;
    const judgement = judgeRule(rule, situation, before);
    if (judgement.crossedAtMs !== undefined) crossed.push([rule.name, judgement.crossedAtMs]);
    return judgement.verdict;
  });
  return { verdicts, crossedAtMs: Object.fromEntries(crossed), ...combine(verdicts) };
}

function combine(verdicts: readonly RuleVerdict[]): Pick<Advice, 'followed' | 'heldBack'> {
  const outs = verdicts.filter(({ direction }) => direction === 'out');
  const ins = verdicts.filter(({ direction }) => direction === 'in');
  const out = largest(outs.filter(fires));
  if (out) return { followed: out };
  const firing = ins.filter(fires);
  if (firing.length === 0) return {};
  // A scale-out rule that has crossed counts, whatever else holds it back. (Without data it has not crossed.)
  const hot = outs.find(({ verdict, crossedAtMs }) => crossedAtMs !== undefined && verdict !== 'no-data');
  if (hot) return { heldBack: `Nothing is removed while rule ${hot.rule} is beyond its threshold.` };
  const unwilling = ins.find((verdict) => !fires(verdict));
  if (unwilling) return { heldBack: `Nothing is removed before rule ${unwilling.rule} agrees.` };
  const gentlest = largest(firing);
  return gentlest ? { followed: gentlest } : {};
}

function fires({ verdict }: RuleVerdict): boolean {
  return verdict === 'fires';
}

/** The one that recommends the larger group; the first of equals. */
function largest(verdicts: readonly RuleVerdict[]): RuleVerdict | undefined {
  return verdicts.reduce<RuleVerdict | undefined>(
    (best, verdict) => (best === undefined || verdict.recommends > best.recommends ? verdict : best),
    undefined,
  );
}
