// Every scaling strategy by the rule type that names it in a policy.

import type { ScaleRule } from '../policy.ts';
import type { Judgement, Situation, Strategy } from './strategy.ts';
import { threshold } from './threshold.ts';

const STRATEGIES: { readonly [T in ScaleRule['type']]: Strategy<Extract<ScaleRule, { type: T }>> } = { threshold };

export function judgeRule(rule: ScaleRule, situation: Situation, crossedAtMs: number | undefined): Judgement {
  return STRATEGIES[rule.type].judge(rule, situation, crossedAtMs);
}
