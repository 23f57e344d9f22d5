// What all rules of a group say together: out if any says so (the largest), in only if all agree (the gentlest).
// Not here: one rule (strategies/), pace and limits (size).

import type { RuleVerdict } from './decision.ts';
import type { RuleMemory } from './memory.ts';
import type { ScaleRule } from './policy.ts';
import { readingOf } from './strategies/load.ts';
import { judgeRule } from './strategies/registry.ts';
import type { Judgement, Situation } from './strategies/strategy.ts';

export interface Advice {
  readonly verdicts: readonly RuleVerdict[];
  /** By rule name; what is to be remembered. */
  readonly memory: Readonly<Record<string, RuleMemory>>;
  /** The verdict that is followed, before limits; absent when the size is to stay. */
  readonly followed?: RuleVerdict;
  /** Why rules that fire are not followed, in words for people. */
  readonly heldBack?: string;
  /** VMs more or fewer that would be recommended if no cooldown was running and no VM on its way: what stabilisation goes by. */
  readonly wish: number;
  /** The last VM may go, too: a number of the whole group says so, and would say when one is needed again. */
  readonly mayEmpty: boolean;
}

const NOTHING_REMEMBERED: Readonly<Record<string, RuleMemory>> = {};

/** `wantsWish`: absent a stabilisation window nobody asks for it. */
export function consultRules(
  rules: readonly ScaleRule[],
  situation: Situation,
  before: Readonly<Record<string, RuleMemory>>,
  wantsWish: boolean,
): Advice {
  const remembered: [string, RuleMemory][] = [];
  const judgements = rules.map((rule) => {
    // A rule may be called `constructor`.
    const judgement = judgeRule(rule, situation, Object.hasOwn(before, rule.name) ? before[rule.name] : undefined);
    if (judgement.memory !== undefined) remembered.push([rule.name, judgement.memory]);
    return judgement;
  });
  const memory = remembered.length === 0 ? NOTHING_REMEMBERED : Object.fromEntries(remembered);
  const combined = combine(judgements, situation, recommendationOf);
  const wished = wantsWish ? combine(judgements, situation, ({ wish = 0 }) => wish) : undefined;
  const { followed, heldBack } = combined;
  const advice: Writable<Advice> = {
    verdicts: judgements.map(({ verdict }) => verdict),
    memory,
    wish: wished?.followed?.wish ?? 0,
    mayEmpty: followed !== undefined && mayEmpty(rules, judgements, situation),
  };
  if (followed !== undefined) advice.followed = followed.verdict;
  if (heldBack !== undefined) advice.heldBack = heldBack;
  return advice;
}

/** Filled in bit by bit: spreading costs a backtest half its time. */
type Writable<T> = { -readonly [K in keyof T]: T[K] };

interface Combined {
  readonly followed?: Judgement;
  readonly heldBack?: string;
}

/** `asks`: VMs more or fewer that a rule asks for; 0: none. */
function combine(
  judgements: readonly Judgement[],
  { desired, wording }: Situation,
  asks: (judgement: Judgement) => number,
): Combined {
  let [out, gentlest, unwilling, hot]: (Judgement | undefined)[] = [];
  for (const judgement of judgements) {
    const { verdict, abstains } = judgement;
    if (verdict.direction === 'floor') continue;
    const by = asks(judgement);
    if (by > 0 && (out === undefined || by > asks(out))) out = judgement;
    if (verdict.direction === 'out') {
      // A scale-out rule that has crossed counts, whatever else holds it back; so does one that nobody knows anything about.
      if (verdict.crossedAtMs !== undefined || verdict.verdict === 'no-data') hot ??= judgement;
    } else if (by < 0) {
      if (gentlest === undefined || by > asks(gentlest)) gentlest = judgement;
    } else if (!(abstains && desired === 1)) unwilling ??= judgement;
  }
  if (out !== undefined) return { followed: out };
  if (gentlest === undefined) return {};
  if (hot !== undefined) return { heldBack: wording ? hotText(hot.verdict) : '' };
  if (unwilling !== undefined) {
    return { heldBack: wording ? `Nothing is removed before rule ${unwilling.verdict.rule} agrees.` : '' };
  }
  return { followed: gentlest };
}

function recommendationOf({ verdict }: Judgement): number {
  return verdict.verdict === 'fires' ? verdict.recommends : 0;
}

function hotText({ rule, verdict }: RuleVerdict): string {
  if (verdict === 'no-data') return `Nothing is removed while rule ${rule} has no data.`;
  return `Nothing is removed while rule ${rule} is beyond its threshold.`;
}

function mayEmpty(rules: readonly ScaleRule[], judgements: readonly Judgement[], situation: Situation): boolean {
  return rules.some((rule, index) => {
    const verdict = judgements[index]?.verdict;
    if (!('metric' in rule) || verdict?.verdict !== 'fires' || verdict.recommends > -situation.desired) return false;
    return verdict.direction !== 'floor' && readingOf(rule.metric, situation).ofGroup === true;
  });
}
