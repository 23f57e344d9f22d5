// Strategy `threshold`: while a metric has been beyond a value for a time, add or remove VMs.
// Not here: comparing and holding back (bands), what other rules say (rules).

import type { ThresholdRule } from '../policy.ts';
import { judgeBands } from './bands.ts';
import type { Strategy } from './strategy.ts';

export const threshold: Strategy<ThresholdRule> = {
  judge: (rule, situation, before) => judgeBands(rule, [{ bound: rule.threshold, by: rule.by }], situation, before),
};
