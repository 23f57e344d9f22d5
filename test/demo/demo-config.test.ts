import { describe, expect, it } from 'vitest';
import { policyText } from '../../demo/demo-config.ts';
import { FAST_PACE, NORMAL_PACE } from '../../demo/pace.ts';
import { parsePolicy } from '../../src/config/policy-file.ts';

const catalog = {
  images: [{ name: 'backend', path: '/images/root.qcow2', format: 'qcow2' as const }],
  flavors: [{ name: 'small', vcpus: 1, memoryMiB: 128 }],
};

describe('the policy of the demo', () => {
  it.each([
    { name: 'normal', pace: NORMAL_PACE },
    { name: 'fast', pace: FAST_PACE },
  ])('is a valid one at the $name pace', ({ pace }) => {
    const parsed = parsePolicy(policyText(pace), 'web.yaml', catalog);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    expect(parsed.policy).toMatchObject({ group: 'web', min: 1, max: 2 });
    expect(parsed.policy.rules.map((rule) => [rule.direction, rule.thresholdPercent, rule.forMs])).toEqual([
      ['out', 75, 3000],
      ['in', 20, expect.any(Number)],
    ]);
  });
});
