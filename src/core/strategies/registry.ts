// Every scaling strategy by the rule type that names it in a policy.

import type { RuleMemory } from '../memory.ts';
import type { ScaleRule } from '../policy.ts';
import { forecast } from './forecast.ts';
import { schedule } from './schedule.ts';
import { step } from './step.ts';
import type { Judgement, Situation } from './strategy.ts';
import { target } from './target.ts';
import { threshold } from './threshold.ts';

export function judgeRule(rule: ScaleRule, situation: Situation, before: RuleMemory | undefined): Judgement {
  switch (rule.type) {
    case 'threshold':
      return threshold.judge(rule, situation, before);
    case 'step':
      return step.judge(rule, situation, before);
    case 'target':
      return target.judge(rule, situation, before);
    case 'schedule':
      return schedule.judge(rule, situation, before);
    case 'forecast':
      return forecast.judge(rule, situation, before);
  }
}
