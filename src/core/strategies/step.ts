// Strategy `step`: the farther a metric is beyond a value, the more VMs are added or removed.
// Not here: comparing and holding back (bands), what other rules say (rules).

import type { StepRule } from '../policy.ts';
import { judgeBands } from './bands.ts';
import type { Strategy } from './strategy.ts';

export const step: Strategy<StepRule> = {
  judge: (rule, situation, before) => judgeBands(rule, rule.bands, situation, before),
};
